"""Prices and tiers in Stripe's shape, from the plans of a price list.

A plan is written in US cents; other currencies follow from rough rates and are rounded to look like list prices.
Which plans there are is in `catalog`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

__all__ = ["CURRENCIES", "PlanSpec", "convert", "decimal_text", "legacy_plan", "price_object", "tier_object"]

# Minor units of the currency for one US cent, roughly; list prices are then rounded to look like list prices.
CURRENCIES: Final = {"usd": Fraction(1), "eur": Fraction(92, 100), "gbp": Fraction(80, 100), "jpy": Fraction(3, 2)}


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """One plan of the price list, in US cents."""

    key: str
    product: str
    unit: str | None
    interval: str = "month"
    interval_count: int = 1
    tiers_mode: str | None = None
    # (up to, unit amount, flat amount)
    tiers: tuple[tuple[int | None, str, int], ...] = ()
    divide_by: int | None = None
    metered: bool = False
    nickname: str | None = None


def convert(cents: str | int, currency: str) -> Fraction:
    """US cents in the other currency's minor units, rounded as a price list would."""
    value = Fraction(cents) * CURRENCIES[currency]
    if value < 100:
        return value
    step = 50 if value >= 1000 else 10
    return Fraction(round(value / step) * step)


def decimal_text(value: Fraction) -> str:
    """A Stripe decimal string: at most 12 decimals, no trailing zeros."""
    whole = f"{float(value):.12f}".rstrip("0").rstrip(".")
    return whole or "0"


def price_object(
    price_id: str, spec: PlanSpec, *, currency: str, product: str, created: int, livemode: bool, active: bool
) -> dict[str, Any]:
    unit = None if spec.unit is None else convert(spec.unit, currency)
    return {
        "id": price_id,
        "object": "price",
        "active": active,
        "billing_scheme": "tiered" if spec.tiers else "per_unit",
        "created": created,
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": livemode,
        "lookup_key": f"{spec.key}_{currency}" if active else None,
        "metadata": {},
        "nickname": spec.nickname,
        "product": product,
        "recurring": {
            "interval": spec.interval,
            "interval_count": spec.interval_count,
            "meter": "mtr_1SbxMeterOfContacts" if spec.metered else None,
            "trial_period_days": None,
            "usage_type": "metered" if spec.metered else "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": spec.tiers_mode,
        "transform_quantity": {"divide_by": spec.divide_by, "round": "up"} if spec.divide_by else None,
        "type": "recurring",
        "unit_amount": int(unit) if unit is not None and unit.denominator == 1 else None,
        "unit_amount_decimal": None if unit is None else decimal_text(unit),
    }


def legacy_plan(price: dict[str, Any]) -> dict[str, Any]:
    """The `plan` object that Stripe still sends beside `price`."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": price["livemode"],
        "metadata": {},
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": price["tiers_mode"],
        "transform_usage": price["transform_quantity"],
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }


def tier_object(up_to: int | None, unit: Fraction, flat: int) -> dict[str, Any]:
    return {
        "flat_amount": flat or None,
        "flat_amount_decimal": str(flat) if flat else None,
        "unit_amount": int(unit) if unit.denominator == 1 else None,
        "unit_amount_decimal": decimal_text(unit),
        "up_to": up_to,
    }
