"""Coupons in use: a discount begins when a coupon is redeemed and leaves when it is spent.

A `once` discount is spent with the bill it was on, a `repeating` one when its months are over. What a discount
takes off is in `pricing`.
"""

from __future__ import annotations

from sandbox.simulation import shapes
from sandbox.simulation.billing_calendar import add_interval, day_of_month
from sandbox.simulation.catalog import Coupon
from sandbox.simulation.members import Member, Subscription
from sandbox.simulation.pricing import AppliedDiscount
from sandbox.simulation.world import World

__all__ = ["Redemptions"]


class Redemptions:
    """The discounts of one account."""

    def __init__(self, world: World) -> None:
        self._world = world

    def redeem(
        self, coupon: Coupon, member: Member, subscription_id: str | None, item_id: str | None
    ) -> AppliedDiscount:
        world = self._world
        months = coupon.months
        end = add_interval(world.now, "month", months, anchor_day=day_of_month(world.now)) if months else None
        obj = shapes.discount(
            world.ids.new("di"),
            coupon=coupon.id,
            customer=member.id,
            start=world.now,
            end=end,
            subscription=subscription_id,
            item=item_id,
        )
        world.store.discounts[obj["id"]] = obj
        coupon.obj["times_redeemed"] += 1
        world.put("coupons", coupon.obj)
        world.emit_loose("customer.discount.created", obj)
        return AppliedDiscount(obj, coupon)

    def redeem_for_customer(self, coupon: Coupon, member: Member) -> None:
        """A discount of the customer: it counts where a subscription has none of its own."""
        member.discount = self.redeem(coupon, member, None, None)
        self._world.change("customers", member.obj, "customer.updated", discount=member.discount.obj)

    def drop_spent(self, subscription: Subscription) -> None:
        """Discounts that have run out, and those for one invoice, leave after the bill."""
        now = self._world.now
        for holder, discounts in (
            (subscription.obj, subscription.discounts),
            *((i.obj, i.discounts) for i in subscription.items),
        ):
            kept = [each for each in discounts if each.coupon.duration != "once" and each.in_force(now)]
            if len(kept) != len(discounts):
                for gone in [each for each in discounts if each not in kept]:
                    self._world.emit_loose("customer.discount.deleted", gone.obj)
                discounts[:] = kept
                holder["discounts"] = [each.obj["id"] for each in kept]
                self._world.put("subscriptions", subscription.obj)
