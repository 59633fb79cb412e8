"""What one subscription item charges per billing period, exactly, before discounts and tax.

Here: prices and old plans, quantities, packages, tiers, sub-cent amounts, currency options, cadence. Not here:
discounts (`segments.discounts`), tax (`segments.taxes`), which subscriptions count (`segments.mrr`). Shapes are
those of https://docs.stripe.com/api/prices/object; `*_decimal` twins win over their integers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from segments.money import exact, known_currency
from segments.profiles import Profile
from segments.reading import filled, whole
from segments.reasons import UnknownPart

__all__ = ["Charge", "item_price", "price_charge", "recurring_kind"]

_MONTHS = {"month": 1, "year": 12}
_DAYS = {"day": 1, "week": 7}


@dataclass(slots=True)
class Charge:
    """What an item charges per billing period.

    Attributes:
        amount: minor units of the subscription's currency per billing period, before discounts.
        cadence: unit ("month" or "day") and number of the billing period; equal cadences share their invoices.
        factor: billing periods per month.
        product: product id, where known.
        doubts: codes of what is doubtful about the amount.
    """

    amount: Fraction
    cadence: tuple[str, int]
    factor: Fraction
    product: str | None
    doubts: tuple[str, ...] = ()


def item_price(item: dict[str, Any], prices: Mapping[str, Any]) -> dict[str, Any]:
    """The price of an item in the shape of the API, completed from `prices`; an old `plan` is rewritten as one.

    Raises:
        UnknownPart: there is none, or only an id that `prices` does not have.
    """
    price, plan = item.get("price"), item.get("plan")
    if isinstance(price, dict):
        return filled(price, prices)
    named = plan if price is None else price
    if isinstance(named, str):
        side = prices.get(named)
        if isinstance(side, dict):
            return _plan_as_price(side) if side.get("object") == "plan" else side
        if not isinstance(plan, dict) or plan.get("id") != named:
            raise UnknownPart("price_missing")
    if isinstance(plan, dict):
        return filled(_plan_as_price(plan), prices)
    raise UnknownPart("price_missing")


def _plan_as_price(plan: dict[str, Any]) -> dict[str, Any]:
    return {
        **plan,
        "type": "recurring",
        "unit_amount": plan.get("amount"),
        "unit_amount_decimal": plan.get("amount_decimal"),
        "transform_quantity": plan.get("transform_usage"),
        "recurring": {name: plan.get(name) for name in ("interval", "interval_count", "usage_type", "meter")},
    }


def recurring_kind(price: dict[str, Any]) -> str:
    """ "licensed", "metered" or "one_time".

    Raises:
        UnknownPart: the price is neither, or recurs at an unknown interval.
    """
    recurring, kind = price.get("recurring"), price.get("type")
    if kind == "one_time":
        return "one_time"
    if kind not in ("recurring", None):
        raise UnknownPart("price_scheme_unknown")
    if not isinstance(recurring, dict):
        raise UnknownPart("interval_unknown")
    usage = recurring.get("usage_type")
    if usage == "metered" or (usage is None and recurring.get("meter") is not None):
        return "metered"
    if usage not in ("licensed", None):
        raise UnknownPart("usage_type_unknown")
    return "licensed"


def price_charge(item: dict[str, Any], price: dict[str, Any], currency: str, profile: Profile) -> Charge:
    """The charge of a licensed item in the subscription's currency.

    Raises:
        UnknownPart: a part that the amount needs is missing or unreadable.
    """
    part = _in_currency(price, currency)
    given = item.get("quantity")
    quantity = 1 if given is None else whole(given, "quantity_invalid")
    cadence, factor, doubts = _cadence(price.get("recurring"), profile)
    package = price.get("transform_quantity")
    if _is_tiered(price, part):
        if package is not None:
            raise UnknownPart("package_invalid")
        tiers = _tiers(part.get("tiers"))
        if "tiers" in profile.not_established:
            doubts += ("not_established_tiers",)
        mode = price.get("tiers_mode")
        if mode not in ("graduated", "volume"):
            raise UnknownPart("price_scheme_unknown")
        if quantity == 0:  # no tier is entered
            amount = Fraction(0)
            if tiers[0].flat:
                doubts += ("zero_quantity_flat_fee",)
        else:
            amount = _graduated(quantity, tiers) if mode == "graduated" else _volume(quantity, tiers)
    else:
        if package is not None:
            quantity = _packages(quantity, package)
            if "package" in profile.not_established:
                doubts += ("not_established_package",)
        unit = _amount(part, "unit_amount")
        if unit is None:
            raise UnknownPart("price_amount_missing")
        amount = unit * quantity
    return Charge(amount, cadence, factor, _product(price.get("product")), doubts)


def _in_currency(price: dict[str, Any], currency: str) -> dict[str, Any]:
    """The part of the price that holds its amounts in the subscription's currency."""
    if known_currency(price.get("currency")) == currency:
        return price
    options = price.get("currency_options")
    option = options.get(currency) if isinstance(options, dict) else None
    if not isinstance(option, dict):
        raise UnknownPart("price_currency_mismatch")
    return option


