"""Disputes by reason."""

from datetime import date
from typing import Any

import pytest

from segments.disputes import disputers, disputes_by_reason
from segments.intervals import wilson
from tests.segments.raw import AS_OF, ENGINES, at, by_key, on, raw

APRIL = date(2026, 4, 1)


def _disputes(engine: str, *rows: dict[str, Any], payments: int = 200) -> dict[Any, dict[str, Any]]:
    """Disputes of charge ch_0 of customer cus_0 in April, beside `payments` paid charges of April."""
    charges = [
        {
            "id": f"ch_{number}",
            "customer": f"cus_{number}",
            "invoice": f"in_{number}",
            "payment_intent": f"pi_{number}",
            "currency": "usd",
            "paid": True,
            "created": at("2026-04-10"),
        }
        for number in range(payments)
    ]
    lines = [
        {"invoice": f"in_{number}", "product": product, "amount": amount}
        for number in range(payments)
        for product, amount in (("prod_small", 100), ("prod_big", 900))
    ]
    sources = on(
        engine,
        disputes=raw(
            "disputes",
            *(
                {"charge": "ch_0", "currency": "usd", "amount": 500, "created": at("2026-04-20"), **row}
                for row in rows
            ),
        ),
        charges=raw("charges", *charges),
        lines=raw("invoice_lines", *lines),
    )
    table = disputes_by_reason(sources["disputes"], sources["charges"], sources["lines"], as_of=AS_OF)
    return by_key(table, "reason", "product", "month", "currency")


@pytest.mark.parametrize("engine", ENGINES)
def test_outcomes_are_counted_and_inquiries_kept_apart(engine: str) -> None:
    statuses = [
        "won",
        "lost",
        "lost",
        "needs_response",
        "under_review",
        "appeal_under_review",
        "warning_needs_response",
        "warning_closed",
        "prevented",
    ]
    found = _disputes(
        engine,
        *({"reason": "unrecognized", "status": status, "charge": f"ch_{n}"} for n, status in enumerate(statuses)),
        {"reason": "unrecognized", "status": "lost", "has_evidence": True, "charge": "ch_1"},
        {"reason": "unrecognized", "status": "lost", "submission_count": 1, "charge": "ch_1"},
    )
    row = found["unrecognized", "prod_big", APRIL, "usd"]
    assert {name: row[name] for name in ("disputes", "inquiries", "won", "lost", "uncontested", "open")} == {
        "disputes": 8,
        "inquiries": 2,
        "won": 1,
        "lost": 4,
        "uncontested": 2,
        "open": 3,
    }
    assert row["win_rate"] == 0.2
    assert row["customers"] == 6
    assert row["amount_minor"] == 8 * 500
    assert row["payments"] == 200
    assert row["activity"] == 0.04
    assert (row["activity_low"], row["activity_high"]) == pytest.approx(wilson(8, 200))
    assert row["small_number"] is False


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("reason", "code", "fixable"),
    [
        ("product_unacceptable", None, True),
        ("product_unacceptable", "13.3", True),
        ("product_unacceptable", "13.5", True),
        ("product_unacceptable", "13.4", False),
        ("subscription_canceled", "13.2", True),
        ("fraudulent", "10.4", False),
        ("general", None, False),
        ("a_reason_of_next_year", None, False),
        (None, None, False),
    ],
)
def test_copy_helps_with_promises_and_not_with_fraud(
    engine: str, reason: str | None, code: str | None, fixable: bool
) -> None:
    (row,) = _disputes(engine, {"reason": reason, "status": "lost", "network_reason_code": code}).values()
    assert row["copy_fixable"] is fixable
    assert row["small_number"] is True


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dispute_finds_its_charge_by_the_payment_intent(engine: str) -> None:
    (row,) = _disputes(
        engine, {"reason": "duplicate", "status": "won", "charge": None, "payment_intent": "pi_3"}
    ).values()
    assert (row["product"], row["customers"]) == ("prod_big", 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_month_without_payments_has_no_activity(engine: str) -> None:
    (row,) = _disputes(
        engine, {"reason": "duplicate", "status": "won", "charge": "ch_gone", "created": at("2026-03-31T23:59")}
    ).values()
    assert (row["product"], row["month"], row["customers"]) == ("unknown", date(2026, 3, 1), 0)
    assert (row["payments"], row["activity"], row["activity_low"]) == (0, None, None)


def test_no_disputes_give_an_empty_table() -> None:
    assert _disputes("pandas") == {}


@pytest.mark.parametrize(
    ("part", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (1, 100, 0.0018, 0.0545), (5, 10, 0.2366, 0.7634), (12, 10, 0.7225, 1.0)],
)
def test_wilson_holds_at_small_numbers(part: int, of: int, low: float, high: float) -> None:
    assert wilson(part, of) == pytest.approx((low, high), abs=1e-4)


def test_wilson_without_cases_is_unknown() -> None:
    assert wilson(0, 0) is None


@pytest.mark.parametrize("engine", ENGINES)
def test_customers_behind_fixable_disputes_of_the_window_are_named_once(engine: str) -> None:
    canceled = {"reason": "subscription_canceled", "currency": "usd", "status": "lost"}
    rows = [
        {**canceled, "charge": "ch_0", "created": at("2026-05-01")},
        {**canceled, "charge": "ch_1", "created": at("2025-06-01")},
        {**canceled, "charge": "ch_2", "created": at("2025-05-31")},
        {**canceled, "charge": "ch_2", "created": at("2026-05-01"), "status": "warning_closed"},
        {**canceled, "charge": "ch_2", "created": at("2026-05-01"), "reason": "fraudulent"},
        {**canceled, "charge": "ch_3", "created": at("2026-05-01")},
    ]
    charges = [{"id": f"ch_{number}", "customer": f"cus_{number // 2}", "invoice": "in_0"} for number in range(3)]
    sources = on(
        engine,
        disputes=raw("disputes", *rows),
        charges=raw("charges", *charges, {"id": "ch_3", "customer": "cus_3"}),
        lines=raw("invoice_lines", {"invoice": "in_0", "product": "prod_0", "amount": 1}),
    )
    found = disputers(sources["disputes"], sources["charges"], sources["lines"], as_of=AS_OF, months=12)
    assert sorted(found.to_pylist(), key=str) == [
        {"reason": "subscription_canceled", "product": "prod_0", "customer": "cus_0"},
        {"reason": "subscription_canceled", "product": "unknown", "customer": "cus_3"},
    ]
