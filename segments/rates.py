"""The exchange rates of one run: for each currency, how many reporting minor units one minor unit is worth.

Here: the mapping that tiers and markets take, made from published rates, and conversion by it. Not here: the
published rates themselves (`segments.fx`). One mapping serves a whole run, so that its tables agree.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from fractions import Fraction

from segments.fx import FxRates
from segments.money import exponent, known_currency, round_half_even

__all__ = ["Rates", "converted", "rates_at"]

Rates = Mapping[str, tuple[Fraction, date | None]]
"""By currency: reporting minor units for one minor unit, exact, and the day of the rate."""


def rates_at(
    published: FxRates, *, reporting_currency: str, on: datetime, currencies: Iterable[str] | None = None
) -> dict[str, tuple[Fraction, date | None]]:
    """The rates in force at a time; a currency without a rate is left out, which makes its amounts unknown.

    Without `currencies`, all that have published rates.
    """
    found: dict[str, tuple[Fraction, date | None]] = {}
    for currency in sorted(published.currencies if currencies is None else set(currencies)):
        if currency == reporting_currency or known_currency(currency) is None:
            continue
        cross = published.cross(currency, reporting_currency, on=on)
        if cross.rate is not None:
            units = Fraction(10) ** (exponent(reporting_currency) - exponent(currency))
            found[currency] = (cross.rate * units, cross.day)
    return found


def converted(minor: int | None, currency: str, *, rates: Rates, reporting_currency: str) -> int | None:
    """An amount in reporting minor units, rounded half to even; None without a rate."""
    if minor is None or currency == reporting_currency:
        return minor
    if currency not in rates:
        return None
    return round_half_even(minor * rates[currency][0])
