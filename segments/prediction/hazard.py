"""The churn model: a discrete-time hazard, by day of the billing cycle, with competing causes.

Each cause has a logistic regression (ridge, scikit-learn) on person-days at risk: Singer and Willett's
discrete-time survival model with delayed entry, so that a subscription counts only from the day on which its
end would have been seen. The chance of churn within a horizon follows from the hazards of its days. Here:
causes, fit, prediction. Not here: features (`features`), time splits and their figures (`backtest`).

Where reasons are known, the causes are voluntary, involuntary and unknown. Where they aren't, the day of the
cycle tells them apart as far as it can: an end on a renewal day is a decision, an end on a day on which
collection gives up is a failed payment, the rest is unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

from segments.prediction.cycles import (
    LONGEST_COLLECTION,
    Exposure,
    Phase,
    current_cycle,
    exposure,
    is_long,
    phases,
    renewal_day,
)
from segments.prediction.features import FeatureSet, choose, design, person_time
from segments.prediction.histories import OPEN_END, Histories, Observed

__all__ = ["Cause", "Options", "collection_days", "fit_causes", "survival"]

# The ridge is for differences between subscriptions; the level of a phase is left nearly free by scaling it.
_FREE = 10.0


@dataclass(frozen=True)
class Options:
    """Constants of the fit; how they were chosen is told in docs/prediction.md."""

    window_days: int = 365  # how far back outcomes are read
    penalty: float = 30.0  # ridge strength, the inverse of scikit-learn's C
    recent_days: int = 14  # days that tell on which day collection ends now
    recent_weight: float = 5.0  # expected events that the long-run rate is worth against them
    least_events: int = 50  # fewer in all: no model


@dataclass(frozen=True)
class Cause:
    """One fitted cause: log-odds of its hazard on a day at risk, and what was adjusted since."""

    name: str
    kind: str  # voluntary, involuntary or unknown
    phases: tuple[str, ...]
    events: int
    features: FeatureSet
    intercept: float
    coefficients: tuple[float, ...]
    recent: tuple[tuple[str, float], ...]  # factor on the odds by phase, from the latest days

    def hazard(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Chance of this cause on one day at risk, for each line of person-time."""
        at_risk = frame["phase"].isin(self.phases).to_numpy()
        result = np.zeros(len(frame))
        if at_risk.any():
            lines = frame[at_risk]
            odds = np.exp(self.intercept + design(lines, self.features) @ np.asarray(self.coefficients))
            recent = dict(self.recent)
            factors = np.array([recent.get(str(name), 1.0) for name in lines["phase"].cat.categories])
            odds *= factors[lines["phase"].cat.codes.to_numpy()]
            result[at_risk] = odds / (1 + odds)
        return result


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
        counted = lag[(ended.canceled >= since) & (lag <= told)]
        counts = np.bincount(counted, minlength=LONGEST_COLLECTION + 1)
        for day in range(5, LONGEST_COLLECTION + 1):
            around = np.concatenate([counts[day - 4 : day], counts[day + 1 : day + 5]])
            if counts[day] >= max(20, 5 * float(np.median(around))):
                found.add(day)
    return tuple(sorted(found))


def fit_causes(
    histories: Histories, observed: Observed, collection: Sequence[int], options: Options
) -> tuple[Cause, ...]:
    """Fit every cause that has events; no cause at all when there are too few in total."""
    parts = phases(collection)
    time = exposure(histories, parts, first=observed.first, last=observed.last)
    if int(time.event.sum()) < options.least_events:
        return ()
    # An extract of the living may leave out those in arrears, so what follows a renewal before the window
    # opened is not followed: it would seem that collection never fails.
    followed = (time.start >= observed.first) | ~np.isin(time.phase, _positions(parts, "collection"))
    time = _select(time, followed)
    frame = person_time(histories, time, parts)
    reasons = histories.reason[time.subject]
    causes = []
    for name, kind, own, events in _causes(frame, time.event, reasons, parts):
        at_risk = frame["phase"].isin(own).to_numpy()
        if int(events[at_risk].sum()):
            latest = time.first[at_risk] > observed.last - options.recent_days
            cause = _fit(name, kind, own, frame[at_risk], events[at_risk], options)
            causes.append(_adjust(cause, frame[at_risk], events[at_risk], latest, options))
    return tuple(causes)


