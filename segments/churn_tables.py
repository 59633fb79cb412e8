"""The tables of the churn model, declared once: the model, its back-test, the chances, what is at stake by cohort.

Here: schemas. Not here: how the numbers come about (`segments.prediction`). Chances and rates are between 0 and 1.
"""

import pyarrow as pa

from segments.columns import TIMESTAMP, column, table

__all__ = ["CHURN_TABLES"]

_TEXT, _INT, _REAL, _DATE = pa.string(), pa.int64(), pa.float64(), pa.date32()

CHURN_TABLES: dict[str, pa.Schema] = {
    "churn_model": table(
        "The model behind the chances of churn: what it was fitted on, what it holds and how well it did.",
        [
            column("model", _TEXT, "SHA-256 of the fitted model", required=True),
            column("method", _TEXT, "hazard, or points where there is no model", required=True),
            column("fallback", _TEXT, "why it is points; empty for a model", required=True),
            column("first_day", _DATE, "first day on which ends were observed"),
            column("last_day", _DATE, "last day on which ends were observed"),
            column("subscriptions", _INT, "subscriptions it was fitted on", required=True),
            column("ends", _INT, "ends in the observed days", required=True),
            column("kinds_from", _TEXT, "reasons, or timing where none is recorded", required=True),
            column("features", _TEXT, "features by cause, joined by '; '", required=True),
            column("record", _TEXT, "the whole record as JSON: options, coefficients, figures", required=True),
            column("tested", _TEXT, "the whole back-test as JSON: figures, tenths and gains", required=True),
            column("inputs", _TEXT, "SHA-256 of all that both rest on, the rules too", required=True),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("model",),
    ),
    "churn_backtest": table(
        "How forecasts of past months did, fitted on what was known before each, by billing interval.",
        [
            column("snapshot", _DATE, "last day that the forecast knew", required=True),
            column("horizon_days", _INT, "days after it that were forecast", required=True),
            column("forecast", _TEXT, "model, or points: the published points beside it", required=True),
            column("interval", _TEXT, "all, or one billing interval", required=True),
            column("subscriptions", _INT, "subscriptions that were live", required=True),
            column("ends", _INT, "how many of them ended", required=True),
            column("base_rate", _REAL, "ends by subscriptions", required=True),
            column("mean_forecast", _REAL, "mean chance that was forecast", required=True),
            column("auc", _REAL, "chance that an ended one ranks above one that stayed; null without either"),
            column("brier", _REAL, "mean squared error of the forecast", required=True),
            column("brier_constant", _REAL, "the same of the base rate, known afterwards", required=True),
            column("lift_10", _REAL, "rate in the tenth with the highest chance by the base rate"),
            column("capture_10", _REAL, "share of the ends that this tenth holds"),
            column("calibration_slope", _REAL, "1 is right; below, differences were too bold"),
            column("calibration_intercept", _REAL, "0 is right; above, the level was too low"),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("snapshot", "horizon_days", "forecast", "interval"),
    ),
    "churn_probability": table(
        "Chance that each running subscription churns within 30 and 90 days, by kind, and the MRR expected to go.",
        [
            column("subscription", _TEXT, "subscription id", required=True, sensitive=True),
            column("customer", _TEXT, "customer id", sensitive=True),
            column("state", _TEXT, "at_risk, or leaving when its end is decided", required=True),
            *(
                field
                for days in (30, 90)
                for field in (
                    column(
                        f"p_{days}d",
                        _REAL,
                        f"chance of an end in {days} days, to the millionth",
                        required=True,
                    ),
                    *(
                        column(f"p_{days}d_{kind}", _REAL, f"the {kind} part of it; null without a model")
                        for kind in ("voluntary", "involuntary", "unknown")
                    ),
                )
            ),
            column("explanation", _TEXT, "what is known about it, in one sentence", required=True),
            column("currency", _TEXT, "currency of the amounts"),
            column("mrr", _TEXT, "MRR in minor units, exact fraction; null when unknown"),
            column("at_risk_30d_minor", _INT, "p_30d x MRR, rounded half to even; null when the MRR is unknown"),
            column("at_risk_90d_minor", _INT, "p_90d x MRR, likewise"),
            column("model", _TEXT, "SHA-256 of the model", required=True),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("subscription",),
    ),
    "churn_cohorts": table(
        "What is at stake in each retention cohort: the MRR expected to go, and what has gone already.",
        [
            column("segment_key", _TEXT, "key of the cohort and tier, as in released_cells", required=True),
            column("cohort", _TEXT, "payment_recovery, win_back or save_offer", required=True),
            column("tier", _TEXT, "tier, small ones folded into the largest", required=True),
            column("customers", _INT, "customers in it", required=True),
            column("subscriptions", _INT, "their running subscriptions", required=True),
            column("unknown_mrr", _INT, "amounts that are unknown and count nought", required=True),
            column("mrr_minor", _INT, "MRR of the running subscriptions", required=True),
            column("expected_30d_minor", _INT, "sum of p_30d x MRR, exact and rounded once", required=True),
            column("expected_30d_voluntary_minor", _INT, "its voluntary part; null without a model"),
            column("expected_30d_involuntary_minor", _INT, "its involuntary part; null without a model"),
            column("expected_90d_minor", _INT, "sum of p_90d x MRR, likewise", required=True),
            column("lost_minor", _INT, "last MRR of those who have left", required=True),
            column("at_stake_minor", _INT, "expected_30d_minor and lost_minor together", required=True),
            column("reporting_currency", _TEXT, "currency of the amounts", required=True),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("segment_key",),
    ),
}
