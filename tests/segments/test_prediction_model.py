"""The model on accounts whose hazards are known: recovered, without peeking, and with its fallback."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from segments.prediction import ModelRecord, fit, predict
from tests.segments.simulated_histories import RENEWAL, UNPAID, simulate

SNAPSHOT = date(2024, 9, 30)


@pytest.fixture(scope="module")
def histories() -> pd.DataFrame:
    return simulate(8000, seed=1)


@pytest.fixture(scope="module")
def model(histories: pd.DataFrame) -> ModelRecord:
    return fit(histories, snapshot=SNAPSHOT)


def test_known_hazards_are_recovered(histories: pd.DataFrame, model: ModelRecord) -> None:
    chance = predict(model, histories, snapshot=SNAPSHOT).merge(histories, on="row")
    monthly = chance[(chance["interval"] == "month") & (chance["created"] < "2024-06-01")]
    by_plan = monthly.groupby("plan_id")[["p_30d", "p_30d_voluntary", "p_30d_involuntary"]].mean()
    assert model.collection_days == (12,)
    for plan, renewal in RENEWAL.items():
        assert by_plan.loc[plan, "p_30d_voluntary"] == pytest.approx(renewal, rel=0.15)
        assert by_plan.loc[plan, "p_30d_involuntary"] == pytest.approx(UNPAID, rel=0.2)
    yearly = chance[chance["interval"] == "year"]
    due = pd.to_datetime(yearly["created"]).dt.strftime("%m-%d").between("10-02", "10-28")
    assert yearly.loc[due, "p_30d"].mean() > 5 * yearly.loc[~due, "p_30d"].mean()


def test_kinds_add_up_and_ninety_days_hold_more_than_thirty(histories: pd.DataFrame, model: ModelRecord) -> None:
    chance = predict(model, histories, snapshot=SNAPSHOT)
    for horizon in ("p_30d", "p_90d"):
        kinds = chance[[f"{horizon}_{kind}" for kind in ("voluntary", "involuntary", "unknown")]]
        np.testing.assert_allclose(kinds.sum(axis=1), chance[horizon], rtol=1e-9)
    assert (chance["p_90d"] > chance["p_30d"]).all()
    assert chance["p_90d"].between(0, 1).all()


def test_only_the_living_are_predicted_in_the_order_of_the_file(
    histories: pd.DataFrame, model: ModelRecord
) -> None:
    mixed = histories.sample(frac=1, random_state=3)
    day = SNAPSHOT.isoformat()
    living = mixed[(mixed["created"] <= day) & ~(mixed["canceled_at"] <= day)]
    assert predict(model, mixed, snapshot=SNAPSHOT)["row"].tolist() == living["row"].tolist()


def test_outcomes_after_the_snapshot_change_nothing(histories: pd.DataFrame, model: ModelRecord) -> None:
    day = SNAPSHOT.isoformat()
    cut = histories[histories["created"] <= day].copy()
    cut.loc[cut["canceled_at"] > day, "canceled_at"] = None
    again = fit(cut, snapshot=SNAPSHOT)
    assert again.hash == model.hash
    pd.testing.assert_frame_equal(
        predict(again, cut, snapshot=SNAPSHOT), predict(model, histories, snapshot=SNAPSHOT)
    )


def test_order_of_the_rows_changes_nothing_that_matters(histories: pd.DataFrame, model: ModelRecord) -> None:
    mixed = histories.sample(frac=1, random_state=3)
    again = predict(fit(mixed, snapshot=SNAPSHOT), mixed, snapshot=SNAPSHOT).sort_values("row")
    first = predict(model, histories, snapshot=SNAPSHOT)
    np.testing.assert_allclose(again["p_30d"], first["p_30d"], rtol=1e-5)


def test_a_new_collection_schedule_is_followed() -> None:
    old = simulate(8000, seed=1)
    day = pd.to_datetime(old["canceled_at"])
    begun = pd.to_datetime(old["created"])
    late = (day >= "2024-09-13") & ((day - begun).dt.days > 13) & (old["interval"] == "month")
    late &= (day - pd.Timedelta(days=12)).dt.day == begun.dt.day
    old.loc[late, "canceled_at"] = (day[late] + pd.Timedelta(days=7)).dt.strftime("%Y-%m-%d")
    model = fit(old, snapshot=SNAPSHOT)
    latest = dict(next(cause for cause in model.causes if cause.name == "collection").recent)
    assert model.collection_days == (12, 19)
    assert latest["collection+12"] < 0.5 < 2 < latest["collection+19"]


def test_a_recorded_reason_decides_the_kind(histories: pd.DataFrame) -> None:
    told = histories.assign(reason=np.where(histories["plan_id"] == "dear", "involuntary", "voluntary"))
    model = fit(told, snapshot=SNAPSHOT)
    chance = predict(model, told, snapshot=SNAPSHOT).merge(told[["row", "plan_id"]], on="row")
    share = chance.groupby("plan_id")[["p_30d", "p_30d_voluntary"]].mean()
    assert model.kinds_from == "reasons"
    assert share.loc["cheap", "p_30d_voluntary"] / share.loc["cheap", "p_30d"] > 0.9
    assert share.loc["dear", "p_30d_voluntary"] / share.loc["dear", "p_30d"] < 0.1


def test_a_record_survives_json_and_tells_when_it_was_changed(histories: pd.DataFrame, model: ModelRecord) -> None:
    text = model.with_metrics({"auc|all": 0.7}).to_json()
    back = ModelRecord.from_json(text)
    assert (back.hash, back.metrics) == (model.hash, {"auc|all": 0.7})
    pd.testing.assert_frame_equal(
        predict(back, histories, snapshot=SNAPSHOT), predict(model, histories, snapshot=SNAPSHOT)
    )
    changed = {**json.loads(text), "events": 1}
    with pytest.raises(ValueError, match="was changed"):
        ModelRecord.from_json(json.dumps(changed))


def test_coefficients_are_readable(model: ModelRecord) -> None:
    table = model.coefficients().set_index(["cause", "feature"])["odds_ratio"]
    assert table["renewal", "plan:cheap"] > 2 * table["renewal", "plan:dear"]


def test_a_model_may_not_know_more_than_the_snapshot(histories: pd.DataFrame, model: ModelRecord) -> None:
    with pytest.raises(ValueError, match="knows outcomes up to 2024-09-30"):
        predict(model, histories, snapshot=date(2024, 9, 29))


def test_plans_and_countries_that_were_never_seen_get_a_chance(model: ModelRecord) -> None:
    other = simulate(300, seed=5).assign(plan_id="gold", country="")
    assert predict(model, other, snapshot=SNAPSHOT)["p_30d"].between(0.0001, 0.5).all()


@pytest.mark.parametrize(
    ("number", "refitted"), [pytest.param(10, False, id="hardly any"), pytest.param(60, True, id="some")]
)
def test_too_few_events_fall_back_to_points_and_say_so(number: int, refitted: bool) -> None:
    few = simulate(number, seed=2)
    model = fit(few, snapshot=date(2024, 5, 31))
    chance = predict(model, few, snapshot=date(2024, 5, 31))
    assert model.method == "points"
    assert model.fallback == f"{model.events} cancellations are known, 50 are needed for a model"
    assert (model.baseline.events > 0) is refitted
    assert chance["p_30d"].between(0, 0.6).all()
    assert chance["p_30d_voluntary"].isna().all()
    assert ModelRecord.from_json(model.to_json()) == model


def test_published_points_put_a_settled_monthly_subscription_at_four_percent() -> None:
    one = pd.DataFrame(
        [{"row": 1, "created": "2023-01-10", "canceled_at": None, "plan_id": "p", "interval": "month"}]
    )
    chance = predict(fit(one, snapshot=SNAPSHOT), one, snapshot=SNAPSHOT)
    assert chance["p_30d"].tolist() == pytest.approx([0.04])


def test_nobody_alive_is_an_empty_answer(histories: pd.DataFrame, model: ModelRecord) -> None:
    gone = histories[histories["canceled_at"] <= SNAPSHOT.isoformat()]
    answer = predict(model, gone, snapshot=SNAPSHOT)
    assert answer.empty
    assert list(answer)[:3] == ["row", "p_30d", "p_90d"]
