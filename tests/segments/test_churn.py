"""Churn risk: each case is one customer; all are computed together, once for each engine."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from segments.cells import Population
from segments.churn import churn_risk
from segments.inputs import COLUMNS
from segments.retention_cells import retention_groups
from segments.risk_catalogue import FEEDBACK, SIGNALS
from segments.signals import COUNTS
from segments.thresholds import Thresholds
from segments.tier_cells import Revenue
from segments.tiers import mrr_tiers
from tests.segments.raw import AS_OF, ENGINES, at, by_key, on, raw, segment

DAY = timedelta(days=1)
MONTHLY = {
    "status": "active",
    "start_date": at("2024-05-01"),
    "current_period_start": AS_OF - 10 * DAY,
    "current_period_end": AS_OF + 20 * DAY,
}
ANNUAL = {
    "status": "active",
    "start_date": at("2024-05-01"),
    "current_period_start": AS_OF - 300 * DAY,
    "current_period_end": AS_OF + 65 * DAY,
}
ENDED = {"status": "canceled", "ended_at": AS_OF - 40 * DAY}
NO_SIGNALS: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A customer's rows and what is expected of them."""

    state: str
    kind: str
    score: int
    signals: tuple[str, ...]
    subscriptions: tuple[dict[str, Any], ...] = (MONTHLY,)
    charges: tuple[dict[str, Any], ...] = ()
    invoices: tuple[dict[str, Any], ...] = ()
    methods: tuple[dict[str, Any], ...] = ()
    disputes: tuple[dict[str, Any], ...] = ()
    months: tuple[tuple[str, int, int], ...] = ()
    customer: dict[str, Any] = field(default_factory=dict)
    tier: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    at_risk_minor: int | None = 0


def _failed(days: float, **columns: Any) -> dict[str, Any]:
    return {"status": "failed", "paid": False, "amount": 900, "created": AS_OF - days * DAY, **columns}


def _paid(days: float, **columns: Any) -> dict[str, Any]:
    return {"status": "succeeded", "paid": True, "amount": 900, "created": AS_OF - days * DAY, **columns}


_CARD = {"type": "card", "card_exp_year": 2026, "card_exp_month": 5}
_SOON = {**MONTHLY, "current_period_end": AS_OF + 20 * DAY}  # 4 June
_COUPON = {"discounts": [{"id": "di_1", "start": 1, "end": int((AS_OF + 12 * DAY).timestamp()), "coupon": "c"}]}
_OLD_COUPON = {"discount": _COUPON["discounts"][0]}
_REASONS = {
    "requested": ("cancellation_requested", "voluntary"),
    "by policy": ("canceled_by_retention_policy", "voluntary"),
    "failed": ("payment_failed", "involuntary"),
    "null": (None, "unknown"),
}

