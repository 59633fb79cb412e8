"""What threatens a customer's next invoice: a card that expires before it, a discount that ends by it.

Here: the two reductions to one row a customer, for invoices near enough to matter. Not here: the other signals
(`segments.signals`). Cards are found lazily; discounts are read in Python, from the few subscriptions whose
billing holds an end of one.
"""

import json
from collections.abc import Iterator
from typing import Any

import narwhals as nw
import pyarrow as pa

from segments.frames import DAY, beside, rows, with_months
from segments.thresholds import ChurnThresholds

__all__ = ["ending_discounts", "expiring_cards"]


def expiring_cards(
    subscriptions: nw.LazyFrame[Any],
    sources: dict[str, nw.LazyFrame[Any]],
    last_paid: nw.LazyFrame[Any],
    now: int,
    limits: ChurnThresholds,
) -> nw.LazyFrame[Any]:
    """Subscriptions whose card expires before their next invoice, if that is near.

    The card is the one that Stripe will charge: the subscription's default, else the customer's, else the one
    last charged. A card that was charged after its expiry has been renewed by its network. Cards are updated in
    place, so a known new expiry counts by itself.
    """
    column = nw.col
    near = subscriptions.filter(
        column("charged_end") > now, column("charged_end") <= now + limits.horizon_days * DAY
    ).select("customer", "charged_end", own="default_payment_method")
    defaults = sources["customers"].select("id", theirs="default_payment_method")
    cards = (
        sources["payment_methods"]
        .filter(column("card_exp_year").is_between(2000, 2200), column("card_exp_month").is_between(1, 12))
        .select("id", expiry=column("card_exp_year") * 12 + column("card_exp_month") - 1)
    )
    charged = (
        near.join(defaults, left_on="customer", right_on="id", how="left")
        .join(last_paid, on="customer", how="left")
        .with_columns(method=nw.coalesce(column("own"), column("theirs"), column("last_method")))
        .join(cards, left_on="method", right_on="id", how="inner")
    )
    dated = with_months(charged, invoice_month="charged_end", paid_month="last_paid")
    renewed = ((column("method") == column("last_method")) & (column("paid_month") > column("expiry"))).fill_null(
        False
    )
    return (
        dated.filter(column("invoice_month") > column("expiry"), ~renewed)
        .group_by("customer")
        .agg(nw.len().alias("card_expiring"))
    )


def ending_discounts(subscriptions: nw.LazyFrame[Any], now: int, limits: ChurnThresholds) -> nw.LazyFrame[Any]:
    """Subscriptions with a discount that ends by their next invoice, if that is near: the price jumps then."""
    column = nw.col
    horizon = now + limits.horizon_days * DAY
    ending = subscriptions.filter(
        column("live_end") > now,
        column("live_end") <= horizon,
        column("billing").str.contains('"end": ?[0-9]').fill_null(False),
    ).select("customer", "live_end", "billing")
    table = rows(ending)
    found: dict[str, int] = {}
    for customer, renewal, billing in zip(
        *(table.column(name).to_pylist() for name in ("customer", "live_end", "billing")), strict=True
    ):
        if any(now < end <= renewal for end in _discount_ends(billing)):
            found[customer] = found.get(customer, 0) + 1
    return beside(
        subscriptions,
        pa.table(
            {
                "customer": pa.array(list(found), pa.string()),
                "coupon_ending": pa.array(list(found.values()), pa.int64()),
            }
        ),
    )


def _discount_ends(billing: str) -> Iterator[int]:
    """Ends of the discounts of a subscription and of its items."""
    try:
        subscription = json.loads(billing)
    except (ValueError, RecursionError):
        return
    if not isinstance(subscription, dict):
        return
    items = subscription.get("items")
    listed = items.get("data") if isinstance(items, dict) else None
    for holder in (subscription, *(listed if isinstance(listed, list) else ())):
        if not isinstance(holder, dict):
            continue
        discounts = holder.get("discounts")
        # Before 2025 a subscription had one discount, beside the list or instead of it.
        for discount in (holder.get("discount"), *(discounts if isinstance(discounts, list) else ())):
            end = discount.get("end") if isinstance(discount, dict) else None
            if isinstance(end, int):
                yield end
