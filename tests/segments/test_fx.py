"""Exchange rates: the right day, both exponents, one rounding, and None with a reason for what is not known."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.fx import FxRates, RateError
from segments.money import known_currencies

PORTFOLIOS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "metrics" / "mrr_portfolio_vectors.json").read_text()
)


def row(day: str, currency: str, rate: Any, source: str = "ecb") -> dict[str, Any]:
    return {"date": day, "currency": currency, "rate": rate, "source": source}


RATES = FxRates(
    [
        row("2026-06-11", "usd", "1.1"),
        row("2026-06-12", "usd", "1.2"),
        row("2026-06-11", "jpy", "165"),
        row("2026-06-12", "kwd", "0.36", "central bank"),
    ]
)


@pytest.mark.parametrize(
    ("base", "quote", "on", "rate", "day"),
    [
        pytest.param("eur", "usd", "2026-06-12", "6/5", "2026-06-12", id="the day's own rate"),
        pytest.param("eur", "usd", "2026-06-14", "6/5", "2026-06-12", id="a Sunday takes Friday's rate"),
        pytest.param("eur", "usd", "2026-06-11", "11/10", "2026-06-11", id="a later rate is not known yet"),
        pytest.param("usd", "eur", "2026-06-12", "5/6", "2026-06-12", id="the way back is the exact inverse"),
        pytest.param(
            "usd",
            "jpy",
            "2026-06-14",
            "275/2",
            "2026-06-11",
            id="each side has its latest rate, and the older day is named",
        ),
        pytest.param("USD", "usd", "2020-01-01", "1", None, id="a currency is itself without any rate"),
    ],
)
def test_a_cross_rate_is_exact_and_names_its_day(
    base: str, quote: str, on: str, rate: str, day: str | None
) -> None:
    found = RATES.cross(base, quote, on=date.fromisoformat(on))

    assert found.rate == Fraction(rate)
    assert found.day == (None if day is None else date.fromisoformat(day))
    assert found.reason is None


@pytest.mark.parametrize(
    ("base", "quote", "on", "reason"),
    [
        pytest.param("eur", "usd", "2026-06-10", "fx_rate_missing", id="before the first rate"),
        pytest.param("eur", "gbp", "2026-06-12", "fx_rate_missing", id="a currency without rates"),
        pytest.param("jpy", "kwd", "2026-06-11", "fx_rate_missing", id="one of two without a rate yet"),
        pytest.param("eur", "zzz", "2026-06-12", "currency_unknown", id="no such currency"),
    ],
)
def test_what_is_not_known_is_none_with_a_reason(base: str, quote: str, on: str, reason: str) -> None:
    converted = RATES.convert(2900, base=base, quote=quote, on=date.fromisoformat(on))

    assert converted.minor is None
    assert converted.rounded is None
    assert converted.rate.reason == reason


def test_rates_older_than_allowed_are_stale() -> None:
    fresh = RATES.cross("eur", "usd", on=date(2026, 6, 22), max_age_days=10)
    stale = RATES.cross("eur", "usd", on=date(2026, 6, 23), max_age_days=10)

    assert (fresh.rate, fresh.reason) == (Fraction(6, 5), None)
    assert (stale.rate, stale.day, stale.reason) == (None, date(2026, 6, 12), "fx_rate_stale")


def test_sources_of_both_sides_are_named() -> None:
    assert RATES.cross("usd", "kwd", on=date(2026, 6, 12)).source == "ecb, central bank"


@pytest.mark.parametrize(
    ("minor", "base", "quote", "expected", "rounded"),
    [
        pytest.param(2900, "eur", "usd", "3480", 3480, id="29.00 EUR are 34.80 USD"),
        pytest.param(1000, "jpy", "eur", "20000/33", 606, id="1,000 yen are 6.06 EUR, not 0.06"),
        pytest.param(10_000, "kwd", "eur", "25000/9", 2778, id="10.000 dinars are 27.78 EUR"),
        pytest.param(100, "eur", "kwd", "360", 360, id="1.00 EUR is 0.360 dinars"),
    ],
)
def test_exponents_of_both_currencies_count(
    minor: int, base: str, quote: str, expected: str, rounded: int
) -> None:
    converted = RATES.convert(minor, base=base, quote=quote, on=date(2026, 6, 12))

    assert converted.minor == Fraction(expected)
    assert converted.rounded == rounded


def test_the_day_of_a_time_is_its_day_in_utc() -> None:
    late = datetime(2026, 6, 12, 1, tzinfo=timezone(timedelta(hours=2)))  # the 11th in UTC

    assert RATES.cross("eur", "usd", on=late).rate == Fraction(11, 10)
    assert RATES.cross("eur", "usd", on=datetime(2026, 6, 12, tzinfo=UTC)).rate == Fraction(6, 5)
    with pytest.raises(ValueError, match="naive"):
        RATES.cross("eur", "usd", on=datetime(2026, 6, 12))  # noqa: DTZ001


@pytest.mark.parametrize("portfolio", [p for p in PORTFOLIOS if "fx" in p], ids=lambda p: p["name"])
def test_the_worked_portfolio_converts_exactly(portfolio: dict[str, Any]) -> None:
    fx = portfolio["fx"]
    reporting = fx["reporting_currency"]
    # The case states units of the reporting currency per unit; the table wants units per euro.
    to_reporting = {code: Fraction(rate) for code, rate in fx["major_unit_rates"].items()}
    per_euro = to_reporting.get("eur", Fraction(1))
    rates = FxRates(
        row("2026-06-15", code, str(per_euro / rate))
        for code, rate in [(reporting, Fraction(1)), *to_reporting.items()]
    )

    total = Fraction(0)
    for code, minor in portfolio["expected_by_currency_minor"].items():
        converted = rates.convert(Fraction(minor), base=code, quote=reporting, on=date(2026, 6, 15))
        assert converted.minor is not None
        total += converted.minor

    assert total == Fraction(portfolio["expected_reporting_minor"])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(row("2026-06-12", "zzz", "1"), "row 0: currency 'zzz'", id="unknown currency"),
        pytest.param(row("12 June", "usd", "1"), "row 0: date '12 June'", id="no date"),
        pytest.param({"currency": "usd", "rate": "1"}, "row 0: date None", id="missing date"),
        pytest.param(row("2026-06-12", "usd", "0"), "row 0: rate '0'", id="zero rate"),
        pytest.param(row("2026-06-12", "usd", "-1.1"), "row 0: rate '-1.1'", id="negative rate"),
        pytest.param(row("2026-06-12", "usd", "NaN"), "row 0: rate 'NaN'", id="not a number"),
        pytest.param(row("2026-06-12", "usd", "1/0"), "row 0: rate '1/0'", id="division by zero"),
        pytest.param(row("2026-06-12", "usd", 1.1), "row 0: rate 1.1", id="a float has lost what was published"),
        pytest.param(row("2026-06-12", "eur", "2"), "the euro's own is 1", id="the euro against itself"),
    ],
)
def test_a_bad_row_is_refused_by_name(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(RateError, match=message):
        FxRates([bad])


def test_two_rates_for_one_day_are_refused_and_a_repeat_is_not() -> None:
    with pytest.raises(RateError, match="usd has two rates on 2026-06-12"):
        FxRates([row("2026-06-12", "usd", "1.1"), row("2026-06-12", "USD", "1.2")])

    again = FxRates([row("2026-06-12", "usd", "1.10"), row("2026-06-12", "usd", Decimal("1.1"))])
    assert again.currencies == {"eur", "usd"}


_CODES = st.sampled_from(sorted(known_currencies()))


@settings(max_examples=200, deadline=None)
@given(
    base=_CODES,
    quote=_CODES,
    minor=st.integers(min_value=-(10**15), max_value=10**15),
    rates=st.tuples(*[st.decimals("0.0001", "30000", places=4)] * 2),
)
def test_converting_there_and_back_gives_the_same_amount(
    base: str, quote: str, minor: int, rates: tuple[Decimal, Decimal]
) -> None:
    day = date(2026, 6, 12)
    table = FxRates(
        row("2026-06-12", code, "1" if code == "eur" else str(rate))
        for code, rate in dict(zip((base, quote), rates, strict=True)).items()
    )

    there = table.convert(minor, base=base, quote=quote, on=day)
    assert there.minor is not None
    back = table.convert(there.minor, base=quote, quote=base, on=day)

    assert back.minor == minor
