"""What happens to a simulated subscription: it begins, renews, changes, pauses, falls behind and ends.

Each happening is one method that changes state, writes the objects and tells the events; `hazards` decides which
of them a period brings. Statuses and their moves are Stripe's:
https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sandbox.simulation import shapes
from sandbox.simulation.billing_calendar import DAY, HOUR, add_interval, day_of_month
from sandbox.simulation.catalog import Coupon, Price
from sandbox.simulation.invoicing import Invoicing
from sandbox.simulation.members import Item, Member, Subscription
from sandbox.simulation.payments import Payments
from sandbox.simulation.redemptions import Redemptions
from sandbox.simulation.world import World

__all__ = ["Lifecycle"]

Obj = dict[str, Any]

_UPDATED: Final = "customer.subscription.updated"


class Lifecycle:
    """All subscriptions of one account; payments report back to it."""

    def __init__(self, world: World, invoicing: Invoicing, payments: Payments, redemptions: Redemptions) -> None:
        self._world = world
        self._invoicing = invoicing
        self._payments = payments
        self._redemptions = redemptions
        self.on_period: Callable[[Subscription], None] = _nothing
        self.on_ended: Callable[[Subscription, str], None] = _nothing
        payments.on_paid = self._paid
        payments.on_failed = self._fell_behind
        payments.on_given_up = self._given_up

    def begin(
        self,
        member: Member,
        choice: Sequence[tuple[Price, int]],
        *,
        trial_days: int = 0,
        coupons: Sequence[Coupon] = (),
        item_coupon: Coupon | None = None,
        by_mail: bool = False,
        tax_rate: Obj | None = None,
    ) -> Subscription:
        world, redeem = self._world, self._redemptions.redeem
        now = world.now
        subscription_id = world.ids.new("sub")
        trial = (now, now + trial_days * DAY) if trial_days else None
        anchor_day = day_of_month(trial[1] if trial else now)
        subscription = Subscription({"id": subscription_id}, member, [], anchor_day, tax_rate=tax_rate)
        for price, quantity in choice:
            item_id = world.ids.new("si")
            discounts = [redeem(item_coupon, member, subscription_id, item_id)] if item_coupon else []
            period = trial or (now, self._period_end(price, now, anchor_day))
            obj = shapes.subscription_item(
                item_id,
                subscription=subscription_id,
                created=now,
                price=price.embedded,
                plan=price.plan,
                quantity=None if price.spec.metered else quantity,
                period=period,
                discounts=[discount.obj["id"] for discount in discounts],
            )
            subscription.items.append(Item(obj, price, discounts))
            world.store.item_owner[item_id] = subscription_id
        subscription.discounts = [
            self._redemptions.redeem(coupon, member, subscription_id, None) for coupon in coupons
        ]
        intervals = {(price.spec.interval, price.spec.interval_count) for price, _ in choice}
        subscription.obj = shapes.subscription(
            subscription_id,
            customer=member.id,
            created=now,
            currency=choice[0][0].currency,
            status="trialing" if trial else "active",
            items=[item.obj for item in subscription.items],
            discounts=[discount.obj["id"] for discount in subscription.discounts],
            default_payment_method=None if by_mail else member.method["id"],
            livemode=world.livemode,
            collection_method="send_invoice" if by_mail else "charge_automatically",
            days_until_due=30 if by_mail else None,
            trial=trial,
            tax_rates=[tax_rate] if tax_rate else None,
            flexible=len(intervals) > 1,
            metadata={"crm": "canary subscription note"} if world.chance(0.3) else None,
        )
        member.subscriptions.append(subscription)
        world.hold("subscriptions", subscription.obj)
        charges = [] if trial else self._invoicing.period_lines(subscription, subscription.items)
        self._invoicing.bill(subscription, charges, reason="subscription_create", period=(now, now), at_once=True)
        self._redemptions.drop_spent(subscription)
        world.emit("customer.subscription.created", "subscriptions", subscription.obj)
        if trial:
            warned = trial[1] - 3 * DAY
            if warned > now:
                world.at(warned, self._trial_will_end, subscription)
        world.at(subscription.next_renewal, self.renew, subscription)
        self.on_period(subscription)
        return subscription

    def renew(self, subscription: Subscription) -> None:
        world, obj = self._world, subscription.obj
        if (
            not subscription.live
            or obj["status"] in ("incomplete", "paused")
            or subscription.next_renewal > world.now
        ):
            return
        if obj["cancel_at_period_end"]:
            self.end(subscription, "cancellation_requested")
            return
        if obj["status"] == "trialing" and world.chance(0.04):
            world.change("subscriptions", obj, None, status="paused")
            world.emit("customer.subscription.paused", "subscriptions", obj)
            return
        due = [item for item in subscription.items if item.period[1] <= world.now]
        before = [dict(item.obj) for item in subscription.items]
        charges = self._invoicing.usage_lines(due)
        period = subscription.period
        for item in due:
            start = item.period[1]
            item.obj["current_period_start"] = start
            item.obj["current_period_end"] = self._period_end(item.price, start, subscription.anchor_day)
        charges = self._invoicing.period_lines(subscription, due) + charges
        previous: Obj = {"items": {"data": before}, "latest_invoice": obj["latest_invoice"]}
        if obj["status"] == "trialing":
            previous["status"] = "trialing"
            obj["status"] = "active"
        self._invoicing.bill(subscription, charges, reason="subscription_cycle", period=period)
        self._redemptions.drop_spent(subscription)
        world.emit(_UPDATED, "subscriptions", obj, previous)
        if obj["status"] == "unpaid" and world.chance(0.25):
            self.end(subscription, "payment_failed")
            return
        world.at(subscription.next_renewal, self.renew, subscription)
        self.on_period(subscription)

    def change_item(
        self, subscription: Subscription, item: Item, *, quantity: int, price: Price | None = None
    ) -> None:
        """Other seats or another price from now on; the difference is prorated."""
        world = self._world
        if not subscription.live or subscription.status not in ("active", "trialing", "past_due"):
            return
        old = Item(dict(item.obj), item.price)
        before = [dict(each.obj) for each in subscription.items]
        item.obj["quantity"] = quantity
        if price is not None:
            item.price = price
            item.obj.update(price=price.embedded, plan=price.plan)
        previous: Obj = {"items": {"data": before}}
        if subscription.status != "trialing" and item.period[1] > world.now:
            rows = self._invoicing.prorate(item, old=old, moment=world.now)
            if sum(row.amount for row in rows) > 0 and world.chance(0.6):
                previous["latest_invoice"] = subscription.obj["latest_invoice"]
                waiting, subscription.pending = subscription.pending, []
                period = (world.now, world.now)
                self._invoicing.bill(
                    subscription, waiting + rows, reason="subscription_update", period=period, at_once=True
                )
            else:
                subscription.pending += rows
        world.put("subscriptions", subscription.obj)
        world.emit(_UPDATED, "subscriptions", subscription.obj, previous)

    def request_cancel(self, subscription: Subscription, feedback: str | None, *, when: int | None) -> None:
        """At the period's end, or at the given time."""
        world = self._world
        if not subscription.live or subscription.obj["cancel_at"] is not None:
            return
        world.change(
            "subscriptions",
            subscription.obj,
            _UPDATED,
            cancel_at=subscription.next_renewal if when is None else when,
            cancel_at_period_end=when is None,
            canceled_at=world.now,
            cancellation_details={
                "comment": "Canary comment of a leaving customer" if feedback else None,
                "feedback": feedback,
                "reason": "cancellation_requested",
            },
        )
        if when is not None:
            world.at(when, self._cancel_date, subscription)

    def withdraw_cancel(self, subscription: Subscription) -> None:
        """The customer stays after all."""
        if subscription.live and subscription.obj["cancel_at"] is not None:
            self._world.change(
                "subscriptions",
                subscription.obj,
                _UPDATED,
                cancel_at=None,
                cancel_at_period_end=False,
                canceled_at=None,
                cancellation_details={"comment": None, "feedback": None, "reason": None},
            )

    def pause(self, subscription: Subscription, behavior: str, resumes_at: int | None) -> None:
        if subscription.status == "active" and subscription.obj["pause_collection"] is None:
            paused = {"behavior": behavior, "resumes_at": resumes_at}
            self._world.change("subscriptions", subscription.obj, _UPDATED, pause_collection=paused)
            if resumes_at is not None:
                self._world.at(resumes_at, self._resume, subscription)

    def end(self, subscription: Subscription, reason: str, feedback: str | None = None) -> None:
        world, obj = self._world, subscription.obj
        if not subscription.live:
            return
        details = obj["cancellation_details"]
        world.change(
            "subscriptions",
            obj,
            status="canceled",
            ended_at=world.now,
            canceled_at=obj["canceled_at"] or world.now,
            cancellation_details={**details, "reason": reason, "feedback": feedback or details["feedback"]},
        )
        world.emit("customer.subscription.deleted", "subscriptions", obj)
        for invoice_id in sorted(subscription.unpaid):
            self._payments.abandon(invoice_id, void=world.chance(0.3))
        subscription.unpaid.clear()
        self._settle_delinquency(subscription.member)
        self.on_ended(subscription, reason)

    def _paid(self, subscription: Subscription, invoice: Obj) -> None:
        if subscription.status in ("past_due", "incomplete", "unpaid") and not subscription.unpaid:
            self._world.change("subscriptions", subscription.obj, _UPDATED, status="active")
            self._settle_delinquency(subscription.member)

    def _fell_behind(self, subscription: Subscription, invoice: Obj) -> None:
        world, member = self._world, subscription.member
        if (
            invoice["billing_reason"] == "subscription_create"
            and subscription.obj["collection_method"] != "send_invoice"
        ):
            world.change("subscriptions", subscription.obj, status="incomplete")
            world.later(20 * HOUR, self._payments.attempt, subscription, invoice)
            world.later(23 * HOUR, self._expire, subscription, invoice)
            return
        if not subscription.live:
            return
        if subscription.status == "active":
            world.change("subscriptions", subscription.obj, _UPDATED, status="past_due")
        if member.id in world.store["customers"]:
            world.change("customers", member.obj, "customer.updated", delinquent=True)

    def _given_up(self, subscription: Subscription, invoice: Obj) -> None:
        """All attempts failed: most are canceled, some stay unpaid, few stay past due."""
        world = self._world
        if not subscription.live:
            return
        fate = world.rng.random()
        if fate < 0.54:
            self.end(subscription, "payment_failed")
        elif fate < 0.72:
            world.change("subscriptions", subscription.obj, _UPDATED, status="unpaid")
        elif fate < 0.79:
            stamps = invoice["status_transitions"] | {"marked_uncollectible_at": world.now}
            world.change("invoices", invoice, "invoice.updated", status="uncollectible", status_transitions=stamps)
            world.emit("invoice.marked_uncollectible", "invoices", invoice)

    def disputed(self, subscription: Subscription, reason: str) -> None:
        if self._world.chance(0.35):
            self._world.later(self._world.days(0.1, 4), self.end, subscription, "payment_disputed")

    def _expire(self, subscription: Subscription, invoice: Obj) -> None:
        world = self._world
        if subscription.status != "incomplete":
            return
        world.change("subscriptions", subscription.obj, _UPDATED, status="incomplete_expired", ended_at=world.now)
        self._payments.abandon(invoice["id"], void=True)
        subscription.unpaid.clear()

    def _cancel_date(self, subscription: Subscription) -> None:
        if subscription.obj["cancel_at"] == self._world.now:
            self.end(subscription, "cancellation_requested")

    def _resume(self, subscription: Subscription) -> None:
        if subscription.live and subscription.obj["pause_collection"] is not None:
            self._world.change("subscriptions", subscription.obj, _UPDATED, pause_collection=None)

    def _trial_will_end(self, subscription: Subscription) -> None:
        if subscription.status == "trialing":
            self._world.emit("customer.subscription.trial_will_end", "subscriptions", subscription.obj)

    def _settle_delinquency(self, member: Member) -> None:
        if member.obj["delinquent"] and member.id in self._world.store["customers"]:
            behind = any(each.unpaid for each in member.subscriptions if each.live)
            if not behind:
                self._world.change("customers", member.obj, "customer.updated", delinquent=False)

    def _period_end(self, price: Price, start: int, anchor_day: int) -> int:
        return add_interval(start, price.spec.interval, price.spec.interval_count, anchor_day=anchor_day)


def _nothing(*_: Any) -> None:
    """Until the business connects the two sides."""
