"""A Stripe account made of real subscription histories, for running the whole product on real behaviour.

Reads a CSV (or CSV.gz) with the columns `row, created, canceled_at, plan_id, interval, quantity, country_iso3`:
one subscription and one customer per row. What the histories do not say is either assumed and says so (prices, in
`assumed_prices.json`: every amount is an assumption), made up (people and cards), or left out: nobody fails to
pay, no reason of a cancellation is known. Times of day are spread over the day by row.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sandbox.accounts.account import StillAccount
from sandbox.accounts.history_prices import PriceBook, Sold
from sandbox.accounts.history_rows import History, read_histories
from sandbox.simulation import shapes, shapes_invoice, shapes_payment
from sandbox.simulation.billing_calendar import DAY, HOUR, add_interval, months_before
from sandbox.simulation.people import person
from sandbox.simulation.shapes_prices import PlanSpec
from sandbox.simulation.world import EVENT_DAYS, World

__all__ = ["account_of_histories"]

Obj = dict[str, Any]


def account_of_histories(path: Path, *, end: datetime, months: int = 6) -> StillAccount:
    """The account at `end`, with the invoices of the last `months` months."""
    histories = [history for history in read_histories(path) if _noon(history.created) < end.timestamp()]
    finish = int(end.timestamp())
    start = min((_noon(history.created) for history in histories), default=finish) - 30 * DAY
    world = World(seed=1, start=start, livemode=False)
    world.store.account = shapes.account(world.ids.new("acct"), created=start, livemode=False)
    builder = _Builder(world, finish=finish, invoices_from=months_before(finish, months) if months else finish)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for history in histories:
            builder.add(history)
        builder.write_events()
    finally:
        if collecting:
            gc.enable()
    world.now = world.events_from = finish
    world.store.flush()
    return StillAccount(world)


class _Builder:
    def __init__(self, world: World, *, finish: int, invoices_from: int) -> None:
        self._world = world
        self._finish = finish
        self._from = invoices_from
        self._prices = PriceBook(world)
        self._events: list[tuple[int, str, str, Obj]] = []

    def add(self, history: History) -> None:
        """Customer, method, subscription and what it paid."""
        world = self._world
        created = _moment(history.created, history.row * 7919)
        ended = None
        if history.canceled_at is not None:
            ended = max(created + HOUR, _moment(history.canceled_at, history.row * 6091))
            ended = ended if ended < self._finish else None
        sold = self._prices.of(history)
        periods = list(_periods(created, sold.spec, until=self._finish if ended is None else ended))
        who = person(world.rng, history.row)
        home = {"country": history.country} | dict.fromkeys(("city", "line1", "line2", "postal_code", "state"))
        address = home if history.country else None
        customer_id, method_id = world.ids.new("cus"), world.ids.new("pm")
        customer = shapes.customer(
            customer_id,
            created=created,
            currency=self._prices.currency,
            address=address,
            name=who.name,
            email=who.email,
            phone=None,
            description=None,
            default_payment_method=method_id,
            livemode=False,
            metadata={"history_row": str(history.row)},
        )
        method = shapes.payment_method(
            method_id,
            customer=customer_id,
            created=created,
            details={"type": "card", "card": self._card(history, created)},
            name=who.name,
            email=who.email,
            address=address,
            livemode=False,
        )
        subscription = self._subscription(history, sold, customer, created=created, ended=ended, periods=periods)
        world.put("customers", customer)
        world.put("payment_methods", method)
        self._invoices(subscription, sold, customer, method, periods=periods)
        world.put("subscriptions", subscription)
        self._remember(subscription, ended)

    def write_events(self) -> None:
        """The last 30 days' beginnings and ends of subscriptions, in order of time."""
        for moment, kind, _, obj in sorted(self._events, key=lambda event: event[:3]):
            self._world.now = moment
            self._world.emit(kind, "subscriptions", obj)
        self._events.clear()

    def _remember(self, subscription: Obj, ended: int | None) -> None:
        since = self._finish - EVENT_DAYS * DAY
        if subscription["created"] >= since:
            self._events.append(
                (subscription["created"], "customer.subscription.created", subscription["id"], subscription)
            )
        if ended is not None and ended >= since:
            self._events.append((ended, "customer.subscription.deleted", subscription["id"], subscription))

    def _card(self, history: History, created: int) -> Obj:
        return {
            "brand": ("visa", "mastercard", "visa", "amex")[history.row % 4],
            "country": history.country,
            "exp_month": history.row % 12 + 1,
            "exp_year": datetime.fromtimestamp(max(created, self._finish), UTC).year + 1 + history.row % 4,
            "fingerprint": self._world.ids.text(16),
            "funding": "credit",
            "last4": f"{history.row % 10_000:04d}",
            "wallet": None,
        }

    def _subscription(
        self,
        history: History,
        sold: Sold,
        customer: Obj,
        *,
        created: int,
        ended: int | None,
        periods: list[tuple[int, int]],
    ) -> Obj:
        world = self._world
        subscription_id, item_id = world.ids.new("sub"), world.ids.new("si")
        period = periods[-1]
        item = shapes.subscription_item(
            item_id,
            subscription=subscription_id,
            created=created,
            price=sold.price,
            plan=sold.plan,
            quantity=history.quantity,
            period=period,
            discounts=[],
        )
        world.store.item_owner[item_id] = subscription_id
        subscription = shapes.subscription(
            subscription_id,
            customer=customer["id"],
            created=created,
            currency=self._prices.currency,
            status="active" if ended is None else "canceled",
            items=[item],
            discounts=[],
            default_payment_method=None,
            livemode=False,
            metadata={"history_row": str(history.row)},
        )
        if ended is not None:
            subscription.update(canceled_at=ended, ended_at=ended)
        return subscription

    def _invoices(
        self, subscription: Obj, sold: Sold, customer: Obj, method: Obj, *, periods: list[tuple[int, int]]
    ) -> None:
        """One paid invoice for each period that began in the time that has invoices."""
        item = subscription["items"]["data"][0]
        for number, (start, stop) in enumerate(periods, 1):
            if start < self._from:
                continue
            subscription["latest_invoice"] = self._paid_invoice(
                subscription, item, sold, customer, method, number=number, period=(start, stop)
            )

    def _paid_invoice(
        self,
        subscription: Obj,
        item: Obj,
        sold: Sold,
        customer: Obj,
        method: Obj,
        *,
        number: int,
        period: tuple[int, int],
    ) -> str:
        world, start = self._world, period[0]
        invoice_id, intent, currency = world.ids.new("in"), world.ids.new("pi"), self._prices.currency
        amount = sold.cents * item["quantity"]
        line = shapes_invoice.invoice_line(
            world.ids.new("il"),
            invoice=invoice_id,
            amount=amount,
            currency=currency,
            description=f"{item['quantity']} × {sold.spec.nickname}",
            period=period,
            price=sold.price["id"],
            product=sold.price["product"],
            unit_amount_decimal=sold.price["unit_amount_decimal"],
            quantity=item["quantity"],
            subscription=subscription["id"],
            item=item["id"],
            livemode=False,
        )
        invoice = shapes_invoice.invoice(
            invoice_id,
            customer=customer,
            subscription=subscription["id"],
            created=start,
            currency=currency,
            billing_reason="subscription_create" if number == 1 else "subscription_cycle",
            period=(start, start),
            lines=[line],
            number=f"{customer['invoice_prefix']}-{number:04d}",
            livemode=False,
        )
        paid = min(start if number == 1 else start + HOUR, self._finish - 1)
        invoice.update(
            status="paid",
            amount_paid=amount,
            amount_remaining=0,
            attempt_count=1,
            attempted=True,
            auto_advance=False,
            automatically_finalizes_at=None,
            next_payment_attempt=None,
            effective_at=paid,
            ending_balance=0,
            status_transitions={
                "finalized_at": paid,
                "marked_uncollectible_at": None,
                "paid_at": paid,
                "voided_at": None,
            },
        )
        charge = shapes_payment.charge(
            world.ids.new("ch"),
            amount=amount,
            created=paid,
            currency=currency,
            customer=customer["id"],
            description="Subscription update",
            payment_intent=intent,
            payment_method=method["id"],
            details={"card": method["card"], "type": "card"},
            billing_details=method["billing_details"],
            balance_transaction=world.ids.new("txn"),
            outcome=shapes_payment.outcome(decline=None, advice=None, network_code=None),
            livemode=False,
            receipt_email=customer["email"],
        )
        payment = shapes_invoice.invoice_payment(
            world.ids.new("inpay"),
            invoice=invoice_id,
            amount=amount,
            created=paid,
            currency=currency,
            payment={"payment_intent": intent, "type": "payment_intent"},
            livemode=False,
        )
        payment.update(
            amount_paid=amount, status="paid", status_transitions={"canceled_at": None, "paid_at": paid}
        )
        world.put("invoices", invoice)
        world.put("charges", charge)
        world.put("invoice_payments", payment)
        return invoice_id


def _periods(created: int, spec: PlanSpec, *, until: int) -> Iterator[tuple[int, int]]:
    """Every billing period that began before `until`; the first one always."""
    anchor_day = datetime.fromtimestamp(created, UTC).day
    start = created
    while True:
        stop = add_interval(start, spec.interval, spec.interval_count, anchor_day=anchor_day)
        yield start, stop
        if stop >= until:
            return
        start = stop


def _moment(day: date, spread: int) -> int:
    return _noon(day) - 12 * HOUR + spread % DAY


def _noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())
