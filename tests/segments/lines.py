"""Invoice lines for tests of MRR by month: one by what matters, and many whose amounts are large."""

from typing import Any

import pyarrow as pa

from segments.frames import LARGEST_AMOUNT
from tests.segments.raw import at, raw


def line(start: str, end: str, amount: int = 1_200, **columns: Any) -> dict[str, Any]:
    """A line of a subscription on the invoice `in_1`."""
    return {
        "invoice": "in_1",
        "subscription": "sub_1",
        "currency": "usd",
        "amount": amount,
        "proration": False,
        "period_start": at(start),
        "period_end": at(end),
        "price": "price_1",
        **columns,
    }


def large_taxed_lines() -> tuple[list[tuple[int, int, int]], pa.Table, pa.Table]:
    """Amount, discount and inclusive tax of each customer's only line; the lines; their invoices.

    The product of two amounts of 3 billion minor units (30 million rupiah, 1,900 dollars) does not fit 64 bits.
    """
    large = (3_000_000_001, 47_600_000_000, 123_456_789_012, LARGEST_AMOUNT)
    cases = [
        (amount, amount * discount // 100, amount * tax // 100)
        for amount in (1, 119, 2**20, *large, -119, *(-amount for amount in large))
        for discount in (0, 7, 50, 99, 100)
        for tax in (0, 1, 6, 19, 100, -5)
    ]
    lines = [
        line(
            "2026-01-10", "2026-02-10", amount, discount_amount=off, inclusive_tax_amount=tax, invoice=str(number)
        )
        for number, (amount, off, tax) in enumerate(cases)
    ]
    invoices = [{"id": str(number), "customer": str(number), "status": "paid"} for number in range(len(cases))]
    return cases, raw("invoice_lines", *lines), raw("invoices", *invoices)
