"""Discounts of items, subscriptions and customers: which are in force, which count, and what they take off.

Here: finding the coupon in both API shapes, order, stacking, `applies_to`, amounts in other currencies. Not here:
prices (`segments.pricing`), tax (`segments.taxes`). Rules: percentages compound and amounts are cut in the order
of the array (https://docs.stripe.com/billing/subscriptions/coupons.md); since 2025-09-30.clover the coupon sits at
`discount.source.coupon`
(https://docs.stripe.com/changelog/clover/2025-09-30/add-discount-source-property); a coupon that is no longer
`valid` cannot be redeemed again but goes on working where it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from segments.lifecycle import Trace
from segments.money import exact, known_currency
from segments.pricing import Charge
from segments.reading import filled, listed, moment
from segments.reasons import UnknownPart

__all__ = ["Discount", "DiscountReader", "Discounted", "apply_discount", "discount_list"]

_CUSTOMER_PLACE = "customer.discount"
_MOST = 100  # Stripe allows 20; a longer list is a broken one


@dataclass(frozen=True, slots=True)
class Discount:
    """A discount that counts: a share of what is left, or minor units per billing period.

    Attributes:
        share: what remains of an amount (9/10 for 10 % off), or None.
        cut: minor units of the subscription's currency off per billing period, or None.
        products: the only products it covers; None covers all.
    """

    share: Fraction | None
    cut: Fraction | None
    products: frozenset[str] | None


@dataclass(slots=True)
class Discounted:
    """A charge and what discounts have left of it so far, per billing period."""

    charge: Charge
    left: Fraction


@dataclass(frozen=True, slots=True)
class DiscountReader:
    """Reads and applies the discounts of one subscription; what it cannot read goes to the trace as a reason."""

    currency: str
    coupons: Mapping[str, Any]
    trace: Trace

    def take_off_item(self, item: dict[str, Any], line: Discounted, place: str) -> bool:
        """Apply an item's own discounts; whether all of them were known."""
        try:
            found = discount_list(item)
        except UnknownPart as part:
            self.trace.reason(part.code, f"{place}.discounts")
            return False
        return self._take_off(found, [line], f"{place}.discounts")

    def take_off_subscription(
        self, subscription: dict[str, Any], customer: object, lines: Sequence[Discounted]
    ) -> bool:
        """Apply a subscription's discounts, or the customer's when it has none; whether all were known."""
        place = "discounts"
        try:
            found = discount_list(subscription)
            if not any(self._may_be_in_force(raw) for raw in found):
                place = _CUSTOMER_PLACE
                found = discount_list(_customer(subscription, customer))
        except UnknownPart as part:
            self.trace.reason(part.code, place)
            return False
        return self._take_off(found, lines, place)

    def _take_off(self, found: Sequence[object], lines: Sequence[Discounted], place: str) -> bool:
        known = True
        for number, raw in enumerate(found):
            try:
                discount = self._read(raw) if self._in_force(raw) else None
                if discount is not None:
                    apply_discount(discount, lines)
                    if place == _CUSTOMER_PLACE:
                        self.trace.note("customer_discount")
            except UnknownPart as part:
                self.trace.reason(part.code, f"{place}[{number}]")
                known = False
        return known

    def _may_be_in_force(self, raw: object) -> bool:
        try:
            return self._in_force(raw)
        except UnknownPart:
            return True

    def _in_force(self, raw: object) -> bool:
        """Whether a discount covers invoices now.

        Raises:
            UnknownPart: it is a bare id or its times cannot be read.
        """
        if isinstance(raw, str):
            raise UnknownPart("discount_not_expanded")
        if not isinstance(raw, dict):
            raise UnknownPart("discount_invalid")
        start, end = moment(raw.get("start"), "discount_invalid"), moment(raw.get("end"), "discount_invalid")
        self.trace.change_at(start)
        self.trace.change_at(end)
        if raw.get("deleted") is True:
            return False
        return (start is None or start <= self.trace.as_of) and (end is None or end > self.trace.as_of)

    def _read(self, raw: Any) -> Discount | None:
        """A discount in force, or None when its duration does not count under the rule set.

        Raises:
            UnknownPart: the coupon is missing or cannot be read.
        """
        coupon = self._coupon(raw)
        duration = coupon.get("duration")
        if duration not in ("forever", "repeating", "once"):
            raise UnknownPart("coupon_invalid")
        if duration not in self.trace.profile.discount_durations:
            self.trace.note("discount_not_counted")
            return None
        products = _products(coupon.get("applies_to"))
        if coupon.get("percent_off") is not None and coupon.get("amount_off") is not None:
            raise UnknownPart("coupon_invalid")
        if coupon.get("percent_off") is not None:
            percent = exact(coupon["percent_off"])
            if percent is None or not 0 <= percent <= 100:
                raise UnknownPart("coupon_invalid")
            return Discount(1 - percent / 100, None, products)
        return Discount(None, self._amount_off(coupon), products)

    def _coupon(self, raw: dict[str, Any]) -> dict[str, Any]:
        source = raw.get("source")
        found = source.get("coupon") if isinstance(source, dict) else None
        if found is None:
            found = raw.get("coupon")
        if isinstance(found, str):
            found = self.coupons.get(found)
        elif isinstance(found, dict):
            found = filled(found, self.coupons)  # applies_to and currency_options need their own expand
        if not isinstance(found, dict):
            raise UnknownPart("coupon_missing")
        return found

    def _amount_off(self, coupon: dict[str, Any]) -> Fraction:
        given = coupon.get("amount_off")
        if known_currency(coupon.get("currency")) != self.currency:
            options = coupon.get("currency_options")
            option = options.get(self.currency) if isinstance(options, dict) else None
            if given is None and option is None:
                raise UnknownPart("coupon_invalid")
            if not isinstance(option, dict):
                raise UnknownPart("coupon_currency_mismatch")
            given = option.get("amount_off")
        amount = exact(given)
        if amount is None or amount < 0:
            raise UnknownPart("coupon_invalid")
        return amount


