"""Churn risk of each customer: state, kind, a score from published points, the signals and one sentence.

Here: what the signals of `segments.signals` mean. Not here: a fitted probability (`segments.prediction`). The
score adds points that others published (`RiskPoints` names each source); it ranks, it is not calibrated.
Cancelled is an outcome and scheduled cancellation a state: neither scores. Voluntary and involuntary follow
Stripe's `cancellation_details`
(https://docs.stripe.com/api/subscriptions/object#subscription_object-cancellation_details); a reason that is
null is unknown, never voluntary, and one by dispute is neither.
"""

from datetime import datetime
from typing import Any

import narwhals as nw
import pyarrow as pa

from segments.explanations import explanation, fired
from segments.frames import DAY, frames, to_table
from segments.risk_catalogue import FEEDBACK, SIGNALS
from segments.signals import customer_signals
from segments.tables import SEGMENT_TABLES
from segments.thresholds import ChurnThresholds, RiskPoints

__all__ = ["churn_risk"]


def churn_risk(
    subscriptions: Any,
    mrr_tiers: Any,
    invoices: Any,
    charges: Any,
    payment_methods: Any,
    customers: Any,
    disputes: Any,
    *,
    customer_mrr_months: Any = None,
    previous: Any = None,
    reporting_currency: str,
    as_of: datetime,
    thresholds: ChurnThresholds | None = None,
) -> pa.Table:
    """The table `churn_risk`: a row for each customer who has or had a subscription. Lazy on every engine.

    `previous` is the last run's table, for hysteresis. Without `customer_mrr_months` no change of MRR is seen.
    """
    limits = thresholds or ChurnThresholds()
    sources = frames(
        subscriptions=subscriptions,
        mrr_tiers=mrr_tiers,
        invoices=invoices,
        charges=charges,
        payment_methods=payment_methods,
        customers=customers,
        disputes=disputes,
        customer_mrr_months=customer_mrr_months,
        churn_risk=previous,
    )
    column = nw.col
    now = int(as_of.timestamp())
    before = sources["churn_risk"].rename({"state": "old_state", "kind": "old_kind", "since": "old_since"})
    people = (
        customer_signals(sources, as_of=as_of, thresholds=limits)
        .join(sources["mrr_tiers"], on="customer", how="left")
        .join(before, on="customer", how="left")
    )
    conditions = _conditions(now, limits)
    people = people.with_columns(**{f"is_{code}": test.fill_null(False) for code, test in conditions.items()})
    people = people.with_columns(score=_score(limits.points, limits), feedback=_feedback())
    people = people.with_columns(state=_state(now, limits)).with_columns(kind=_kind())
    people = people.with_columns(
        since=nw.when(column("state") == column("old_state"))
        .then(column("old_since"))
        .when(column("state") == "canceled")
        .then(nw.coalesce(column("ended_at"), nw.lit(now)))
        .otherwise(nw.lit(now)),
        signals=fired(),
        explanation=explanation(now),
        mrr_at_risk_minor=_at_risk(),
        reporting_currency=nw.lit(reporting_currency),
        as_of=nw.lit(now),
    )
    schema = SEGMENT_TABLES["churn_risk"]
    return to_table(people.select(*schema.names), schema)


def _conditions(now: int, limits: ChurnThresholds) -> dict[str, nw.Expr]:
    """When each signal fires."""
    column = nw.col
    some = {
        name: column(name) > 0
        for name in (
            "past_due",
            "dunning",
            "no_retry_left",
            "uncollectible",
            "unpaid",
            "incomplete",
            "card_expiring",
            "downgrade",
            "contraction",
            "expansion",
            "coupon_ending",
            "paused",
        )
    }
    cycle = column("cycle_days")
    grown_cycle = nw.max_horizontal(cycle * limits.overdue_cycles, cycle + limits.overdue_grace_days)
    charged = (column("mrr_minor") > 0) & (column("trialing") == 0) & (column("sent_invoices") == 0) & (cycle > 0)
    tests = {
        **some,
        "failed_payment": column("failed_recent") > 0,
        "overdue_charge": charged & ((now - column("last_paid")) > grown_cycle * DAY),
        "open_invoices": column("overdue_invoices") > 0,
        "open_dispute": column("open_disputes") > 0,
        "renewal_due": (column("long_renewal") <= now + limits.renewal_days * DAY) & (column("scheduled") == 0),
        "new_customer": column("first_start") > now - limits.new_customer_days * DAY,
        "scheduled_cancel": column("scheduled") > 0,
        "payment_disputed": (column("live") == 0) & (column("ended_reason") == "payment_disputed"),
        "never_started": (column("live") == 0)
        & (column("never_started") > 0)
        & (column("ended") == column("never_started")),
    }
    running = column("live") > 0
    return {code: running & tests[code] if signal.live else tests[code] for code, signal in SIGNALS.items()}


