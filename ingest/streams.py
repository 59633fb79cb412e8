"""The streams: every list of the Stripe API that is kept, each declared in one place.

Here: a stream's operation, parameters, nested list, permission and object name. A new stream is one entry here,
one schema in `ingest.tables`, one shape in `ingest.shapes` and one parser in `ingest.rows`. Not here: how lists
are walked. Parameters and what `expand` reaches: https://docs.stripe.com/api/expanding_objects (four levels).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from ingest.tables import RAW_TABLES
from resources.schema import column

__all__ = ["EVENTS", "STAGED", "STREAMS", "STREAM_OF_OBJECT", "Nested", "Stream", "chosen"]


@dataclass(frozen=True)
class Nested:
    """A nested list: ten entries come embedded, the rest from `path` with the parent in `parent_param`.

    `parent_param` None means that the parent's id is part of the path.
    """

    field: str
    table: str
    parent_column: str
    path: str
    parent_param: str | None
    complete_column: str
    expand: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stream:
    """A list of the API and the table it fills; `created` tells whether the list can be windowed."""

    table: str
    object: str
    permission: str
    created: bool = True
    params: dict[str, str] = field(default_factory=dict)
    expand: tuple[str, ...] = ()
    nested: Nested | None = None

    @property
    def path(self) -> str:
        """Path of the list below `/v1/`."""
        return self.table

    @property
    def operation(self) -> str:
        """Name of the list's operation in the limiter."""
        return f"GET /v1/{self.path}"

    @property
    def tables(self) -> tuple[str, ...]:
        """The table of the stream and that of its nested list."""
        return (self.table,) if self.nested is None else (self.table, self.nested.table)

    @property
    def retrieve_expand(self) -> tuple[str, ...]:
        """What to expand when a single object is read: the list's `expand` without its prefix."""
        return tuple(name.removeprefix("data.") for name in self.expand)


EVENTS = Stream("events", "event", "Events (rak_event_read)")

_ALL = (
    Stream("customers", "customer", "Customers (rak_customer_read)"),
    Stream(
        "subscriptions",
        "subscription",
        "Subscriptions (rak_subscription_read)",
        params={"status": "all"},  # without it the canceled ones are missing
        expand=("data.discounts", "data.items.data.discounts"),
        nested=Nested(
            "items",
            "subscription_items",
            "subscription",
            "subscription_items",
            "subscription",
            "items_complete",
            expand=("data.discounts",),
        ),
    ),
    Stream("prices", "price", "Prices (rak_plan_read)", expand=("data.tiers", "data.currency_options")),
    Stream("coupons", "coupon", "Coupons (rak_coupon_read)", expand=("data.applies_to", "data.currency_options")),
    Stream("charges", "charge", "Charges and Refunds (rak_charge_read)"),
    Stream("payment_methods", "payment_method", "PaymentMethods (rak_payment_method_read)", created=False),
    Stream(
        "invoices",
        "invoice",
        "Invoices (rak_invoice_read)",
        nested=Nested("lines", "invoice_lines", "invoice", "invoices/{id}/lines", None, "lines_complete"),
    ),
    Stream("invoice_payments", "invoice_payment", "Invoices (rak_invoice_read)"),
    Stream("disputes", "dispute", "Disputes (rak_dispute_read)"),
    Stream("refunds", "refund", "Charges and Refunds (rak_charge_read)"),
    EVENTS,
)

STREAMS: dict[str, Stream] = {stream.table: stream for stream in _ALL}
STREAM_OF_OBJECT: dict[str, Stream] = {stream.object: stream for stream in _ALL if stream is not EVENTS}

# What is staged is what the tables hold; events carry besides what routing needs to know of their payload.
_EVENT_ROUTING = (
    column("replaces", pa.bool_(), "the payload is as good as reading the object"),
    column("children", pa.string(), "rows of the payload's nested list, JSON"),
    column("object_created", pa.int64(), "creation of the object, seconds"),
    column("touched", pa.string(), "ids of objects that the event changes besides its own, JSON"),
)
STAGED: dict[str, pa.Schema] = {
    **RAW_TABLES,
    "events": pa.schema([*RAW_TABLES["events"], *_EVENT_ROUTING], metadata=RAW_TABLES["events"].metadata),
}


def chosen(tables: Sequence[str] | None) -> tuple[Stream, ...]:
    """The streams that fill the named tables, all of them for None.

    Raises: ValueError naming what is no raw table.
    """
    if tables is None:
        return _ALL
    unknown = sorted(set(tables) - set(RAW_TABLES))
    if unknown:
        raise ValueError(f"no such Stripe table: {', '.join(unknown)}; there are {', '.join(RAW_TABLES)}")
    return tuple(stream for stream in _ALL if set(stream.tables) & set(tables))
