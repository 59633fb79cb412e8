"""What the state of payment at a snapshot does to the chance of the next 30 days, by kind of end.

Here: a logistic regression with a ridge per kind (competing risks) on monthly snapshots, the signs of `payments`
as its covariates, and the factor on the odds that follows. Not here: the hazard by day, which knows nothing of
payments (`hazard`). A sign that few have shown is left out. The factors are set so that the expected number of
ends stays what the hazard says: signs move chances between subscriptions, never their level.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

from segments.prediction.features import EVENTS_PER_COEFFICIENT
from segments.prediction.histories import Histories, Observed
from segments.prediction.payments import SIGNS, Payments

__all__ = ["PaymentEffect", "fit_effects", "with_effects"]

_LANDMARK_DAYS = 30
_MOST_LANDMARKS = 12
_LEAST_SHOWN = 20
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PaymentEffect:
    """Log-odds that signs add to the chance of one kind of end; `level` is what they add on average."""

    kind: str  # voluntary, involuntary, unknown; any where no reason is known
    events: int
    signs: tuple[str, ...]
    coefficients: tuple[float, ...]
    level: float

    def shift(self, shown: pd.DataFrame) -> Values:
        """What is added to the log-odds of each subscription."""
        added: Values = shown[list(self.signs)].to_numpy(dtype=np.float64) @ np.asarray(self.coefficients)
        return added - self.level


def fit_effects(known: Histories, observed: Observed, payments: Payments) -> tuple[PaymentEffect, ...]:
    """One effect per kind that has events enough; a snapshot every 30 days back, a year at most."""
    tables, kinds = [], []
    latest = observed.last - _LANDMARK_DAYS
    for landmark in range(
        latest, max(observed.first - 2, latest - _MOST_LANDMARKS * _LANDMARK_DAYS), -_LANDMARK_DAYS
    ):
        then = known.take(known.live_at(landmark))
        ended = then.canceled <= landmark + _LANDMARK_DAYS
        tables.append(payments.at(then.row, landmark))
        kinds.append(np.where(ended, np.where(then.reason == "", "unknown", then.reason), ""))
    if not tables:
        return ()
    shown, kind = pd.concat(tables, ignore_index=True), np.concatenate(kinds)
    if not np.isin(kind, ("voluntary", "involuntary")).any():
        kind = np.where(kind == "", "", "any")
    effects = (_fit(name, shown, kind == name) for name in ("any", "voluntary", "involuntary", "unknown"))
    return tuple(effect for effect in effects if effect is not None)


def with_effects(chance: Values, kind: str, effects: tuple[PaymentEffect, ...], shown: pd.DataFrame) -> Values:
    """The chance of one kind of end with what the signs say added to its log-odds."""
    for effect in effects:
        if effect.kind in (kind, "any"):
            odds = chance / (1 - np.minimum(chance, 0.999)) * np.exp(effect.shift(shown))
            chance = odds / (1 + odds)
    return chance


def _fit(kind: str, shown: pd.DataFrame, ended: npt.NDArray[np.bool_]) -> PaymentEffect | None:
    signs = [name for name in SIGNS if int(shown[name].sum()) >= _LEAST_SHOWN]
    signs = signs[: int(ended.sum()) // EVENTS_PER_COEFFICIENT]
    if not signs:
        return None
    matrix = shown[signs].to_numpy(dtype=np.float64)
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=200).fit(matrix, ended)
    coefficients = tuple(round(float(value), 6) for value in model.coef_[0])
    level = float(np.log(np.exp(matrix @ np.asarray(coefficients)).mean()))
    return PaymentEffect(kind, int(ended.sum()), tuple(signs), coefficients, round(level, 6))
