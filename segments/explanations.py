"""A customer's risk in words: the codes of the signals that fired, and one sentence.

Here: texts made of columns. Not here: what fires (`segments.churn`). The sentence holds numbers and Stripe's
own words only, no name and no id.
"""

from typing import Any

import narwhals as nw

from segments.frames import DAY, whole
from segments.risk_catalogue import SIGNALS

__all__ = ["explanation", "fired"]


def fired() -> nw.Expr:
    """Signals that fired, joined by '; '."""
    said = nw.when(nw.col("feedback") != "").then(nw.col("feedback"))
    return nw.concat_str(
        *(nw.when(nw.col(f"is_{code}")).then(nw.lit(code)) for code in SIGNALS),
        said,
        separator="; ",
        ignore_nulls=True,
    )


def explanation(now: int) -> nw.Expr:
    """One sentence: the state, what speaks for it, the score."""
    column = nw.col

    def days(since: nw.Expr) -> nw.Expr:
        return whole(since + 1, DAY).cast(nw.String)

    def text(*parts: Any) -> nw.Expr:
        return nw.concat_str(*(nw.lit(part) if isinstance(part, str) else part for part in parts))

    def number(name: str) -> nw.Expr:
        return column(name).cast(nw.String)

    until_invoice = days(column("next_invoice") - now)
    said: dict[str, nw.Expr] = {
        "past_due": nw.when(~column("oldest_open").is_null())
        .then(text("past due for ", days(now - column("oldest_open")), " days"))
        .otherwise(nw.lit("past due")),
        "failed_payment": text(
            "failed invoices in 30 days: ",
            number("failed_recent"),
            " (hard declines: ",
            number("hard_recent"),
            ")",
        ),
        "dunning": text("an open invoice, attempts so far: ", number("attempts")),
        "no_retry_left": nw.lit("no further attempt scheduled"),
        "uncollectible": text("invoices given up in 90 days: ", number("uncollectible")),
        "unpaid": nw.lit("retries ended unpaid"),
        "incomplete": nw.lit("first payment not completed"),
        "card_expiring": nw.when(column("next_invoice") > now)
        .then(text("the card expires before the invoice in ", until_invoice, " days"))
        .otherwise(nw.lit("the card expires before the next invoice")),
        "overdue_charge": text(
            "last charge ",
            days(now - column("last_paid")),
            " days ago on a cycle of ",
            number("cycle_days"),
            " days",
        ),
        "open_invoices": text("sent invoices past their due date: ", number("overdue_invoices")),
        "open_dispute": text("open disputes: ", number("open_disputes")),
        "downgrade": nw.lit("list MRR fell within a month"),
        "contraction": nw.lit("MRR fell by over a tenth in three months"),
        "coupon_ending": nw.lit("a discount ends by the next invoice"),
        "paused": nw.lit("collection is paused"),
        "renewal_due": text("renews in ", days(column("long_renewal") - now), " days"),
        "new_customer": text("customer for ", days(now - column("first_start")), " days"),
        "expansion": nw.lit("MRR rose by over a tenth in three months"),
        "scheduled_cancel": nw.lit("a cancellation is scheduled"),
        "payment_disputed": nw.lit("ended by a dispute"),
        "never_started": nw.lit("never paid"),
    }
    reasons = nw.concat_str(
        *(nw.when(column(f"is_{code}")).then(said[code]) for code in SIGNALS),
        nw.when(column("feedback") != "").then(
            text("customer's reason: ", column("feedback").str.replace_all("_", " ", literal=True))
        ),
        separator=", ",
        ignore_nulls=True,
    )
    titles = {
        "healthy": "Healthy",
        "at_risk": "At risk",
        "past_due": "Past due",
        "scheduled_cancel": "Leaving",
        "canceled": "Cancelled",
    }
    state = column("state").replace_strict(
        list(titles), list(titles.values()), default=column("state"), return_dtype=nw.String
    )
    nothing = nw.when(column("live") > 0).then(nw.lit("no signal")).otherwise(nw.lit("no reason is recorded"))
    reasons = nw.when(reasons == "").then(nothing).otherwise(reasons)
    kind = nw.when(column("kind") != "unknown").then(text(" (", column("kind"), ")")).otherwise(nw.lit(""))
    score = nw.when(column("live") > 0).then(text("; score ", number("score"))).otherwise(nw.lit(""))
    return text(state, kind, ": ", reasons, score, ".")
