"""What Stripe's data says about each customer's risk, as numbers: one row for each customer with a subscription.

Here: reducing subscriptions, invoices, charges, cards, coupons, disputes and MRR by month to counts, days and
flags. Not here: what the numbers mean for state and score (`segments.churn`). All reductions are lazy; only
coupons are read in Python, from the few subscriptions whose billing holds an end of a discount. Definitions
follow the published scores, with two corrections: retries of one invoice are one failure, and days count on the
plan's own cycle.
"""

from datetime import datetime
from typing import Any, Final

import narwhals as nw

from segments.disputed import OPEN, disputed_charges
from segments.frames import DAY, last_of, month_of, settled, whole
from segments.leaving import is_leaving
from segments.next_invoice import ending_discounts, expiring_cards
from segments.thresholds import ChurnThresholds

__all__ = ["COUNTS", "HARD_DECLINES", "LIVE", "customer_signals"]

LIVE: Final = ("active", "trialing", "past_due", "paused")
"""Statuses of subscriptions that still run. `unpaid` and `canceled` are churn by Stripe's definition."""
_ENDED: Final = ("canceled", "unpaid", "incomplete_expired")
_QUARTER_DAYS: Final = 85
_VOLUNTARY: Final = ("cancellation_requested", "canceled_by_retention_policy")

HARD_DECLINES: Final = frozenset(
    {
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "stolen_card",
        "revocation_of_authorization",
        "revocation_of_all_authorizations",
        "authentication_required",
        "highest_risk_level",
        "transaction_not_allowed",
    }
)
"""Declines that no retry mends (https://docs.stripe.com/billing/revenue-recovery/smart-retries). Where the charge
carries advice of the network, that decides instead."""

COUNTS: Final = (
    "live",
    "past_due",
    "unpaid",
    "incomplete",
    "ended",
    "never_started",
    "scheduled",
    "scheduled_voluntary",
    "scheduled_involuntary",
    "paused",
    "trialing",
    "sent_invoices",
    "failed_recent",
    "failed_window",
    "hard_recent",
    "dunning",
    "no_retry_left",
    "attempts",
    "uncollectible",
    "overdue_invoices",
    "open_disputes",
    "card_expiring",
    "coupon_ending",
    "downgrade",
    "contraction",
    "expansion",
)
"""Columns that count something; zero where there is nothing."""


def customer_signals(
    sources: dict[str, nw.LazyFrame[Any]], *, as_of: datetime, thresholds: ChurnThresholds
) -> nw.LazyFrame[Any]:
    """A row for each customer with a subscription.

    Besides `COUNTS`: `first_start`, `next_renewal`, `long_renewal` (the next one of a plan longer than a quarter),
    `next_invoice`, `ended_at`, `last_paid`, `oldest_open`, all in seconds, `cycle_days`, `ended_reason`,
    `ended_feedback`, `scheduled_feedback`.
    """
    now = int(as_of.timestamp())
    subscriptions = settled(_subscriptions(sources["subscriptions"], now))
    charges = sources["charges"].filter(
        ~nw.col("customer").is_null(), ~nw.col("created").is_null(), nw.col("created") <= now
    )
    joined = _people(subscriptions)
    last_paid = settled(_last_paid(charges))
    for part in (
        _latest_end(subscriptions),
        _failures(charges, now, thresholds),
        last_paid.drop("last_method"),
        _invoices(sources["invoices"], now, thresholds),
        _open_disputes(sources["disputes"], sources["charges"]),
        expiring_cards(subscriptions, sources, last_paid, now, thresholds),
        ending_discounts(subscriptions, now, thresholds),
        _changes(sources["customer_mrr_months"], as_of, thresholds),
    ):
        joined = joined.join(part, on="customer", how="left")
    return joined.with_columns(*(nw.col(name).fill_null(0).cast(nw.Int64) for name in COUNTS))