CASES: dict[str, Case] = {
    "a paying customer is healthy": Case("healthy", "unknown", 0, NO_SIGNALS, charges=(_paid(10),)),
    "an annual customer is not fooled by: 300 days since a charge": Case(
        "healthy", "unknown", 0, NO_SIGNALS, (ANNUAL,), charges=(_paid(300),)
    ),
    "an annual plan about to renew is said, not scored": Case(
        "healthy",
        "unknown",
        0,
        ("renewal_due",),
        ({**ANNUAL, "current_period_start": AS_OF - 345 * DAY, "current_period_end": AS_OF + 20 * DAY},),
        charges=(_paid(345),),
    ),
    "the renewal of a monthly plan beside an annual one is none of a long plan": Case(
        "healthy", "unknown", 0, NO_SIGNALS, ({**MONTHLY, "current_period_end": AS_OF + 5 * DAY}, ANNUAL)
    ),
    "the renewal of an annual plan is told beside a monthly one": Case(
        "healthy",
        "unknown",
        0,
        ("renewal_due",),
        (
            {**MONTHLY, "current_period_end": AS_OF + 5 * DAY},
            {**ANNUAL, "current_period_start": AS_OF - 345 * DAY, "current_period_end": AS_OF + 20 * DAY},
        ),
        charges=(_paid(20),),
    ),
    "a monthly plan without a charge for 50 days": Case(
        "healthy", "unknown", 8, ("overdue_charge",), charges=(_paid(50),)
    ),
    "a free plan has no charge to miss": Case(
        "healthy", "unknown", 0, NO_SIGNALS, charges=(_paid(50),), tier={"mrr_minor": 0, "mrr_committed_minor": 0}
    ),
    "sent invoices are not charged": Case(
        "healthy",
        "unknown",
        0,
        NO_SIGNALS,
        ({**MONTHLY, "collection_method": "send_invoice"},),
        charges=(_paid(50),),
    ),
    "five retries of one invoice are one failure": Case(
        "healthy",
        "unknown",
        6,
        ("failed_payment",),
        charges=tuple(_failed(5 + n, invoice="in_1") for n in range(5)),
    ),
    "three failed invoices": Case(
        "healthy",
        "unknown",
        12,
        ("failed_payment",),
        charges=tuple(_failed(5 + n, invoice=f"in_{n}") for n in range(3)),
    ),
    "a failure of two months ago is over": Case("healthy", "unknown", 0, NO_SIGNALS, charges=(_failed(61),)),
    "past due is involuntary": Case(
        "past_due",
        "involuntary",
        21,
        ("past_due", "failed_payment", "dunning"),
        ({**MONTHLY, "status": "past_due"},),
        charges=(_failed(3, invoice="in_1"),),
        invoices=(
            {
                "status": "open",
                "amount_due": 900,
                "attempt_count": 2,
                "created": AS_OF - 12 * DAY,
                "next_payment_attempt": AS_OF + DAY,
            },
        ),
        at_risk_minor=5_000,
    ),
    "past due and asked to cancel is voluntary": Case(
        "past_due",
        "voluntary",
        10,
        ("past_due", "scheduled_cancel"),
        (
            {
                **MONTHLY,
                "status": "past_due",
                "cancel_at_period_end": True,
                "cancellation_reason": "cancellation_requested",
            },
        ),
        at_risk_minor=5_000,
    ),
    "no attempt left is decisive": Case(
        "at_risk",
        "involuntary",
        5,
        ("dunning", "no_retry_left"),
        invoices=({"status": "open", "amount_due": 900, "attempt_count": 4},),
        at_risk_minor=5_000,
    ),
    "an invoice given up": Case(
        "at_risk",
        "involuntary",
        0,
        ("uncollectible",),
        invoices=({"status": "uncollectible", "marked_uncollectible_at": AS_OF - 5 * DAY},),
        at_risk_minor=5_000,
    ),
    "an invoice given up last year": Case(
        "healthy",
        "unknown",
        0,
        NO_SIGNALS,
        invoices=({"status": "uncollectible", "marked_uncollectible_at": AS_OF - 200 * DAY},),
    ),
    "a sent invoice past its due date": Case(
        "healthy",
        "unknown",
        0,
        ("open_invoices",),
        ({**MONTHLY, "collection_method": "send_invoice"},),
        invoices=(
            {
                "status": "open",
                "amount_due": 900,
                "collection_method": "send_invoice",
                "due_date": AS_OF - 3 * DAY,
                "attempt_count": 0,
            },
        ),
    ),
    "scheduled by request": Case(
        "scheduled_cancel",
        "voluntary",
        0,
        ("scheduled_cancel", "too_expensive"),
        (
            {
                **MONTHLY,
                "cancel_at_period_end": True,
                "cancellation_reason": "cancellation_requested",
                "cancellation_feedback": "too_expensive",
            },
        ),
        tier={"mrr_committed_minor": 2_000},
        at_risk_minor=3_000,
    ),
    "scheduled by a date, flexible billing": Case(
        "scheduled_cancel",
        "unknown",
        0,
        ("scheduled_cancel",),
        ({**MONTHLY, "cancel_at": AS_OF + 15 * DAY},),
        tier={"mrr_committed_minor": 0},
        at_risk_minor=5_000,
    ),
    "scheduled by a far date that was asked for": Case(
        "scheduled_cancel",
        "unknown",
        0,
        ("scheduled_cancel",),
        ({**MONTHLY, "cancel_at": AS_OF + 300 * DAY, "canceled_at": AS_OF - DAY},),
        tier={"mrr_committed_minor": 0},
        at_risk_minor=5_000,
    ),
    "a trial that is cancelled puts nothing of the paid plan beside it at risk": Case(
        "scheduled_cancel",
        "unknown",
        0,
        ("scheduled_cancel",),
        ({**MONTHLY, "status": "trialing", "cancel_at_period_end": True}, MONTHLY),
        at_risk_minor=0,
    ),
    "a fixed term is no cancellation": Case(
        "healthy", "unknown", 0, NO_SIGNALS, ({**MONTHLY, "cancel_at": AS_OF + 300 * DAY},)
    ),
    "a scheduled end that has passed": Case(
        "canceled", "unknown", 0, NO_SIGNALS, ({**MONTHLY, "cancel_at": AS_OF - 15 * DAY},)
    ),
    **{
        f"cancelled, reason {name}": Case(
            "canceled", kind, 0, NO_SIGNALS, ({**ENDED, "cancellation_reason": reason},)
        )
        for name, (reason, kind) in _REASONS.items()
    },
    "cancelled by a dispute is a class of its own": Case(
        "canceled",
        "unknown",
        0,
        ("payment_disputed", "other"),
        ({**ENDED, "cancellation_reason": "payment_disputed", "cancellation_feedback": "other"},),
    ),
    "the latest end counts": Case(
        "canceled",
        "involuntary",
        0,
        NO_SIGNALS,
        (
            {**ENDED, "cancellation_reason": "cancellation_requested", "ended_at": AS_OF - 400 * DAY},
            {**ENDED, "cancellation_reason": "payment_failed", "ended_at": AS_OF - 9 * DAY},
        ),
    ),
    "cancelled does not score, whatever failed": Case(
        "canceled",
        "involuntary",
        0,
        NO_SIGNALS,
        ({**ENDED, "cancellation_reason": "payment_failed"},),
        charges=tuple(_failed(5 + n, invoice=f"in_{n}") for n in range(3)),
    ),
    "one subscription ended, another runs": Case("healthy", "unknown", 0, NO_SIGNALS, (ENDED, MONTHLY)),
    "unpaid is churn": Case("canceled", "involuntary", 0, ("unpaid",), ({**MONTHLY, "status": "unpaid"},)),
    "never paid at all": Case(
        "canceled", "involuntary", 0, ("never_started",), ({**MONTHLY, "status": "incomplete_expired"},)
    ),
    "a first payment that hangs": Case(
        "at_risk", "involuntary", 0, ("incomplete",), ({**MONTHLY, "status": "incomplete"},), at_risk_minor=5_000
    ),
    "the card expires before the invoice": Case(
        "at_risk",
        "involuntary",
        10,
        ("card_expiring",),
        ({**_SOON, "default_payment_method": "pm_own"},),
        methods=({"id": "pm_own", **_CARD},),
        at_risk_minor=5_000,
    ),
    "the customer's default card is the one charged": Case(
        "at_risk",
        "involuntary",
        10,
        ("card_expiring",),
        (_SOON,),
        customer={"default_payment_method": "pm_theirs"},
        methods=({"id": "pm_theirs", **_CARD},),
        at_risk_minor=5_000,
    ),
    "the card last charged is the one charged": Case(
        "at_risk",
        "involuntary",
        10,
        ("card_expiring",),
        (_SOON,),
        charges=(_paid(10, payment_method="pm_last"),),
        methods=({"id": "pm_last", **_CARD},),
        at_risk_minor=5_000,
    ),
    "a card charged after its expiry was renewed by its network": Case(
        "healthy",
        "unknown",
        0,
        NO_SIGNALS,
        ({**_SOON, "default_payment_method": "pm_renewed"},),
        charges=(_paid(10, payment_method="pm_renewed"),),
        methods=({"id": "pm_renewed", **_CARD, "card_exp_month": 4},),
    ),
    "a card that lasts through the invoice's month": Case(
        "healthy",
        "unknown",
        0,
        NO_SIGNALS,
        ({**_SOON, "default_payment_method": "pm_lasts"},),
        methods=({"id": "pm_lasts", **_CARD, "card_exp_month": 6},),
    ),
    "an invoice that is far gives the network time": Case(
        "healthy",
        "unknown",
        0,
        NO_SIGNALS,
        ({**ANNUAL, "default_payment_method": "pm_far", "current_period_end": AS_OF + 150 * DAY},),
        methods=({"id": "pm_far", **_CARD},),
    ),
    "an open dispute is decisive": Case(
        "at_risk",
        "voluntary",
        0,
        ("open_dispute",),
        charges=(_paid(10, id="ch_disputed"),),
        disputes=({"charge": "ch_disputed", "status": "under_review"},),
        at_risk_minor=5_000,
    ),
    "an inquiry or a lost dispute is over": Case(
        "healthy",
        "unknown",
        0,
        NO_SIGNALS,
        charges=(_paid(10, id="ch_asked"),),
        disputes=(
            {"charge": "ch_asked", "status": "warning_needs_response"},
            {"charge": "ch_asked", "status": "lost"},
        ),
    ),
    "a downgrade lowers list value and MRR": Case(
        "at_risk",
        "voluntary",
        20,
        ("downgrade", "contraction"),
        months=(("2026-04-01", 800, 800), ("2026-03-01", 1000, 1000), ("2026-01-01", 1000, 1000)),
        at_risk_minor=5_000,
    ),
    "a discount is no downgrade": Case(
        "healthy",
        "unknown",
        10,
        ("contraction",),
        months=(("2026-04-01", 800, 1000), ("2026-03-01", 1000, 1000), ("2026-01-01", 1000, 1000)),
    ),
    "growth lowers the score, not below zero": Case(
        "healthy", "unknown", 0, ("expansion",), months=(("2026-04-01", 1200, 1200), ("2026-01-01", 1000, 1000))
    ),
    "a discount ends before the invoice": Case(
        "healthy", "unknown", 0, ("coupon_ending",), ({**MONTHLY, "billing": json.dumps(_COUPON)},)
    ),
    "a discount of an item ends before the invoice": Case(
        "healthy",
        "unknown",
        0,
        ("coupon_ending",),
        ({**MONTHLY, "billing": json.dumps({"items": {"data": [_COUPON]}, "discounts": None})},),
    ),
    "the one discount of old API versions ends before the invoice": Case(
        "healthy", "unknown", 0, ("coupon_ending",), ({**MONTHLY, "billing": json.dumps(_OLD_COUPON)},)
    ),
    "a broken billing text is no signal": Case(
        "healthy", "unknown", 0, NO_SIGNALS, ({**MONTHLY, "billing": '{"end": 1780000000'},)
    ),
    "paused collection": Case("healthy", "unknown", 0, ("paused",), ({**MONTHLY, "pause_behavior": "void"},)),
    "a pause that is over": Case(
        "healthy",
        "unknown",
        0,
        NO_SIGNALS,
        ({**MONTHLY, "pause_behavior": "void", "pause_resumes_at": AS_OF - DAY},),
    ),
    "a new customer": Case(
        "healthy", "unknown", 10, ("new_customer",), ({**MONTHLY, "start_date": AS_OF - 20 * DAY},)
    ),
    "at risk stays above the lower bound": Case(
        "at_risk",
        "unknown",
        10,
        ("new_customer",),
        ({**MONTHLY, "start_date": AS_OF - 80 * DAY},),
        before={"state": "at_risk", "kind": "unknown", "since": AS_OF - 60 * DAY},
        at_risk_minor=5_000,
    ),
    "at risk stays for 28 days": Case(
        "at_risk",
        "unknown",
        0,
        NO_SIGNALS,
        before={"state": "at_risk", "kind": "unknown", "since": AS_OF - 10 * DAY},
        at_risk_minor=5_000,
    ),
    "at risk ends after 28 days below the lower bound": Case(
        "healthy",
        "unknown",
        0,
        NO_SIGNALS,
        before={"state": "at_risk", "kind": "unknown", "since": AS_OF - 40 * DAY},
    ),
    "an unknown MRR is not nothing at risk": Case(
        "past_due",
        "involuntary",
        10,
        ("past_due",),
        ({**MONTHLY, "status": "past_due"},),
        tier={"mrr_minor": None, "mrr_committed_minor": None},
        at_risk_minor=None,
    ),
}


