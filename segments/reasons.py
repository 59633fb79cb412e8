"""The stable codes that say why a revenue figure is unknown, doubtful or zero, and their readable texts.

Here: the codes, their texts, and the error that carries one up from where a billing object was read. Not here:
the rules that raise them (`segments.pricing`, `segments.discounts`, `segments.taxes`, `segments.mrr`). Codes are
an interface: tables and checks count them, so they are added but never renamed.
"""

from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["NOTES", "NOT_ESTABLISHED", "REASONS", "Finding", "UnknownPart"]

REASONS = MappingProxyType(
    {
        "amount_off_mixed_intervals": "an amount off covers items billed on different cycles: no published rule",
        "amount_out_of_range": "the result does not fit a 64-bit amount",
        "billing_missing": "the row carries no billing object",
        "billing_unreadable": "the billing object is not readable JSON",
        "cancellation_invalid": "cancel_at, cancel_at_period_end or ended_at cannot be read",
        "coupon_currency_mismatch": "the coupon has no amount in the subscription's currency",
        "coupon_invalid": "the coupon's percent, amount, duration or products cannot be read",
        "coupon_missing": "the coupon is only an id and was not supplied",
        "currency_unknown": "the subscription's currency is missing or its minor unit unknown",
        "customer_invalid": "the customer is not an object",
        "discount_invalid": "a discount, its start or its end cannot be read",
        "discount_not_expanded": "a discount is only an id: expand it",
        "interval_unknown": "the billing interval is missing or unknown",
        "item_invalid": "a subscription item is not an object",
        "items_incomplete": "further items exist on pages that were not read",
        "items_missing": "the subscription carries no items",
        "package_invalid": "transform_quantity cannot be read, or is combined with tiers",
        "pause_invalid": "pause_collection cannot be read",
        "price_amount_invalid": "an amount of the price is not a number from zero up",
        "price_amount_missing": "the price has neither an amount nor tiers",
        "price_currency_mismatch": "the price has no amount in the subscription's currency",
        "price_missing": "the price is missing, or only an id and was not supplied",
        "price_scheme_unknown": "the price's type, billing scheme or tiers mode is unknown",
        "product_missing": "the coupon names products, but the item's product is unknown",
        "quantity_invalid": "the quantity is not a whole number from zero up",
        "status_unknown": "the subscription's status is missing or unknown",
        "subscription_invalid": "the subscription is not an object",
        "tax_rate_invalid": "a tax rate cannot be read",
        "tax_rate_not_expanded": "a tax rate is only an id: it may be inclusive",
        "tiers_invalid": "the tiers are out of order, incomplete or end below the quantity",
        "tiers_missing": "the price is tiered and its tiers were not supplied",
        "trial_invalid": "the trial of the subscription or of an item cannot be read",
        "usage_type_unknown": "the price is neither licensed nor metered",
        # Doubts about a number that is given all the same.
        "currency_exponent_disputed": "Stripe's page contradicts itself on this currency's decimals",
        "customer_missing": "the customer's row is missing: a customer discount would not be seen",
        "gross_of_inclusive_tax": "the price includes tax that nothing at hand states: the figure is gross",
        "zero_quantity_flat_fee": "a flat fee at quantity zero counts nothing: no published rule",
    }
)
"""Codes of `reasons`: what is unknown, and what is doubtful about a figure that is given."""

NOTES = MappingProxyType(
    {
        "cancellation_requested": "a cancellation is scheduled: nothing is committed",
        "customer_discount": "the customer's discount applies, as the subscription has none",
        "discount_not_counted": "a discount in force does not count under this profile",
        "ended": "the subscription has ended",
        "item_in_trial": "an item in its trial counts nothing",
        "item_not_recurring": "a one-off price counts nothing",
        "metered": "a metered item counts nothing",
        "paused": "payment collection is paused: nothing counts",
        "status_not_counted": "the status carries no recurring revenue",
        "subscription_deleted": "the subscription no longer exists at Stripe",
        "trial": "the trial is still running: nothing counts yet",
    }
)
"""Codes of `notes`: which rule made a known figure what it is."""

NOT_ESTABLISHED = "not_established_"
"""Prefix of the reason that a profile's source publishes no rule for something that decided the figure."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A code and the place in the billing object that it speaks of ("items[0]", "discounts[1]")."""

    code: str
    where: str = ""

    @property
    def text(self) -> str:
        """The readable sentence."""
        if self.code.startswith(NOT_ESTABLISHED):
            rule = self.code.removeprefix(NOT_ESTABLISHED).replace("_", " ")
            text = f"the profile's source publishes no rule for: {rule}; the rule of default-v1 was used"
        else:
            text = REASONS.get(self.code) or NOTES.get(self.code) or self.code
        return f"{self.where}: {text}" if self.where else text


class UnknownPart(Exception):
    """A part that the figure needs is missing, ambiguous or unreadable."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
