"""How fast the MRR table is made: a million subscriptions, nine in ten plain, then a run in which 1 % changed.

`python -m benchmarks.mrr [ROWS]` prints one line a phase. The budget is 20 s for a million rows on two cores.
The rest of the subscriptions are tiered, discounted, taxed, trialing, paused, leaving, mixed or incomplete.
"""

import json
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from segments.mrr_table import ChangedIds, subscription_mrr_table

AS_OF = datetime(2026, 6, 15, tzinfo=UTC)
NOW = int(AS_OF.timestamp())
DAY = 86_400
CURRENCIES = ("usd", "eur", "gbp", "jpy", "kwd")
STATUSES = ("active",) * 7 + ("past_due", "canceled", "canceled")


@dataclass(frozen=True, slots=True)
class Account:
    """Raw tables as the MRR table reads them."""

    subscriptions: pa.Table
    prices: pa.Table
    coupons: pa.Table
    customers: pa.Table


def price(number: int) -> dict[str, Any]:
    """One of the plans; every tenth is tiered, its tiers in the price table alone."""
    tiered = number % 10 == 9
    amount = None if tiered else 500 + 37 * number
    return {
        "id": f"price_{number:05d}",
        "billing_scheme": "tiered" if tiered else "per_unit",
        "currency": CURRENCIES[number % len(CURRENCIES)],
        "product": f"prod_{number % 12:03d}",
        "recurring": {
            "interval": "year" if number % 3 == 0 else "month",
            "interval_count": 1,
            "meter": None,
            "usage_type": "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": "graduated" if tiered else None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": amount,
        "unit_amount_decimal": None if amount is None else str(amount),
    }


TIERS = [
    {"up_to": 5, "unit_amount": 700, "unit_amount_decimal": "700", "flat_amount": 1000},
    {"up_to": None, "unit_amount": 600, "unit_amount_decimal": "600", "flat_amount": None},
]
COUPONS = [
    {"id": "percent", "duration": "forever", "percent_off": 33.3, "amount_off": None, "currency": None},
    {"id": "amount", "duration": "forever", "percent_off": None, "amount_off": 300, "currency": "usd"},
    {"id": "finite", "duration": "repeating", "percent_off": 50, "amount_off": None, "currency": None},
]


def subscription(number: int, dice: random.Random, plans: list[dict[str, Any]], *, plain: bool) -> dict[str, Any]:
    """A subscription as the raw table's `billing` holds it."""
    plan = dice.choice(plans)
    while plain and plan["tiers_mode"] is not None:
        plan = dice.choice(plans)
    item = {
        "id": f"si_{number:08d}",
        "current_period_start": NOW - 10 * DAY,
        "current_period_end": NOW + 20 * DAY,
        "current_trial": None,
        "discounts": [],
        "price": plan,
        "quantity": dice.randint(1, 20),
        "tax_rates": [],
    }
    billing: dict[str, Any] = {
        "id": f"sub_{number:08d}",
        "status": dice.choice(STATUSES) if plain else "active",
        "currency": plan["currency"],
        "items": {"data": [item], "has_more": False},
        "discounts": [],
        "default_tax_rates": [],
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "pause_collection": None,
        "trial_end": None,
    }
    if not plain:
        _complicate(billing, item, dice, plans)
    return billing


def _complicate(
    billing: dict[str, Any], item: dict[str, Any], dice: random.Random, plans: list[dict[str, Any]]
) -> None:
    match dice.randrange(8):
        case 0:
            billing["discounts"] = [
                {"id": "di_1", "source": {"coupon": "percent"}, "start": NOW - DAY, "end": None}
            ]
        case 1:
            item["discounts"] = [{"id": "di_1", "coupon": COUPONS[1], "start": NOW - DAY, "end": None}]
        case 2:
            billing["discounts"] = [{"id": "di_1", "coupon": "finite", "start": NOW - DAY, "end": NOW + 40 * DAY}]
        case 3:
            item["tax_rates"] = [{"id": "txr_1", "inclusive": True, "percentage": 19.0}]
        case 4:
            billing["trial_end"] = NOW + dice.randint(1, 30) * DAY
        case 5:
            billing["cancel_at_period_end"] = True
        case 6:
            billing["discounts"] = ["di_unexpanded"]
        case _:
            other = next(plan for plan in plans if plan["currency"] == billing["currency"])
            billing["items"]["data"].append({**item, "id": item["id"] + "b", "price": other})


def account(rows: int, seed: int = 7) -> Account:
    """A seeded account in which nine subscriptions in ten are plain."""
    dice = random.Random(seed)
    plans = [price(number) for number in range(100)]
    columns: dict[str, list[Any]] = {name: [] for name in ("id", "customer", "status", "currency", "billing")}
    for number in range(rows):
        billing = subscription(number, dice, plans, plain=number % 10 != 0)
        columns["id"].append(billing["id"])
        columns["customer"].append(f"cus_{number % max(1, rows // 2):08d}")
        columns["status"].append(billing["status"])
        columns["currency"].append(billing["currency"])
        columns["billing"].append(json.dumps(billing, separators=(",", ":")))
    customers = sorted(set(columns["customer"]))
    discount = json.dumps({"id": "di_c", "coupon": COUPONS[0], "start": NOW - DAY, "end": None})
    priced = [{**plan, "tiers": TIERS} if plan["tiers_mode"] else plan for plan in plans]
    return Account(
        subscriptions=pa.table(columns),
        prices=pa.table({"id": [plan["id"] for plan in priced], "billing": [json.dumps(plan) for plan in priced]}),
        coupons=pa.table({"id": [c["id"] for c in COUPONS], "billing": [json.dumps(c) for c in COUPONS]}),
        customers=pa.table(
            {
                "id": customers,
                "discount": pa.array(
                    [discount if place % 100 == 99 else None for place in range(len(customers))], pa.string()
                ),
            }
        ),
    )


def timed(name: str, rows: int, work: Callable[[], pa.Table]) -> pa.Table:
    """Run one phase and say what it cost."""
    began, used = time.perf_counter(), time.process_time()
    result = work()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: {seconds:.2f} s, {used:.2f} s of processor, {rows / seconds:,.0f} rows/s, peak {peak:.2f} GB")
    return result


def main() -> None:
    """Print the two phases."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    made = account(rows)
    size = made.subscriptions["billing"].nbytes / rows
    print(f"{rows:,} subscriptions, {size:.0f} bytes of JSON each")
    sides = {"prices": made.prices, "coupons": made.coupons, "customers": made.customers}
    full = timed("all", rows, lambda: subscription_mrr_table(made.subscriptions, **sides, as_of=AS_OF))
    ids = made.subscriptions["id"].to_pylist()
    changed = ChangedIds(subscriptions=frozenset(ids[::100]), prices=frozenset({"price_00007"}))
    later = AS_OF + timedelta(days=1)
    repeat = timed(
        "one per cent changed, a day later",
        rows,
        lambda: subscription_mrr_table(made.subscriptions, **sides, as_of=later, previous=full, changed=changed),
    )
    for label, table in (("all", full), ("repeat", repeat)):
        unknown = table["complete"].to_pylist().count(False)
        print(f"{label}: {len(table):,} rows, {unknown:,} incomplete")


if __name__ == "__main__":
    main()
