"""What a period of an item costs: tiers, packages, proration, discounts, tax; in minor units.

Produces `Charge` rows that become invoice lines. Amounts are exact until a row is closed, then rounded half up
to a minor unit, as Stripe rounds each line. Tier rules: https://docs.stripe.com/products-prices/pricing-models
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from sandbox.simulation.catalog import Coupon, Price
from sandbox.simulation.shapes_prices import decimal_text

__all__ = ["AppliedDiscount", "Charge", "apply_discounts", "apply_tax", "period_charges", "round_half_up"]


@dataclass(slots=True)
class AppliedDiscount:
    """A discount object of the account with the coupon behind it."""

    obj: dict[str, Any]
    coupon: Coupon

    def in_force(self, moment: int) -> bool:
        end = self.obj["end"]
        return end is None or end > moment


@dataclass(slots=True)
class Charge:
    """One invoice line in the making."""

    amount: int
    price: Price
    quantity: int | None
    unit: str | None
    description: str
    start: int
    end: int
    item: str
    proration: bool = False
    discounts: list[tuple[str, int]] = field(default_factory=list)
    tax: int = 0
    tax_rate: dict[str, Any] | None = None

    @property
    def net(self) -> int:
        return self.amount - sum(amount for _, amount in self.discounts)


def round_half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def period_charges(price: Price, quantity: int, *, item: str, start: int, end: int) -> list[Charge]:
    """The lines for one full period of an item."""
    name = price.spec.nickname or price.spec.product

    def line(amount: Fraction, count: int, unit: Fraction, text: str) -> Charge:
        return Charge(round_half_up(amount), price, count, decimal_text(unit), text, start, end, item)

    if price.spec.divide_by:
        packs = -(-quantity // price.spec.divide_by)
        return [line(price.unit * packs, quantity, price.unit, f"{packs} packages of {name}")]
    if not price.tiers:
        return [line(price.unit * quantity, quantity, price.unit, f"{quantity} × {name}")]
    slices = _graduated(price, quantity) if price.spec.tiers_mode == "graduated" else _volume(price, quantity)
    rows = []
    for number, count, unit, flat in slices:
        rows.append(line(unit * count, count, unit, f"{count} × {name} (tier {number})"))
        if flat:
            rows.append(line(Fraction(flat), 0, Fraction(0), f"{name} (tier {number} flat fee)"))
    return rows


def period_amount(price: Price, quantity: int) -> int:
    return sum(row.amount for row in period_charges(price, quantity, item="", start=0, end=0))


def apply_discounts(
    charges: Sequence[Charge],
    *,
    on_items: dict[str, list[AppliedDiscount]],
    on_subscription: Iterable[AppliedDiscount],
    currency: str,
) -> None:
    """Item discounts first, then the subscription's in order; never below zero. Prorations are left alone."""
    whole = [charge for charge in charges if not charge.proration and charge.amount > 0]
    for item, discounts in on_items.items():
        for discount in discounts:
            _discount([charge for charge in whole if charge.item == item], discount, currency)
    for discount in on_subscription:
        _discount(whole, discount, currency)


def apply_tax(charges: Iterable[Charge], rate: dict[str, Any]) -> None:
    percent = Fraction(str(rate["percentage"])) / 100
    for charge in charges:
        charge.tax_rate = rate
        share = percent / (1 + percent) if rate["inclusive"] else percent
        charge.tax = round_half_up(charge.net * share)


def _discount(charges: list[Charge], discount: AppliedDiscount, currency: str) -> None:
    coupon = discount.coupon
    if coupon.products:
        charges = [charge for charge in charges if charge.price.product in coupon.products]
    charges = [charge for charge in charges if charge.net > 0]
    if coupon.percent is not None:
        for charge in charges:
            charge.discounts.append((discount.obj["id"], round_half_up(charge.net * coupon.percent / 100)))
        return
    total = sum(charge.net for charge in charges)
    left = cut = min(coupon.amounts[currency], total)
    for charge in charges:
        # The last one takes the remainder, so that the shares add up to the amount.
        share = left if charge is charges[-1] else cut * charge.net // total
        charge.discounts.append((discount.obj["id"], share))
        left -= share


def _graduated(price: Price, quantity: int) -> list[tuple[int, int, Fraction, int]]:
    rows, below = [], 0
    for number, (up_to, unit, flat) in enumerate(price.tiers, 1):
        if quantity <= below:
            break
        top = quantity if up_to is None else min(quantity, up_to)
        rows.append((number, top - below, unit, flat))
        below = top
    return rows


def _volume(price: Price, quantity: int) -> list[tuple[int, int, Fraction, int]]:
    for number, (up_to, unit, flat) in enumerate(price.tiers, 1):
        if up_to is None or quantity <= up_to:
            return [(number, quantity, unit, flat)]
    return []
