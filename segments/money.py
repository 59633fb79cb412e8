"""Money without floats: Stripe's minor units, exact fractions, one rounding at the end.

Here: exact conversion between minor and major units by the decimals of a currency, reading a number
of doubtful origin, the text form of an exact amount, display. Not here: the list of decimals
(`resources.currencies`), exchange rates (`segments.fx`) and what an amount means (`segments.mrr`).
"""

import math
import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from resources.currencies import DECIMALS, DISPUTED, WHOLE_UNITS

__all__ = [
    "MAX_NUMBER",
    "UnknownCurrencyError",
    "display_decimals",
    "exact",
    "exponent",
    "exponent_is_disputed",
    "format_minor",
    "fraction_text",
    "known_currencies",
    "known_currency",
    "parse_fraction",
    "round_half_even",
    "to_major",
    "to_minor",
]

MAX_NUMBER = 10**18
"""No single number of a billing object is larger; beyond it an input is broken, and sums must fit 64 bits."""

_LONGEST_TEXT = 100
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?")
_FRACTION = re.compile(r"-?[0-9]{1,4000}(?:/[1-9][0-9]{0,3999})?")


class UnknownCurrencyError(ValueError):
    """A currency whose decimals Stripe's list does not give; converting it would be a guess."""

    def __init__(self, code: object) -> None:
        super().__init__(f"currency {ascii(code)[:40]} is not in Stripe's list: its minor unit is unknown")


def known_currencies() -> frozenset[str]:
    """Every currency code with known decimals, lower case."""
    return frozenset(DECIMALS)


def known_currency(code: object) -> str | None:
    """`code` in lower case when its decimals are known, else None; never raises."""
    if not isinstance(code, str):
        return None
    lower = code.lower()
    return lower if lower in DECIMALS else None


def exponent(currency: str) -> int:
    """Decimals of the currency's minor unit on Stripe's wire.

    Raises:
        UnknownCurrencyError: the code is not in Stripe's list.
    """
    known = known_currency(currency)
    if known is None:
        raise UnknownCurrencyError(currency)
    return DECIMALS[known]


def exponent_is_disputed(currency: str) -> bool:
    """Whether Stripe's own page contradicts itself on the decimals (UGX: on two lists)."""
    return currency.lower() in DISPUTED


def to_major(minor: Fraction | int, currency: str) -> Fraction:
    """Minor units as an exact amount of the currency (2900 usd → 29)."""
    return Fraction(minor) / int(10 ** exponent(currency))


def to_minor(major: Fraction | int, currency: str) -> Fraction:
    """An exact amount of the currency in minor units, unrounded (29 usd → 2900)."""
    return Fraction(major) * int(10 ** exponent(currency))


def round_half_even(value: Fraction | int) -> int:
    """The nearest integer, ties to the even one. Money is rounded once, when it is shown or stored as integer."""
    return round(value)


def exact(value: object) -> Fraction | None:
    """A finite number up to `MAX_NUMBER` in size, exactly, from int, text, Decimal, Fraction or float; else None.

    A float is read through its shortest text: JSON's 33.3 is 333/10, not the binary neighbour.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Fraction(value) if -MAX_NUMBER <= value <= MAX_NUMBER else None
    if isinstance(value, str):
        return _exact_text(value) if len(value) <= _LONGEST_TEXT else None
    if isinstance(value, float):
        return _exact_text(repr(value)) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _exact_text(str(value))
    if isinstance(value, Fraction):
        return _within(value)
    return None


@lru_cache(maxsize=65_536)
def _exact_text(text: str) -> Fraction | None:
    return _within(Fraction(text)) if _NUMBER.fullmatch(text) is not None else None


def _within(value: Fraction) -> Fraction | None:
    return value if abs(value.numerator) <= MAX_NUMBER * value.denominator else None


def fraction_text(value: Fraction | int) -> str:
    """The exact text of an amount: "9900", "12500/3"."""
    return str(value)


def parse_fraction(text: str) -> Fraction:
    """Read what `fraction_text` wrote.

    Raises:
        ValueError: the text is not an integer or a fraction of integers.
    """
    if not isinstance(text, str) or _FRACTION.fullmatch(text) is None:
        raise ValueError(f"not an exact amount: {ascii(text)[:40]}")
    return Fraction(text)


def display_decimals(currency: str) -> int:
    """Decimals to show: ISK and UGX are whole units although their wire form has two decimals."""
    return 0 if currency.lower() in WHOLE_UNITS else exponent(currency)


def format_minor(minor: Fraction | int, currency: str) -> str:
    """Minor units for people, rounded once: "1,234.50 USD", "833 JPY", "-5.120 KWD"."""
    decimals = display_decimals(currency)
    scaled = round_half_even(to_major(minor, currency) * 10**decimals)
    whole, part = divmod(abs(scaled), 10**decimals)
    digits = f"{whole:,}" + (f".{part:0{decimals}d}" if decimals else "")
    return f"{'-' if scaled < 0 else ''}{digits} {currency.upper()}"
