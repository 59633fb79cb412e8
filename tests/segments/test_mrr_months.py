"""MRR by month from invoice lines."""

from datetime import date
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from segments.mrr_months import customer_mrr_months
from tests.segments.lines import large_taxed_lines, line
from tests.segments.raw import AS_OF, ENGINES, at, on, raw


def _months(engine: str, *lines: dict[str, Any], status: str = "paid", **more: Any) -> list[tuple[date, int, int]]:
    sources = on(
        engine,
        invoice_lines=raw("invoice_lines", *lines),
        invoices=raw("invoices", {"id": "in_1", "customer": "cus_1", "status": status}),
        **more,
    )
    table = customer_mrr_months(sources.pop("invoice_lines"), sources.pop("invoices"), **sources, as_of=AS_OF)
    return [(row["month"], row["mrr_minor"], row["mrr_list_minor"]) for row in table.to_pylist()]


JAN, FEB, MAR, APR = (date(2026, month, 1) for month in (1, 2, 3, 4))


_ITEM = {"subscription_item": "si_1"}

CASES: dict[str, tuple[list[dict[str, Any]], list[tuple[date, int, int]]]] = {
    "a month covers one month end": ([line("2026-01-10", "2026-02-10")], [(JAN, 1200, 1200)]),
    "short months are not skipped": (
        [line("2026-01-31", "2026-02-28"), line("2026-02-28", "2026-03-31")],
        [(JAN, 1200, 1200), (FEB, 1200, 1200)],
    ),
    "a renewal on the first is not counted twice": (
        [line("2026-01-01", "2026-02-01"), line("2026-02-01", "2026-03-01")],
        [(JAN, 1200, 1200), (FEB, 1200, 1200)],
    ),
    "a year is a twelfth a month, up to the last month end before as_of": (
        [line("2026-01-10", "2027-01-10", 12_000)],
        [(JAN, 1000, 1000), (FEB, 1000, 1000), (MAR, 1000, 1000), (APR, 1000, 1000)],
    ),
    "a quarter is a third a month": (
        [line("2026-01-10", "2026-04-10", 300)],
        [(JAN, 100, 100), (FEB, 100, 100), (MAR, 100, 100)],
    ),
    "a week is 52/12 a month": ([line("2026-01-26", "2026-02-02", 300)], [(JAN, 1300, 1300)]),
    "a day is 365/12 a month": ([line("2026-01-31", "2026-02-01", 12)], [(JAN, 365, 365)]),
    "a discount lowers the amount but not the list": (
        [line("2026-01-10", "2026-02-10", discount_amount=200)],
        [(JAN, 1000, 1200)],
    ),
    "inclusive tax is no revenue": (
        [line("2026-01-10", "2026-02-10", 1190, inclusive_tax_amount=190)],
        [(JAN, 1000, 1000)],
    ),
    "a change of the interval ends the line before": (
        [line("2026-01-10", "2026-02-10", 5_000, **_ITEM), line("2026-01-20", "2027-01-20", 60_000, **_ITEM)],
        [(JAN, 5000, 5000), (FEB, 5000, 5000), (MAR, 5000, 5000), (APR, 5000, 5000)],
    ),
    "a change back to months ends the year, also where a month was not billed": (
        [
            line("2026-01-10", "2027-01-10", 60_000, **_ITEM),
            line("2026-02-20", "2026-03-20", 6_000, **_ITEM),
            line("2026-04-20", "2026-05-20", 6_000, **_ITEM),
        ],
        [(JAN, 5000, 5000), (FEB, 6000, 6000), (APR, 6000, 6000)],
    ),
    "tiers of one price begin together and end together": (
        [
            *[line("2026-01-10", "2027-01-10", 12_000, **_ITEM)] * 2,
            *[line("2026-03-05", "2026-04-05", 1_500, **_ITEM)] * 3,
        ],
        [(JAN, 2000, 2000), (FEB, 2000, 2000), (MAR, 4500, 4500)],
    ),
    "another item ends nothing, nor does a line without one": (
        [
            line("2026-01-10", "2026-02-10", 100, **_ITEM),
            line("2026-01-20", "2026-02-20", 200, subscription_item="si_other"),
            line("2026-01-05", "2026-02-05", 400),
            line("2026-01-25", "2026-02-25", 800),
        ],
        [(JAN, 1500, 1500)],
    ),
    "the end of the subscription ends the line": (
        [
            line("2026-01-10", "2027-01-10", 60_000, subscription="sub_ended"),
            line("2026-03-10", "2027-03-10", 1_200, subscription="sub_ended"),
            line("2026-04-10", "2027-04-10", 2_400),
        ],
        [(JAN, 5000, 5000), (FEB, 5000, 5000), (APR, 200, 200)],
    ),
    "a proration is left out": ([line("2026-01-10", "2026-02-10", proration=True)], []),
    "a one-off line is left out": ([line("2026-01-10", "2026-02-10", subscription=None)], []),
    "a line without a period is left out": ([line("2026-01-10", "2026-01-10")], []),
    "the month that is running has no end yet": ([line("2026-05-01", "2026-06-01")], []),
}


