"""Chances by subscription and what is at stake by cohort: exact, rounded once, unknown parts told apart."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pandas as pd
import pytest

from segments.prediction import BacktestRecord, Forecast, churn_cohorts, churn_forecast, forecast
from segments.tables import SEGMENT_TABLES
from tests.segments.raw import AS_OF, at, by_key, raw, segment

_HALF_EURO = {"eur": (Fraction(3, 2), date(2026, 5, 14))}
_CHANCE = {"p_30d": 0.5, "p_30d_voluntary": 0.25, "p_30d_involuntary": 0.25, "p_90d": 0.75}


def _cohorts(
    chances: list[dict[str, Any]], people: dict[str, dict[str, Any]], months: list[dict[str, Any]]
) -> dict[Any, dict[str, Any]]:
    """Cohorts of so many alike customers, of whom the first ones are given."""
    risk, tiers = [], []
    for name, values in people.items():
        for number in range(values.get("count", 30)):
            customer = f"{name}{number}"
            risk.append(
                {
                    "customer": customer,
                    "state": values["state"],
                    "kind": values.get("kind", "voluntary"),
                    "since": AS_OF - timedelta(days=5),
                }
            )
            tiers.append({"customer": customer, "tier": values.get("tier", "smb")})
    table = churn_cohorts(
        segment(
            "churn_probability", *({"subscription": f"s{n}", **_CHANCE, **one} for n, one in enumerate(chances))
        ),
        segment("churn_risk", *risk),
        segment("mrr_tiers", *tiers),
        segment("customer_mrr_months", *months),
        rates=_HALF_EURO,
        reporting_currency="usd",
        as_of=AS_OF,
    )
    assert table.schema.equals(SEGMENT_TABLES["churn_cohorts"])
    return by_key(table, "segment_key")


def test_expected_mrr_is_summed_exactly_and_rounded_once() -> None:
    # 0.5 x 333 twice is 333 and not 166 + 166; 0.5 x 1/3 x 3/2 adds a quarter.
    rows = _cohorts(
        [
            {"customer": "a0", "currency": "usd", "mrr": "333"},
            {"customer": "a1", "currency": "usd", "mrr": "333"},
            {"customer": "a1", "currency": "eur", "mrr": "1/3"},
            {"customer": "elsewhere0", "currency": "usd", "mrr": "1000000"},
        ],
        {"a": {"state": "past_due"}},
        [],
    )
    one = rows["retention:payment_recovery:smb"]
    assert (one["customers"], one["subscriptions"], one["unknown_mrr"]) == (30, 3, 0)
    assert (one["mrr_minor"], one["expected_30d_minor"], one["expected_90d_minor"]) == (666, 333, 500)
    assert (one["expected_30d_voluntary_minor"], one["expected_30d_involuntary_minor"]) == (167, 167)
    assert (one["lost_minor"], one["at_stake_minor"]) == (0, 333)


def test_what_is_unknown_counts_nought_and_is_counted() -> None:
    rows = _cohorts(
        [
            {"customer": "a0", "currency": "usd", "mrr": None},
            {"customer": "a1", "currency": "jpy", "mrr": "100"},
            {"customer": "a2", "currency": "usd", "mrr": "100"},
        ],
        {"a": {"state": "at_risk"}},
        [],
    )
    one = rows["retention:save_offer:smb"]
    assert (one["unknown_mrr"], one["mrr_minor"], one["expected_30d_minor"]) == (2, 100, 50)


def test_who_has_left_counts_with_the_last_mrr() -> None:
    month = {"currency": "usd", "mrr_list_minor": 0}
    rows = _cohorts(
        [],
        {"w": {"state": "canceled"}},
        [
            {"customer": "w0", "month": date(2026, 3, 1), "mrr_minor": 900, **month},
            {"customer": "w0", "month": date(2026, 4, 1), "mrr_minor": 500, **month},
            {"customer": "w0", "month": date(2026, 5, 1), "mrr_minor": 0, **month},
            {"customer": "w1", "month": date(2026, 4, 1), **month, "mrr_minor": 101, "currency": "eur"},
            {"customer": "w2", "month": date(2026, 4, 1), **month, "mrr_minor": 100, "currency": "jpy"},
        ],
    )
    one = rows["retention:win_back:smb"]
    assert (one["lost_minor"], one["unknown_mrr"]) == (652, 1)  # 500 + 151.5, half to even
    assert one["at_stake_minor"] == 652


def test_small_tiers_are_folded_as_in_the_cells_and_small_cohorts_left_out() -> None:
    rows = _cohorts(
        [{"customer": "big0", "currency": "usd", "mrr": "1000"}],
        {
            "a": {"state": "past_due"},
            "big": {"state": "past_due", "tier": "enterprise", "count": 3},
            "few": {"state": "at_risk", "count": 10},
        },
        [],
    )
    assert list(rows) == ["retention:payment_recovery:smb"]
    assert rows["retention:payment_recovery:smb"]["customers"] == 33
    assert rows["retention:payment_recovery:smb"]["at_stake_minor"] == 500


def test_without_a_model_the_kinds_are_empty() -> None:
    none = {"p_30d_voluntary": None, "p_30d_involuntary": None}
    rows = _cohorts(
        [{"customer": "a0", "currency": "usd", "mrr": "100", **none}], {"a": {"state": "past_due"}}, []
    )
    one = rows["retention:payment_recovery:smb"]
    assert (one["expected_30d_minor"], one["expected_30d_voluntary_minor"]) == (50, None)


def _forecast(
    subscriptions: list[dict[str, Any]],
    mrr: dict[str, str | None],
    *,
    earlier: Forecast | None = None,
    later: timedelta = timedelta(0),
    charges: Sequence[dict[str, Any]] = (),
) -> Forecast:
    items = [
        {"subscription": one["id"], "interval": "month", "interval_count": 1, "price": "p", "unit_amount": 900}
        for one in subscriptions
    ]
    return churn_forecast(
        raw("subscriptions", *subscriptions),
        raw("subscription_items", *items),
        raw("customers", {"id": "cus_1"}),
        raw("invoices", *({"id": one["invoice"], "subscription": "sub_0"} for one in charges)),
        raw("charges", *charges),
        raw("payment_methods"),
        raw("disputes"),
        subscription_mrr=segment(
            "subscription_mrr",
            *({"subscription": name, "currency": "usd", "mrr": amount} for name, amount in mrr.items()),
        ),
        as_of=AS_OF + later,
        earlier=earlier and earlier.churn_model,
    )


def _subscription(name: str, **values: Any) -> dict[str, Any]:
    begun = at("2025-01-20")
    return {"id": name, "customer": "cus_1", "status": "active", "created": begun, "start_date": begun, **values}


def test_each_running_subscription_has_a_chance_or_a_decided_end() -> None:
    asked = {"canceled_at": at("2026-05-01"), "cancellation_reason": "cancellation_requested"}
    made = _forecast(
        [
            _subscription("stays"),
            _subscription("unknown"),
            _subscription("soon", **asked, cancel_at=at("2026-06-01")),
            _subscription("later", **asked, cancel_at=at("2026-07-20")),
            _subscription("gone", status="canceled", **asked, ended_at=at("2026-05-02")),
        ],
        {"stays": "12345", "unknown": None, "soon": "1000", "later": "1000"},
    )
    rows = by_key(made.churn_probability, "subscription")
    assert {name: row["state"] for name, row in rows.items()} == {
        "stays": "at_risk",
        "unknown": "at_risk",
        "soon": "leaving",
        "later": "leaving",
    }
    assert [(rows[name]["p_30d"], rows[name]["p_90d_voluntary"]) for name in ("soon", "later")] == [(1, 1), (0, 1)]
    assert [rows[name]["at_risk_30d_minor"] for name in ("soon", "later", "unknown")] == [1000, 0, None]
    # Published points: 4 % for a settled monthly subscription.
    assert rows["stays"]["p_30d"] == pytest.approx(0.04)
    assert rows["stays"]["at_risk_30d_minor"] == 494  # 493.8
    assert rows["stays"]["p_30d_voluntary"] is None
    assert rows["stays"]["explanation"] == (
        "4.0% within 30 days, 1.0 times the average: 16 months a customer; renews on 2026-05-20."
    )
    assert rows["soon"]["explanation"] == "Its end on 2026-06-01 is decided."


def test_with_too_few_ends_the_tables_say_so() -> None:
    made = _forecast([_subscription("stays")], {"stays": "100"})
    (model,) = made.churn_model.to_pylist()
    assert (model["method"], model["ends"]) == ("points", 0)
    assert model["fallback"] == "0 cancellations are known, 50 are needed for a model"
    assert made.churn_backtest.num_rows == 0
    assert made.tested.better_than_baseline


def test_an_account_without_subscriptions_gives_empty_tables() -> None:
    made = _forecast([], {})
    assert made.churn_probability.num_rows == 0
    assert made.churn_probability.schema.equals(SEGMENT_TABLES["churn_probability"])


def _account_with_ends(**run: Any) -> Forecast:
    """600 subscriptions, of which every third asks to leave on a renewal day, some each month."""
    days = pd.date_range("2024-06-01", periods=300, freq="D", tz="UTC").repeat(2)
    subscriptions = []
    for number, begun in enumerate(days):
        values: dict[str, Any] = {"created": begun, "start_date": begun}
        end = begun + pd.DateOffset(months=2 + (number // 3) % 20)
        if number % 3 == 0 and end < AS_OF:
            values |= {"status": "canceled", "ended_at": end, "cancellation_reason": "cancellation_requested"}
        subscriptions.append(_subscription(f"sub_{number}", **values))
    return _forecast(subscriptions, {}, **run)


def test_a_model_is_tested_on_months_that_have_ended_and_tabled() -> None:
    made = _account_with_ends()
    (model,) = made.churn_model.to_pylist()
    assert (model["method"], model["fallback"], len(model["model"])) == ("hazard", "", 64)
    assert "voluntary/intercept" in model["features"]
    tested = made.churn_backtest.to_pandas()
    assert sorted(set(tested["snapshot"])) == [date(2025, 12, 31), date(2026, 1, 31), date(2026, 2, 28)]
    assert set(tested["forecast"]) == {"model", "points"}
    assert made.tested.better_than_baseline


def test_a_model_that_is_worse_than_the_points_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BacktestRecord, "better_than_baseline", property(lambda _: False))
    made = _account_with_ends()
    (model,) = made.churn_model.to_pylist()
    assert (model["method"], model["fallback"]) == (
        "points",
        "the back-test found the model worse than the points",
    )
    assert made.churn_backtest.num_rows > 0
    assert set(made.churn_probability["model"].to_pylist()) == {model["model"]}
    assert made.churn_probability["p_30d_voluntary"].null_count == made.churn_probability.num_rows


def test_model_and_back_test_are_kept_while_nothing_they_rest_on_has_changed() -> None:
    first = _account_with_ends()
    again = _account_with_ends(earlier=first, later=timedelta(hours=2))
    assert (first.kept, again.kept) == (False, True)
    assert (again.model, again.tested) == (first.model, first.tested)
    for name in ("churn_model", "churn_backtest", "churn_probability"):
        before, after = (getattr(made, name).drop_columns(["as_of"]) for made in (first, again))
        assert after.equals(before), name


@pytest.mark.parametrize(
    "change",
    [
        {"later": timedelta(days=1)},
        {"charges": [{"id": "ch", "invoice": "in", "status": "failed", "created": at("2026-05-02")}]},
    ],
    ids=["the next day", "a failed charge"],
)
def test_model_and_back_test_are_made_again_after_a_change(change: dict[str, Any]) -> None:
    first = _account_with_ends()
    made = _account_with_ends(earlier=first, **change)
    assert not made.kept
    assert made.churn_model["inputs"] != first.churn_model["inputs"]


def test_a_change_of_the_rules_makes_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = _account_with_ends()
    monkeypatch.setattr(forecast, "rules", lambda: "others")
    assert not _account_with_ends(earlier=first).kept


def test_a_table_from_before_there_were_inputs_is_no_obstacle() -> None:
    first = _account_with_ends()
    old = replace(first, churn_model=first.churn_model.drop_columns(["inputs", "tested"]))
    assert not _account_with_ends(earlier=old).kept
