"""The exchange rates of one run: for each currency, how many reporting minor units one minor unit is worth.

Here: the mapping that tiers and markets take, made from published rates, and conversion by it. Not here: the
published rates themselves (`segments.fx`). One mapping serves a whole run, so that its tables agree.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from fractions import Fraction

from segments.fx import FxRates
from segments.money import exponent, known_currency, round_half_even

__all__ = ["MonthlyRates", "Rates", "converted", "rates_at", "rates_by_month"]

Rates = Mapping[str, tuple[Fraction, date | None]]
"""By currency: reporting minor units for one minor unit, exact, and the day of the rate."""

MonthlyRates = Mapping[date, Rates]
"""By first day of a month: the rates at its end."""


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


def rates_by_month(
    published: FxRates, *, reporting_currency: str, as_of: datetime, months: int = 12
) -> dict[date, dict[str, tuple[Fraction, date | None]]]:
    """The rates at the end of each of the last `months` months that have ended, and of the month before them."""
    found = {}
    first = as_of.date().replace(day=1)
    for _ in range(months + 1):
        end = first - timedelta(days=1)
        first = end.replace(day=1)
        at_end = datetime(end.year, end.month, end.day, tzinfo=as_of.tzinfo)
        found[first] = rates_at(published, reporting_currency=reporting_currency, on=at_end)
    return found


def converted(minor: int | None, currency: str, *, rates: Rates, reporting_currency: str) -> int | None:
    """An amount in reporting minor units, rounded half to even; None without a rate."""
    if minor is None or currency == reporting_currency:
        return minor
    if currency not in rates:
        return None
    return round_half_even(minor * rates[currency][0])
