"""The state of payment on a past day, read back from raw tables, and what the model makes of it."""

from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segments.prediction import ModelRecord, Payments, backtest, fit, payments_from_stripe, predict
from segments.prediction.histories import day_number
from tests.segments.raw import at, on, raw
from tests.segments.simulated_histories import simulate

SNAPSHOT = date(2024, 9, 30)
_ENGINES = ("pandas", "duckdb")


def _payments(engine: str = "pandas", **tables: list[dict[str, Any]]) -> Payments:
    rows = {
        "subscriptions": [{"id": "sub_1", "customer": "cus_1"}],
        "invoices": [],
        "charges": [],
        "payment_methods": [],
        "disputes": [],
        **tables,
    }
    return payments_from_stripe(**on(engine, **{name: raw(name, *some) for name, some in rows.items()}))


def _invoice(**values: Any) -> dict[str, Any]:
    return {"id": "in_1", "subscription": "sub_1", "collection_method": "charge_automatically", **values}


def _failed(*days: str) -> list[dict[str, Any]]:
    return [{"id": f"ch_{day}", "invoice": "in_1", "status": "failed", "created": at(day)} for day in days]


_CARD = {"customer": "cus_1", "type": "card", "card_exp_year": 2025, "card_exp_month": 6}

SIGNS = [
    pytest.param(
        {"invoices": [_invoice()], "charges": _failed("2025-05-10")}, {"unpaid"}, id="unpaid since a charge"
    ),
    pytest.param(
        {"invoices": [_invoice()], "charges": _failed("2025-05-16")},
        set(),
        id="a charge that fails later is not known",
    ),
    pytest.param(
        {"invoices": [_invoice(paid_at=at("2025-05-20"))], "charges": _failed("2025-05-10")},
        {"unpaid"},
        id="paid later, but not by the day",
    ),
    pytest.param(
        {"invoices": [_invoice(paid_at=at("2025-05-12"))], "charges": _failed("2025-05-10")},
        {"failed_recently"},
        id="made good",
    ),
    pytest.param(
        {"invoices": [_invoice(voided_at=at("2025-05-12"))], "charges": _failed("2025-03-10")},
        set(),
        id="made good long ago",
    ),
    pytest.param(
        {"invoices": [_invoice()], "charges": _failed("2025-05-05", "2025-05-08", "2025-05-11")},
        {"unpaid", "retries_running_out"},
        id="three attempts at one invoice",
    ),
    pytest.param(
        {"invoices": [_invoice(collection_method="send_invoice")], "charges": _failed("2025-05-10")},
        set(),
        id="an invoice that is sent is not collected",
    ),
    pytest.param({"payment_methods": [_CARD]}, set(), id="a card good for six weeks more"),
    pytest.param(
        {"payment_methods": [_CARD | {"card_exp_month": 5}]},
        {"card_expiring"},
        id="a card that ends with the month",
    ),
    pytest.param(
        {"payment_methods": [_CARD | {"card_exp_month": 5}, _CARD | {"card_exp_month": 12}]},
        set(),
        id="another card is there",
    ),
    pytest.param(
        {"payment_methods": [_CARD | {"card_exp_month": 5}, _CARD | {"created": at("2025-05-20")}]},
        {"card_expiring"},
        id="another card comes later",
    ),
    pytest.param(
        {
            "invoices": [_invoice()],
            "charges": [{"id": "ch_1", "invoice": "in_1", "status": "succeeded"}],
            "disputes": [{"charge": "ch_1", "created": at("2025-04-01")}],
        },
        {"open_dispute"},
        id="a dispute of the last ninety days",
    ),
]


@pytest.mark.parametrize("engine", _ENGINES)
@pytest.mark.parametrize(("tables", "expected"), SIGNS)
def test_signs_as_they_were_known_on_the_day(
    tables: dict[str, list[dict[str, Any]]], expected: set[str], engine: str
) -> None:
    shown = _payments(engine, **tables).at(np.array(["sub_1", "sub_other"]), day_number(date(2025, 5, 15)))
    assert {name for name in shown if shown[name][0]} == expected
    assert not shown.iloc[1].any()


