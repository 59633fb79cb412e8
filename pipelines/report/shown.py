"""How numbers and words of the report are shown.

Here: money, shares, times, labels, and the rule for small groups. Not here: where they come from. A group of fewer
than k customers is shown without its exact size and with rounded money; of fewer than three, who could work each
other out, no money is shown.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final

from activation.locales import country_name
from segments.disclosure import rounded_amount
from segments.money import format_minor, to_major
from segments.thresholds import DisclosureThresholds

__all__ = ["Shown", "age", "label", "moment", "month", "per", "place", "share", "short_money"]

_ABSENT: Final = "–"
_LEAST_WITH_MONEY: Final = 3
_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "smb": "Small business",
        "mid_market": "Mid-market",
        "none": "No revenue",
        "unknown": "Unknown",
        "past_due": "Past due",
        "scheduled_cancel": "Cancels at period end",
        "at_risk": "Shows signs",
        "fx": "Exchange rates",
        "generation": "Retention message",
        "paid_on_time": "Pays on time",
        "no_dispute": "No dispute",
        "no_refund": "No large refund",
        "no_cancel": "No cancellation planned",
        "one_currency": "One currency",
        "points": "Enough points in time",
        "tenure": "Long enough a customer",
        "active": "Active",
    }
)


class Shown:
    """Money in one currency, with the rule for small groups of at most `k` - 1 customers."""

    def __init__(self, currency: str, *, rules: DisclosureThresholds | None = None) -> None:
        self.currency = currency
        self.rules = rules or DisclosureThresholds()

    def money(self, minor: int | None) -> str:
        """Minor units for people; a dash where nothing is known."""
        return _ABSENT if minor is None else format_minor(minor, self.currency)

    def signed(self, minor: int) -> str:
        """The same with its sign."""
        return f"+{self.money(minor)}" if minor > 0 else self.money(minor).replace("-", "−")

    def customers(self, count: int) -> str:
        """A number of customers, as far as it is shown."""
        return f"under {self.rules.k}" if 0 < count < self.rules.k else f"{count:,}"

    def money_of(self, minor: int | None, customers: int) -> str:
        """Money of a group, as far as it is shown."""
        if minor is None or not minor or customers >= self.rules.k:
            return self.money(minor)
        if customers < _LEAST_WITH_MONEY:
            return "not shown"
        number, _, currency = self.money(rounded_amount(minor, self.rules)).rpartition(" ")
        return f"about {re.sub(r'[.]0+$', '', number)} {currency}"

    def drawn(self, minor: int | None, customers: int) -> int:
        """What a picture may draw of it."""
        if minor is None or customers >= self.rules.k:
            return minor or 0
        return rounded_amount(minor, self.rules) if customers >= _LEAST_WITH_MONEY else 0


def label(word: str) -> str:
    """A word of ours for people: `mid_market` → "Mid-market"."""
    return _WORDS.get(word) or word.replace("_", " ").capitalize()


def place(country: str) -> str:
    """A country's name."""
    name = label(country) if country in ("unknown", "rest") else country_name(country)
    return name.removeprefix("the ")


def share(value: float | None, *, decimals: int = 1) -> str:
    """A share as percent."""
    return _ABSENT if value is None else f"{value:.{decimals}%}"


def per(part: int | float, of: int | float) -> str:
    """Width of a bar in percent, for CSS."""
    return f"{min(max(100 * part / of, 0), 100):.2f}%" if of else "0%"


def month(day: date) -> str:
    """A month: "Oct 2026"."""
    return day.strftime("%b %Y")


def short_money(minor: int | float, currency: str) -> str:
    """An axis label: "1.2M"."""
    value = float(to_major(round(minor), currency))
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def age(span: timedelta) -> str:
    """A span in its largest unit: "3 hours"."""
    minutes = max(int(span.total_seconds() // 60), 0)
    for size, unit in ((60 * 24, "day"), (60, "hour")):
        if minutes >= 2 * size:
            return f"{minutes // size} {unit}s"
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def moment(time: datetime) -> str:
    """A time in UTC to the minute."""
    return time.strftime("%Y-%m-%d %H:%M UTC")