def _cadence(recurring: object, profile: Profile) -> tuple[tuple[str, int], Fraction, tuple[str, ...]]:
    if not isinstance(recurring, dict):
        raise UnknownPart("interval_unknown")
    interval = recurring.get("interval")
    count = whole(recurring.get("interval_count"), "interval_unknown", least=1)
    if interval == "month" or interval == "year":
        months = _MONTHS[interval] * count
        return ("month", months), Fraction(1, months), ()
    if interval == "day" or interval == "week":
        factor = (profile.day_factor if interval == "day" else profile.week_factor) / count
        gap = f"{interval}_factor"
        doubts = (f"not_established_{gap}",) if gap in profile.not_established else ()
        return ("day", _DAYS[interval] * count), factor, doubts
    raise UnknownPart("interval_unknown")


def _is_tiered(price: dict[str, Any], part: dict[str, Any]) -> bool:
    scheme = price.get("billing_scheme")
    if scheme == "tiered":
        return True
    if scheme == "per_unit":
        return False
    if scheme is None:
        return price.get("tiers_mode") is not None or part.get("tiers") is not None
    raise UnknownPart("price_scheme_unknown")


def _packages(quantity: int, package: object) -> int:
    if not isinstance(package, dict):
        raise UnknownPart("package_invalid")
    size = whole(package.get("divide_by"), "package_invalid", least=1)
    if package.get("round") == "up":
        return -(-quantity // size)
    if package.get("round") == "down":
        return quantity // size
    raise UnknownPart("package_invalid")


def _amount(part: dict[str, Any], name: str) -> Fraction | None:
    """An amount from zero up, exactly; None when neither it nor its decimal twin is given."""
    value = part.get(f"{name}_decimal")
    if value is None:
        value = part.get(name)
    if value is None:
        return None
    amount = exact(value)
    if amount is None or amount.numerator < 0:
        raise UnknownPart("price_amount_invalid")
    return amount


@dataclass(frozen=True, slots=True)
class _Tier:
    up_to: int | None
    unit: Fraction
    flat: Fraction


def _tiers(given: object) -> list[_Tier]:
    if given is None:
        raise UnknownPart("tiers_missing")
    if not isinstance(given, list | tuple) or not given:
        raise UnknownPart("tiers_invalid")
    tiers: list[_Tier] = []
    reached: int | None = 0
    for tier in given:
        if not isinstance(tier, dict) or reached is None:
            raise UnknownPart("tiers_invalid")  # also a tier behind one without an upper end
        unit, flat = _amount(tier, "unit_amount"), _amount(tier, "flat_amount")
        if unit is None and flat is None:
            raise UnknownPart("tiers_invalid")
        up_to = tier.get("up_to")
        reached = None if up_to is None or up_to == "inf" else whole(up_to, "tiers_invalid", least=reached + 1)
        tiers.append(_Tier(reached, unit or Fraction(0), flat or Fraction(0)))
    return tiers


def _graduated(quantity: int, tiers: list[_Tier]) -> Fraction:
    """Each tier's slice at its own price, and the flat amount of every tier that a unit falls in."""
    total, lower = Fraction(0), 0
    for tier in tiers:
        upper = quantity if tier.up_to is None else min(quantity, tier.up_to)
        total += (upper - lower) * tier.unit + tier.flat
        if upper == quantity:
            return total
        lower = upper
    raise UnknownPart("tiers_invalid")


def _volume(quantity: int, tiers: list[_Tier]) -> Fraction:
    """The whole quantity at the price of the tier that contains it, and that tier's flat amount."""
    for tier in tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            return quantity * tier.unit + tier.flat
    raise UnknownPart("tiers_invalid")


def _product(product: object) -> str | None:
    if isinstance(product, dict):
        product = product.get("id")
    return product if isinstance(product, str) else None