@cache
def _computed(engine: str) -> dict[str, dict[str, Any]]:
    names = list(CASES)
    own = {name: f"cus_{number}" for number, name in enumerate(names)}

    def rows(attribute: str) -> list[dict[str, Any]]:
        return [
            {"customer": own[name], **row}
            if "invoice" not in row
            else {"customer": own[name], **row, "invoice": f"{own[name]}_{row['invoice']}"}
            for name, case in CASES.items()
            for row in getattr(case, attribute)
        ]

    def ided(table: str, attribute: str) -> list[dict[str, Any]]:
        return [{"id": f"{table}_{number}", **row} for number, row in enumerate(rows(attribute))]

    tiers = (
        {"tier": "smb", "mrr_minor": 5_000, "mrr_committed_minor": 5_000, "movement": "none", **case.tier}
        for case in CASES.values()
    )
    sources = on(
        engine,
        subscriptions=raw("subscriptions", *ided("sub", "subscriptions")),
        mrr_tiers=segment("mrr_tiers", *({"customer": own[n], **t} for n, t in zip(names, tiers, strict=True))),
        invoices=raw("invoices", *ided("in", "invoices")),
        charges=raw("charges", *ided("ch", "charges")),
        payment_methods=raw("payment_methods", *ided("pm", "methods")),
        customers=raw("customers", *({"id": own[name], **case.customer} for name, case in CASES.items())),
        disputes=raw(
            "disputes",
            *({key: value for key, value in row.items() if key != "customer"} for row in ided("dp", "disputes")),
        ),
        customer_mrr_months=segment(
            "customer_mrr_months",
            *(
                {
                    "customer": own[name],
                    "month": at(month).date(),
                    "currency": "usd",
                    "mrr_minor": mrr,
                    "mrr_list_minor": listed,
                }
                for name, case in CASES.items()
                for month, mrr, listed in case.months
            ),
        ),
        previous=segment(
            "churn_risk",
            *({"customer": own[name], **case.before} for name, case in CASES.items() if case.before),
        ),
    )
    found = by_key(churn_risk(**sources, reporting_currency="usd", as_of=AS_OF), "customer")
    return {name: found[own[name]] for name in names}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_risk(engine: str, name: str) -> None:
    case, row = CASES[name], _computed(engine)[name]
    assert (row["state"], row["kind"], row["score"]) == (case.state, case.kind, case.score), row["explanation"]
    assert row["signals"] == "; ".join(case.signals)
    assert row["mrr_at_risk_minor"] == case.at_risk_minor