def _subscriptions(subscriptions: nw.LazyFrame[Any], now: int) -> nw.LazyFrame[Any]:
    """Subscriptions with a flag for each thing that is counted."""
    column = nw.col
    over = (column("ended_at") <= now).fill_null(False) | (column("cancel_at") <= now).fill_null(False)
    status = column("status").fill_null("")
    live = status.is_in(list(LIVE)) & ~over
    leaving = is_leaving(now)
    reason = column("cancellation_reason").fill_null("")
    feedback = column("cancellation_feedback").fill_null("")
    asked = reason.is_in(list(_VOLUNTARY)) | (feedback != "")
    pausing = ~column("pause_behavior").is_null() & ~(column("pause_resumes_at") <= now).fill_null(False)
    flags = {
        "live": live,
        "past_due": live & (status == "past_due"),
        "unpaid": status == "unpaid",
        "incomplete": status == "incomplete",
        "ended": status.is_in(list(_ENDED)) | (over & (status != "incomplete")),
        "never_started": status == "incomplete_expired",
        "scheduled": live & leaving,
        "scheduled_voluntary": live & leaving & asked,
        "scheduled_involuntary": live & leaving & (reason == "payment_failed"),
        "paused": live & ((status == "paused") | pausing),
        "trialing": live & (status == "trialing"),
        "sent_invoices": live & (column("collection_method") == "send_invoice").fill_null(False),
    }
    cycle = whole(column("current_period_end") - column("current_period_start") + DAY // 2, DAY)
    known = subscriptions.filter(~column("customer").is_null())
    return known.with_columns(
        **{name: flag.cast(nw.Int64) for name, flag in flags.items()},
        end=nw.coalesce(
            column("ended_at"),
            column("canceled_at"),
            # Stripe writes neither when retries end unpaid.
            nw.when(status == "unpaid").then(column("current_period_start")),
            column("created"),
        ),
        reason=reason,
        feedback=feedback,
        live_end=nw.when(live).then(column("current_period_end")),
        long_end=nw.when(live & (cycle > _QUARTER_DAYS) & (column("current_period_end") > now)).then(
            column("current_period_end")
        ),
        scheduled_feedback=nw.when(live & leaving).then(feedback).otherwise(nw.lit("")),
        charged_end=nw.when(
            live
            & ~leaving
            & (status != "paused")
            & ~(column("collection_method") == "send_invoice").fill_null(False)
        ).then(column("current_period_end")),
        cycle_days=nw.when(live).then(cycle).otherwise(0),
    )


def _people(subscriptions: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    column = nw.col
    counted = [name for name in COUNTS if name in subscriptions.collect_schema().names()]
    return (
        subscriptions.with_columns(start=nw.coalesce(column("start_date"), column("created")))
        .group_by("customer")
        .agg(
            *(column(name).sum() for name in counted),
            column("start").min().alias("first_start"),
            column("live_end").min().alias("next_renewal"),
            column("long_end").min().alias("long_renewal"),
            column("charged_end").min().alias("next_invoice"),
            column("cycle_days").max(),
            column("scheduled_feedback").max(),
        )
    )


def _latest_end(subscriptions: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Why and when the subscription ended that ended last."""
    column = nw.col
    order = ["end", "id"]
    ended = subscriptions.filter(column("ended") > 0)
    return ended.group_by("customer").agg(
        last_of(ended, "reason", order=order).alias("ended_reason"),
        last_of(ended, "feedback", order=order).alias("ended_feedback"),
        column("end").max().alias("ended_at"),
    )


def _failures(charges: nw.LazyFrame[Any], now: int, limits: ChurnThresholds) -> nw.LazyFrame[Any]:
    """Distinct payments that failed at least once: all charges of one invoice are one payment."""
    column = nw.col
    advice = column("advice_code").fill_null("")
    listed = column("failure_code").fill_null("").is_in(sorted(HARD_DECLINES)) | column(
        "outcome_reason"
    ).fill_null("").is_in(sorted(HARD_DECLINES))
    hard = (advice == "do_not_try_again") | ((advice == "") & listed)
    failed = charges.filter(
        column("status") == "failed", column("created") > now - limits.window_days * DAY
    ).with_columns(
        payment=nw.coalesce(column("invoice"), column("payment_intent"), column("id")), hard=hard.cast(nw.Int64)
    )
    payments = failed.group_by("customer", "payment").agg(column("created").max(), column("hard").max())
    recent = (column("created") > now - limits.recent_days * DAY).cast(nw.Int64)
    flagged = payments.with_columns(failed_recent=recent, hard_recent=recent * column("hard"))
    return flagged.group_by("customer").agg(
        nw.len().alias("failed_window"), column("failed_recent").sum(), column("hard_recent").sum()
    )


def _last_paid(charges: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    column = nw.col
    paid = charges.filter(column("paid").fill_null(False), column("amount") > 0)
    by_method = paid.group_by("customer", "payment_method").agg(column("created").max())
    by_method = by_method.with_columns(payment_method=column("payment_method").fill_null(""))
    return by_method.group_by("customer").agg(
        column("created").max().alias("last_paid"),
        last_of(by_method, "payment_method", order=["created", "payment_method"]).alias("last_method"),
    )


def _invoices(invoices: nw.LazyFrame[Any], now: int, limits: ChurnThresholds) -> nw.LazyFrame[Any]:
    """Open invoices in dunning or past their due date, and invoices given up."""
    column = nw.col
    attempts = column("attempt_count").fill_null(0)
    owed = (column("status") == "open").fill_null(False) & (column("amount_due").fill_null(0) > 0)
    tried = owed & (attempts > 0)
    sent = (column("collection_method") == "send_invoice").fill_null(False)
    given_up = nw.coalesce(column("marked_uncollectible_at"), column("created"))
    flags = {
        "dunning": tried & ~sent,
        "no_retry_left": tried & ~sent & ~(column("next_payment_attempt") > now).fill_null(False),
        "overdue_invoices": owed & (column("due_date") < now).fill_null(False),
        "uncollectible": (column("status") == "uncollectible").fill_null(False)
        & (given_up > now - limits.window_days * DAY).fill_null(False),
    }
    since = nw.coalesce(column("due_date"), column("finalized_at"), column("created"))
    known = invoices.filter(~column("customer").is_null(), column("status").is_in(["open", "uncollectible"]))
    return (
        known.with_columns(
            **{name: flag.cast(nw.Int64) for name, flag in flags.items()},
            attempts=nw.when(tried).then(attempts).otherwise(0),
            oldest=nw.when(tried | flags["overdue_invoices"]).then(since),
        )
        .group_by("customer")
        .agg(
            *(column(name).sum() for name in flags),
            column("attempts").max(),
            column("oldest").min().alias("oldest_open"),
        )
    )


def _open_disputes(disputes: nw.LazyFrame[Any], charges: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    pending = disputes.filter(nw.col("status").is_in(list(OPEN))).select("charge", "payment_intent")
    found = disputed_charges(pending, charges).filter(~nw.col("customer").is_null())
    return found.group_by("customer").agg(nw.len().alias("open_disputes"))


def _changes(months: nw.LazyFrame[Any], as_of: datetime, limits: ChurnThresholds) -> nw.LazyFrame[Any]:
    """Changes of exact MRR: list value within a month, net value within three, at month ends before `as_of`."""
    column = nw.col
    last = month_of(as_of) - 1
    at = {"now": last, "before": last - 1, "quarter": last - 3}
    values = {
        f"{amount}_{name}": nw.when(column("month") == month).then(column(f"{amount}_minor")).otherwise(0)
        for name, month in at.items()
        for amount in ("mrr", "mrr_list")
    }
    wide = (
        months.filter(column("month").is_in(list(at.values())))
        .with_columns(**values)
        .group_by("customer", "currency")
        .agg(*(column(name).sum() for name in values))
    )
    kept = column("mrr_list_now") > 0
    flags = {
        "downgrade": kept & (column("mrr_list_now") < column("mrr_list_before")),
        "contraction": kept & (column("mrr_now") < column("mrr_quarter") * (1 - limits.change_share)),
        "expansion": kept
        & (column("mrr_quarter") > 0)
        & (column("mrr_now") > column("mrr_quarter") * (1 + limits.change_share)),
    }
    flagged = wide.with_columns(**{name: flag.cast(nw.Int64) for name, flag in flags.items()})
    return flagged.group_by("customer").agg(*(column(name).max() for name in flags))
