"""What the hazard may depend on: named covariates of a subscription in a given cycle, all known at its start.

Here: the choice of features for the number of events there is, and the design matrix. Not here: fitting
(`hazard`). A level of plan or country gets its own coefficient only with enough events behind it (the usual
rule is 10 to 20 events a coefficient, Peduzzi et al. 1996, https://doi.org/10.1016/S0895-4356(96)00236-3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from segments.prediction.cycles import Exposure, Phase, is_long
from segments.prediction.histories import Days, Histories

__all__ = ["EVENTS_PER_COEFFICIENT", "FeatureSet", "choose", "design", "person_time"]

EVENTS_PER_COEFFICIENT = 10
TENURE_KNOTS = (3, 12, 24)  # months at which the effect of log tenure may bend
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureSet:
    """The covariates of one cause: baseline by phase and length of cycle, and which others take part."""

    baseline: tuple[str, ...]  # "<phase>|<short or long>"
    coarse: bool = False  # phases only as renewal, collection and rest
    tenure: bool = False
    knots: tuple[int, ...] = ()
    plans: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of `design`, in order."""
        tenure = [f"log_tenure|{cycle}" for cycle in _CYCLES] if self.tenure else []
        bends = [f"log_tenure>{knot}|{cycle}" for cycle in _CYCLES for knot in self.knots]
        return (
            *(f"baseline:{name}" for name in self.baseline),
            *tenure,
            *bends,
            *(f"plan:{plan}" for plan in self.plans),
            *(f"country:{country}" for country in self.countries),
            *self.others,
        )


_CYCLES = ("short", "long")
_OTHERS = ("several_seats", "weekend_signup", "first_cycle")


def person_time(histories: Histories, time: Exposure, parts: Sequence[Phase]) -> pd.DataFrame:
    """The covariates of each line of exposure, its `days` at risk and the renewal day it follows (`start`).

    Tenure is counted in whole months at the start of the cycle, so that it is the same on all its days.
    """
    of = time.subject
    elapsed = np.maximum(time.start - histories.created[of], 0)
    weekday = (histories.created[of] + 3) % 7  # day 0 was a Thursday; Monday is 0
    long = is_long(histories)[of]
    names = np.array([part.name for part in parts])
    return pd.DataFrame(
        {
            "phase": pd.Categorical.from_codes(time.phase, categories=pd.Index(names)),
            "cycle": pd.Categorical.from_codes(long.astype(np.int8), categories=pd.Index(_CYCLES)),
            "tenure": np.rint(elapsed / 30.4375).astype(np.int64),
            "plan": _repeat(histories.plan, of),
            "country": _repeat(histories.country, of),
            "several_seats": histories.seats[of] > 1,
            "weekend_signup": weekday >= 5,
            "first_cycle": time.cycle == 0,
            "days": time.days,
            "start": time.start,
        }
    )


def _repeat(values: npt.NDArray[np.str_], of: Days) -> pd.Categorical:
    levels, codes = np.unique(values, return_inverse=True)
    return pd.Categorical.from_codes(codes[of], categories=pd.Index(levels, dtype=object))


def choose(frame: pd.DataFrame, events: pd.Series) -> FeatureSet:
    """The largest feature set that the number of events carries; levels with too few events are left out."""
    total = int(events.sum())
    baseline = _present(_baseline(frame, coarse=False))
    coarse = total < EVENTS_PER_COEFFICIENT * len(baseline)
    if coarse:
        baseline = _present(_baseline(frame, coarse=True))
    spare = total // EVENTS_PER_COEFFICIENT - len(baseline)
    if spare < len(_CYCLES):
        return FeatureSet(baseline=baseline, coarse=coarse)
    others = tuple(name for name in _OTHERS if int(events[frame[name]].sum()) >= 2 * EVENTS_PER_COEFFICIENT)
    bends = TENURE_KNOTS if spare >= len(_CYCLES) * (1 + len(TENURE_KNOTS)) + len(others) else ()
    spare -= len(_CYCLES) * (1 + len(bends))
    others = others[: max(spare, 0)]
    plans = _levels(frame["plan"], events)[: max(spare - len(others), 0)]
    countries = _levels(frame["country"], events)[: max(spare - len(others) - len(plans), 0)]
    return FeatureSet(
        baseline=baseline,
        coarse=coarse,
        tenure=True,
        knots=bends,
        plans=plans,
        countries=countries,
        others=others,
    )


def design(frame: pd.DataFrame, features: FeatureSet) -> Matrix:
    """The matrix of `features.names` for these lines; what the set does not know counts as nought."""
    label = _baseline(frame, coarse=features.coarse)
    log_tenure = np.log1p(frame["tenure"].to_numpy(dtype=np.float64))
    short_or_long = [_is(frame["cycle"], name) for name in _CYCLES]
    columns: list[Matrix] = [_is(label, name) for name in features.baseline]
    if features.tenure:
        columns += [log_tenure * own for own in short_or_long]
    for own in short_or_long:
        columns += [np.maximum(log_tenure - np.log1p(knot), 0) * own for knot in features.knots]
    columns += [_is(frame["plan"], level) for level in features.plans]
    columns += [_is(frame["country"], level) for level in features.countries]
    columns += [frame[name].to_numpy(dtype=np.float64) for name in features.others]
    matrix: Matrix = np.column_stack(columns)
    return matrix


def _baseline(frame: pd.DataFrame, *, coarse: bool) -> pd.Series:
    """Which baseline each line has, as a categorical "<phase>|<short or long>"."""
    parts, cycles = frame["phase"].cat, frame["cycle"].cat
    names = [_group(str(name)) if coarse else str(name) for name in parts.categories]
    labels = [f"{name}|{cycle}" for name in names for cycle in cycles.categories]
    known = sorted(set(labels))
    place = np.array([known.index(label) for label in labels], dtype=np.int64)
    codes = place[parts.codes.to_numpy().astype(np.int64) * len(cycles.categories) + cycles.codes.to_numpy()]
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(known)), index=frame.index)


def _present(labels: pd.Series) -> tuple[str, ...]:
    """The categories that occur, in order."""
    return tuple(sorted(str(labels.cat.categories[code]) for code in np.unique(labels.cat.codes)))


def _group(phase: str) -> str:
    return phase if phase in ("begin", "renewal") else "collection" if phase.startswith("collection") else "rest"


def _is(values: pd.Series, wanted: str) -> Matrix:
    known = list(values.cat.categories)
    if wanted not in known:
        return np.zeros(len(values))
    same: Matrix = (values.cat.codes.to_numpy() == known.index(wanted)).astype(np.float64)
    return same


def _levels(values: pd.Series, events: pd.Series) -> tuple[str, ...]:
    count = {str(level): int(number) for level, number in events.groupby(values, observed=True).sum().items()}
    enough = [level for level, number in count.items() if number >= 2 * EVENTS_PER_COEFFICIENT and level != ""]
    return tuple(sorted(enough, key=lambda level: (-count[level], level)))