def survival(
    histories: Histories, causes: Sequence[Cause], parts: Sequence[Phase], *, after: int, horizon_days: int
) -> pd.DataFrame:
    """Chance of an end in the days after `after`: `p` in all and one column per kind, in the order of `histories`.

    All of `histories` must be live at `after`; an end of theirs after it is not looked at.
    """
    alive = replace(histories, canceled=np.full(len(histories), OPEN_END))
    time = exposure(alive, parts, first=after + 1, last=after + horizon_days)
    frame = person_time(alive, time, parts)
    daily = [cause.hazard(frame) for cause in causes]
    total = np.minimum(np.sum(daily, axis=0), 0.999)
    stay = time.days * np.log1p(-total)
    running = pd.Series(stay).groupby(time.subject).cumsum().to_numpy()
    ends_here = np.exp(running - stay) - np.exp(running)
    result = pd.DataFrame(index=pd.RangeIndex(len(histories)))
    result["p"] = np.bincount(time.subject, ends_here, minlength=len(histories))
    for kind in ("voluntary", "involuntary", "unknown"):
        share = np.sum(
            [d for d, cause in zip(daily, causes, strict=True) if cause.kind == kind] or [0 * total], axis=0
        )
        part = ends_here * np.divide(share, total, out=np.zeros_like(total), where=total > 0)
        result[kind] = np.bincount(time.subject, part, minlength=len(histories))
    return result


def _positions(parts: Sequence[Phase], prefix: str) -> list[int]:
    return [at for at, part in enumerate(parts) if part.name.startswith(prefix)]


def _select(time: Exposure, where: npt.NDArray[np.bool_]) -> Exposure:
    return Exposure(**{name: column[where] for name, column in vars(time).items()})


def _causes(
    frame: pd.DataFrame,
    event: npt.NDArray[np.bool_],
    reasons: npt.NDArray[np.str_],
    parts: Sequence[Phase],
) -> list[tuple[str, str, tuple[str, ...], npt.NDArray[np.bool_]]]:
    every = tuple(part.name for part in parts)
    known = event & (reasons != "")
    if known.any():
        kinds = ("voluntary", "involuntary", "unknown")
        own = [reasons == kind for kind in kinds[:2]]
        own.append(~own[0] & ~own[1])
        return [(kind, kind, every, event & mask) for kind, mask in zip(kinds, own, strict=True)]
    collection = tuple(name for name in every if name.startswith("collection"))
    rest = tuple(name for name in every if name not in {"renewal", *collection})
    by_time = (
        ("renewal", "voluntary", ("renewal",)),
        ("collection", "involuntary", collection),
        ("other", "unknown", rest),
    )
    return [(name, kind, own, event & frame["phase"].isin(own).to_numpy()) for name, kind, own in by_time]


def _fit(
    name: str,
    kind: str,
    own: tuple[str, ...],
    frame: pd.DataFrame,
    event: npt.NDArray[np.bool_],
    options: Options,
) -> Cause:
    keys = [column for column in frame.columns if column != "days"]
    counted = frame.assign(event=event.astype(np.int64))
    cells = counted.groupby(keys, observed=True, sort=True)[["days", "event"]].sum().reset_index()
    features = choose(cells, cells["event"])
    scale = np.ones(len(features.names))
    scale[: len(features.baseline)] = _FREE
    matrix = design(cells, features) * scale
    ends, days = cells["event"].to_numpy(dtype=np.float64), cells["days"].to_numpy(dtype=np.float64)
    # A cell of n days with k ends is k days that ended and n - k that did not: the weights say so.
    lines = np.concatenate([np.flatnonzero(ends > 0), np.flatnonzero(days > ends)])
    target = np.concatenate([np.ones(int((ends > 0).sum())), np.zeros(int((days > ends).sum()))])
    weight = np.concatenate([ends[ends > 0], (days - ends)[days > ends]])
    model = LogisticRegression(C=1 / options.penalty, solver="newton-cholesky", max_iter=200, tol=1e-6)
    model.fit(matrix[lines], target, sample_weight=weight)
    return Cause(
        name=name,
        kind=kind,
        phases=own,
        events=int(ends.sum()),
        features=features,
        intercept=round(float(model.intercept_[0]), 6),
        coefficients=tuple(round(float(value), 6) for value in model.coef_[0] * scale),
        recent=(),
    )


def _adjust(
    cause: Cause,
    frame: pd.DataFrame,
    event: npt.NDArray[np.bool_],
    latest: npt.NDArray[np.bool_],
    options: Options,
) -> Cause:
    """Set collection days to their latest rate: the schedule is an account setting, changed at a stroke."""
    if not any(name.startswith("collection") for name in cause.phases):
        return cause
    expected = cause.hazard(frame) * frame["days"].to_numpy()
    names, phase = list(frame["phase"].cat.categories), frame["phase"].cat.codes.to_numpy()
    factors = []
    for name in cause.phases:
        if name.startswith("collection"):
            here = latest & (phase == names.index(name))
            seen, foreseen = float(event[here].sum()), float(expected[here].sum())
            factor = (seen + options.recent_weight) / (foreseen + options.recent_weight)
            factors.append((name, round(factor, 6)))
    return replace(cause, recent=tuple(factors))
