"""What becomes of paid charges: refunds and disputes.

Steady customers ask for neither. Dispute reasons and network codes after
https://docs.stripe.com/disputes/categories; a dispute is answered within a week or not at all and decided within
ten weeks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sandbox.simulation import shapes_payment
from sandbox.simulation.members import Subscription
from sandbox.simulation.world import World

__all__ = ["Aftermath"]

Obj = dict[str, Any]

_DISPUTES: Final = (
    (0.26, "subscription_canceled", "13.2"),
    (0.22, "product_unacceptable", "13.3"),
    (0.20, "fraudulent", "10.4"),
    (0.14, "unrecognized", "4863"),
    (0.06, "credit_not_processed", "13.6"),
    (0.06, "product_not_received", "13.1"),
    (0.03, "duplicate", "12.6.1"),
    (0.03, "general", None),
)
_WIN: Final = {"fraudulent": 0.2, "duplicate": 0.7, "product_not_received": 0.45}
_DISPUTE_RATE: Final = 0.024
_REFUND_RATE: Final = 0.02


class Aftermath:
    """Refunds and disputes of one account."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.on_disputed: Callable[[Subscription, str], None] = _nothing

    def follow(self, subscription: Subscription, charge: Obj) -> None:
        """Decide whether a paid charge is refunded or disputed later."""
        world, member = self._world, subscription.member
        if member.steady:
            return
        fate = world.rng.random()
        if fate < _REFUND_RATE:
            world.later(world.days(0.1, 12), self.refund, charge["id"], None)
        elif fate < _REFUND_RATE + _DISPUTE_RATE and charge["payment_method_details"]["type"] == "card":
            world.later(world.days(4, 38), self._dispute, subscription, charge["id"])

    def refund(self, charge_id: str, reason: str | None) -> None:
        world = self._world
        if charge_id not in world.store["charges"]:
            return
        charge = world.store["charges"].get(charge_id)
        left = charge["amount"] - charge["amount_refunded"]
        if left <= 0 or charge["disputed"]:
            return
        amount = left if world.chance(0.6) else max(1, left * world.rng.randrange(10, 90) // 100)
        chosen = reason or world.rng.choice(("requested_by_customer", "duplicate", "requested_by_customer", None))
        refund = shapes_payment.refund(
            world.ids.new("re"),
            charge=charge,
            amount=amount,
            created=world.now,
            reason=chosen,
            balance_transaction=world.ids.new("txn"),
        )
        world.put("refunds", refund)
        refunded = charge["amount_refunded"] + amount
        before: Obj = {"amount_refunded": charge["amount_refunded"]}
        if refunded == charge["amount"]:
            before["refunded"] = False
        world.change("charges", charge, amount_refunded=refunded, refunded=refunded == charge["amount"])
        world.emit("refund.created", "refunds", refund)
        world.emit("charge.refunded", "charges", charge, before)

    def _dispute(self, subscription: Subscription, charge_id: str) -> None:
        world = self._world
        if charge_id not in world.store["charges"]:
            return
        charge = world.store["charges"].get(charge_id)
        if charge["amount_refunded"] or charge["disputed"]:
            return
        (chosen,) = world.rng.choices(_DISPUTES, [row[0] for row in _DISPUTES])
        _, reason, network_code = chosen
        inquiry = world.chance(0.08)
        dispute = shapes_payment.dispute(
            world.ids.new("du"),
            charge=charge,
            created=world.now,
            reason=reason,
            network_reason_code=network_code,
            status="warning_needs_response" if inquiry else "needs_response",
            balance_transactions=[],
            livemode=world.livemode,
        )
        world.put("disputes", dispute)
        if not inquiry:
            world.change("charges", charge, "charge.updated", disputed=True)
        world.emit("charge.dispute.created", "disputes", dispute)
        if not inquiry:
            world.emit("charge.dispute.funds_withdrawn", "disputes", dispute)
        world.later(world.days(2, 7), self._answer, dispute["id"])
        world.later(world.days(25, 70), self._close, dispute["id"])
        if reason != "duplicate":
            self.on_disputed(subscription, reason)

    def _answer(self, dispute_id: str) -> None:
        """Six in ten disputes are contested; the others are lost by default."""
        world = self._world
        if dispute_id not in world.store["disputes"]:
            return
        dispute = world.store["disputes"].get(dispute_id)
        if not world.chance(0.6):
            return
        details = dispute["evidence_details"] | {"has_evidence": True, "submission_count": 1}
        status = dispute["status"].replace("needs_response", "under_review")
        world.change("disputes", dispute, "charge.dispute.updated", status=status, evidence_details=details)

    def _close(self, dispute_id: str) -> None:
        world = self._world
        if dispute_id not in world.store["disputes"]:
            return
        dispute = world.store["disputes"].get(dispute_id)
        if dispute["status"].startswith("warning"):
            status = "warning_closed"
        elif dispute["status"] == "under_review" and world.chance(_WIN.get(dispute["reason"], 0.4)):
            status = "won"
        else:
            status = "lost"
        world.change("disputes", dispute, "charge.dispute.updated", status=status)
        if status == "won":
            world.emit("charge.dispute.funds_reinstated", "disputes", dispute)
        world.emit("charge.dispute.closed", "disputes", dispute)


def _nothing(*_: Any) -> None:
    """Until the business connects the two sides."""
