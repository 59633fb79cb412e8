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

from segments.prediction.collection import by_renewal, latest_schedule
from segments.prediction.cycles import Exposure, Phase, exposure, phases
from segments.prediction.features import FeatureSet, choose, design, person_time
from segments.prediction.histories import OPEN_END, Histories, Observed

__all__ = ["Cause", "Options", "fit_causes", "survival"]

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
    over: tuple[tuple[str, int, float], ...] = ()  # phase, from which renewal day on, factor then

    def hazard(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Chance of this cause on one day at risk, for each line of person-time."""
        at_risk = frame["phase"].isin(self.phases).to_numpy()
        result = np.zeros(len(frame))
        if at_risk.any():
            lines = frame[at_risk]
            odds = np.exp(self.intercept + design(lines, self.features) @ np.asarray(self.coefficients))
            recent = dict(self.recent)
            factors = np.array([recent.get(str(name), 1.0) for name in lines["phase"].cat.categories])
            phase, start = lines["phase"].cat.codes.to_numpy(), lines["start"].to_numpy()
            factor = factors[phase]
            for name, since, other in self.over:
                if name in lines["phase"].cat.categories:
                    code = lines["phase"].cat.categories.get_loc(name)
                    factor = np.where((phase == code) & (start >= since), other, factor)
            odds *= factor
            result[at_risk] = odds / (1 + odds)
        return result


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
            cause = _fit(name, kind, own, frame[at_risk], events[at_risk], options)
            causes.append(_adjust(cause, frame[at_risk], events[at_risk], observed, options))
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
    keys = [column for column in frame.columns if column not in ("days", "start")]
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
    cause: Cause, frame: pd.DataFrame, event: npt.NDArray[np.bool_], observed: Observed, options: Options
) -> Cause:
    """Set collection days to their latest rate: the schedule is an account setting, changed at a stroke."""
    names = [name for name in cause.phases if name.startswith("collection")]
    if not names:
        return cause
    expected = cause.hazard(frame) * frame["days"].to_numpy()
    phase, known = frame["phase"].cat.codes.to_numpy(), list(frame["phase"].cat.categories)
    # The day at risk is the only one of its phase, so that the renewal tells it.
    renewal = frame["start"].to_numpy()
    seen = {}
    for name in names:
        here = phase == known.index(name)
        seen[name] = by_renewal(
            renewal[here], event[here], expected[here], newest=observed.last - int(name.rpartition("+")[2])
        )
    recent, over = latest_schedule(seen, days=options.recent_days, weight=options.recent_weight)
    return replace(cause, recent=recent, over=over)
