"""Churn prediction that is measured: a calibrated chance that each subscription ends within 30 and 90 days.

In come subscription histories (`histories`: a frame, or the raw Stripe tables brought into one); out come a
model record, predictions, a back-test with its pictures, and expected revenue at risk by cohort. Everything is
pure: frames and dates in, frames and records out. Only scikit-learn, pandas and numpy are imported here, and
nothing of the project. The method and what was measured are in docs/prediction.md.
"""

from segments.prediction.at_risk import expected_mrr_at_risk
from segments.prediction.backtest import BacktestRecord, Figures, Split, backtest, month_splits
from segments.prediction.charts import calibration_svg, gains_svg
from segments.prediction.hazard import Options
from segments.prediction.histories import HistoriesError
from segments.prediction.record import ModelRecord, fit, predict
from segments.prediction.stripe_histories import from_stripe

__all__ = [
    "BacktestRecord",
    "Figures",
    "HistoriesError",
    "ModelRecord",
    "Options",
    "Split",
    "backtest",
    "calibration_svg",
    "expected_mrr_at_risk",
    "fit",
    "from_stripe",
    "gains_svg",
    "month_splits",
    "predict",
]
