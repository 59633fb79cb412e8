"""MRR by month from invoice lines."""

from datetime import date
from typing import Any

import pytest

from segments.mrr_months import customer_mrr_months
from tests.segments.raw import AS_OF, ENGINES, at, on, raw


def _line(start: str, end: str, amount: int = 1_200, **columns: Any) -> dict[str, Any]:
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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([_line("2026-01-10", "2026-02-10")], [(JAN, 1200, 1200)], id="a month covers one month end"),
        pytest.param(
            [_line("2026-01-31", "2026-02-28"), _line("2026-02-28", "2026-03-31")],
            [(JAN, 1200, 1200), (FEB, 1200, 1200)],
            id="short months are not skipped",
        ),
        pytest.param(
            [_line("2026-01-01", "2026-02-01"), _line("2026-02-01", "2026-03-01")],
            [(JAN, 1200, 1200), (FEB, 1200, 1200)],
            id="a renewal on the first is not counted twice",
        ),
        pytest.param(
            [_line("2026-01-10", "2027-01-10", 12_000)],
            [(JAN, 1000, 1000), (FEB, 1000, 1000), (MAR, 1000, 1000), (APR, 1000, 1000)],
            id="a year is a twelfth a month, up to the last month end before as_of",
        ),
        pytest.param(
            [_line("2026-01-10", "2026-04-10", 300)],
            [(JAN, 100, 100), (FEB, 100, 100), (MAR, 100, 100)],
            id="a quarter is a third a month",
        ),
        pytest.param([_line("2026-01-26", "2026-02-02", 300)], [(JAN, 1300, 1300)], id="a week is 52/12 a month"),
        pytest.param([_line("2026-01-31", "2026-02-01", 12)], [(JAN, 365, 365)], id="a day is 365/12 a month"),
        pytest.param(
            [_line("2026-01-10", "2026-02-10", discount_amount=200)],
            [(JAN, 1000, 1200)],
            id="a discount lowers the amount but not the list",
        ),
        pytest.param(
            [_line("2026-01-10", "2026-02-10", 1190, inclusive_tax_amount=190)],
            [(JAN, 1000, 1000)],
            id="inclusive tax is no revenue",
        ),
        pytest.param([_line("2026-01-10", "2026-02-10", proration=True)], [], id="a proration is left out"),
        pytest.param([_line("2026-01-10", "2026-02-10", subscription=None)], [], id="a one-off line is left out"),
        pytest.param([_line("2026-01-10", "2026-01-10")], [], id="a line without a period is left out"),
        pytest.param([_line("2026-05-01", "2026-06-01")], [], id="the month that is running has no end yet"),
    ],
)
def test_a_line_is_worth_its_monthly_value(
    engine: str, lines: list[dict[str, Any]], expected: list[tuple[date, int, int]]
) -> None:
    assert _months(engine, *lines) == expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("status", ["draft", "void", "uncollectible"])
def test_invoices_that_will_not_be_paid_carry_no_revenue(engine: str, status: str) -> None:
    assert _months(engine, _line("2026-01-10", "2026-02-10"), status=status) == []


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
        _line("2026-01-10", "2026-02-10", price=price)
        for price in ("price_metered", "price_once", "price_used", "price_odd")
    ]
    assert _months(engine, *lines, subscription_items=items, prices=prices) == [(JAN, 1200, 1200)]
