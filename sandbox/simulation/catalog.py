"""What the simulated company sells: products, prices in four currencies, coupons, tax rates.

Shapes follow API version 2025-09-30.clover. Fields that Stripe sends only when they are expanded (tiers,
currency options, what a coupon applies to) are kept apart, in `Catalog.expandable`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from sandbox.simulation.idents import Ids
from sandbox.simulation.shapes_prices import (
    CURRENCIES,
    PlanSpec,
    convert,
    legacy_plan,
    price_object,
    tier_object,
)

__all__ = ["Catalog", "Coupon", "Price"]

_PLANS: Final = (
    PlanSpec("free", "Free", "0"),
    PlanSpec("starter", "Starter", "2900", nickname="Starter monthly"),
    PlanSpec("starter_annual", "Starter", "29000", "year", nickname="Starter annual"),
    PlanSpec("weekly", "Pass", "900", "week"),
    PlanSpec("quarterly", "Starter", "7800", interval_count=3),
    PlanSpec("team", "Team", "1500"),
    PlanSpec("team_annual", "Team", "15000", "year"),
    PlanSpec("business", "Business", "4900"),
    PlanSpec("business_annual", "Business", "49000", "year"),
    PlanSpec(
        "graduated",
        "Scale",
        None,
        tiers_mode="graduated",
        tiers=((5, "2000", 2500), (50, "1600", 0), (None, "1200", 0)),
    ),
    PlanSpec(
        "volume",
        "Scale",
        None,
        tiers_mode="volume",
        tiers=((10, "2400", 0), (100, "1900", 1000), (None, "1450", 0)),
    ),
    PlanSpec("metered", "Usage", "0.35", metered=True),
    PlanSpec("package", "Contacts", "2500", divide_by=1000),
    PlanSpec("onboarding_annual", "Onboarding care", "60000", "year"),
    *(PlanSpec(f"addon_{n:02d}", "Add-ons", str(400 + 50 * n), nickname=f"Add-on {n}") for n in range(1, 27)),
)


@dataclass(frozen=True, slots=True)
class Price:
    """A price: `embedded` is how it appears inside an item, without what must be expanded."""

    id: str
    product: str
    currency: str
    spec: PlanSpec
    embedded: dict[str, Any]
    plan: dict[str, Any]
    # (up to, unit amount, flat amount) in the price's own currency
    tiers: tuple[tuple[int | None, Fraction, int], ...] = ()

    @property
    def unit(self) -> Fraction:
        return Fraction(self.embedded["unit_amount_decimal"] or 0)


@dataclass(frozen=True, slots=True)
class Coupon:
    id: str
    duration: str
    obj: dict[str, Any]
    percent: Fraction | None = None
    amounts: dict[str, int] = field(default_factory=dict)
    months: int | None = None
    products: frozenset[str] = frozenset()


class Catalog:
    """The price list; objects are created at `created` and handed to the store by the business."""

    def __init__(self, ids: Ids, *, created: int, livemode: bool) -> None:
        self._ids = ids
        self._livemode = livemode
        self.products: dict[str, dict[str, Any]] = {}
        self.prices: dict[tuple[str, str], Price] = {}
        self.coupons: dict[str, Coupon] = {}
        self.expandable: dict[str, dict[str, Any]] = {}
        self._tax_rates: dict[tuple[str, bool], dict[str, Any]] = {}
        for spec in _PLANS:
            if spec.product not in self.products:
                self.products[spec.product] = self._product(spec.product, created)
            for currency in CURRENCIES:
                self.prices[spec.key, currency] = self.price(spec, currency, created=created, active=True)
        for coupon in self._coupons(created):
            self.coupons[coupon.id] = coupon

    def price(self, spec: PlanSpec, currency: str, *, created: int, active: bool) -> Price:
        """A new price; inline ones (`price_data`) are born inactive."""
        obj = price_object(
            self._ids.new("price"),
            spec,
            currency=currency,
            product=self.products[spec.product]["id"],
            created=created,
            livemode=self._livemode,
            active=active,
        )
        tiers = tuple(
            (up_to, convert(unit, currency), int(convert(flat, currency))) for up_to, unit, flat in spec.tiers
        )
        if tiers:
            self.expandable[obj["id"]] = {"tiers": [tier_object(*tier) for tier in tiers]}
        return Price(obj["id"], obj["product"], currency, spec, obj, legacy_plan(obj), tiers)

    def tax_rate(self, country: str, percent: float, *, inclusive: bool, created: int) -> dict[str, Any]:
        key = (country, inclusive)
        if key not in self._tax_rates:
            self._tax_rates[key] = {
                "id": self._ids.new("txr"),
                "object": "tax_rate",
                "active": True,
                "country": country,
                "created": created,
                "description": None,
                "display_name": "VAT",
                "effective_percentage": percent,
                "flat_amount": None,
                "inclusive": inclusive,
                "jurisdiction": country,
                "jurisdiction_level": None,
                "livemode": self._livemode,
                "metadata": {},
                "percentage": percent,
                "rate_type": "percentage",
                "state": None,
                "tax_type": "vat",
            }
        return self._tax_rates[key]

    def coupon(
        self,
        coupon_id: str,
        duration: str,
        *,
        created: int,
        percent: str | None = None,
        cents: int | None = None,
        months: int | None = None,
        products: tuple[str, ...] = (),
    ) -> Coupon:
        amounts = {} if cents is None else {code: int(convert(cents, code)) for code in CURRENCIES}
        product_ids = [self.products[name]["id"] for name in products]
        obj: dict[str, Any] = {
            "id": coupon_id,
            "object": "coupon",
            "amount_off": cents,
            "created": created,
            "currency": None if cents is None else "usd",
            "duration": duration,
            "duration_in_months": months,
            "livemode": self._livemode,
            "max_redemptions": None,
            "metadata": {},
            "name": coupon_id.replace("_", " ").capitalize(),
            "percent_off": None if percent is None else float(percent),
            "redeem_by": None,
            "times_redeemed": 0,
            "valid": True,
        }
        hidden: dict[str, Any] = {}
        if amounts:
            hidden["currency_options"] = {code: {"amount_off": amount} for code, amount in amounts.items()}
        if product_ids:
            hidden["applies_to"] = {"products": product_ids}
        self.expandable[coupon_id] = hidden
        rate = None if percent is None else Fraction(percent)
        return Coupon(coupon_id, duration, obj, rate, amounts, months, frozenset(product_ids))

    def _coupons(self, created: int) -> tuple[Coupon, ...]:
        make = self.coupon
        return (
            make("FOREVER_20", "forever", percent="20", created=created),
            make("LAUNCH_50", "repeating", percent="50", months=3, created=created),
            make("YEAR_12_5", "repeating", percent="12.5", months=12, created=created),
            make("WELCOME_10", "once", cents=1000, created=created),
            make("PARTNER_15", "forever", cents=1500, created=created),
            make("TEAM_25", "forever", percent="25", products=("Team", "Business"), created=created),
            make("SPONSORED", "forever", percent="100", created=created),
        )

    def _product(self, name: str, created: int) -> dict[str, Any]:
        return {
            # Stable, so that an operator's file can name it whatever the seed is.
            "id": f"prod_sandbox_{name.lower().replace(' ', '_').replace('-', '_')}",
            "object": "product",
            "active": True,
            "attributes": [],
            "created": created,
            "default_price": None,
            "description": f"Canary description of {name}",
            "images": [],
            "livemode": self._livemode,
            "marketing_features": [],
            "metadata": {},
            "name": name,
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": "service",
            "unit_label": "seat",
            "updated": created,
            "url": None,
        }
