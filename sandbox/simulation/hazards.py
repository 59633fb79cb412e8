"""What a billing period brings a simulated subscription: growth, shrinking, pauses, farewells.

Only the odds and their timing are here, per month and scaled to the period's length; the happenings themselves
are in `lifecycle`. Feedback words are Stripe's `cancellation_details.feedback`.
"""

from __future__ import annotations

from typing import Any, Final

from sandbox.simulation import shapes
from sandbox.simulation.aftermath import Aftermath
from sandbox.simulation.billing_calendar import DAY
from sandbox.simulation.catalog import Catalog
from sandbox.simulation.lifecycle import Lifecycle
from sandbox.simulation.members import Item, Member, Subscription
from sandbox.simulation.world import World

__all__ = ["Hazards"]

_LEAVE: Final = {"smb": 0.042, "mid_market": 0.015, "enterprise": 0.002}
_FEEDBACK: Final = (
    ("too_expensive", 0.26),
    ("missing_features", 0.17),
    ("unused", 0.17),
    ("switched_service", 0.12),
    ("low_quality", 0.08),
    ("too_complex", 0.07),
    ("customer_service", 0.05),
    ("other", 0.08),
)
_SEATED: Final = frozenset({"team", "team_annual", "business", "business_annual", "graduated", "volume"})


class Hazards:
    """Decides, at the start of each period, what the period holds."""

    def __init__(self, world: World, catalog: Catalog, lifecycle: Lifecycle, aftermath: Aftermath) -> None:
        self._world = world
        self._catalog = catalog
        self._lifecycle = lifecycle
        self._aftermath = aftermath

    def plan_period(self, subscription: Subscription) -> None:
        world, member, rng = self._world, subscription.member, self._world.rng
        start, end = world.now, subscription.next_renewal
        months = (end - start) / (30.4 * DAY)
        if member.growing:
            self._plan_growth(subscription, start, end)
            return
        if subscription.status == "trialing":
            if world.chance(0.3):
                world.at(world.some_time(start, end), self._leave, subscription)
            return
        leave, seats, switch, pause, wallet, move = (
            rng.random() / months for _ in range(6)
        )  # dividing the draw by the length is what makes the odds monthly
        if leave < _LEAVE[member.segment] * (0.45 if months > 6 else 1):
            world.at(world.some_time(start, end), self._leave, subscription)
        if seats < 0.075:
            world.at(world.some_time(start, end), self._change_seats, subscription)
        if switch < 0.012:
            world.at(world.some_time(start, end), self._upgrade, subscription)
        if pause < 0.005 and member.segment == "smb":
            world.at(world.some_time(start, end), self._pause, subscription)
        if wallet < 0.01:
            world.at(world.some_time(start, end), self.replace_method, member)
        if move < 0.004:
            world.at(world.some_time(start, end), self._move, member)

    def _plan_growth(self, subscription: Subscription, start: int, end: int) -> None:
        """A steady rise: a few seats more about every six weeks."""
        if self._world.chance(0.75):
            self._world.at(self._world.some_time(start, end), self._expand, subscription)

    def _expand(self, subscription: Subscription) -> None:
        item = subscription.items[0]
        more = max(1, round(item.quantity * self._world.rng.uniform(0.06, 0.11)))
        self._lifecycle.change_item(subscription, item, quantity=item.quantity + more)

    def _leave(self, subscription: Subscription) -> None:
        world, life = self._world, self._lifecycle
        if not subscription.live or subscription.obj["cancel_at"] is not None:
            return
        names, weights = zip(*_FEEDBACK, strict=True)
        feedback = world.rng.choices(names, weights)[0] if world.chance(0.8) else None
        way = world.rng.random()
        if way < 0.2:
            life.end(subscription, "cancellation_requested", feedback)
            if world.chance(0.25):
                self._refund_last(subscription)
            return
        life.request_cancel(subscription, feedback, when=world.now + world.days(20, 60) if way > 0.95 else None)
        if world.chance(0.06):
            world.later(world.days(0.5, 6), life.withdraw_cancel, subscription)

    def _refund_last(self, subscription: Subscription) -> None:
        charges = self._world.store["charges"].page(limit=1, equal={"customer": subscription.member.id}).ids
        if charges and self._world.store["charges"].get(charges[0])["paid"]:
            self._aftermath.refund(charges[0], "requested_by_customer")

    def _change_seats(self, subscription: Subscription) -> None:
        item = self._seated(subscription)
        if item is None or subscription.obj["cancel_at"] is not None:
            return
        rng = self._world.rng
        step = max(1, round(item.quantity * rng.uniform(0.08, 0.4)))
        quantity = item.quantity + step if rng.random() < 0.62 else max(1, item.quantity - step)
        if quantity != item.quantity:
            self._lifecycle.change_item(subscription, item, quantity=quantity)

    def _upgrade(self, subscription: Subscription) -> None:
        """Starter to Team: another price on the same item."""
        item = subscription.items[0]
        following = {"starter": "team", "starter_annual": "team_annual", "team": "business"}.get(
            item.price.spec.key
        )
        if following and subscription.obj["cancel_at"] is None:
            price = self._catalog.prices[following, item.price.currency]
            self._lifecycle.change_item(subscription, item, quantity=max(3, item.quantity), price=price)

    def _pause(self, subscription: Subscription) -> None:
        world = self._world
        behavior = world.rng.choice(("void", "void", "keep_as_draft", "mark_uncollectible"))
        resumes = world.now + world.days(20, 90) if world.chance(0.6) else None
        self._lifecycle.pause(subscription, behavior, resumes)

    def replace_method(self, member: Member) -> None:
        """A new card; the old one is detached and leaves the list."""
        world = self._world
        if member.id not in world.store["customers"] or member.method["type"] != "card":
            return
        old = member.method
        card = old["card"] | {
            "exp_year": old["card"]["exp_year"] + 3,
            "last4": f"{world.rng.randrange(10_000):04d}",
            "fingerprint": world.ids.text(16),
        }
        member.method = shapes.payment_method(
            world.ids.new("pm"),
            customer=member.id,
            created=world.now,
            details={"type": "card", "card": card},
            name=old["billing_details"]["name"],
            email=old["billing_details"]["email"],
            address=old["billing_details"]["address"],
            livemode=world.livemode,
        )
        world.hold("payment_methods", member.method)
        world.emit("payment_method.attached", "payment_methods", member.method)
        settings = member.obj["invoice_settings"] | {"default_payment_method": member.method["id"]}
        world.change("customers", member.obj, "customer.updated", invoice_settings=settings)
        for subscription in member.subscriptions:
            if subscription.live and subscription.obj["default_payment_method"] == old["id"]:
                world.change(
                    "subscriptions",
                    subscription.obj,
                    "customer.subscription.updated",
                    default_payment_method=member.method["id"],
                )
        if old["id"] in world.store["payment_methods"]:
            world.store["payment_methods"].remove(old["id"])
        world.emit_loose("payment_method.detached", old | {"customer": None})

    def _move(self, member: Member) -> None:
        """The customer moves within its country."""
        world = self._world
        if member.id in world.store["customers"] and member.obj["address"] is not None:
            street = f"{world.rng.randrange(1, 400)} Canary Crescent"
            world.change(
                "customers", member.obj, "customer.updated", address=member.obj["address"] | {"line1": street}
            )

    def _seated(self, subscription: Subscription) -> Item | None:
        seated: list[Any] = [item for item in subscription.items if item.price.spec.key in _SEATED]
        return self._world.rng.choice(seated) if seated else None
