"""The honest back-test: fit on what was known at a day, look at what happened after it.

Here: time splits, their figures by billing interval, for the model and for the points baseline fitted on the
same days, and whether the model is worse. Not here: pictures (`charts`). The Brier score is compared with the
constant forecast that knows the true rate, which is stricter than the rate known before.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from segments.prediction.baseline import points
from segments.prediction.hazard import Options
from segments.prediction.histories import as_histories, day_number
from segments.prediction.payments import Payments
from segments.prediction.record import fit, live_rows, predict

__all__ = ["BacktestRecord", "Figures", "Split", "backtest", "figures", "month_splits"]

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Figures:
    """How forecasts did on one group; None where a figure isn't defined (no event, or nothing but events)."""

    group: str  # all, or an interval
    n: int
    events: int
    base_rate: float
    mean_forecast: float
    auc: float | None
    brier: float
    brier_constant: float
    lift_10: float | None  # rate among the tenth with the highest chance, by the base rate
    capture_10: float | None  # share of all events in that tenth
    calibration_slope: float | None
    calibration_intercept: float | None  # of the log-odds with the slope held at 1: 0 is right


@dataclass(frozen=True)
class Split:
    """One time split: fitted at the end of `snapshot`, tested on the `horizon_days` after it."""

    snapshot: str
    horizon_days: int
    method: str  # of the model: hazard, or points where there were too few events
    scores: tuple[Figures, ...]
    baseline: tuple[Figures, ...]
    bins: tuple[tuple[float, float, int], ...]  # tenths by forecast: mean forecast, rate seen, number
    gains: tuple[float, ...]  # share of events in the first 0, 10, ..., 100 %

    @property
    def overall(self) -> Figures:
        return self.scores[0]

    @property
    def better_than_baseline(self) -> bool:
        """The model's Brier score is no worse than the points baseline's."""
        return self.overall.brier <= self.baseline[0].brier


