"""Billing objects in API shape for tests: a plain subscription, and what a case changes about it."""

from typing import Any

__all__ = [
    "AS_OF",
    "DAY",
    "FEES",
    "TIERS",
    "amount_off",
    "discount",
    "item",
    "percent_off",
    "price",
    "subscription",
    "tiered",
]

AS_OF = 1_781_481_600  # 2026-06-15T00:00:00Z
DAY = 86_400
TIERS = [(5, 700, None), (10, 650, None), (None, 600, None)]
FEES = [(5, 0, 1000), (10, 100, 500), ("inf", 50, 250)]


def price(amount: Any = 2900, *, interval: str = "month", count: Any = 1, **changes: Any) -> dict[str, Any]:
    """A licensed recurring price; `usage_type`, `meter` and the rest by name."""
    recurring = {
        "interval": interval,
        "interval_count": count,
        "usage_type": changes.pop("usage_type", "licensed"),
        "meter": changes.pop("meter", None),
    }
    return {
        "id": "price_1",
        "object": "price",
        "billing_scheme": "per_unit",
        "currency": "usd",
        "product": "prod_a",
        "recurring": recurring,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": amount,
        "unit_amount_decimal": None if amount is None else str(amount),
        **changes,
    }


def tiered(mode: Any, tiers: Any, **changes: Any) -> dict[str, Any]:
    """A tiered price from (up_to, unit_amount, flat_amount) or ready-made tiers."""
    made = [
        {"up_to": tier[0], "unit_amount": tier[1], "flat_amount": tier[2]} if isinstance(tier, tuple) else tier
        for tier in tiers
    ]
    return price(None, billing_scheme="tiered", tiers_mode=mode, tiers=made, **changes)


def item(of: Any = None, **changes: Any) -> dict[str, Any]:
    """One item of a price, quantity 1."""
    return {
        "id": "si_1",
        "object": "subscription_item",
        "current_period_start": AS_OF - 10 * DAY,
        "current_period_end": AS_OF + 20 * DAY,
        "discounts": [],
        "price": price() if of is None else of,
        "quantity": 1,
        "tax_rates": [],
        **changes,
    }


def subscription(*items: Any, **changes: Any) -> dict[str, Any]:
    """An active subscription of the items, by default one of 29.00 USD a month."""
    return {
        "id": "sub_1",
        "object": "subscription",
        "status": "active",
        "currency": "usd",
        "customer": "cus_1",
        "items": {"object": "list", "data": list(items or [item()]), "has_more": False},
        "discounts": [],
        "default_tax_rates": [],
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "pause_collection": None,
        "trial_end": None,
        **changes,
    }


def percent_off(percent: Any, *, duration: str = "forever", **changes: Any) -> dict[str, Any]:
    """A coupon of some percent."""
    return {"id": "co_p", "duration": duration, "percent_off": percent, "amount_off": None, **changes}


def amount_off(amount: Any, *, currency: Any = "usd", duration: str = "forever", **changes: Any) -> dict[str, Any]:
    """A coupon of an amount per billing period."""
    return {
        "id": "co_a",
        "duration": duration,
        "percent_off": None,
        "amount_off": amount,
        "currency": currency,
        **changes,
    }


def discount(coupon: Any, *, source: bool = True, **changes: Any) -> dict[str, Any]:
    """A discount in force, in the shape since clover (`source.coupon`) or the one before."""
    place = {"source": {"type": "coupon", "coupon": coupon}} if source else {"coupon": coupon}
    return {"id": "di_1", "object": "discount", "start": AS_OF - 100 * DAY, "end": None, **place, **changes}
