"""The account that extraction is measured on: objects of full size, in files that the sandbox serves.

`write_account(folder)` gives the 602-page set by default: 10,000 customers, 10,000 subscriptions of which 22 % are
canceled and 50 have 25 items, 20,000 invoices of which 50 have 25 lines, 20,000 charges, 20 prices. Seeded.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sandbox.simulation import shapes, shapes_invoice, shapes_payment

__all__ = ["END", "Expected", "write_account"]

END = 1_792_000_000
_DAY = 86_400
_LONG = 25


@dataclass(frozen=True)
class Expected:
    """Rows that a complete extraction lands, by table."""

    rows: dict[str, int]


def write_account(
    folder: Path, *, customers: int = 10_000, invoices: int = 20_000, charges: int = 20_000, seed: int = 7
) -> Expected:
    """Write the account's files; what has to come out of them."""
    rng = random.Random(seed)
    begin = END - 900 * _DAY
    prices = [_price(number, begin) for number in range(20)]
    # Renewals run in batches that share a second.
    batches = [END - rng.randrange(1, 880 * _DAY) for _ in range(max(1, max(invoices, charges) // 40))]
    moments = sorted(rng.choices(range(begin, END), k=customers))
    people = [_customer(number, created) for number, created in enumerate(moments)]
    subscriptions = [
        _subscription(number, person, prices, rng, items=_LONG if number < 50 else 1)
        for number, person in enumerate(people)
    ]
    bills = [
        _invoice(number, rng.choice(people), rng.choice(batches), prices, lines=_LONG if number < 50 else 1)
        for number in range(invoices)
    ]
    paid = [_charge(number, rng.choice(people)["id"], rng.choice(batches)) for number in range(charges)]
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Iterable[dict[str, Any]]] = {
        "customers": people,
        "subscriptions": subscriptions,
        "prices": prices,
        "invoices": bills,
        "charges": paid,
    }
    for name, rows in files.items():
        with (folder / f"{name}.jsonl").open("wb") as file:
            file.writelines(orjson.dumps(row) + b"\n" for row in rows)
    long_lists = min(50, customers)
    long_bills = min(50, invoices)
    return Expected(
        {
            "customers": customers,
            "subscriptions": customers,
            "subscription_items": customers + long_lists * (_LONG - 1),
            "prices": len(prices),
            "invoices": invoices,
            "invoice_lines": invoices + long_bills * (_LONG - 1),
            "charges": charges,
        }
    )


def _price(number: int, created: int) -> dict[str, Any]:
    return {
        "id": f"price_{number:014d}",
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": created,
        "currency": "usd",
        "custom_unit_amount": None,
        "livemode": True,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": f"prod_{number // 2:014d}",
        "recurring": {
            "interval": "month",
            "interval_count": 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": 1_000 + 100 * number,
        "unit_amount_decimal": str(1_000 + 100 * number),
    }


def _customer(number: int, created: int) -> dict[str, Any]:
    return shapes.customer(
        f"cus_{number:014d}",
        created=created,
        currency="usd",
        address={"country": "US", "city": "Springfield", "line1": "1 Main St", "postal_code": "12345"},
        name=f"Customer {number}",
        email=f"customer{number}@example.com",
        phone=None,
        description=None,
        default_payment_method=f"pm_{number:014d}",
        livemode=True,
    )


def _subscription(
    number: int, person: dict[str, Any], prices: list[dict[str, Any]], rng: random.Random, *, items: int
) -> dict[str, Any]:
    identity, created = f"sub_{number:014d}", person["created"]
    rows = []
    for place in range(items):
        price = prices[(number + place) % len(prices)]
        rows.append(
            shapes.subscription_item(
                f"si_{number:010d}{place:04d}",
                subscription=identity,
                created=created,
                price=price,
                plan={"id": price["id"], "object": "plan", "product": price["product"]},
                quantity=1 + number % 5,
                period=(END - 10 * _DAY, END + 20 * _DAY),
                discounts=[],
            )
        )
    status = "canceled" if rng.random() < 0.22 else "active"
    return shapes.subscription(
        identity,
        customer=person["id"],
        created=created,
        currency="usd",
        status=status,
        items=rows,
        discounts=[],
        default_payment_method=None,
        livemode=True,
    )


def _invoice(
    number: int, person: dict[str, Any], created: int, prices: list[dict[str, Any]], *, lines: int
) -> dict[str, Any]:
    identity, subscription = f"in_{number:014d}", person["id"].replace("cus_", "sub_")
    period = (created, created + 30 * _DAY)
    rows = []
    for place in range(lines):
        price = prices[(number + place) % len(prices)]
        rows.append(
            shapes_invoice.invoice_line(
                f"il_{number:010d}{place:04d}",
                invoice=identity,
                amount=price["unit_amount"],
                currency="usd",
                description="1 × Plan",
                period=period,
                price=price["id"],
                product=price["product"],
                unit_amount_decimal=price["unit_amount_decimal"],
                quantity=1,
                subscription=subscription,
                item=f"si_{number:014d}",
                livemode=True,
            )
        )
    return shapes_invoice.invoice(
        identity,
        customer=person,
        subscription=subscription,
        created=created,
        currency="usd",
        billing_reason="subscription_cycle",
        period=period,
        lines=rows,
        number=f"A-{number}",
        livemode=True,
    )


def _charge(number: int, customer: str, created: int) -> dict[str, Any]:
    return shapes_payment.charge(
        f"ch_{number:014d}",
        amount=2_000,
        created=created,
        currency="usd",
        customer=customer,
        description="Subscription update",
        payment_intent=f"pi_{number:014d}",
        payment_method=f"pm_{number:014d}",
        details={"type": "card", "card": {"brand": "visa", "funding": "credit", "country": "US", "last4": "4242"}},
        billing_details={"address": {"country": "US"}, "email": None, "name": None, "phone": None},
        balance_transaction=f"txn_{number:014d}",
        outcome=shapes_payment.outcome(decline=None, advice=None, network_code=None),
        livemode=True,
    )
