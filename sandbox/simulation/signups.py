"""Who signs up, with what character, and what they buy.

Proportions are spread evenly instead of drawn, so that even a small account has its large customers, its growing
ones and its markets. About 1 % are worth 10,000 USD a month or more, 12 % a thousand, the rest less; 4 % buy
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from sandbox.simulation import shapes
from sandbox.simulation.billing_calendar import DAY
from sandbox.simulation.catalog import Catalog, Coupon, Price
from sandbox.simulation.lifecycle import Lifecycle
from sandbox.simulation.members import Member
from sandbox.simulation.people import COUNTRIES, Country, address, person
from sandbox.simulation.redemptions import Redemptions
from sandbox.simulation.shapes_prices import PlanSpec
from sandbox.simulation.world import World

__all__ = ["Profile", "Signups"]

Choice = list[tuple[Price, int]]

# Multiples of these, without their whole part, spread evenly and independently of one another.
_SEGMENT_STEP: Final = 0.6180339887498949
_COUNTRY_STEP: Final = 0.4142135623730951
_GROWTH_STEP: Final = 0.7320508075688772
_SHARES: Final = (("enterprise", 0.01), ("mid_market", 0.142), ("none", 0.18), ("smb", 1.0))
_GROWING: Final = 0.025
_ADDONS: Final = 25
_SMB: Final = (
    ("starter", 0.27, (1, 1)),
    ("starter_annual", 0.17, (1, 1)),
    ("team", 0.17, (2, 24)),
    ("team_annual", 0.11, (3, 40)),
    ("business", 0.07, (1, 11)),
    ("weekly", 0.02, (1, 1)),
    ("quarterly", 0.05, (1, 1)),
    ("graduated", 0.04, (1, 25)),
    ("package", 0.04, (500, 9000)),
    ("metered_base", 0.02, (1, 1)),
    ("metered", 0.02, (0, 0)),
    ("mixed", 0.01, (1, 4)),
    ("free", 0.02, (1, 1)),
)
_MID: Final = (
    ("business", 0.36, (25, 150)),
    ("business_annual", 0.12, (30, 170)),
    ("graduated", 0.14, (80, 480)),
    ("volume", 0.12, (70, 420)),
    ("team", 0.08, (75, 380)),
    ("team_annual", 0.08, (100, 500)),
    ("package", 0.07, (45_000, 240_000)),
    ("addons", 0.03, (5, 12)),
)
_COUPONS: Final = (
    ("FOREVER_20", 0.045),
    ("LAUNCH_50", 0.03),
    ("YEAR_12_5", 0.02),
    ("WELCOME_10", 0.02),
    ("PARTNER_15", 0.012),
    ("TEAM_25", 0.02),
    ("SPONSORED", 0.004),
)
_BRANDS: Final = (("visa", 0.5), ("mastercard", 0.34), ("amex", 0.1), ("discover", 0.03), ("unionpay", 0.03))
_FUNDING: Final = (("credit", 0.62), ("debit", 0.32), ("prepaid", 0.06))


@dataclass(frozen=True, slots=True)
class Profile:
    """A customer before it arrives."""

    number: int
    segment: str
    growing: bool
    country: Country


class Signups:
    """Makes customers out of profiles."""

    def __init__(self, world: World, catalog: Catalog, lifecycle: Lifecycle, redemptions: Redemptions) -> None:
        self._world = world
        self._catalog = catalog
        self._lifecycle = lifecycle
        self._redemptions = redemptions
        self._number = 0

    def first_customers(self, count: int, *, start: int, end: int) -> Iterator[tuple[int, Profile]]:
        """The account's customers up to its end, with the time of their arrival; growing ones come early."""
        for _ in range(count):
            profile = self.profile()
            share = self._world.rng.random() ** 0.44
            if profile.growing:
                share *= 0.4
            yield start + int(share * (end - start - 1)), profile

    def profile(self) -> Profile:
        self._number += 1
        number = self._number
        spread = number * _SEGMENT_STEP % 1
        segment = next(name for name, top in _SHARES if spread < top)
        growing = segment in ("smb", "mid_market") and number * _GROWTH_STEP % 1 < _GROWING
        place = number * _COUNTRY_STEP % 1
        for country in COUNTRIES:
            place -= country.weight
            if place < 0:
                break
        return Profile(number, segment, growing, country)

    def arrive(self, profile: Profile) -> None:
        """The customer, its payment method, and what it buys first and a little later."""
        world, rng = self._world, self._world.rng
        who = person(rng, profile.number)
        country = profile.country
        home = address(rng, country)
        customer_id, now = world.ids.new("cus"), world.now
        business = profile.segment in ("mid_market", "enterprise")
        billed_at = None if world.chance(0.03) else home
        method = shapes.payment_method(
            world.ids.new("pm"),
            customer=customer_id,
            created=now,
            details=self._details(country, profile.segment),
            name=who.name,
            email=who.email,
            address=billed_at,
            livemode=world.livemode,
        )
        obj = shapes.customer(
            customer_id,
            created=now,
            currency=country.currency,
            address=None if world.chance(0.08) else home,
            name=who.company if business else who.name,
            email=who.email,
            phone=who.phone if world.chance(0.4) else None,
            description=who.description if world.chance(0.25) else None,
            default_payment_method=method["id"],
            livemode=world.livemode,
            locale=country.locale,
            metadata={"crm_note": who.description, "segment": "canary"} if world.chance(0.2) else None,
        )
        member = Member(
            obj,
            country,
            profile.segment,
            profile.growing,
            reliability=self._reliability(profile),
            without_intents=world.chance(0.03),
            method=method,
            prefix=obj["invoice_prefix"],
        )
        world.hold("customers", obj)
        world.hold("payment_methods", method)
        world.emit("customer.created", "customers", obj)
        world.emit("payment_method.attached", "payment_methods", method)
        if profile.segment == "none":
            return
        if not member.steady and world.chance(0.012):
            self._redemptions.redeem_for_customer(self._catalog.coupons["FOREVER_20"], member)
        self.subscribe(member)
        if not profile.growing:
            for odds in (0.2, 0.05):
                if world.chance(odds):
                    world.later(world.days(1, 120), self.subscribe, member)

    def subscribe(self, member: Member) -> None:
        world = self._world
        if member.id not in world.store["customers"]:
            return
        taxed = member.country.tax_percent and world.chance(0.14)
        tax_rate = None
        if taxed:
            tax_rate = self._catalog.tax_rate(
                member.country.code, member.country.tax_percent, inclusive=world.chance(0.25), created=world.now
            )
        coupons, item_coupon = self._coupons(member)
        self._lifecycle.begin(
            member,
            self._choice(member),
            trial_days=14 if member.segment == "smb" and not member.growing and world.chance(0.13) else 0,
            coupons=coupons,
            item_coupon=item_coupon,
            by_mail=member.segment == "enterprise" and world.chance(0.6),
            tax_rate=tax_rate,
        )

    def _choice(self, member: Member) -> Choice:
        rng, currency = self._world.rng, member.country.currency
        if member.growing:
            seats = rng.randrange(30, 60) if member.segment == "mid_market" else rng.randrange(8, 20)
            return [(self._catalog.prices["team", currency], seats)]
        if member.segment == "enterprise":
            return self._enterprise(currency)
        table = _MID if member.segment == "mid_market" else _SMB
        ((key, _, (low, high)),) = rng.choices(table, [row[1] for row in table])
        quantity = rng.randint(low, high)
        prices = self._catalog.prices
        if key == "addons":
            return [(prices[f"addon_{n:02d}", currency], quantity) for n in range(1, _ADDONS + 1)]
        if key == "metered_base":
            return [(prices["starter", currency], 1), (prices["metered", currency], 0)]
        if key == "mixed":
            return [(prices["team", currency], quantity), (prices["onboarding_annual", currency], 1)]
        return [(prices[key, currency], quantity)]

    def _enterprise(self, currency: str) -> Choice:
        """A negotiated price made for the customer, or very many seats."""
        rng = self._world.rng
        if rng.random() < 0.35:
            return [(self._catalog.prices["business", currency], rng.randrange(260, 640))]
        yearly = rng.random() < 0.6
        monthly = rng.randrange(11_500, 38_000) * 100
        spec = PlanSpec(
            "negotiated", "Business", str(monthly * (12 if yearly else 1)), "year" if yearly else "month"
        )
        price = self._catalog.price(spec, currency, created=self._world.now, active=False)
        self._world.hold("prices", price.embedded)
        self._world.emit("price.created", "prices", price.embedded)
        return [(price, 1)]

    def _coupons(self, member: Member) -> tuple[list[Coupon], Coupon | None]:
        world, coupons = self._world, self._catalog.coupons
        if member.steady:
            return [], None
        chosen: list[Coupon] = []
        draw = world.rng.random()
        for name, share in _COUPONS:
            draw -= share
            if draw < 0:
                chosen.append(coupons[name])
                break
        if chosen and world.chance(0.06):
            chosen.append(coupons["YEAR_12_5"])
        return chosen, coupons["TEAM_25"] if world.chance(0.008) else None

    def _reliability(self, profile: Profile) -> float:
        if profile.growing or profile.segment == "enterprise":
            return 0.998
        return self._world.rng.choices((0.975, 0.85, 0.6), (0.78, 0.17, 0.05))[0]

    def _details(self, country: Country, segment: str) -> dict[str, Any]:
        world, rng = self._world, self._world.rng
        if segment == "enterprise" and country.code == "US":
            bank = {
                "account_type": "checking",
                "bank_name": "CANARY BANK",
                "last4": "6789",
                "routing_number": "110000000",
            }
            return {"type": "us_bank_account", "us_bank_account": bank}
        if country.debit and world.chance(0.12):
            debit = {
                "country": country.code,
                "fingerprint": world.ids.text(16),
                "last4": f"{rng.randrange(10_000):04d}",
            }
            return {"type": country.debit, country.debit: debit}
        return {"type": "card", "card": card(rng, country.code, world)}


def card(rng: Random, country: str, world: World) -> dict[str, Any]:
    """A card, mostly issued at home, mostly valid for years."""
    abroad = rng.random() < 0.05
    wallet = rng.random()
    year, month = divmod(world.now // DAY + rng.randrange(40, 1500), 365)
    return {
        "brand": "jcb" if country == "JP" and rng.random() < 0.3 else _weighted(rng, _BRANDS),
        "checks": {"address_line1_check": "pass", "address_postal_code_check": "pass", "cvc_check": "pass"},
        "country": "US" if abroad else country,
        "exp_month": month // 31 % 12 + 1,
        "exp_year": 1970 + year,
        "fingerprint": world.ids.text(16),
        "funding": _weighted(rng, _FUNDING),
        "generated_from": None,
        "last4": f"{rng.randrange(10_000):04d}",
        "networks": {"available": ["visa"], "preferred": None},
        "three_d_secure_usage": {"supported": True},
        "wallet": {"type": "apple_pay"} if wallet < 0.08 else {"type": "google_pay"} if wallet < 0.12 else None,
    }


def _weighted(rng: Random, table: Sequence[tuple[str, float]]) -> str:
    return rng.choices([name for name, _ in table], [weight for _, weight in table])[0]
