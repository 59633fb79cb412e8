"""MRR by tier at month ends: the tier of each end, and totals that the movements connect."""

from datetime import date
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest

from segments.movements import mrr_movements
from segments.tier_months import month_waterfalls, tier_months, tier_series
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


def test_the_series_of_a_tier_is_zero_where_it_had_nobody() -> None:
    ends = tier_months(TABLE, rates=RATES, reporting_currency="usd", as_of=AS_OF)
    assert tier_series(ends) == {
        "enterprise": [1_125_000, 1_200_001, 0],
        "mid_market": [0, 101_000, 933_333],
        "smb": [90_000, 0, 0],
    }


def test_the_waterfall_of_each_month_joins_its_two_ends() -> None:
    ends = tier_months(TABLE, rates=RATES, reporting_currency="usd", as_of=AS_OF)
    movements = mrr_movements(TABLE, rates=RATES, reporting_currency="usd", as_of=AS_OF)
    falls = month_waterfalls(movements, ends)
    assert list(falls) == [FEB, MAR, APR]
    assert all(fall.balanced for fall in falls.values())
    assert [(fall.opening, fall.fx, fall.closing) for fall in falls.values()] == [
        (500, 0, 1_215_000),
        (1_215_000, 75_000, 1_301_001),
        (1_301_001, -33_500, 933_333),
    ]
    assert falls[MAR].movements == {
        "new": 0,
        "reactivation": 0,
        "expansion": 11_001,
        "contraction": 0,
        "churn": 0,
    }


def test_a_waterfall_of_tables_from_different_runs_is_not_balanced() -> None:
    ends = tier_months(TABLE, rates=RATES, reporting_currency="usd", as_of=AS_OF)
    other = mrr_movements(_months(("cus_9", "usd", APR, 7)), rates=RATES, reporting_currency="usd", as_of=AS_OF)
    assert [fall.balanced for fall in month_waterfalls(other, ends).values()] == [True, False, False]


def test_no_month_has_rows_without_revenue() -> None:
    assert tier_months(_months(), rates=RATES, reporting_currency="usd", as_of=AS_OF).num_rows == 0
