"""Churn prediction that is measured: a calibrated chance that each subscription ends within 30 and 90 days.

In come subscription histories (`histories`: a frame, or the raw Stripe tables brought into one) and, where there
are raw tables, the state of payments on any past day; out come a model record, chances, a back-test with its
pictures, and expected revenue at risk by cohort. Everything is pure: frames and dates in, frames and records out.
The method and what was measured are in docs/prediction.md.
"""

from segments.prediction.at_risk import churn_cohorts
from segments.prediction.backtest import BacktestRecord, Figures, Split, backtest, month_splits
from segments.prediction.charts import calibration_svg, gains_svg
from segments.prediction.forecast import Forecast, churn_forecast
from segments.prediction.hazard import Options
from segments.prediction.histories import HistoriesError, usable_lines
from segments.prediction.payments import Payments, payments_from_stripe
from segments.prediction.probabilities import churn_probability
from segments.prediction.record import ModelRecord, fit, predict
from segments.prediction.stripe_histories import from_stripe

__all__ = [
    "BacktestRecord",
    "Figures",
    "Forecast",
    "HistoriesError",
    "ModelRecord",
    "Options",
    "Payments",
    "Split",
    "backtest",
    "calibration_svg",
    "churn_cohorts",
    "churn_forecast",
    "churn_probability",
    "fit",
    "from_stripe",
    "gains_svg",
    "month_splits",
    "payments_from_stripe",
    "predict",
    "usable_lines",
]
