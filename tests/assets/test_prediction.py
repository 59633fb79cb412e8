"""What the UI shows of the churn model: figures and pictures of the back-test, and a check that can fail."""

from dataclasses import replace
from datetime import date

import dagster as dg
import pytest

from assets.metadata import inline_svg
from assets.segments import SEGMENT_ASSETS, prediction
from segments.prediction import (
    BacktestRecord,
    Forecast,
    ModelRecord,
    Split,
    backtest,
    calibration_svg,
    fit,
    gains_svg,
)
from segments.tables import SEGMENT_TABLES
from tests.segments.simulated_histories import simulate

_DAY = date(2024, 9, 30)


@pytest.fixture(scope="module")
def split() -> Split:
    return backtest(simulate(1_500, seed=4), splits=[(_DAY, 31)]).splits[0]


@pytest.fixture(scope="module")
def model() -> ModelRecord:
    return fit(simulate(1_500, seed=4), snapshot=_DAY)


def _forecast(model: ModelRecord, *splits: Split) -> Forecast:
    empty = {
        name: SEGMENT_TABLES[name].empty_table() for name in ("churn_model", "churn_backtest", "churn_probability")
    }
    return Forecast(model=model, tested=BacktestRecord(splits), kept=False, **empty)


def test_the_check_passes_where_the_model_is_no_worse_and_says_in_how_many_months(
    split: Split, model: ModelRecord
) -> None:
    verdict = prediction._verdict(_forecast(model, split))
    assert verdict.passed
    assert verdict.description == "better in 1 months that were tested"
    brier, points = (float(str(verdict.metadata[name].value)) for name in ("brier", "brier_points"))
    assert brier < points


def test_the_check_fails_where_the_points_were_better(split: Split, model: ModelRecord) -> None:
    worse = replace(split, scores=(replace(split.overall, brier=split.baseline[0].brier + 0.001),))
    verdict = prediction._verdict(_forecast(model, worse))
    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.WARN


def test_nothing_tested_is_no_failure_and_shows_no_figures(model: ModelRecord) -> None:
    made = _forecast(model)
    assert prediction._verdict(made).passed
    assert prediction._figures(made) is None


def test_pictures_and_figures_are_shown_inline(split: Split, model: ModelRecord) -> None:
    for picture in (calibration_svg(split), gains_svg(split)):
        assert inline_svg(picture) is not None
    shown = prediction._figures(_forecast(model, split))
    assert shown is not None
    assert [line.split(" | ")[1] for line in (shown.value or "").splitlines()[2:]] == ["all", "month", "year"] * 2


def test_effects_name_no_plan_and_no_price(model: ModelRecord) -> None:
    shown = prediction._effects(_forecast(model))
    assert shown is not None
    assert "log_tenure" in (shown.value or "")
    assert "plan:" not in (shown.value or "")


def test_the_model_the_back_test_and_the_chances_are_made_together() -> None:
    keys = [asset.keys for asset in SEGMENT_ASSETS]
    together = {dg.AssetKey(["segments", f"churn_{name}"]) for name in ("model", "backtest", "probability")}
    assert together in keys
