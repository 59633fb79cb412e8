"""The gates that a customer passes before its growth may be told: reductions to one row a customer.

Here: subscriptions, invoices, disputes and refunds, what was bought. Not here: MRR points and growth
(`segments.growth`). Evidence that is missing does not pass a gate: an invoice with a due date counts as paid in
time only when it is known when it was paid.
"""

from datetime import datetime
from typing import Any, Final

import narwhals as nw

from segments.disputed import NOT_DISPUTES, disputed_charges
from segments.frames import DAY, first_of, settled
from segments.leaving import is_leaving
from segments.thresholds import GrowthThresholds

__all__ = ["bought", "complaints", "payments", "standing"]

_YEAR_LINE: Final = 360 * DAY
"""A line that covers at least so long is of an annual plan."""
_NEVER_BEGAN: Final = ("incomplete", "incomplete_expired")
_RUNNING: Final = ("active", "past_due", "trialing", "unpaid", "paused")

Frame = nw.LazyFrame[Any]


def standing(subscriptions: Frame, *, as_of: datetime) -> Frame:
    """Of each customer: `active`, `leaving` (1 or 0) and when the first subscription began (`since`).

    What a scheduled end is says `segments.leaving`.
    """
    column, now = nw.col, int(as_of.timestamp())
    status = column("status").fill_null("")
    known = subscriptions.filter(~column("customer").is_null(), ~status.is_in(list(_NEVER_BEGAN)))
    ended = (column("ended_at") <= now).fill_null(False) | (column("cancel_at") <= now).fill_null(False)
    resumed = (column("pause_resumes_at") <= now).fill_null(False)
    paused = ~column("pause_behavior").is_null() & ~resumed
    on_trial = (column("trial_end") > now).fill_null(False)
    flagged = known.select(
        "customer",
        active=((status == "active") & ~ended & ~paused & ~on_trial).cast(nw.Int64),
        leaving=(status.is_in(list(_RUNNING)) & ~ended & is_leaving(now)).cast(nw.Int64),
        since=nw.coalesce(column("start_date"), column("created")),
    )
    return flagged.group_by("customer").agg(column("active").max(), column("leaving").max(), column("since").min())


def payments(invoices: Frame, charges: Frame, *, as_of: datetime, limits: GrowthThresholds) -> Frame:
    """Of each customer with invoices: `judged`, and `badly`, how many of the last ones were paid badly.

    Voided invoices, drafts, those over nothing and open ones that are not due yet are left out. Badly is: not
    paid, after a second attempt or a failed charge, or after the due date.
    """
    column, now = nw.col, int(as_of.timestamp())
    failed = (
        charges.filter(column("status") == "failed", ~column("invoice").is_null())
        .select("invoice")
        .unique()
        .with_columns(failed=nw.lit(1))
    )
    status = column("status").fill_null("")
    attempts = column("attempt_count").fill_null(0)
    sent = (column("collection_method") == "send_invoice").fill_null(False)
    overdue = (sent & (column("due_date") <= now).fill_null(False)) | (~sent & (attempts > 0))
    in_terms = column("due_date").is_null() | (column("paid_at") <= column("due_date")).fill_null(False)
    due = (
        invoices.filter(
            ~column("customer").is_null(),
            ~column("created").is_null(),
            column("created") <= now,
            column("total").fill_null(0) > 0,
            status.is_in(["paid", "uncollectible"]) | ((status == "open") & overdue),
        )
        .join(failed, left_on="id", right_on="invoice", how="left")
        .select(
            "customer",
            "created",
            badly=((status != "paid") | (attempts > 1) | (column("failed").fill_null(0) > 0) | ~in_terms).cast(
                nw.Int64
            ),
        )
    )
    last = (column("place") <= limits.invoices).cast(nw.Int64)
    return (
        due.with_columns(place=column("created").rank("min", descending=True).over("customer"))
        .with_columns(badly=column("badly") * last)
        .group_by("customer")
        .agg(nw.len().alias("judged"), column("badly").sum())
    )


