"""Calendar arithmetic of billing: unix seconds in, unix seconds out, always UTC.

Periods only; the clock itself belongs to the business. The rule for short months (an anchor on the 31st
bills on the last day) is Stripe's: https://docs.stripe.com/billing/subscriptions/billing-cycle
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

__all__ = ["DAY", "HOUR", "add_interval", "clock_of", "day_of_month", "iso", "months_before"]

HOUR = 3600
DAY = 86400


def add_interval(moment: int, interval: str, count: int, *, anchor_day: int) -> int:
    """The end of the billing period that starts at `moment`."""
    if interval == "day":
        return moment + count * DAY
    if interval == "week":
        return moment + count * 7 * DAY
    return _add_months(moment, count * (12 if interval == "year" else 1), anchor_day)


def months_before(moment: int, months: int) -> int:
    """The same day of the month, `months` earlier."""
    return _add_months(moment, -months, day_of_month(moment))


def day_of_month(moment: int) -> int:
    return datetime.fromtimestamp(moment, UTC).day


def clock_of(value: datetime | date | str) -> datetime:
    """The instant at which an account's clock stands.

    A full date and time is taken as it is (no zone: UTC). A bare date is that whole day: the clock stands at
    the midnight that ends it.
    """
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(microsecond=0)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) + timedelta(days=1)


def iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _add_months(moment: int, months: int, anchor_day: int) -> int:
    days, seconds = divmod(moment, DAY)
    day = date.fromordinal(_EPOCH + days)
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = 29 if month == 1 and calendar.isleap(year) else _MONTH_DAYS[month]
    return (date(year, month + 1, min(anchor_day, last)).toordinal() - _EPOCH) * DAY + seconds


_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EPOCH = date(1970, 1, 1).toordinal()
