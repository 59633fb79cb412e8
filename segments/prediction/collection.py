"""When collection gives up: the days after an unpaid renewal on which subscriptions end, and today's schedule.

Here: finding these days in histories, and following changes of the schedule. Not here: the hazard on them
(`hazard`). An account sets how long failed payments are retried and what follows
(https://docs.stripe.com/billing/revenue-recovery/smart-retries); a payment keeps the schedule that held when it
failed, so that a change shows first, and at once, in the renewals that came after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

from segments.prediction.cycles import LONGEST_COLLECTION, current_cycle, is_long, renewal_day
from segments.prediction.histories import Days, Histories, Observed

__all__ = ["RenewalDays", "by_renewal", "collection_days", "latest_schedule"]

_LOOK_BACK = 28
_LEAST_ENDS, _LEAST_EVIDENCE = 8, 10.0  # of a change: ends, and the logarithm of its likelihood ratio
_TIMES = 4.0  # and how many times the rate before or after is the other
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RenewalDays:
    """Ends on one day after renewal, and what the long-run rate foresees, by renewal day, the newest last."""

    newest: int  # the last renewal day of which this day was observed
    seen: Values
    foreseen: Values


def collection_days(histories: Histories, observed: Observed) -> tuple[int, ...]:
    """Days after a renewal on which far more subscriptions end than around them: collection gives up.

    A day counts with 20 ends or more and five times the median of the four days on each side, in the whole
    window or in its last four weeks (a new schedule). Short cycles tell about the days 5 to 26, long ones to 60.
    """
    ended = histories.take((histories.canceled >= observed.first) & (histories.canceled <= observed.last))
    lag = ended.canceled - renewal_day(ended, current_cycle(ended, ended.canceled))
    told = np.where(is_long(ended), LONGEST_COLLECTION, 26)
    found: set[int] = set()
    for since in (observed.first, observed.last - 27):
        # Who ends in a trial ends before the first payment: no collection, and a day before the cycle.
        counted = lag[(ended.canceled >= since) & (lag >= 0) & (lag <= told)]
        counts = np.bincount(counted, minlength=LONGEST_COLLECTION + 1)
        for day in range(5, LONGEST_COLLECTION + 1):
            around = np.concatenate([counts[day - 4 : day], counts[day + 1 : day + 5]])
            if counts[day] >= max(20, 5 * float(np.median(around))):
                found.add(day)
    return tuple(sorted(found))


def by_renewal(renewal: Days, ended: npt.NDArray[np.bool_], foreseen: Values, *, newest: int) -> RenewalDays:
    """Sums by renewal day over the four weeks up to `newest`."""
    place = renewal - (newest - _LOOK_BACK + 1)
    inside = (place >= 0) & (place < _LOOK_BACK)
    sums = (
        np.bincount(place[inside], weights=of[inside], minlength=_LOOK_BACK).astype(np.float64)
        for of in (ended * 1.0, foreseen)
    )
    return RenewalDays(newest, *sums)


def latest_schedule(
    phases: Mapping[str, RenewalDays], *, days: int, weight: float
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, int, float], ...]]:
    """By phase: the factor on its long-run rate, and from which renewal on another holds.

    The factor is what the last `days` renewal days say (14 at most), with the long-run rate worth `weight` ends,
    or those since a change, where one is beyond doubt. Where a schedule has begun, one of which nothing could be
    seen since is over for the renewals since.
    """
    rates = {name: _latest(of, days) for name, of in phases.items()}
    recent = tuple((name, round(_factor(of, rates[name][0], weight), 6)) for name, of in phases.items())
    begun = [of.newest - length + 1 for name, of in phases.items() for length, begins in [rates[name]] if begins]
    if not begun:
        return recent, ()
    since = max(begun)
    nought = {name: weight / (weight + float(of.foreseen[-days:].sum())) for name, of in phases.items()}
    over = tuple((name, since, round(nought[name], 6)) for name, of in phases.items() if of.newest < since)
    return recent, over


def _factor(of: RenewalDays, length: int, weight: float) -> float:
    return (float(of.seen[-length:].sum()) + weight) / (float(of.foreseen[-length:].sum()) + weight)


def _latest(of: RenewalDays, days: int) -> tuple[int, bool]:
    """How many of the newest renewal days tell about today, and whether the schedule began with them."""
    best, evidence, begins = days, _LEAST_EVIDENCE, False
    for length in range(1, days):
        split = _LOOK_BACK - length
        first = split - days
        gain = _likelihood(of, first, split) + _likelihood(of, split, _LOOK_BACK)
        gain -= _likelihood(of, first, _LOOK_BACK)
        before, after = _rate(of, first, split), _rate(of, split, _LOOK_BACK)
        changed = max(before, after) >= _TIMES * min(before, after)
        if gain > evidence and changed and max(of.seen[first:split].sum(), of.seen[split:].sum()) >= _LEAST_ENDS:
            best, evidence, begins = length, gain, after > before
    return best, begins


def _rate(of: RenewalDays, first: int, end: int) -> float:
    foreseen = float(of.foreseen[first:end].sum())
    return float(of.seen[first:end].sum()) / foreseen if foreseen else 0.0


def _likelihood(of: RenewalDays, first: int, end: int) -> float:
    """Log-likelihood of a Poisson rate of its own, up to a constant that all splits share."""
    seen, rate = float(of.seen[first:end].sum()), _rate(of, first, end)
    return seen * log(rate) - seen if seen else 0.0
