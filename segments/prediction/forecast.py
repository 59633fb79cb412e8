"""One run of the churn prediction on an account: fit, test on months that have ended, forecast, put in tables.

Here: the order of the steps, the tables of the model and its back-test, the rule that a model which the back-test
found worse than the published points is not used, and the rule that a model holds while nothing it rests on has
changed. Not here: any of the steps.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import sklearn
from threadpoolctl import threadpool_limits

from segments.prediction.backtest import BacktestRecord, backtest, month_splits
from segments.prediction.histories import Histories, as_histories
from segments.prediction.payments import Payments, payments_from_stripe
from segments.prediction.probabilities import churn_probability
from segments.prediction.record import ModelRecord, fit
from segments.prediction.stripe_histories import from_stripe
from segments.rules import rules
from segments.tables import SEGMENT_TABLES

__all__ = ["Forecast", "churn_forecast"]

_SPLITS: Final = 3
_WORSE: Final = "the back-test found the model worse than the points"


@dataclass(frozen=True)
class Forecast:
    """What one run of the prediction made; `kept` when model and back-test are those of the run before."""

    model: ModelRecord
    tested: BacktestRecord
    kept: bool
    churn_model: pa.Table
    churn_backtest: pa.Table
    churn_probability: pa.Table


def churn_forecast(
    subscriptions: Any,
    subscription_items: Any,
    customers: Any,
    invoices: Any,
    charges: Any,
    payment_methods: Any,
    disputes: Any,
    *,
    subscription_mrr: pa.Table,
    as_of: datetime,
    earlier: pa.Table | None = None,
) -> Forecast:
    """Chances for the subscriptions of the raw tables of these names, as known at `as_of`.

    `earlier` is the `churn_model` of the run before: where the day, the histories, the payments and the rules are
    the same, its model and its back-test are taken over instead of being made again.
    """
    histories = from_stripe(subscriptions, subscription_items, customers, as_of=as_of)
    payments = payments_from_stripe(subscriptions, invoices, charges, payment_methods, disputes)
    checked = as_histories(histories)
    inputs = _digest(checked, payments, as_of.date())
    held = _held(earlier, inputs)
    # The matrices are small: waiting for each other costs threads more than they save, a third on a busy machine.
    with threadpool_limits(limits=1):
        model, tested = held or _fitted(checked, payments, as_of.date())
        chances = churn_probability(model, histories, payments, subscription_mrr, as_of=as_of)
    return Forecast(
        model=model,
        tested=tested,
        kept=held is not None,
        churn_model=_model_table(model, tested, inputs, as_of),
        churn_backtest=_backtest_table(tested, as_of),
        churn_probability=chances,
    )


def _fitted(histories: Histories, payments: Payments, today: date) -> tuple[ModelRecord, BacktestRecord]:
    """The model to use, and how it did in the last months that have ended."""
    model = fit(histories, snapshot=today, payments=payments)
    tested = BacktestRecord(())
    if model.method != "points" and model.first_day and model.last_day:
        first, last = (date.fromisoformat(day) for day in (model.first_day, model.last_day))
        splits = month_splits(first, last, at_most=_SPLITS)
        tested = backtest(histories, splits=splits, payments=payments)
        if not tested.better_than_baseline:
            model = replace(model, method="points", fallback=_WORSE, collection_days=(), causes=(), payments=())
    return model.with_metrics(tested.metrics()), tested


def _held(earlier: pa.Table | None, inputs: str) -> tuple[ModelRecord, BacktestRecord] | None:
    """Model and back-test of the run before, if they rest on the same."""
    if earlier is None or "inputs" not in earlier.column_names:
        return None
    for row in earlier.select(["inputs", "record", "tested"]).to_pylist():
        if row["inputs"] == inputs:
            return ModelRecord.from_json(row["record"]), BacktestRecord.from_json(row["tested"])
    return None


def _digest(histories: Histories, payments: Payments, today: date) -> str:
    """SHA-256 of all that model and back-test rest on, the code among it."""
    digest = hashlib.sha256(f"{rules()} {sklearn.__version__} {today}".encode())
    for part in (histories, payments):
        for name, column in vars(part).items():
            values = np.asarray(column)
            digest.update(f" {name} {len(values)} ".encode())
            digest.update(pd.util.hash_array(values).tobytes())
    return digest.hexdigest()


def _model_table(model: ModelRecord, tested: BacktestRecord, inputs: str, as_of: datetime) -> pa.Table:
    held = model.coefficients()
    row = {
        "model": model.hash,
        "method": model.method,
        "fallback": model.fallback,
        "first_day": None if model.first_day is None else date.fromisoformat(model.first_day),
        "last_day": None if model.last_day is None else date.fromisoformat(model.last_day),
        "subscriptions": model.subscriptions,
        "ends": model.events,
        "kinds_from": model.kinds_from,
        "features": "; ".join(
            f"{cause}/{feature}" for cause, feature in zip(held.cause, held.feature, strict=True)
        ),
        "record": model.to_json(),
        "tested": tested.to_json(),
        "inputs": inputs,
        "as_of": as_of,
    }
    return pa.Table.from_pylist([row], schema=SEGMENT_TABLES["churn_model"])


def _backtest_table(tested: BacktestRecord, as_of: datetime) -> pa.Table:
    rows = [
        {
            "snapshot": date.fromisoformat(split.snapshot),
            "horizon_days": split.horizon_days,
            "forecast": forecast,
            "interval": one.group,
            "subscriptions": one.n,
            "ends": one.events,
            **{name: value for name, value in vars(one).items() if name not in ("group", "n", "events")},
            "as_of": as_of,
        }
        for split in tested.splits
        for forecast, figures in (("model", split.scores), ("points", split.baseline))
        for one in figures
    ]
    return pa.Table.from_pylist(rows, schema=SEGMENT_TABLES["churn_backtest"])
