"""The state that the simulation keeps of customers and subscriptions between happenings.

Only what decides the future is here; what the API shows is in the store, and `obj` is the same dictionary that
the store holds. Rules are in `lifecycle` and `payments`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.simulation.catalog import Price
from sandbox.simulation.people import Country
from sandbox.simulation.pricing import AppliedDiscount, Charge

__all__ = ["Item", "Member", "Subscription"]

Obj = dict[str, Any]


@dataclass(slots=True)
class Member:
    """A customer with its character."""

    obj: Obj
    country: Country
    segment: str
    growing: bool
    # Probability that a payment goes through at the first attempt.
    reliability: float
    # Old integrations charge without a payment intent.
    without_intents: bool
    method: Obj
    prefix: str
    subscriptions: list[Subscription] = field(default_factory=list)
    invoices: int = 0
    discount: AppliedDiscount | None = None

    @property
    def id(self) -> str:
        return str(self.obj["id"])

    @property
    def steady(self) -> bool:
        """Pays at once, never asks for money back: what case studies are made of."""
        return self.growing or self.segment == "enterprise"


@dataclass(slots=True)
class Item:
    obj: Obj
    price: Price
    discounts: list[AppliedDiscount] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.obj["id"])

    @property
    def quantity(self) -> int:
        return int(self.obj.get("quantity", 0))

    @property
    def period(self) -> tuple[int, int]:
        return self.obj["current_period_start"], self.obj["current_period_end"]


@dataclass(slots=True)
class Subscription:
    obj: Obj
    member: Member
    items: list[Item]
    anchor_day: int
    discounts: list[AppliedDiscount] = field(default_factory=list)
    tax_rate: Obj | None = None
    # Prorations that wait for the next invoice.
    pending: list[Charge] = field(default_factory=list)
    # Invoices that failed and are not given up yet.
    unpaid: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return str(self.obj["id"])

    @property
    def status(self) -> str:
        return str(self.obj["status"])

    @property
    def live(self) -> bool:
        return self.obj["status"] not in ("canceled", "incomplete_expired")

    @property
    def period(self) -> tuple[int, int]:
        return min(item.period[0] for item in self.items), max(item.period[1] for item in self.items)

    @property
    def next_renewal(self) -> int:
        return min(item.period[1] for item in self.items)

    def in_force(self, moment: int) -> list[AppliedDiscount]:
        """The discounts that count: the customer's only if the subscription has none."""
        own = [discount for discount in self.discounts if discount.in_force(moment)]
        shared = self.member.discount
        return own or ([shared] if shared is not None and shared.in_force(moment) else [])
