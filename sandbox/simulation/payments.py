"""How the simulated customers pay: charges, failures with codes, retries, bank transfers.

Takes a finalized invoice and follows it until it is paid or given up; what that means for the subscription is
told through `on_paid`, `on_failed` and `on_given_up`. Retry rhythm after Stripe's Smart Retries, advice codes
after https://docs.stripe.com/declines/codes. Refunds and disputes are in `aftermath`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sandbox.simulation import shapes_invoice, shapes_payment
from sandbox.simulation.aftermath import Aftermath
from sandbox.simulation.billing_calendar import DAY
from sandbox.simulation.members import Member, Subscription
from sandbox.simulation.world import World

__all__ = ["Payments"]

Obj = dict[str, Any]


class _Decline(NamedTuple):
    weight: float
    failure_code: str
    reason: str
    advice: str | None
    network_code: str | None
    # Chance that the next attempt goes through.
    recovery: float


_DECLINES: Final = (
    _Decline(0.38, "card_declined", "insufficient_funds", "try_again_later", "51", 0.42),
    _Decline(0.22, "card_declined", "generic_decline", "try_again_later", "05", 0.34),
    _Decline(0.12, "card_declined", "do_not_honor", "try_again_later", "05", 0.30),
    _Decline(0.12, "expired_card", "expired_card", "confirm_card_data", "54", 0.22),
    _Decline(0.05, "card_declined", "authentication_required", "confirm_card_data", "65", 0.25),
    _Decline(0.04, "processing_error", "processing_error", "try_again_later", "96", 0.70),
    _Decline(0.04, "card_declined", "lost_card", "do_not_try_again", "41", 0.05),
    _Decline(0.03, "card_declined", "stolen_card", "do_not_try_again", "43", 0.05),
)
_RETRY_DAYS: Final = (3, 5, 7, 7)
# What becomes of a paused subscription's invoice: status and the moment that is stamped.
_SET_ASIDE: Final = {
    "void": ("void", "voided_at"),
    "mark_uncollectible": ("uncollectible", "marked_uncollectible_at"),
}


class _Attempts:
    """What one open invoice has been through."""

    __slots__ = ("count", "decline", "intent", "payment")

    def __init__(self, intent: str | None, payment: Obj) -> None:
        self.count = 0
        self.decline: _Decline | None = None
        self.intent = intent
        self.payment = payment


class Payments:
    """The paying side; one object per account."""

    def __init__(self, world: World, aftermath: Aftermath) -> None:
        self._world = world
        self._aftermath = aftermath
        self._open: dict[str, _Attempts] = {}
        self.on_paid: Callable[[Subscription, Obj], None] = _nothing
        self.on_failed: Callable[[Subscription, Obj], None] = _nothing
        self.on_given_up: Callable[[Subscription, Obj], None] = _nothing

    def collect(self, subscription: Subscription, invoice: Obj) -> None:
        """Start collecting a finalized invoice with something to pay."""
        world = self._world
        if subscription.obj["collection_method"] == "send_invoice":
            if world.chance(0.03):
                world.at(invoice["due_date"], self._overdue, subscription, invoice)
                return
            late = world.chance(0.1)
            world.at(
                invoice["due_date"] + world.days(*((2, 15) if late else (-20, -1))),
                self.attempt,
                subscription,
                invoice,
            )
            if late:
                world.at(invoice["due_date"], self._overdue, subscription, invoice)
            return
        self.attempt(subscription, invoice)

    def attempt(self, subscription: Subscription, invoice: Obj) -> None:
        if invoice["status"] != "open" or not invoice["auto_advance"]:
            return
        member, world = subscription.member, self._world
        known = self._open.get(invoice["id"]) or self._begin(member, invoice)
        if (known.count and not subscription.live) or invoice["id"] not in world.store["invoices"]:
            return
        known.count += 1
        decline = self._decision(member, known, subscription.obj["collection_method"])
        charge = self._charge(subscription, invoice, known, decline)
        world.put("charges", charge)
        world.emit("charge.failed" if decline else "charge.succeeded", "charges", charge)
        if decline is None:
            self._settle(subscription, invoice, known, charge)
        else:
            known.decline = decline
            self._failed(subscription, invoice, known, decline)

    def set_aside(self, invoice: Obj, behavior: str) -> None:
        """The invoice of a paused subscription: void, uncollectible, or a draft for later."""
        world = self._world
        if behavior == "keep_as_draft":
            world.change("invoices", invoice, "invoice.updated", auto_advance=False, next_payment_attempt=None)
            return
        status, stamp = _SET_ASIDE[behavior]
        world.change(
            "invoices",
            invoice,
            "invoice.updated",
            status=status,
            effective_at=world.now,
            auto_advance=False,
            next_payment_attempt=None,
            status_transitions=invoice["status_transitions"] | {"finalized_at": world.now, stamp: world.now},
        )
        world.emit("invoice.voided" if status == "void" else "invoice.marked_uncollectible", "invoices", invoice)
        world.store["invoices"].release(invoice["id"])

    def abandon(self, invoice_id: str, *, void: bool = False) -> None:
        """No more attempts; a void invoice is owed no longer."""
        table = self._world.store["invoices"]
        known = self._open.pop(invoice_id, None)
        if invoice_id not in table:
            return
        invoice = table.get(invoice_id)
        if invoice["status"] != "open":
            return
        stamps = invoice["status_transitions"] | {"voided_at": self._world.now}
        changes: Obj = {"status": "void", "status_transitions": stamps} if void else {}
        self._world.change(
            "invoices", invoice, "invoice.updated", auto_advance=False, next_payment_attempt=None, **changes
        )
        if void:
            self._world.emit("invoice.voided", "invoices", invoice)
            if known is not None:
                stamped = known.payment["status_transitions"] | {"canceled_at": self._world.now}
                self._world.change(
                    "invoice_payments", known.payment, status="canceled", status_transitions=stamped
                )

    def _begin(self, member: Member, invoice: Obj) -> _Attempts:
        world = self._world
        intent = None if member.without_intents else world.ids.new("pi")
        payment = shapes_invoice.invoice_payment(
            world.ids.new("inpay"),
            invoice=invoice["id"],
            amount=invoice["amount_due"],
            created=world.now,
            currency=invoice["currency"],
            payment={"payment_intent": intent, "type": "payment_intent"}
            if intent
            else {"charge": None, "type": "charge"},
            livemode=world.livemode,
        )
        known = self._open[invoice["id"]] = _Attempts(intent, payment)
        if intent:
            world.put("invoice_payments", payment)
        return known

    def _decision(self, member: Member, known: _Attempts, method: str) -> _Decline | None:
        world = self._world
        if method == "send_invoice" or member.growing or member.without_intents:
            # Without an intent, nothing would link a failed charge to its invoice.
            return None
        if known.decline is not None:
            return None if world.chance(known.decline.recovery) else known.decline
        if world.chance(member.reliability):
            return None
        (decline,) = world.rng.choices(_DECLINES, [row.weight for row in _DECLINES])
        return decline

    def _charge(self, subscription: Subscription, invoice: Obj, known: _Attempts, decline: _Decline | None) -> Obj:
        world, member = self._world, subscription.member
        method = member.method
        kind = method["type"]
        return shapes_payment.charge(
            world.ids.new("ch"),
            amount=invoice["amount_remaining"],
            created=world.now,
            currency=invoice["currency"],
            customer=member.id,
            description="Subscription creation"
            if invoice["billing_reason"] == "subscription_create"
            else "Subscription update",
            payment_intent=known.intent,
            payment_method=method["id"],
            details={kind: method[kind] | {"network_transaction_id": world.ids.text(14)}, "type": kind},
            billing_details=method["billing_details"],
            balance_transaction=None if decline else world.ids.new("txn"),
            outcome=shapes_payment.outcome(
                decline=decline.reason if decline else None,
                advice=decline.advice if decline else None,
                network_code=decline.network_code if decline else None,
            ),
            livemode=world.livemode,
            failure=(decline.failure_code, "Your card was declined.") if decline else None,
            receipt_email=member.obj["email"],
        )

    def _settle(self, subscription: Subscription, invoice: Obj, known: _Attempts, charge: Obj) -> None:
        world = self._world
        del self._open[invoice["id"]]
        payment = known.payment
        if known.intent is None:
            payment["payment"] = {"charge": charge["id"], "type": "charge"}
            payment["created"] = world.now
        payment.update(
            amount_paid=charge["amount"],
            status="paid",
            status_transitions={"canceled_at": None, "paid_at": world.now},
        )
        world.put("invoice_payments", payment)
        world.emit("invoice_payment.paid", "invoice_payments", payment)
        self.mark_paid(subscription, invoice, known.count)
        self._aftermath.follow(subscription, charge)

    def mark_paid(self, subscription: Subscription, invoice: Obj, attempts: int) -> None:
        world = self._world
        world.change(
            "invoices",
            invoice,
            "invoice.updated",
            status="paid",
            amount_paid=invoice["amount_due"],
            amount_remaining=0,
            attempt_count=attempts,
            attempted=True,
            auto_advance=False,
            next_payment_attempt=None,
            status_transitions=invoice["status_transitions"] | {"paid_at": world.now},
        )
        world.emit("invoice.paid", "invoices", invoice)
        world.emit("invoice.payment_succeeded", "invoices", invoice)
        world.store["invoices"].release(invoice["id"])
        subscription.unpaid.discard(invoice["id"])
        self.on_paid(subscription, invoice)

    def _failed(self, subscription: Subscription, invoice: Obj, known: _Attempts, decline: _Decline) -> None:
        world = self._world
        retry = None
        if known.count <= len(_RETRY_DAYS) and invoice["billing_reason"] != "subscription_create":
            retry = world.now + _RETRY_DAYS[known.count - 1] * DAY + world.days(0, 0.3)
        world.change(
            "invoices",
            invoice,
            "invoice.updated",
            attempt_count=known.count,
            attempted=True,
            next_payment_attempt=retry,
        )
        world.emit("invoice.payment_failed", "invoices", invoice)
        subscription.unpaid.add(invoice["id"])
        self.on_failed(subscription, invoice)
        if retry is not None:
            world.at(retry, self.attempt, subscription, invoice)
        elif invoice["billing_reason"] != "subscription_create":
            world.later(world.days(0.2, 1), self._give_up, subscription, invoice)

    def _give_up(self, subscription: Subscription, invoice: Obj) -> None:
        if invoice["status"] == "open":
            self.on_given_up(subscription, invoice)

    def _overdue(self, subscription: Subscription, invoice: Obj) -> None:
        if invoice["status"] == "open" and subscription.live:
            self._world.emit("invoice.overdue", "invoices", invoice)
            subscription.unpaid.add(invoice["id"])
            self.on_failed(subscription, invoice)


def _nothing(*_: Any) -> None:
    """Until the business connects the two sides."""
