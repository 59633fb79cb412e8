"""Billing cycles: which days of a subscription lie in which phase of its cycle.

Here: renewal days with month ends handled as Stripe does (the anchor's day, or the month's last day where the
month is shorter, https://docs.stripe.com/billing/subscriptions/billing-cycle), and the person-time that a
window of days puts into each phase. Not here: what a phase does to the hazard (`hazard`).

A cycle runs from one renewal to the day before the next. Its phases: the renewal day itself (`begin` in the first
cycle, with the trial if there was one); the days on which
collection gives up, as learned from the data (`collection_days`: Stripe ends a subscription a fixed number
of days after an unpaid renewal); the days just before the next renewal; and the days between.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segments.prediction.histories import Days, Histories

__all__ = [
    "Exposure",
    "Phase",
    "current_cycle",
    "exposure",
    "is_long",
    "month_day",
    "month_number",
    "next_renewal",
    "phases",
    "renewal_day",
]

# Longer gaps than this after a renewal are no longer told apart: Stripe's dunning takes two months at most.
LONGEST_COLLECTION = 60


@dataclass(frozen=True)
class Phase:
    """Days `first` ≤ day < `end` of a cycle, counted from the renewal or, if `before`, back from the next."""

    name: str
    first: int
    end: int
    before: bool = False


@dataclass(frozen=True)
class Exposure:
    """Person-time: one line per subscription, cycle and phase that has days at risk in the window."""

    subject: Days  # position in the histories
    cycle: Days  # renewals so far
    start: Days  # renewal day that opened the cycle
    phase: Days  # position in the list of phases
    first: Days  # first day at risk
    days: Days  # days at risk, the day of the cancellation included
    event: npt.NDArray[np.bool_]  # the cancellation fell into these days


def phases(collection_days: Sequence[int]) -> list[Phase]:
    """All phases of a cycle in order; `collection_days` are those on which unpaid subscriptions end."""
    single = sorted(set(collection_days))
    cuts = sorted({1, 4, 8, 15, 22, 31, LONGEST_COLLECTION + 1, *single, *(day + 1 for day in single)})
    after = [
        Phase(f"collection+{low}" if low in single else f"after+{low}", low, high)
        for low, high in zip(cuts, [*cuts[1:], 10_000], strict=True)
    ]
    before = [Phase("before-30", -30, -7, before=True), Phase("before-7", -7, -1, before=True)]
    return [Phase("begin", 0, 1), Phase("renewal", 0, 1), *after, *before, Phase("before-1", -1, 0, before=True)]


def is_long(histories: Histories) -> npt.NDArray[np.bool_]:
    """Cycles of more than a quarter: what happens around their renewal is months apart from the rest."""
    long: npt.NDArray[np.bool_] = histories.step_months * 31 + histories.step_days > 93
    return long


def renewal_day(histories: Histories, cycle: Days) -> Days:
    """The day that opens the cycle (cycle 0 opens with the anchor)."""
    by_month = month_day(month_number(histories.anchor) + cycle * histories.step_months, histories.billing_day)
    by_day = histories.anchor + cycle * histories.step_days
    day: Days = np.where(histories.step_months > 0, by_month, by_day)
    return day


def month_number(day: Days) -> Days:
    """Months since January 1970."""
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def month_day(month: Days, of_month: Days) -> Days:
    """That day of the month, or its last where it is shorter."""
    begin, end = ((month + later).astype("datetime64[M]").astype("datetime64[D]") for later in (0, 1))
    day: Days = np.minimum(begin.astype(np.int64) + of_month, end.astype(np.int64)) - 1
    return day


def current_cycle(histories: Histories, day: int | Days) -> Days:
    """Number of renewals by that day (0 before the first)."""
    day = np.broadcast_to(np.asarray(day, dtype=np.int64), len(histories))
    months = month_number(day) - month_number(histories.anchor)
    guess = np.where(
        histories.step_months > 0,
        months // np.maximum(histories.step_months, 1),
        (day - histories.anchor) // np.maximum(histories.step_days, 1),
    )
    guess = np.maximum(guess, 0)
    number: Days = np.maximum(guess - (renewal_day(histories, guess) > day), 0)
    return number


def next_renewal(histories: Histories, day: int) -> Days:
    """The first renewal after that day, which is the anchor where that is still to come."""
    later = renewal_day(histories, current_cycle(histories, day) + 1)
    found: Days = np.where(histories.anchor > day, histories.anchor, later)
    return found


def exposure(histories: Histories, parts: Sequence[Phase], *, first: int, last: int) -> Exposure:
    """Person-time of all subscriptions in the days `first` to `last`, phase by phase."""
    pieces: list[tuple[Days, ...]] = []
    begin = np.maximum(histories.created, first)
    finish = np.minimum(histories.canceled, last)
    cycle = current_cycle(histories, begin)
    subject = np.flatnonzero(begin <= finish)
    while len(subject):
        of = histories.take(subject)
        number = cycle[subject]
        start, following = renewal_day(of, number), renewal_day(of, number + 1)
        # The first cycle also holds the days before a later anchor (a trial).
        opened = np.where(number == 0, np.minimum(of.created, start), start)
        # What lies just before the next renewal is a month of a long cycle, a day of a short one.
        tail = np.where(is_long(of), 30, np.where(following - start >= 21, 1, 0))
        for position, part in enumerate(parts):
            if part.before:
                low = following + np.maximum(part.first, -tail)
                high = following + np.maximum(part.end, -tail)
            elif part.first == 0:
                own = (number == 0) == (part.name == "begin")
                low, high = opened, np.where(own, start + 1, opened)
            else:
                low, high = start + part.first, np.minimum(start + part.end, following - tail)
            low, high = np.maximum(low, begin[subject]), np.minimum(high - 1, finish[subject])
            some = high >= low
            ended = of.canceled[some] == high[some]
            pieces.append(
                (
                    subject[some],
                    number[some],
                    start[some],
                    np.full(int(some.sum()), position, dtype=np.int64),
                    low[some],
                    (high - low + 1)[some],
                    ended.astype(np.int64),
                )
            )
        cycle[subject] += 1
        subject = subject[following <= finish[subject]]
    columns = [np.concatenate(column) for column in zip(*pieces, strict=True)] if pieces else [_none()] * 7
    order = np.lexsort((columns[4], columns[0]))
    subject_, cycle_, start_, phase_, first_, days_, event_ = (column[order] for column in columns)
    return Exposure(subject_, cycle_, start_, phase_, first_, days_, event_.astype(np.bool_))


def _none() -> Days:
    return np.zeros(0, dtype=np.int64)