def _score(points: RiskPoints, limits: ChurnThresholds) -> nw.Expr:
    """Published points, added, within 0 to 100; a customer without a running subscription scores nothing."""
    column = nw.col
    failed = (
        nw.when(column("failed_recent") >= limits.many_failed_invoices)
        .then(points.failed_invoices_many)
        .otherwise(points.failed_invoices_few)
    )
    fixed = {
        code: getattr(points, code)
        for code in (
            "past_due",
            "dunning",
            "downgrade",
            "contraction",
            "expansion",
            "overdue_charge",
            "card_expiring",
            "new_customer",
        )
    }
    parts = [nw.when(column(f"is_{code}")).then(value).otherwise(0) for code, value in fixed.items()]
    total = nw.sum_horizontal(*parts, nw.when(column("is_failed_payment")).then(failed).otherwise(0))
    total = nw.when(column("live") > 0).then(total).otherwise(0)
    return nw.max_horizontal(nw.min_horizontal(total, nw.lit(100)), nw.lit(0))


def _feedback() -> nw.Expr:
    """What the customer said when cancelling, in Stripe's words, or empty."""
    column = nw.col
    said = nw.when(column("live") > 0).then(column("scheduled_feedback")).otherwise(column("ended_feedback"))
    said = said.fill_null("")
    return nw.when(said.is_in(list(FEEDBACK))).then(said).otherwise(nw.lit(""))


def _state(now: int, limits: ChurnThresholds) -> nw.Expr:
    """The hardest fact first; `at_risk` by a decisive signal or the score, with hysteresis and a minimum stay."""
    column = nw.col
    decisive = nw.any_horizontal(
        *(column(f"is_{code}") for code, signal in SIGNALS.items() if signal.decisive), ignore_nulls=True
    )
    was = (column("old_state") == "at_risk").fill_null(False)
    stays = was & (
        (column("score") >= limits.at_risk_leave)
        | (column("old_since") > now - limits.minimum_stay_days * DAY).fill_null(False)
    )
    return (
        nw.when((column("live") == 0) & (column("ended") > 0))
        .then(nw.lit("canceled"))
        .when(column("past_due") > 0)
        .then(nw.lit("past_due"))
        .when(column("scheduled") > 0)
        .then(nw.lit("scheduled_cancel"))
        .when(decisive | stays | (column("score") >= limits.at_risk_enter))
        .then(nw.lit("at_risk"))
        .otherwise(nw.lit("healthy"))
    )


def _kind() -> nw.Expr:
    """Voluntary or involuntary, where Stripe's data says so."""
    column = nw.col
    voluntary, involuntary, unknown = nw.lit("voluntary"), nw.lit("involuntary"), nw.lit("unknown")

    def any_of(kind: str) -> nw.Expr:
        codes = [code for code, signal in SIGNALS.items() if signal.kind == kind]
        return nw.any_horizontal(*(column(f"is_{code}") for code in codes), ignore_nulls=True)

    reason = column("ended_reason").fill_null("")
    asked = reason.is_in(["cancellation_requested", "canceled_by_retention_policy"])
    pays, wants = any_of("involuntary"), any_of("voluntary")
    state = column("state")
    return (
        nw.when((state == "canceled") & asked)
        .then(voluntary)
        .when((state == "canceled") & (reason == "payment_disputed"))
        .then(unknown)
        .when(
            (state == "canceled")
            & ((reason == "payment_failed") | column("is_unpaid") | column("is_never_started"))
        )
        .then(involuntary)
        .when((state == "canceled") & (column("feedback") != ""))
        .then(voluntary)
        .when((state == "past_due") | (state == "scheduled_cancel"))
        .then(
            nw.when(column("scheduled_voluntary") > 0)
            .then(voluntary)
            .when((state == "past_due") | (column("scheduled_involuntary") > 0))
            .then(involuntary)
            .otherwise(unknown)
        )
        .when((state == "at_risk") & pays & ~wants)
        .then(involuntary)
        .when((state == "at_risk") & wants & ~pays)
        .then(voluntary)
        .otherwise(unknown)
    )


def _at_risk() -> nw.Expr:
    """MRR that may be lost: all of it, or the part whose end is scheduled; null when the MRR is unknown."""
    column = nw.col
    return (
        nw.when(column("state").is_in(["at_risk", "past_due"]))
        .then(column("mrr_minor"))
        .when(column("state") == "scheduled_cancel")
        .then(column("mrr_minor") - column("mrr_committed_minor"))
        .otherwise(0)
    )
