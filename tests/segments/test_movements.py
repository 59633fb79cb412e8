"""Movements of MRR from month to month."""

from datetime import date
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.fx import FxRates
from segments.movements import mrr_movements, unrated
from segments.rates import rates_by_month
from tests.segments.raw import AS_OF, ENGINES, on, segment

MONTHS = [date(2026, month, 1) for month in (1, 2, 3, 4)]
JAN, FEB, MAR, APR = MONTHS
FLAT = {month: {"eur": (Fraction(11, 10), None)} for month in MONTHS}
RISEN = {**FLAT, MAR: {"eur": (Fraction(6, 5), None)}, APR: {"eur": (Fraction(6, 5), None)}}


def _months(*rows: tuple[str, str, date, int]) -> pa.Table:
    return segment(
        "customer_mrr_months",
        *(
            {"customer": customer, "currency": currency, "month": month, "mrr_minor": mrr, "mrr_list_minor": mrr}
            for customer, currency, month, mrr in rows
        ),
    )


def _movements(engine: str, months: pa.Table, rates: Any = FLAT) -> list[tuple[Any, ...]]:
    sources = on(engine, months=months)
    table = mrr_movements(sources["months"], rates=rates, reporting_currency="usd", as_of=AS_OF)
    names = ("month", "movement", "opening_minor", "movement_minor", "fx_minor", "closing_minor")
    return [tuple(row[name] for name in names) for row in table.to_pylist()]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("series", "rates", "expected"),
    [
        pytest.param(
            [("usd", FEB, 100), ("usd", MAR, 150), ("usd", APR, 120)],
            FLAT,
            [
                (FEB, "new", 0, 100, 0, 100),
                (MAR, "expansion", 100, 50, 0, 150),
                (APR, "contraction", 150, -30, 0, 120),
            ],
            id="new, more, less",
        ),
        pytest.param(
            [("usd", JAN, 100), ("usd", FEB, 100), ("usd", APR, 100)],
            FLAT,
            [(MAR, "churn", 100, -100, 0, 0), (APR, "reactivation", 0, 100, 0, 100)],
            id="gone and back",
        ),
        pytest.param(
            [("eur", month, 1000) for month in MONTHS],
            RISEN,
            [(MAR, "fx", 1100, 0, 100, 1200)],
            id="a rate that rose is no expansion",
        ),
        pytest.param(
            [("eur", FEB, 1000), ("eur", MAR, 1500), ("eur", APR, 1500)],
            RISEN,
            [(FEB, "new", 0, 1100, 0, 1100), (MAR, "expansion", 1100, 600, 100, 1800)],
            id="both apart",
        ),
        pytest.param(
            [("usd", FEB, 1100), ("eur", MAR, 1000), ("eur", APR, 1000)],
            FLAT,
            [(FEB, "new", 0, 1100, 0, 1100)],
            id="another currency of the same worth is no movement",
        ),
        pytest.param([("xaf", FEB, 1100)], FLAT, [], id="a currency without rates is left out"),
        pytest.param(
            [("usd", date(2024, 1, 1), 5), ("usd", APR, 9)],
            FLAT,
            [(APR, "reactivation", 0, 9, 0, 9)],
            id="revenue long ago makes it no new customer",
        ),
    ],
)
def test_movements_of_one_customer(
    engine: str, series: list[tuple[str, date, int]], rates: Any, expected: list[tuple[Any, ...]]
) -> None:
    assert _movements(engine, _months(*(("cus_1", *row) for row in series)), rates) == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_currencies_without_a_rate_at_one_of_the_months_ends_are_named(engine: str) -> None:
    series = _months(
        ("cus_1", "eur", FEB, 100),
        ("cus_1", "xaf", FEB, 100),
        ("cus_1", "xaf", MAR, 100),
        ("cus_2", "xaf", APR, 100),
        ("cus_3", "aed", APR, 100),
        ("cus_4", "gbp", date(2024, 1, 1), 100),
        ("cus_5", "usd", APR, 100),
    )
    rates = {**FLAT, APR: {**FLAT[APR], "aed": (Fraction(1, 4), None)}}
    given = {"rates": rates, "reporting_currency": "usd", "as_of": AS_OF}
    assert unrated(on(engine, months=series)["months"], **given) == {"aed": 1, "xaf": 2}


_ROW = st.tuples(
    st.sampled_from(["cus_1", "cus_2"]),
    st.sampled_from(["usd", "eur"]),
    st.sampled_from(MONTHS),
    st.integers(1, 10**11),
)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(_ROW, max_size=8, unique_by=lambda row: row[:3]),
    st.lists(st.fractions(Fraction(1, 300), 300, max_denominator=10**6), min_size=4, max_size=4),
)
def test_opening_and_movements_always_give_closing(rows: list[Any], eur: list[Fraction]) -> None:
    rates = {month: {"eur": (rate, None)} for month, rate in zip(MONTHS, eur, strict=True)}
    table = mrr_movements(_months(*rows), rates=rates, reporting_currency="usd", as_of=AS_OF)
    found = {(row["customer"], row["month"]): row for row in table.to_pylist()}
    for customer in ("cus_1", "cus_2"):
        worth: int | None = None
        for month in MONTHS[1:]:
            row = found.get((customer, month))
            if row is None:
                continue
            assert row["opening_minor"] + row["movement_minor"] + row["fx_minor"] == row["closing_minor"]
            held = sum(
                value * (rates[month]["eur"][0] if currency == "eur" else 1)
                for name, currency, when, value in rows
                if (name, when) == (customer, month)
            )
            assert abs(row["closing_minor"] - held) <= Fraction(3, 2)
            worth = row["closing_minor"]
        assert worth is None or worth >= 0


def test_rates_of_month_ends_are_the_last_published() -> None:
    published = FxRates(
        [
            {"date": day, "currency": "usd", "rate": rate, "source": "test"}
            for day, rate in (("2026-02-27", "1.10"), ("2026-03-30", "1.20"), ("2026-04-30", "1.25"))
        ]
    )
    found = rates_by_month(published, reporting_currency="usd", as_of=AS_OF, months=2)
    assert sorted(found) == [FEB, MAR, APR]
    assert found[FEB] == {"eur": (Fraction(11, 10), date(2026, 2, 27))}
    assert found[MAR] == {"eur": (Fraction(12, 10), date(2026, 3, 30))}
    assert found[APR]["eur"] == (Fraction(125, 100), date(2026, 4, 30))
