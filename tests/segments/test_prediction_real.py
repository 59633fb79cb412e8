"""The promise on real histories: trained on January and February 2018, better than the reference in March."""

from datetime import date

import pandas as pd
import pytest

from segments.prediction import backtest, fit, predict

# A logistic on interval, plan family, log tenure, renewal due, first quarter, country and several seats.
REFERENCE = {"all": 0.753, "month": 0.585, "year": 0.852}


def test_march_is_predicted_better_than_by_the_reference(real_histories: pd.DataFrame) -> None:
    split = backtest(real_histories, splits=[(date(2018, 2, 28), 31)]).splits[0]
    auc = {figure.group: figure.auc or 0.0 for figure in split.scores}
    assert {group: auc[group] > value for group, value in REFERENCE.items()} == dict.fromkeys(REFERENCE, True)
    assert split.overall.brier < 0.0447
    assert (split.overall.lift_10 or 0) > 2.97
    assert split.better_than_baseline


@pytest.mark.parametrize("snapshot", [date(2018, 2, 10), date(2018, 2, 28)], ids=str)
def test_a_file_that_ends_at_the_snapshot_gives_the_same_answer(
    real_histories: pd.DataFrame, snapshot: date
) -> None:
    some = real_histories[real_histories["row"] % 4 == 0]
    cut = some.assign(canceled_at=some["canceled_at"].where(some["canceled_at"] <= snapshot.isoformat()))
    answers = [predict(fit(f, snapshot=snapshot), f, snapshot=snapshot) for f in (some, cut)]
    pd.testing.assert_frame_equal(*answers)


def test_a_month_whose_outcomes_are_withheld_is_predicted(real_histories: pd.DataFrame) -> None:
    snapshot = date(2018, 4, 30)
    model = fit(real_histories, snapshot=snapshot)
    chance = predict(model, real_histories, snapshot=snapshot)
    assert model.last_day == "2018-03-31"
    assert len(chance) == real_histories["canceled_at"].isna().sum()
    assert 0.03 < chance["p_30d"].mean() < 0.07
