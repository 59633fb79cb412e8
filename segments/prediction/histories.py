"""Subscription histories: the one frame that the churn model reads, and what of it was known at a snapshot.

Here: checking the frame, cutting it at a snapshot, finding the days on which outcomes were observed. Not here:
making it from the raw Stripe tables (`stripe_histories`), renewal arithmetic (`cycles`), the model (`hazard`).

A history is one subscription: `row` (its identifier, any type), `created` and `canceled_at` (days; empty means
not canceled), and optionally `plan_id`, `interval` (day, week, month, year; where it is empty, a year if the name
of the plan says so, else a month), `interval_count`, `quantity`, `country` (or `country_iso3`), `anchor` (first
billing day where it isn't `created`), `billing_day` (day of the month, where the anchor's month is too short for
it) and `reason` (voluntary, involuntary; empty when unknown). Days are UTC days, as integers since 1970-01-01
inside.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = [
    "INTERVALS",
    "OPEN_END",
    "Days",
    "Histories",
    "HistoriesError",
    "Observed",
    "as_histories",
    "cycle_steps",
    "day_number",
    "day_of_month",
    "known_at",
    "observed_days",
    "to_pandas",
    "usable_lines",
]

INTERVALS = ("day", "week", "month", "year")
OPEN_END = np.iinfo(np.int64).max
_REQUIRED = ("row", "created", "canceled_at")
_INTERVAL_WORDS = {"monthly": "month", "yearly": "year", "annual": "year", "weekly": "week", "daily": "day"}
Days = npt.NDArray[np.int64]


class HistoriesError(ValueError):
    """The frame can't be read as subscription histories; the text names column, value and remedy."""


@dataclass(frozen=True)
class Histories:
    """Checked histories as parallel columns; `canceled` is `OPEN_END` where no cancellation is known."""

    row: npt.NDArray[Any]
    created: Days
    anchor: Days
    billing_day: Days
    canceled: Days
    interval: npt.NDArray[np.str_]
    step_months: Days
    step_days: Days
    plan: npt.NDArray[np.str_]
    country: npt.NDArray[np.str_]
    seats: Days
    reason: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, where: npt.NDArray[Any]) -> "Histories":
        return Histories(**{name: column[where] for name, column in vars(self).items()})

    def live_at(self, day: int) -> npt.NDArray[np.bool_]:
        """Created by that day and not canceled by it."""
        return (self.created <= day) & (self.canceled > day)


@dataclass(frozen=True)
class Observed:
    """Days (first, last], inclusive at both ends, on which a cancellation would have been seen."""

    first: int
    last: int


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - date(1970, 1, 1)).days


def as_histories(frame: Any) -> Histories:
    """Check a frame (pandas or anything that Narwhals reads) and bring it into columns; once checked, it stays.

    An end before the beginning counts as on the first day. Raises HistoriesError when a column is missing, a
    day or an interval can't be read, or a row is repeated.
    """
    if isinstance(frame, Histories):
        return frame
    table = to_pandas(frame)
    missing = [name for name in _REQUIRED if name not in table.columns]
    if missing:
        raise HistoriesError(f"histories lack the column(s) {', '.join(missing)}; needed: {', '.join(_REQUIRED)}")
    if table["row"].isna().any() or table["row"].duplicated().any():
        raise HistoriesError("histories: `row` must be present and unique in every line")
    created = _days(table, "created")
    if (created == OPEN_END).any():
        raise HistoriesError(f"histories: `created` is empty in {int((created == OPEN_END).sum())} line(s)")
    canceled = _days(table, "canceled_at")
    words = np.char.strip(np.char.lower(_text(table, "interval")))
    interval = np.array([_INTERVAL_WORDS.get(word, word) for word in words.tolist()], dtype=np.str_)
    plan = _text(table, "plan_id")
    named = np.char.lower(plan)
    yearly = (np.char.find(named, "year") >= 0) | (np.char.find(named, "annual") >= 0)
    interval = np.where(interval == "", np.where(yearly, "year", "month"), interval)
    unknown = sorted(set(interval) - set(INTERVALS))
    if unknown:
        raise HistoriesError(f"histories: interval {str(unknown[0])!r} is none of {', '.join(INTERVALS)}")
    count = np.maximum(_numbers(table, "interval_count"), 1)
    anchor = _days(table, "anchor") if "anchor" in table.columns else created
    anchor = np.where((anchor == OPEN_END) | (anchor < created), created, anchor)
    months, days = cycle_steps(interval, count)
    return Histories(
        row=table["row"].to_numpy(),
        created=created,
        anchor=anchor,
        billing_day=np.maximum(_numbers(table, "billing_day"), day_of_month(anchor)),
        canceled=np.maximum(canceled, created),
        interval=interval,
        step_months=months,
        step_days=days,
        plan=plan,
        country=_text(table, "country" if "country" in table.columns else "country_iso3"),
        seats=np.maximum(_numbers(table, "quantity"), 1),
        reason=_text(table, "reason"),
    )