@cache
def _computed(engine: str) -> dict[str, list[tuple[date, int, int]]]:
    """All cases at once, each as a customer with an invoice of its own."""
    lines = [
        {**line, "invoice": name, "subscription_item": item and f"{name} {item}"}
        for name, (rows, _) in CASES.items()
        for line in rows
        for item in [line.get("subscription_item")]
    ]
    sources = on(
        engine,
        lines=raw("invoice_lines", *lines),
        invoices=raw("invoices", *({"id": name, "customer": name, "status": "paid"} for name in CASES)),
        subscriptions=raw("subscriptions", {"id": "sub_1"}, {"id": "sub_ended", "ended_at": at("2026-03-10")}),
    )
    table = customer_mrr_months(
        sources["lines"], sources["invoices"], subscriptions=sources["subscriptions"], as_of=AS_OF
    )
    found: dict[str, list[tuple[date, int, int]]] = {name: [] for name in CASES}
    for row in table.to_pylist():
        found[row["customer"]].append((row["month"], row["mrr_minor"], row["mrr_list_minor"]))
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_a_line_is_worth_its_monthly_value(engine: str, name: str) -> None:
    assert _computed(engine)[name] == CASES[name][1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("status", ["draft", "void", "uncollectible"])
def test_invoices_that_will_not_be_paid_carry_no_revenue(engine: str, status: str) -> None:
    assert _months(engine, line("2026-01-10", "2026-02-10"), status=status) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_metered_and_one_off_prices_are_left_out(engine: str) -> None:
    items = raw("subscription_items", {"id": "si_1", "price": "price_metered", "usage_type": "metered"})
    prices = raw(
        "prices",
        {"id": "price_once", "type": "one_time"},
        {"id": "price_used", "type": "recurring", "billing": '{"recurring": {"usage_type": "metered"}}'},
        {"id": "price_odd", "type": "recurring", "billing": "[metered"},
    )
    lines = [
        line("2026-01-10", "2026-02-10", price=price)
        for price in ("price_metered", "price_once", "price_used", "price_odd")
    ]
    assert _months(engine, *lines, subscription_items=items, prices=prices) == [(JAN, 1200, 1200)]


def _list_amount(amount: int, discount: int, tax: int) -> tuple[int, int]:
    """Net and list amount as the rule says it, on Python's own integers."""
    billed = amount - discount
    if billed == 0 or not 0 < Fraction(tax, billed) < 1:
        return billed, amount
    return billed - tax, amount * (billed - tax) // billed


@pytest.mark.parametrize("engine", ENGINES)
def test_large_amounts_with_inclusive_tax_are_exact(engine: str) -> None:
    cases, lines, invoices = large_taxed_lines()
    sources = on(engine, lines=lines, invoices=invoices)
    rows = customer_mrr_months(sources["lines"], sources["invoices"], as_of=AS_OF).to_pylist()
    found = {int(row["customer"]): (row["mrr_minor"], row["mrr_list_minor"]) for row in rows}
    assert found == {number: _list_amount(*case) for number, case in enumerate(cases)}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("column", ["amount", "discount_amount", "inclusive_tax_amount"])
def test_amounts_that_stripe_cannot_have_written_are_left_out(engine: str, column: str) -> None:
    lines = [line("2026-01-10", "2026-02-10"), line("2026-01-10", "2026-02-10", **{column: 10**12})]
    assert _months(engine, *lines) == [(JAN, 1200, 1200)]