def test_engines_agree_on_every_column() -> None:
    assert _computed("pandas") == _computed("duckdb")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a paying customer is healthy", "Healthy: no signal; score 0."),
        (
            "past due is involuntary",
            "Past due (involuntary): past due for 12 days, failed invoices in 30 days: 1 (hard declines: 0), "
            "an open invoice, attempts so far: 2; score 21.",
        ),
        ("cancelled, reason null", "Cancelled: no reason is recorded."),
        ("the renewal of an annual plan is told beside a monthly one", "Healthy: renews in 20 days; score 0."),
        (
            "scheduled by request",
            "Leaving (voluntary): a cancellation is scheduled, customer's reason: too expensive; score 0.",
        ),
        (
            "the card expires before the invoice",
            "At risk (involuntary): the card expires before the invoice in 20 days; score 10.",
        ),
    ],
)
def test_the_explanation_is_a_sentence(name: str, sentence: str) -> None:
    assert _computed("pandas")[name]["explanation"] == sentence


def test_since_is_when_the_state_began() -> None:
    found = _computed("pandas")
    assert found["at risk stays for 28 days"]["since"] == AS_OF - 10 * DAY
    assert found["cancelled, reason failed"]["since"] == AS_OF - 40 * DAY
    assert found["past due is involuntary"]["since"] == AS_OF
    # Two years a customer, unpaid since the period that began 10 days ago.
    assert found["unpaid is churn"]["since"] == AS_OF - 10 * DAY