def cycle_steps(interval: npt.NDArray[Any], count: Days) -> tuple[Days, Days]:
    """Months and days of one cycle; one of both is 0."""
    months = np.select([interval == "month", interval == "year"], [count, 12 * count], 0)
    # Renewals closer than a week tell nothing about when people leave: such plans get a weekly cycle.
    days = np.select([interval == "week", interval == "day"], [7 * count, np.maximum(count, 7)], 0)
    return months.astype(np.int64), days.astype(np.int64)


def day_of_month(day: Days) -> Days:
    """1 to 31."""
    days = day.astype("datetime64[D]")
    found: Days = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    return found


def usable_lines(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Lines with an identifier, a day of beginning and a day of the end or none; for files of others' making."""
    if any(name not in frame.columns for name in _REQUIRED):
        return np.ones(len(frame), dtype=np.bool_)
    days = {name: frame[name].replace("", None) for name in _REQUIRED[1:]}
    read = {name: pd.to_datetime(of, utc=True, format="ISO8601", errors="coerce") for name, of in days.items()}
    ends = read["canceled_at"].notna() | days["canceled_at"].isna()
    known = frame["row"].notna() & frame["row"].ne("")
    usable: npt.NDArray[np.bool_] = (known & read["created"].notna() & ends).to_numpy(dtype=np.bool_)
    return usable


def to_pandas(frame: Any) -> pd.DataFrame:
    """Any frame or relation that Narwhals reads, as pandas."""
    table: pd.DataFrame = nw.from_native(frame).lazy().collect("pandas").to_native()
    return table.reset_index(drop=True)


def known_at(histories: Histories, snapshot: int) -> Histories:
    """What was known at the end of the snapshot day: later subscriptions are gone, later outcomes open."""
    kept = histories.take(histories.created <= snapshot)
    later = kept.canceled > snapshot
    return Histories(
        **{
            **vars(kept),
            "canceled": np.where(later, OPEN_END, kept.canceled),
            "reason": np.where(later, "", kept.reason),
        }
    )


def observed_days(known: Histories, snapshot: int, *, window_days: int) -> Observed | None:
    """The days for which outcomes are in the histories, at most `window_days` up to the snapshot.

    Before the first known cancellation nobody could be seen leaving (an extract of the living has no earlier
    deaths), so that day opens the window. A silence at the end that chance does not explain (five expected
    cancellations or more) means that outcomes were withheld: the window ends with the last known one.
    None when no cancellation is known.
    """
    days = np.sort(known.canceled[known.canceled != OPEN_END])
    if not len(days):
        return None
    last = int(days[-1])
    recent = days[days > last - window_days]
    rate = len(recent) / max(last - int(recent[0]) + 1, 7)
    last = last if rate * (snapshot - last) >= 5 else snapshot
    recent = days[(days > last - window_days) & (days <= last)]
    if not len(recent):
        return None
    opened = int(days[0]) if int(days[0]) > last - window_days else last - window_days + 1
    return Observed(first=opened, last=last)


def _days(table: pd.DataFrame, name: str) -> Days:
    values = table[name]
    try:
        stamps = pd.to_datetime(values, utc=True, format="ISO8601" if values.dtype.kind not in "Mm" else None)
    except (ValueError, TypeError) as error:
        raise HistoriesError(f"histories: `{name}` holds something that isn't a day: {error}") from error
    whole = stamps.dt.floor("D").to_numpy(dtype="datetime64[D]", na_value=np.datetime64("NaT"))
    return np.where(np.isnat(whole), OPEN_END, whole.astype(np.int64))


def _text(table: pd.DataFrame, name: str) -> npt.NDArray[np.str_]:
    if name not in table.columns:
        return np.full(len(table), "", dtype=np.str_)
    return table[name].astype(object).where(table[name].notna(), "").astype(str).to_numpy(dtype=np.str_)


def _numbers(table: pd.DataFrame, name: str) -> Days:
    if name not in table.columns:
        return np.ones(len(table), dtype=np.int64)
    return pd.to_numeric(table[name], errors="coerce").fillna(1).to_numpy(dtype=np.int64)
