"""Minor units: Stripe's decimals, exact reading, one rounding, and no guess about an unknown currency."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.money import (
    UnknownCurrencyError,
    exact,
    exponent,
    exponent_is_disputed,
    format_minor,
    fraction_text,
    known_currencies,
    known_currency,
    parse_fraction,
    round_half_even,
    to_major,
    to_minor,
)

STRIPE = json.loads(
    (Path(__file__).parents[1] / "data" / "metrics" / "stripe_exponents.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("group", "decimals"), [("zero", 0), ("two_but_whole_units", 2), ("three", 3)], ids=lambda value: str(value)
)
def test_decimals_are_those_of_stripe(group: str, decimals: int) -> None:
    assert {exponent(code) for code in STRIPE[group]} == {decimals}


@pytest.mark.parametrize(
    ("code", "decimals"),
    [("usd", 2), ("EUR", 2), ("huf", 2), ("twd", 2), ("mga", 0), ("isk", 2), ("ugx", 2), ("rsd", 2), ("lak", 2)],
)
def test_neither_iso_nor_cldr_decides(code: str, decimals: int) -> None:
    assert exponent(code) == decimals


def test_the_contradiction_about_ugx_is_flagged() -> None:
    assert [code for code in sorted(known_currencies()) if exponent_is_disputed(code)] == ["ugx"]


@pytest.mark.parametrize("code", ["zzz", "", "us", "usdt", "xts", "\ud800"])
def test_an_unknown_currency_is_an_error_not_a_default(code: str) -> None:
    assert known_currency(code) is None
    with pytest.raises(UnknownCurrencyError, match="not in Stripe's list"):
        exponent(code)
    with pytest.raises(UnknownCurrencyError):
        to_major(100, code)


@pytest.mark.parametrize("value", [None, 840, b"usd", ["usd"], {"code": "usd"}, float("nan")])
def test_what_is_no_text_is_no_currency(value: object) -> None:
    assert known_currency(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2900, "2900"),
        ("2900", "2900"),
        ("0.5", "1/2"),
        (33.3, "333/10"),
        (0.1, "1/10"),
        (1e-7, "1/10000000"),
        (Decimal("12.50"), "25/2"),
        (Fraction(1, 3), "1/3"),
        ("1e3", "1000"),
        (-5, "-5"),
        (10**18, str(10**18)),
    ],
)
def test_a_number_is_read_exactly_whatever_carries_it(value: object, expected: str) -> None:
    assert exact(value) == Fraction(expected)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        " 1",
        "1 ",
        "1_000",
        "1,5",
        "١٢",
        "NaN",
        "Infinity",
        "0x10",
        "1/2",
        "1\n",
        float("nan"),
        float("inf"),
        1e300,
        Decimal("NaN"),
        Decimal("1e999999"),
        "1e999999999",
        "9" * 10_000,
        10**18 + 1,
        [],
        {},
        b"1",
        1j,
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_is_no_plain_number_is_none(value: object) -> None:
    assert exact(value) is None


@pytest.mark.parametrize(
    ("value", "rounded"), [("1/2", 0), ("3/2", 2), ("5/2", 2), ("7/3", 2), ("8/3", 3), ("-1/2", 0), ("-3/2", -2)]
)
def test_ties_round_to_the_even_neighbour(value: str, rounded: int) -> None:
    assert round_half_even(Fraction(value)) == rounded


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (290_050, "usd", "2,900.50 USD"),
        (Fraction(2500, 3), "jpy", "833 JPY"),
        (5120, "kwd", "5.120 KWD"),
        (-5, "usd", "-0.05 USD"),
        (500_000, "isk", "5,000 ISK"),
        (500, "ugx", "5 UGX"),
        (Fraction(1, 2), "usd", "0.00 USD"),
        (0, "eur", "0.00 EUR"),
        (123_456_789_012, "eur", "1,234,567,890.12 EUR"),
    ],
)
def test_people_see_the_currency_rounded_once(minor: Fraction, currency: str, shown: str) -> None:
    assert format_minor(minor, currency) == shown


@pytest.mark.parametrize("text", ["", "1/0", "1.5", "a", "1/-2", " 1", "1/2/3", "+1", "1" * 5000, None, 5])
def test_text_that_is_no_exact_amount_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="not an exact amount"):
        parse_fraction(text)


@settings(max_examples=300, deadline=None)
@given(st.fractions())
def test_the_text_of_an_amount_reads_back_as_the_same_amount(value: Fraction) -> None:
    assert parse_fraction(fraction_text(value)) == value


@settings(max_examples=300, deadline=None)
@given(minor=st.fractions(), code=st.sampled_from(sorted(known_currencies())))
def test_minor_and_major_units_convert_without_loss(minor: Fraction, code: str) -> None:
    assert to_minor(to_major(minor, code), code) == minor
    assert to_major(10 ** exponent(code), code) == 1


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.floats(), st.integers(), st.decimals(), st.binary(), st.none(), st.booleans()))
def test_reading_a_number_never_raises(value: object) -> None:
    number = exact(value)
    assert number is None or isinstance(number, Fraction)
