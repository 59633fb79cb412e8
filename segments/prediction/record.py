"""The model record: everything that a prediction needs and a reader may ask, and the two steps around it.

`fit` makes a record from histories as known at a snapshot; `predict` needs only the record and the histories.
A record is plain values: it goes to JSON and back without loss, and its hash names it. Where there are too
few events, the record holds the published points instead of a model, and says so in `fallback`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from segments.prediction.baseline import Baseline, fit_baseline, points
from segments.prediction.collection import collection_days
from segments.prediction.cycles import phases
from segments.prediction.features import FeatureSet
from segments.prediction.hazard import Cause, Options, fit_causes, survival
from segments.prediction.histories import Histories, as_histories, day_number, known_at, observed_days
from segments.prediction.payment_effects import PaymentEffect, fit_effects, with_effects
from segments.prediction.payments import Payments

__all__ = ["HORIZONS", "KINDS", "ModelRecord", "fit", "live_rows", "predict"]

HORIZONS = (30, 90)
KINDS = ("voluntary", "involuntary", "unknown")
_NEAR_DAYS = 30
_HIGHEST = 0.999


@dataclass(frozen=True)
class ModelRecord:
    """What was fitted, on what, and how well it did where that was measured."""

    method: str  # hazard, or points where there are too few events
    fallback: str  # why it is points; empty for a hazard model
    snapshot: str  # day up to which anything was known
    first_day: str | None  # days on which outcomes were observed
    last_day: str | None
    subscriptions: int
    events: int
    kinds_from: str  # reasons, or timing where no reason was recorded
    options: Options
    collection_days: tuple[int, ...]
    causes: tuple[Cause, ...]
    payments: tuple[PaymentEffect, ...]
    baseline: Baseline
    metrics: Mapping[str, float] = field(default_factory=dict)  # of a back-test; not part of the hash

    @property
    def hash(self) -> str:
        """Name of the fitted model: SHA-256 over everything but the metrics."""
        return hashlib.sha256(_canonical({**asdict(self), "metrics": {}}).encode()).hexdigest()

    def with_metrics(self, metrics: Mapping[str, float]) -> "ModelRecord":
        return replace(self, metrics=dict(metrics))

    def to_json(self) -> str:
        return _canonical({**asdict(self), "hash": self.hash})

    @classmethod
    def from_json(cls, text: str) -> "ModelRecord":
        """Read a record back; raises ValueError when its content doesn't match its hash."""
        values: dict[str, Any] = json.loads(text)
        stated = values.pop("hash")
        values["options"] = Options(**values["options"])
        values["baseline"] = Baseline(**values["baseline"])
        values["collection_days"] = tuple(values["collection_days"])
        values["causes"] = tuple(_cause(cause) for cause in values["causes"])
        values["payments"] = tuple(
            PaymentEffect(**{**one, "signs": tuple(one["signs"]), "coefficients": tuple(one["coefficients"])})
            for one in values["payments"]
        )
        record = cls(**values)
        if record.hash != stated:
            raise ValueError(f"model record {stated[:12]} was changed since it was made: fit it again")
        return record

    def coefficients(self) -> pd.DataFrame:
        """Columns cause, feature, coefficient (log-odds) and odds_ratio, for people to read.

        Log-odds of a day at risk; for a payment sign, of the next 30 days.
        """
        rows = [
            (cause.name, name, value)
            for cause in self.causes
            for name, value in [
                ("intercept", cause.intercept),
                *zip(cause.features.names, cause.coefficients, strict=True),
                *((f"latest rate:{phase}", float(np.log(factor))) for phase, factor in cause.recent),
            ]
        ]
        rows += [
            (effect.kind, f"payment:{sign}", value)
            for effect in self.payments
            for sign, value in zip(effect.signs, effect.coefficients, strict=True)
        ]
        table = pd.DataFrame(rows, columns=["cause", "feature", "coefficient"])
        return table.assign(odds_ratio=np.exp(table["coefficient"].astype(float)))


