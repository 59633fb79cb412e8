"""A list that an account gives for one customer at a time: asking those customers that can have a row.

Here: which streams that can be, which customers, and how far the request budget goes. Not here: what a run does
with a list that was left before its end.
"""

import asyncio

import pyarrow.compute as pc

from ingest.commit import lake_table
from ingest.lists import ListReader, first_error
from resources.lake import Lake
from resources.stripe_api import BadRequest, StripeApi

__all__ = ["needs_customer", "read_per_customer"]

# Lists that some accounts and API versions give per customer only.
_PER_CUSTOMER = frozenset({"payment_methods"})
_CUSTOMERS_AT_ONCE = 16


def needs_customer(table: str, error: BadRequest) -> bool:
    """Whether a refusal means that this list is given per customer only."""
    return table in _PER_CUSTOMER and error.param == "customer"


async def read_per_customer(api: StripeApi, lake: Lake, reader: ListReader) -> str | None:
    """Stage the rows of all customers with activity, within the budget; why it stopped before the last, if it did.

    Customers without rows in the table come first, so that runs that stop at the budget get on.
    Raises: StripeError, StagingError, LakeError.
    """
    customers = await asyncio.to_thread(_active_customers, lake, reader.stream.table)
    asked = 0
    places = asyncio.Semaphore(_CUSTOMERS_AT_ONCE)

    async def ask(customer: str) -> None:
        nonlocal asked
        async with places:
            if api.limiter.within_budget():
                await reader.read_parent({"customer": customer})
                asked += 1

    try:
        async with asyncio.TaskGroup() as group:
            for customer in customers:
                group.create_task(ask(customer))
    except BaseExceptionGroup as failures:
        raise first_error(failures) from None
    reader.part.windows.live.clear()
    if asked == len(customers):
        return None
    return (
        f"stopped at the request budget of {api.limiter.budget} after {asked} of {len(customers)} customers; "
        "the next run goes on"
    )


def _active_customers(lake: Lake, table: str) -> list[str]:
    """Customers that can have a row: with a default payment method, a subscription or a charge."""
    found: set[str] = set()
    for name, column in (("subscriptions", "customer"), ("charges", "customer"), (table, "customer")):
        if lake.exists(lake_table(name)):
            found |= set(lake.read(lake_table(name), columns=[column])[column].unique().to_pylist())
    known: set[str] = set()
    if lake.exists(lake_table(table)):
        known = set(lake.read(lake_table(table), columns=["customer"])["customer"].to_pylist())
    if lake.exists(lake_table("customers")):
        rows = lake.read(lake_table("customers"), columns=["id", "default_payment_method"])
        found |= set(rows.filter(pc.is_valid(rows["default_payment_method"]))["id"].to_pylist())
    return sorted((name for name in found if name), key=lambda name: (name in known, name))
