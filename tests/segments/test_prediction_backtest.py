"""Figures of the back-test by hand, its splits and pictures, and expected revenue at risk."""

from datetime import date

import numpy as np
import pytest

from segments.prediction import backtest, calibration_svg, gains_svg, month_splits
from segments.prediction.backtest import figures
from tests.segments.simulated_histories import simulate


def test_figures_of_ten_forecasts_by_hand() -> None:
    forecast = np.array([0.9, 0.8, *[0.1] * 8])
    ended = np.array([True, False, True, *[False] * 7])
    told = figures("all", forecast, ended)
    # Pairs (end, stay): 0.9 beats 8 of 8; 0.1 ties with 7 and loses to 0.8: (8 + 3.5) / 16.
    assert told.auc == pytest.approx(11.5 / 16)
    assert told.brier == pytest.approx((0.01 + 0.64 + 0.81 + 7 * 0.01) / 10)
    assert told.brier_constant == pytest.approx(0.2 * 0.8)
    assert (told.capture_10, told.lift_10) == (pytest.approx(0.5), pytest.approx(5))


def test_equal_forecasts_have_no_lift() -> None:
    told = figures("all", np.full(20, 0.1), np.arange(20) < 2)
    assert (told.lift_10, told.auc) == (pytest.approx(1), pytest.approx(0.5))
    assert told.calibration_intercept == pytest.approx(0, abs=1e-6)


def test_forecasts_that_are_too_bold_have_a_slope_below_one() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 1, 20_000)
    ended = rng.random(20_000) < 1 / (1 + np.exp(-odds))
    told = figures("all", 1 / (1 + np.exp(-(2 * odds + 1))), ended)
    assert told.calibration_slope == pytest.approx(0.5, abs=0.03)


def test_figures_without_events_stay_empty() -> None:
    told = figures("all", np.full(5, 0.1), np.zeros(5, dtype=np.bool_))
    assert (told.auc, told.lift_10, told.calibration_slope) == (None, None, None)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        pytest.param("2018-01-01", "2018-03-30", [("2018-01-31", 28)], id="March isn't over"),
        pytest.param("2018-01-01", "2018-03-31", [("2018-01-31", 28), ("2018-02-28", 31)], id="March is over"),
        pytest.param(
            "2018-01-15", "2018-03-31", [("2018-02-28", 31)], id="half a month is too little to learn from"
        ),
        pytest.param("2018-03-01", "2018-03-31", [], id="nothing to test"),
        pytest.param("2010-01-01", "2018-03-31", [("2018-01-31", 28), ("2018-02-28", 31)], id="the latest two"),
    ],
)
def test_month_splits(first: str, last: str, expected: list[tuple[str, int]]) -> None:
    splits = month_splits(date.fromisoformat(first), date.fromisoformat(last), at_most=2)
    assert [(day.isoformat(), horizon) for day, horizon in splits] == expected


def test_the_model_beats_the_points_where_there_is_something_to_learn() -> None:
    record = backtest(simulate(5000, seed=4), splits=month_splits(date(2024, 8, 1), date(2024, 11, 30)))
    table = record.table()
    assert record.better_than_baseline
    assert [split.snapshot for split in record.splits] == ["2024-08-31", "2024-09-30", "2024-10-31"]
    assert table.groupby("forecast")["group"].unique().map(list).to_dict() == {
        "hazard": ["all", "month", "year"],
        "baseline": ["all", "month", "year"],
    }
    assert record.metrics()["auc|all"] == pytest.approx(record.splits[-1].overall.auc, abs=1e-6)
    slope = [split.overall.calibration_slope for split in record.splits]
    assert np.mean([value for value in slope if value is not None]) == pytest.approx(1, abs=0.25)
    for picture in (calibration_svg(record.splits[-1]), gains_svg(record.splits[-1])):
        assert picture.startswith("<svg")
        assert len(picture) < 1000