def _products(applies_to: object) -> frozenset[str] | None:
    if applies_to is None:
        return None
    products = applies_to.get("products") if isinstance(applies_to, dict) else None
    if not isinstance(products, list | tuple) or not products:
        raise UnknownPart("coupon_invalid")
    if not all(isinstance(product, str) for product in products):
        raise UnknownPart("coupon_invalid")
    return frozenset(products)


def apply_discount(discount: Discount, among: Sequence[Discounted]) -> None:
    """Take one discount off the charges that it covers, never below zero.

    An amount is cut once per billing period from all of them together and shared in proportion.

    Raises:
        UnknownPart: an amount covers charges of different billing periods, or a product is unknown.
    """
    covered = list(_covered(discount, among))
    if discount.share is not None:
        for line in covered:
            line.left *= discount.share
    elif discount.cut is not None:
        if len({line.charge.cadence for line in covered}) > 1:
            raise UnknownPart("amount_off_mixed_intervals")
        total = sum((line.left for line in covered), Fraction(0))
        if total:
            kept = 1 - min(discount.cut, total) / total
            for line in covered:
                line.left *= kept


def _covered(discount: Discount, among: Sequence[Discounted]) -> Iterator[Discounted]:
    for line in among:
        if discount.products is None:
            yield line
        elif line.charge.product is None:
            raise UnknownPart("product_missing")
        elif line.charge.product in discount.products:
            yield line


def discount_list(owner: dict[str, Any]) -> list[Any]:
    """The discounts of an item, subscription or customer in order, whichever API version wrote them.

    Old versions list ids in `discounts` and give the object in `discount`: an id is replaced by it.
    """
    raw, single = owner.get("discounts"), owner.get("discount")
    found = listed(raw, "discount_invalid")
    if len(found) > _MOST:
        raise UnknownPart("discount_invalid")
    if single is None:
        return found
    if not found:
        return [single]
    if isinstance(single, dict):
        return [single if entry == single.get("id") else entry for entry in found]
    return found


def _customer(subscription: dict[str, Any], customer: object) -> dict[str, Any]:
    """The customer's object, given or expanded in the subscription; empty when only an id is known."""
    found = subscription.get("customer") if customer is None else customer
    if isinstance(found, Mapping):
        return dict(found)
    if customer is not None:
        raise UnknownPart("customer_invalid")
    return {}
