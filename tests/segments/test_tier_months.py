"""MRR by tier at month ends: the tier of each end, and totals that the movements connect."""

from datetime import date
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest

from segments.movements import mrr_movements
from segments.tier_months import tier_months
from tests.segments.raw import AS_OF, ENGINES, on, segment

MONTHS = [date(2026, month, 1) for month in (1, 2, 3, 4)]
JAN, FEB, MAR, APR = MONTHS
EUR = dict(zip(MONTHS, (Fraction(11, 10), Fraction(9, 8), Fraction(6, 5), Fraction(7, 6)), strict=True))
RATES: Any = {month: {"eur": (rate, None)} for month, rate in EUR.items()}
UNIT = 100


def _months(*rows: tuple[str, str, date, int]) -> pa.Table:
    return segment(
        "customer_mrr_months",
        *(
            {"customer": customer, "currency": currency, "month": month, "mrr_minor": mrr, "mrr_list_minor": mrr}
            for customer, currency, month, mrr in rows
        ),
    )


TABLE = _months(
    ("cus_1", "usd", FEB, 900 * UNIT),
    ("cus_1", "usd", MAR, 950 * UNIT),
    ("cus_1", "eur", MAR, 50 * UNIT),
    ("cus_2", "eur", FEB, 10_000 * UNIT),
    ("cus_2", "eur", MAR, 10_000 * UNIT + 1),
    ("cus_2", "eur", APR, 8_000 * UNIT),
    ("cus_3", "usd", JAN, 5 * UNIT),
    ("cus_3", "usd", APR, 0),
    ("cus_4", "xaf", APR, 9_999_999),
    ("cus_5", "usd", date(2026, 5, 1), 5 * UNIT),
)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_month_end_has_the_tiers_of_its_own_amounts_and_rates(engine: str) -> None:
    sources = on(engine, months=TABLE)
    table = tier_months(sources["months"], rates=RATES, reporting_currency="usd", as_of=AS_OF)
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (FEB, "enterprise", 1, 1_125_000),
        (FEB, "smb", 1, 90_000),
        (MAR, "enterprise", 1, 1_200_001),
        (MAR, "mid_market", 1, 101_000),
        (APR, "mid_market", 1, 933_333),
    ]


def test_a_total_and_the_movements_after_it_give_the_next_total() -> None:
    totals = dict.fromkeys(MONTHS, 0)
    for row in tier_months(TABLE, rates=RATES, reporting_currency="usd", as_of=AS_OF).to_pylist():
        totals[row["month"]] += row["mrr_minor"]
    changes = dict.fromkeys(MONTHS, 0)
    for row in mrr_movements(TABLE, rates=RATES, reporting_currency="usd", as_of=AS_OF).to_pylist():
        changes[row["month"]] += row["movement_minor"] + row["fx_minor"]
    assert [totals[FEB] + changes[MAR], totals[MAR] + changes[APR]] == [totals[MAR], totals[APR]]


def test_no_month_has_rows_without_revenue() -> None:
    assert tier_months(_months(), rates=RATES, reporting_currency="usd", as_of=AS_OF).num_rows == 0
