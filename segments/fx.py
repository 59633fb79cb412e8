"""Exchange rates by day, and exact conversion of minor units between currencies.

Here: the table of rates (units of a currency per euro, as published by the European Central Bank and others),
cross rates, conversion with one rounding at the end. Not here: reading a file or a feed, and how a change of rate
is told apart from expansion. A converted figure always carries its rate's date and source; a missing rate makes it
None with a reason, never an unconverted figure.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from segments.money import exact, known_currency, parse_fraction, round_half_even, to_major, to_minor

__all__ = ["BASE", "Converted", "CrossRate", "FxRates", "RateError"]

BASE = "eur"
"""Rates say how many units of a currency one euro is worth."""


class RateError(ValueError):
    """A row of the rates table that cannot be used; the message names the row and the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossRate:
    """Units of `quote` per unit of `base`, or why there is none.

    Attributes:
        rate: exact; None when unknown.
        day: the day of the published rate, of two the older; None when none was needed.
        source: who published them.
        reason: "fx_rate_missing", "fx_rate_stale" or "currency_unknown"; None when the rate is known.
    """

    base: str
    quote: str
    rate: Fraction | None
    day: date | None = None
    source: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """An amount in minor units of `rate.quote`, exact, or None with `rate.reason`."""

    minor: Fraction | None
    rate: CrossRate

    @property
    def rounded(self) -> int | None:
        """Whole minor units, rounded half to even, once."""
        return None if self.minor is None else round_half_even(self.minor)


@dataclass(slots=True)
class _Quotes:
    """The days and rates of one currency, in order of time."""

    days: list[date] = field(default_factory=list)
    rates: list[tuple[Fraction, str]] = field(default_factory=list)

    def latest(self, on: date) -> int:
        """Place of the last day up to `on`, or -1."""
        return bisect_right(self.days, on) - 1


class FxRates:
    """Published rates, looked up by day: the latest on or before it counts."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Rows with `date` (a date or ISO text), `currency`, `rate` (exact text per euro) and `source`.

        Raises:
            RateError: a row cannot be read, or two rows disagree on a rate.
        """
        found: dict[str, dict[date, tuple[Fraction, str]]] = {}
        for number, row in enumerate(rows):
            currency, day, rate, source = _read(number, row)
            known = found.setdefault(currency, {}).setdefault(day, (rate, source))
            if known[0] != rate:
                raise RateError(f"rates row {number}: {currency} has two rates on {day}: {known[0]} and {rate}")
        self._quotes = {
            currency: _Quotes(sorted(by_day), [by_day[day] for day in sorted(by_day)])
            for currency, by_day in found.items()
        }
        self._cache: dict[tuple[str, str, date], CrossRate] = {}

    @property
    def currencies(self) -> frozenset[str]:
        """Currencies with a rate on some day, and the euro."""
        return frozenset(self._quotes) | {BASE}

    def cross(self, base: str, quote: str, *, on: date | datetime, max_age_days: int | None = None) -> CrossRate:
        """Units of `quote` per unit of `base`, by the latest rate of each up to `on`; the older day is named.

        Args:
            base: currency converted from.
            quote: currency converted to.
            on: the day, or an aware time whose UTC day counts.
            max_age_days: how old the rates may be; older ones count as missing.

        Raises:
            ValueError: `on` is a naive datetime.
        """
        day = _day(on)
        key = (base, quote, day)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._find(base, quote, day)
        if max_age_days is not None and found.day is not None and (day - found.day).days > max_age_days:
            return CrossRate(base=found.base, quote=found.quote, rate=None, day=found.day, reason="fx_rate_stale")
        return found

    def convert(
        self,
        minor: Fraction | int,
        *,
        base: str,
        quote: str,
        on: date | datetime,
        max_age_days: int | None = None,
    ) -> Converted:
        """An amount in minor units of `base` as an exact amount in minor units of `quote`."""
        rate = self.cross(base, quote, on=on, max_age_days=max_age_days)
        if rate.rate is None:
            return Converted(minor=None, rate=rate)
        return Converted(minor=to_minor(to_major(minor, rate.base) * rate.rate, rate.quote), rate=rate)

    def _find(self, base: str, quote: str, on: date) -> CrossRate:
        known_base, known_quote = known_currency(base), known_currency(quote)
        if known_base is None or known_quote is None:
            return CrossRate(base=str(base), quote=str(quote), rate=None, reason="currency_unknown")
        if known_base == known_quote:
            return CrossRate(base=known_base, quote=known_quote, rate=Fraction(1))
        rate, days, sources = Fraction(1), [], []
        for currency, turned in ((known_base, True), (known_quote, False)):
            if currency == BASE:
                continue
            quotes = self._quotes.get(currency, _Quotes())
            place = quotes.latest(on)
            if place < 0:
                return CrossRate(base=known_base, quote=known_quote, rate=None, reason="fx_rate_missing")
            per_euro, source = quotes.rates[place]
            rate *= 1 / per_euro if turned else per_euro
            days.append(quotes.days[place])
            sources.append(source)
        source = ", ".join(dict.fromkeys(sources))
        return CrossRate(base=known_base, quote=known_quote, rate=rate, day=min(days), source=source)


def _day(on: date | datetime) -> date:
    if isinstance(on, datetime):
        if on.tzinfo is None:
            raise ValueError("the time of a rate must be aware: a naive one names no day")
        return on.astimezone(UTC).date()
    return on


def _read(number: int, row: Mapping[str, Any]) -> tuple[str, date, Fraction, str]:
    currency = known_currency(row.get("currency"))
    if currency is None:
        raise RateError(f"rates row {number}: currency {ascii(row.get('currency'))[:40]} is unknown")
    day = _row_day(row.get("date"))
    if day is None:
        raise RateError(f"rates row {number}: date {ascii(row.get('date'))[:40]} is no day")
    rate = _row_rate(row.get("rate"))
    if rate is None or rate <= 0:
        raise RateError(f"rates row {number}: rate {ascii(row.get('rate'))[:40]} is no number above zero")
    if currency == BASE and rate != 1:
        raise RateError(f"rates row {number}: rates are per euro, so the euro's own is 1")
    return currency, day, rate, str(row.get("source") or "")


def _row_day(value: object) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _row_rate(value: object) -> Fraction | None:
    """Exact: decimal text, "a/b", Decimal or int; a float is refused, as it has lost what was published."""
    if isinstance(value, str) and "/" in value:
        try:
            return parse_fraction(value)
        except ValueError:
            return None
    return exact(value) if isinstance(value, str | int | Decimal | Fraction) else None