@pytest.fixture(scope="module")
def arrears() -> tuple[pd.DataFrame, Payments]:
    """An account where a failed charge stands open before every end by non-payment, and before some stays."""
    histories = simulate(2_500, seed=6, first="2024-05-01", collection=20)
    ends = pd.to_datetime(histories["canceled_at"])
    begun = pd.to_datetime(histories["created"])
    unpaid = ends.notna() & ((ends - pd.Timedelta(days=20)).dt.day == begun.dt.day) & (ends.dt.day != begun.dt.day)
    reason = np.where(unpaid, "involuntary", np.where(ends.notna(), "voluntary", ""))
    histories = histories.assign(row=histories["row"].astype(str), reason=reason)
    rng = np.random.default_rng(7)
    bills, charges = [], []
    failing: list[tuple[str, pd.Timestamp, pd.Timestamp | None]] = [
        (row, day - pd.Timedelta(days=19), None)
        for row, day in zip(histories["row"][unpaid], ends[unpaid], strict=True)
    ]
    for row in rng.choice(histories["row"], 400):
        day = pd.Timestamp("2024-05-01") + pd.Timedelta(days=int(rng.integers(0, 150)))
        failing.append((row, day, day + pd.Timedelta(days=12)))
    for number, (row, day, paid) in enumerate(failing):
        bills.append({"id": f"in_{number}", "subscription": row, "paid_at": _utc(paid), "collection_method": None})
        charges.append({"id": f"ch_{number}", "invoice": f"in_{number}", "status": "failed", "created": _utc(day)})
    subscriptions = [{"id": row, "customer": f"cus_{row}"} for row in histories["row"]]
    return histories, _payments(subscriptions=subscriptions, invoices=bills, charges=charges)


def _utc(day: pd.Timestamp | None) -> datetime | None:
    return None if day is None else day.tz_localize("UTC").to_pydatetime()


def test_an_unpaid_invoice_raises_the_involuntary_chance_alone(arrears: tuple[pd.DataFrame, Payments]) -> None:
    histories, payments = arrears
    model = fit(histories, snapshot=SNAPSHOT, payments=payments)
    effects = {effect.kind: dict(zip(effect.signs, effect.coefficients, strict=True)) for effect in model.payments}
    assert effects["involuntary"]["unpaid"] > 1.5
    assert effects["voluntary"]["unpaid"] < 0.5
    plain = predict(fit(histories, snapshot=SNAPSHOT), histories, snapshot=SNAPSHOT)
    known = predict(model, histories, snapshot=SNAPSHOT, payments=payments)
    unpaid = payments.at(known["row"].to_numpy(), day_number(SNAPSHOT))["unpaid"].to_numpy()
    assert unpaid.any()
    assert known["p_30d_involuntary"][unpaid].mean() > 2 * known["p_30d_involuntary"][~unpaid].mean()
    assert known["p_30d"].sum() == pytest.approx(plain["p_30d"].sum(), rel=0.15)
    for days in (30, 90):
        kinds = known[[f"p_{days}d_{kind}" for kind in ("voluntary", "involuntary", "unknown")]]
        np.testing.assert_allclose(kinds.sum(axis=1), known[f"p_{days}d"], rtol=1e-9)
    assert (known["p_90d"] >= known["p_30d"]).all()


def test_payments_make_the_forecast_better(arrears: tuple[pd.DataFrame, Payments]) -> None:
    histories, payments = arrears
    splits = [(date(2024, 8, 31), 30)]
    without = backtest(histories, splits=splits).splits[0].overall
    with_them = backtest(histories, splits=splits, payments=payments).splits[0].overall
    assert (with_them.auc or 0) > (without.auc or 0)
    assert with_them.brier < without.brier


def test_a_record_with_payments_survives_json_and_asks_for_them(arrears: tuple[pd.DataFrame, Payments]) -> None:
    histories, payments = arrears
    model = fit(histories, snapshot=SNAPSHOT, payments=payments)
    assert ModelRecord.from_json(model.to_json()) == model
    assert "payment:unpaid" in set(model.coefficients()["feature"])
    with pytest.raises(ValueError, match="give the payments"):
        predict(model, histories, snapshot=SNAPSHOT)


def test_what_happens_after_the_snapshot_changes_no_effect(arrears: tuple[pd.DataFrame, Payments]) -> None:
    histories, payments = arrears
    day = SNAPSHOT.isoformat()
    cut = histories[histories["created"] <= day].copy()
    cut.loc[cut["canceled_at"] > day, ["canceled_at", "reason"]] = [None, ""]
    early = payments.failed_at < (day_number(SNAPSHOT) + 1) * 86_400
    known = Payments(
        **{
            **vars(payments),
            **{name: getattr(payments, name)[early] for name in vars(payments) if name.startswith("failed")},
            "closed_at": payments.closed_at[early],
        }
    )
    models = [fit(histories, snapshot=SNAPSHOT, payments=payments), fit(cut, snapshot=SNAPSHOT, payments=known)]
    assert models[0].hash == models[1].hash
