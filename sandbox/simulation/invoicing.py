"""From a due period to a finalized invoice: which lines, which discounts, which tax, which moment.

A renewal's invoice stays a draft for an hour, as at Stripe; a first invoice and an upgrade's are finalized at
once. Metered items are billed for the period that ended. Collecting is in `payments`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sandbox.simulation import shapes_invoice
from sandbox.simulation.billing_calendar import DAY, HOUR
from sandbox.simulation.members import Item, Subscription
from sandbox.simulation.payments import Payments
from sandbox.simulation.pricing import (
    Charge,
    apply_discounts,
    apply_tax,
    period_amount,
    period_charges,
    round_half_up,
)
from sandbox.simulation.world import World

__all__ = ["Invoicing"]

Obj = dict[str, Any]


class Invoicing:
    """The billing side; one object per account."""

    def __init__(self, world: World, payments: Payments) -> None:
        self._world = world
        self._payments = payments

    def bill(
        self,
        subscription: Subscription,
        charges: list[Charge],
        *,
        reason: str,
        period: tuple[int, int],
        at_once: bool = False,
    ) -> Obj:
        """A draft with these lines, on its way to being finalized."""
        world, member = self._world, subscription.member
        applied = subscription.in_force(world.now)
        apply_discounts(
            charges,
            on_items={item.id: item.discounts for item in subscription.items if item.discounts},
            on_subscription=applied,
            currency=subscription.obj["currency"],
        )
        if subscription.tax_rate is not None:
            apply_tax(charges, subscription.tax_rate)
        invoice_id = world.ids.new("in")
        member.invoices += 1
        by_mail = subscription.obj["collection_method"] == "send_invoice"
        invoice = shapes_invoice.invoice(
            invoice_id,
            customer=member.obj,
            subscription=subscription.id,
            created=world.now,
            currency=subscription.obj["currency"],
            billing_reason=reason,
            period=period,
            lines=[self._line(invoice_id, subscription, charge) for charge in charges],
            number=f"{member.prefix}-{member.invoices:04d}",
            livemode=world.livemode,
            collection_method=subscription.obj["collection_method"],
            due_date=world.now + 30 * DAY if by_mail else None,
            discounts=tuple(discount.obj["id"] for discount in applied),
            tax_rate=subscription.tax_rate,
            metadata={"crm": "canary invoice note"} if by_mail else None,
        )
        self._carry_balance(subscription, invoice)
        world.hold("invoices", invoice)
        world.emit("invoice.created", "invoices", invoice)
        subscription.obj["latest_invoice"] = invoice_id
        world.put("subscriptions", subscription.obj)
        if at_once:
            self.finalize(subscription, invoice)
        else:
            world.later(HOUR, self.finalize, subscription, invoice)
        return invoice

    def finalize(self, subscription: Subscription, invoice: Obj) -> None:
        world = self._world
        paused = subscription.obj["pause_collection"]
        if paused is not None:
            self._payments.set_aside(invoice, paused["behavior"])
            return
        world.change(
            "invoices",
            invoice,
            status="open",
            effective_at=world.now,
            ending_balance=min(0, invoice["starting_balance"] + invoice["total"]),
            automatically_finalizes_at=None,
            hosted_invoice_url=f"https://invoice.example/i/{invoice['id']}",
            invoice_pdf=f"https://invoice.example/i/{invoice['id']}/pdf",
            status_transitions=invoice["status_transitions"] | {"finalized_at": world.now},
        )
        world.emit("invoice.finalized", "invoices", invoice)
        if invoice["amount_due"] == 0:
            self._payments.mark_paid(subscription, invoice, 0)
        elif subscription.status == "unpaid":
            world.change("invoices", invoice, "invoice.updated", auto_advance=False, next_payment_attempt=None)
        else:
            if subscription.obj["collection_method"] == "send_invoice":
                world.emit("invoice.sent", "invoices", invoice)
            self._payments.collect(subscription, invoice)

    def period_lines(self, subscription: Subscription, items: list[Item]) -> list[Charge]:
        """What is due for the period that the items are in now, with what waited for it."""
        charges, subscription.pending = subscription.pending, []
        for item in items:
            if not item.price.spec.metered:
                start, end = item.period
                charges += period_charges(item.price, item.quantity, item=item.id, start=start, end=end)
        return charges

    def usage_lines(self, items: list[Item]) -> list[Charge]:
        """What metered items used in the period that ends now."""
        charges: list[Charge] = []
        for item in items:
            if item.price.spec.metered:
                start, end = item.period
                used = self._world.rng.randrange(2_000, 60_000)
                charges += period_charges(item.price, used, item=item.id, start=start, end=end)
        return charges

    def prorate(self, item: Item, *, old: Item, moment: int) -> list[Charge]:
        """Credit for what is left of the old item, and the price of the new one for as long."""
        start, end = item.period
        left = Fraction(end - moment, end - start)
        rows = []
        for sign, side, text in ((-1, old, "Unused time on"), (1, item, "Remaining time on")):
            amount = round_half_up(period_amount(side.price, side.quantity) * left)
            name = side.price.spec.nickname or side.price.spec.product
            rows.append(
                Charge(
                    sign * amount,
                    side.price,
                    side.quantity,
                    side.price.embedded["unit_amount_decimal"],
                    f"{text} {side.quantity} × {name}",
                    moment,
                    end,
                    item.id,
                    proration=True,
                )
            )
        return rows

    def _line(self, invoice_id: str, subscription: Subscription, charge: Charge) -> Obj:
        world = self._world
        return shapes_invoice.invoice_line(
            world.ids.new("il"),
            invoice=invoice_id,
            amount=charge.amount,
            currency=subscription.obj["currency"],
            description=charge.description,
            period=(charge.start, charge.end),
            price=charge.price.id,
            product=charge.price.product,
            unit_amount_decimal=charge.unit,
            quantity=charge.quantity,
            subscription=subscription.id,
            item=charge.item,
            livemode=world.livemode,
            invoice_item=world.ids.new("ii") if charge.proration else None,
            discounts=tuple(charge.discounts),
            tax=(charge.tax_rate, charge.tax, charge.net) if charge.tax_rate else None,
        )

    def _carry_balance(self, subscription: Subscription, invoice: Obj) -> None:
        """A credit of the customer pays first; a negative invoice becomes a credit."""
        customer = subscription.member.obj
        balance = customer["balance"]
        due = balance + invoice["total"]
        invoice.update(starting_balance=balance, amount_due=max(due, 0), amount_remaining=max(due, 0))
        if balance or due < 0:
            self._world.change("customers", customer, "customer.updated", balance=min(due, 0))