def fit(
    histories: Any, *, snapshot: date, options: Options | None = None, payments: Payments | None = None
) -> ModelRecord:
    """Fit on what was known at the end of the snapshot day; later rows and outcomes are not looked at.

    With `payments` of the same subscriptions, the chance of the next 30 days also rests on their state then.
    """
    options = options or Options()
    day = day_number(snapshot)
    known = known_at(as_histories(histories), day)
    observed = observed_days(known, day, window_days=options.window_days)
    base = fit_baseline(known, observed, payments)
    collection: tuple[int, ...] = ()
    causes: tuple[Cause, ...] = ()
    effects: tuple[PaymentEffect, ...] = ()
    events = 0
    if observed is not None:
        inside = (known.canceled >= observed.first) & (known.canceled <= observed.last)
        events = int(inside.sum())
        collection = collection_days(known, observed)
        causes = fit_causes(known, observed, collection, options)
        if causes and payments is not None:
            effects = fit_effects(known, observed, payments)
    short = f"{events} cancellations are known, {options.least_events} are needed for a model"
    return ModelRecord(
        method="hazard" if causes else "points",
        fallback="" if causes else short,
        snapshot=snapshot.isoformat(),
        first_day=_day(observed.first) if observed else None,
        last_day=_day(observed.last) if observed else None,
        subscriptions=len(known),
        events=events,
        kinds_from="reasons" if (known.reason != "").any() else "timing",
        options=options,
        collection_days=collection if causes else (),
        causes=causes,
        payments=effects,
        baseline=base,
    )


def predict(
    model: ModelRecord,
    histories: Any,
    *,
    snapshot: date,
    horizons: tuple[int, ...] = HORIZONS,
    payments: Payments | None = None,
) -> pd.DataFrame:
    """Chance of churn of every subscription that is live at the snapshot, in the order of the histories.

    Columns: row, p_30d, p_90d, and per horizon and kind `p_30d_voluntary`, `p_30d_involuntary`,
    `p_30d_unknown` (they add up to the chance; empty where the points were used). Raises ValueError when the
    model knew more than the snapshot does, or knows payments and is given none.
    """
    if date.fromisoformat(model.snapshot) > snapshot:
        raise ValueError(f"the model knows outcomes up to {model.snapshot}, after the snapshot {snapshot}")
    if model.payments and payments is None:
        raise ValueError("the model rests on the state of payments: give the payments of the subscriptions")
    day = day_number(snapshot)
    live = live_rows(as_histories(histories), snapshot)
    shown = None if payments is None else payments.at(live.row, day)
    columns: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    if model.method == "points":
        for horizon in horizons:
            columns[f"p_{horizon}d"] = model.baseline.chance(points(live, day, shown), horizon_days=horizon)
            parts |= {f"p_{horizon}d_{kind}": np.nan for kind in KINDS}
        return pd.DataFrame({"row": live.row, **columns, **parts})
    by_phase = phases(model.collection_days)
    near = _NEAR_DAYS if model.payments else 0
    needed = sorted({near, *horizons} - {0})
    base = {
        days: survival(live, model.causes, by_phase, after=day, horizon_days=days).clip(upper=_HIGHEST)
        for days in needed
    }
    for horizon in horizons:
        by_kind = _with_payments(model, base, shown, near=near, horizon=horizon)
        columns[f"p_{horizon}d"] = np.sum(list(by_kind.values()), axis=0)
        parts |= {f"p_{horizon}d_{kind}": by_kind[kind] for kind in KINDS}
    return pd.DataFrame({"row": live.row, **columns, **parts})


def _with_payments(
    model: ModelRecord, base: Mapping[int, pd.DataFrame], shown: pd.DataFrame | None, *, near: int, horizon: int
) -> dict[str, Any]:
    """Chances by kind. Signs act on the next 30 days, or on all days of a shorter horizon; who has stayed through
    these follows the hazard again."""
    whole = base[horizon]
    if shown is None or not model.payments:
        return {kind: whole[kind].to_numpy() for kind in KINDS}
    first = base[min(near, horizon)]
    moved = {kind: with_effects(first[kind].to_numpy(), kind, model.payments, shown) for kind in KINDS}
    total = np.sum(list(moved.values()), axis=0)
    moved = {kind: part * np.minimum(1, _HIGHEST / np.maximum(total, 1e-12)) for kind, part in moved.items()}
    stays = (1 - np.minimum(total, _HIGHEST)) / (1 - first["p"].to_numpy())
    later = np.maximum(stays, 0)
    return {kind: moved[kind] + later * (whole[kind] - first[kind]).to_numpy() for kind in KINDS}


def live_rows(histories: Histories, snapshot: date) -> Histories:
    """Those created by the snapshot and not canceled by it."""
    known = known_at(histories, day_number(snapshot))
    return known.take(known.live_at(day_number(snapshot)))


def _cause(values: dict[str, Any]) -> Cause:
    features: dict[str, Any] = dict(values["features"])
    features |= {name: tuple(value) for name, value in features.items() if isinstance(value, list)}
    return Cause(
        name=values["name"],
        kind=values["kind"],
        phases=tuple(values["phases"]),
        events=values["events"],
        features=FeatureSet(**features),
        intercept=values["intercept"],
        coefficients=tuple(values["coefficients"]),
        recent=tuple((name, factor) for name, factor in values["recent"]),
        over=tuple((name, since, factor) for name, since, factor in values["over"]),
    )


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()