@dataclass(frozen=True)
class BacktestRecord:
    """All splits of a back-test, oldest first."""

    splits: tuple[Split, ...]

    @property
    def better_than_baseline(self) -> bool:
        """Holds for the events of all splits together; true when there was nothing to test."""
        ours = sum(split.overall.brier * split.overall.n for split in self.splits)
        points_ = sum(split.baseline[0].brier * split.baseline[0].n for split in self.splits)
        return ours <= points_

    def table(self) -> pd.DataFrame:
        """One line per split, forecaster (hazard or points model, and the baseline) and group."""
        rows = [
            {"snapshot": split.snapshot, "horizon_days": split.horizon_days, "forecast": name, **vars(figure)}
            for split in self.splits
            for name, group in ((split.method, split.scores), ("baseline", split.baseline))
            for figure in group
        ]
        return pd.DataFrame(rows)

    def metrics(self) -> dict[str, float]:
        """The figures of the latest split, flat, for a model record or a chart over time."""
        if not self.splits:
            return {}
        flat: dict[str, float] = {}
        for figure in self.splits[-1].scores:
            for name, value in vars(figure).items():
                if name != "group" and value is not None:
                    flat[f"{name}|{figure.group}"] = round(float(value), 6)
        return flat

    def to_json(self) -> str:
        return json.dumps([asdict(split) for split in self.splits], allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "BacktestRecord":
        """Read one back without loss."""
        return cls(tuple(_split(values) for values in json.loads(text)))


def backtest(
    histories: Any,
    *,
    splits: Sequence[tuple[date, int]],
    options: Options | None = None,
    payments: Payments | None = None,
) -> BacktestRecord:
    """Fit and test once per (snapshot, horizon in days); splits that end after the last outcome are the
    caller's mistake: their missing ends would count as stays."""
    checked = as_histories(histories)
    done = []
    for snapshot, horizon in sorted(splits):
        model = fit(checked, snapshot=snapshot, options=options, payments=payments)
        chance = predict(model, checked, snapshot=snapshot, horizons=(horizon,), payments=payments)
        forecast = chance[f"p_{horizon}d"].to_numpy(dtype=np.float64)
        live = live_rows(checked, snapshot)
        day = day_number(snapshot)
        ended = pd.Series(checked.canceled, index=checked.row).reindex(live.row).to_numpy() <= day + horizon
        shown = None if payments is None else payments.at(live.row, day)
        base = model.baseline.chance(points(live, day, shown), horizon_days=horizon)
        done.append(
            Split(
                snapshot=snapshot.isoformat(),
                horizon_days=horizon,
                method=model.method,
                scores=_by_group(forecast, ended, live.interval),
                baseline=_by_group(base, ended, live.interval),
                bins=_bins(forecast, ended),
                gains=_gains(forecast, ended),
            )
        )
    return BacktestRecord(tuple(done))


def month_splits(first: date, last: date, *, at_most: int = 6) -> list[tuple[date, int]]:
    """The latest splits at month ends: a whole month of outcomes to learn from, a whole one to test.

    `first` and `last` are the days between which outcomes are known (a model record's `first_day`, `last_day`).
    """
    learned = first if first.day == 1 else _next_month(first)
    tested = _next_month(learned)
    splits: list[tuple[date, int]] = []
    while (end := _next_month(tested)) <= last + timedelta(days=1):
        splits.append((tested - timedelta(days=1), (end - tested).days))
        tested = end
    return splits[-at_most:]


def figures(group: str, forecast: Values, ended: Flags) -> Figures:
    """All figures of one group of forecasts (chances) and what happened."""
    n, events = len(ended), int(ended.sum())
    rate = events / n
    mixed = 0 < events < n
    share = _gains(forecast, ended)[1] if events else None
    slope, intercept = _calibration(forecast, ended) if mixed else (None, None)
    return Figures(
        group=group,
        n=n,
        events=events,
        base_rate=rate,
        mean_forecast=float(forecast.mean()),
        auc=float(roc_auc_score(ended, forecast)) if mixed else None,
        brier=float(np.mean((forecast - ended) ** 2)),
        brier_constant=rate * (1 - rate),
        lift_10=share * 10 if share is not None else None,
        capture_10=share,
        calibration_slope=slope,
        calibration_intercept=intercept,
    )


def _split(values: dict[str, Any]) -> Split:
    groups = {name: tuple(Figures(**one) for one in values[name]) for name in ("scores", "baseline")}
    tenths: Any = tuple(tuple(one) for one in values["bins"])
    return Split(**{**values, **groups, "bins": tenths, "gains": tuple(values["gains"])})


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _by_group(forecast: Values, ended: Flags, interval: npt.NDArray[np.str_]) -> tuple[Figures, ...]:
    if not len(ended):
        return (Figures("all", 0, 0, 0.0, 0.0, None, 0.0, 0.0, None, None, None, None),)
    groups = [("all", np.ones(len(ended), dtype=np.bool_))]
    groups += [(str(name), interval == name) for name in sorted(set(interval))]
    return tuple(figures(name, forecast[own], ended[own]) for name, own in groups)


def _calibration(forecast: Values, ended: Flags) -> tuple[float, float]:
    chance = np.clip(forecast, 1e-9, 1 - 1e-9)
    odds = np.log(chance / (1 - chance))
    slope = 0.0
    if np.ptp(odds) > 0:
        line = LogisticRegression(C=1e8, solver="newton-cholesky", max_iter=100).fit(odds[:, None], ended)
        slope = float(line.coef_[0][0])
    level = 0.0
    for _ in range(50):  # Newton's steps for one number
        expected = 1 / (1 + np.exp(-(odds + level)))
        step = float((ended - expected).sum() / max((expected * (1 - expected)).sum(), 1e-12))
        level += float(np.clip(step, -2, 2))
        if abs(step) < 1e-10:
            break
    return slope, level


def _gains(forecast: Values, ended: Flags) -> tuple[float, ...]:
    """Share of the events in the first tenths by forecast; equal forecasts share their events evenly."""
    if not len(ended) or not ended.any():
        return (0.0,) * 11
    _, place, count = np.unique(-forecast, return_inverse=True, return_counts=True)
    reached = np.concatenate([[0.0], np.cumsum(count)])
    caught = np.concatenate([[0.0], np.cumsum(np.bincount(place, weights=ended))])
    return tuple(float(v) for v in np.interp(np.linspace(0, 1, 11) * len(ended), reached, caught / ended.sum()))


def _bins(forecast: Values, ended: Flags) -> tuple[tuple[float, float, int], ...]:
    parts = [part for part in np.array_split(np.argsort(forecast, kind="stable"), 10) if len(part)]
    return tuple((float(forecast[part].mean()), float(ended[part].mean()), len(part)) for part in parts)
