"""The fallback: fixed published points, for accounts whose history has too few cancellations for a model.

Points as in chargebee_mapper's public rules (under 90 days a customer: 10; renewal within 30 days: 15) and, where
payments are known, the published ones of `RiskPoints` (unpaid 10, failed lately 6, card expiring 10); their
logistic scale is ours: ten points double the odds, and a monthly subscription that is past its first 90 days
stands at 4 % in 30 days, the SaaS average that Churnkey reports from Stripe data
(https://churnkey.co/blog/involuntary-churn-benchmarks). With events, only intercept and slope are refitted.
"""

from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

from segments.prediction.cycles import next_renewal
from segments.prediction.histories import Histories, Observed
from segments.prediction.payments import Payments
from segments.thresholds import RiskPoints

__all__ = ["Baseline", "fit_baseline", "points"]

YOUNG_DAYS, YOUNG_POINTS, RENEWAL_POINTS = 90, 10, 15
_PAYMENT_POINTS = {
    "unpaid": RiskPoints().past_due,
    "failed_recently": RiskPoints().failed_invoices_few,
    "card_expiring": RiskPoints().card_expiring,
}
_LANDMARK_DAYS = 30
_PUBLISHED_SLOPE = log(2) / 10
_PUBLISHED_INTERCEPT = log(0.04 / 0.96) - RENEWAL_POINTS * _PUBLISHED_SLOPE
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """Log-odds of churn within 30 days = intercept + slope x points; `events` tells what was refitted on."""

    intercept: float = _PUBLISHED_INTERCEPT
    slope: float = _PUBLISHED_SLOPE
    events: int = 0

    def chance(self, score: Values, *, horizon_days: int) -> Values:
        """Chance of churn within the horizon, at an even rate."""
        within = 1 / (1 + np.exp(-(self.intercept + self.slope * score)))
        chance: Values = 1 - (1 - within) ** (horizon_days / _LANDMARK_DAYS)
        return chance


def points(live: Histories, snapshot: int, shown: pd.DataFrame | None = None) -> Values:
    """Points of each subscription that is live at the snapshot; `shown` are its payment signs then, if known."""
    renewal = next_renewal(live, snapshot)
    young = snapshot - live.created < YOUNG_DAYS
    score: Values = YOUNG_POINTS * young + RENEWAL_POINTS * (renewal <= snapshot + _LANDMARK_DAYS) * 1.0
    if shown is not None:
        for sign, worth in _PAYMENT_POINTS.items():
            score = score + worth * shown[sign].to_numpy(dtype=np.float64)
    return score


def fit_baseline(known: Histories, observed: Observed | None, payments: Payments | None = None) -> Baseline:
    """Refit the intercept with 10 events, the slope too with 20, else the published scale as it is.

    One landmark every 30 days back from the last observed day, each with the outcomes of its 30 days.
    """
    scores, ends = [np.zeros(0)], [np.zeros(0, dtype=np.bool_)]
    if observed is not None:
        for landmark in range(observed.last - _LANDMARK_DAYS, observed.first - 2, -_LANDMARK_DAYS):
            then = known.take(known.live_at(landmark))
            scores.append(points(then, landmark, None if payments is None else payments.at(then.row, landmark)))
            ends.append(then.canceled <= landmark + _LANDMARK_DAYS)
    score, ended = np.concatenate(scores), np.concatenate(ends)
    events = int(ended.sum())
    if events < 10 or events == len(ended):
        return Baseline()
    if events < 20 or len(np.unique(score)) == 1:
        level = float(np.log(events / (len(ended) - events)))
        return Baseline(round(level - _PUBLISHED_SLOPE * float(score.mean()), 8), _PUBLISHED_SLOPE, events)
    model = LogisticRegression(C=1e4, solver="newton-cholesky", max_iter=200).fit(score[:, None] / 10, ended)
    return Baseline(round(float(model.intercept_[0]), 8), round(float(model.coef_[0][0]) / 10, 8), events)