def complaints(
    disputes: Frame, refunds: Frame, charges: Frame, *, as_of: datetime, limits: GrowthThresholds
) -> Frame:
    """Of each customer with any: disputes ever, and whether too much was refunded in the window (1 or 0).

    Refunds are compared with what was paid in the same window and currency; what charges say of their own refunds
    counts where it is more than the refunds known.
    """
    column, now, none = nw.col, int(as_of.timestamp()), nw.lit(0, nw.Int64)
    since = now - limits.refund_days * DAY
    disputed = disputes.filter(~column("status").fill_null("").is_in(list(NOT_DISPUTES))).select(
        "charge", "payment_intent", "currency", disputes=nw.lit(1, nw.Int64), refunded=none
    )
    given_back = refunds.filter(
        ~column("status").fill_null("").is_in(["failed", "canceled"]),
        column("created") > since,
        column("created") <= now,
    ).select(
        "charge",
        "payment_intent",
        "currency",
        disputes=none,
        refunded=column("amount").fill_null(0),
    )
    complained = settled(nw.concat([disputed, given_back]))
    marks = disputed_charges(complained, charges).select(
        "customer", "currency", "disputes", "refunded", paid=none, own=none
    )
    taken = charges.filter(
        column("paid").fill_null(False), column("created") > since, column("created") <= now
    ).select(
        "customer",
        "currency",
        disputes=none,
        refunded=none,
        paid=nw.coalesce(column("amount_captured"), column("amount")).fill_null(0),
        own=column("amount_refunded").fill_null(0),
    )
    sums = (
        nw.concat([marks, taken])
        .filter(~column("customer").is_null())
        .group_by("customer", "currency")
        .agg(*(column(name).sum() for name in ("disputes", "refunded", "paid", "own")))
    )
    most = nw.max_horizontal(column("refunded"), column("own"))
    share = most / nw.when(column("paid") > 0).then(column("paid")).otherwise(1)
    too_much = (share > limits.refund_share) & (most > 0)
    return (
        sums.with_columns(refunded_much=too_much.cast(nw.Int64))
        .group_by("customer")
        .agg(column("disputes").sum(), column("refunded_much").max())
        .filter((column("disputes") > 0) | (column("refunded_much") > 0))
    )


def bought(lines: Frame, invoices: Frame, *, since: int) -> tuple[Frame, Frame]:
    """What paid invoices were for: by customer, the annual ones; by customer and currency, the main product.

    First frame, customers with annual invoices: how far the first and the last of them are apart (`annual_span`),
    and `shorter`: 1 if a shorter recurring line was billed after `since`, else 0. Second: `product` with the most
    net revenue after `since`, the first by name among equals.
    """
    column = nw.col
    paid = invoices.filter(column("status") == "paid").select(paid_invoice="id", payer="customer")
    recurring = ~column("subscription").is_null() & ~column("proration").fill_null(False)
    length = column("period_end") - column("period_start")
    long = recurring & (length >= _YEAR_LINE).fill_null(False)
    short = recurring & (length > 0).fill_null(False) & ~long
    recent = (column("created") > since).fill_null(False)
    net = (
        column("amount").fill_null(0)
        - column("discount_amount").fill_null(0)
        - column("inclusive_tax_amount").fill_null(0)
    )
    billed = (
        lines.join(paid, left_on="invoice", right_on="paid_invoice", how="inner")
        .select(
            "currency",
            "product",
            customer=nw.coalesce(column("payer"), column("customer")),
            annual_at=nw.when(long).then(column("created")),
            shorter=(short & recent).cast(nw.Int64),
            recent=recent.cast(nw.Int64),
            net=nw.when(recent).then(net).otherwise(0),
        )
        .filter(~column("customer").is_null())
    )
    sums = settled(
        billed.group_by("customer", "currency", "product").agg(
            column("annual_at").min().alias("first"),
            column("annual_at").max().alias("last"),
            column("shorter").max(),
            column("recent").max(),
            column("net").sum(),
        )
    )
    plans = (
        sums.group_by("customer")
        .agg(column("first").min(), column("last").max(), column("shorter").max())
        .filter(~column("first").is_null())
        .select("customer", "shorter", annual_span=column("last") - column("first"))
    )
    named = sums.filter(column("recent") > 0, ~column("product").is_null(), ~column("currency").is_null())
    named = named.with_columns(below=-column("net"))
    largest = first_of(named, "product", order=["below", "product"])
    products = named.group_by("customer", "currency").agg(largest)
    return plans, products