def test_a_customer_whose_retries_ended_unpaid_is_asked_for_the_payment() -> None:
    customers = [f"cus_{number}" for number in range(30)]
    unpaid = ({**MONTHLY, "status": "unpaid", "created": at("2024-05-01"), "customer": key} for key in customers)
    tiers = segment("mrr_tiers", *({"customer": key, "tier": "none", "previous_tier": "smb"} for key in customers))
    risk = churn_risk(
        raw("subscriptions", *unpaid),
        tiers,
        *[None] * 5,
        reporting_currency="usd",
        as_of=AS_OF,
    )
    population = Population(tiers["customer"])
    codes = population.codes(risk["customer"])
    groups, _ = retention_groups(codes, Revenue(population, tiers), risk, as_of=AS_OF, thresholds=Thresholds())
    assert [(cohort, tier, len(rows)) for cohort, tier, rows in groups] == [("payment_recovery", "smb", 30)]


def test_a_new_coupon_is_no_downgrade_and_a_second_run_on_the_same_data_agrees() -> None:
    def mrr(amount: str) -> Any:
        row = {"subscription": "s", "customer": "cus_1", "currency": "usd", "mrr": amount, "mrr_committed": amount}
        return segment("subscription_mrr", {**row, "complete": True})

    tiers, risk = mrr_tiers(mrr("5000"), None, rates={}, reporting_currency="usd", as_of=AS_OF), None
    seen = []
    for movement in ("contraction", "none"):
        tiers = mrr_tiers(mrr("4500"), None, rates={}, reporting_currency="usd", previous=tiers, as_of=AS_OF)
        assert tiers["movement"].to_pylist() == [movement]
        subscriptions = raw("subscriptions", {"customer": "cus_1", **MONTHLY})
        given = (subscriptions, tiers, *[None] * 5)
        risk = churn_risk(*given, previous=risk, reporting_currency="usd", as_of=AS_OF)
        seen += risk.select(["signals", "score", "state"]).to_pylist()
    assert seen == [{"signals": "", "score": 0, "state": "healthy"}] * 2


@pytest.mark.parametrize(
    ("advice", "code", "hard"),
    [
        (None, "card_declined", 0),
        (None, "lost_card", 1),
        ("try_again_later", "lost_card", 0),
        ("do_not_try_again", "card_declined", 1),
        ("confirm_card_data", "incorrect_number", 0),
    ],
)
def test_advice_of_the_network_decides_what_a_hard_decline_is(advice: str | None, code: str, hard: int) -> None:
    table = churn_risk(
        raw("subscriptions", {"customer": "cus_1", **MONTHLY}),
        None,
        None,
        raw("charges", {"customer": "cus_1", **_failed(3, advice_code=advice, failure_code=code)}),
        None,
        None,
        None,
        reporting_currency="usd",
        as_of=AS_OF,
    )
    assert f"(hard declines: {hard})" in table.column("explanation")[0].as_py()


def test_every_signal_is_tested() -> None:
    seen = {signal for case in CASES.values() for signal in case.signals}
    assert seen >= set(SIGNALS)
    assert seen - set(SIGNALS) <= set(FEEDBACK)
    assert set(COUNTS).isdisjoint(COLUMNS["mrr_tiers"].names)
