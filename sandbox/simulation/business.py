"""A simulated subscription business whose Stripe account the sandbox serves.

`Business` signs customers up, lets their subscriptions live, and can be carried on day by day with `advance`.
Seed, size, length and end decide every byte: the same inputs give the same account, and `advance(2)` followed
by `advance(3)` gives what `advance(5)` gives. The clock stands at `end`: all that exists happened before it.
What things cost, how they are paid and what befalls them is in the other modules of this room.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from sandbox.simulation import shapes
from sandbox.simulation.aftermath import Aftermath
from sandbox.simulation.billing_calendar import DAY, months_before
from sandbox.simulation.catalog import Catalog
from sandbox.simulation.hazards import Hazards
from sandbox.simulation.invoicing import Invoicing
from sandbox.simulation.lifecycle import Lifecycle
from sandbox.simulation.members import Member, Subscription
from sandbox.simulation.payments import Payments
from sandbox.simulation.redemptions import Redemptions
from sandbox.simulation.signups import Signups
from sandbox.simulation.world import EVENT_DAYS, World
from sandbox.stripe.store import Store

__all__ = ["Business"]

_COMES_BACK: Final = 0.08
_DELETED: Final = 0.03


class Business:
    """One account: its store, its clock and its future."""

    def __init__(
        self,
        *,
        seed: int,
        customers: int,
        end: datetime,
        months: int = 24,
        livemode: bool = False,
    ) -> None:
        if end.tzinfo is None:
            raise ValueError(f"end must carry a time zone, got {end!r}")
        if customers < 0 or months < 1:
            raise ValueError(f"customers must be ≥ 0 and months ≥ 1, got {customers} and {months}")
        finish = int(end.timestamp())
        start = months_before(finish, months)
        self._world = World(seed=seed, start=start, livemode=livemode)
        self._world.events_from = finish - EVENT_DAYS * DAY
        founded = start - 10 * DAY
        self._catalog = Catalog(self._world.ids, created=founded, livemode=livemode)
        aftermath, redemptions = Aftermath(self._world), Redemptions(self._world)
        payments = Payments(self._world, aftermath)
        self._lifecycle = Lifecycle(self._world, Invoicing(self._world, payments), payments, redemptions)
        aftermath.on_disputed = self._lifecycle.disputed
        self._hazards = Hazards(self._world, self._catalog, self._lifecycle, aftermath)
        self._lifecycle.on_period = self._hazards.plan_period
        self._lifecycle.on_ended = self._ended
        self._signups = Signups(self._world, self._catalog, self._lifecycle, redemptions)
        self._found(founded, livemode)
        for moment, profile in self._signups.first_customers(customers, start=start, end=finish):
            self._world.at(moment, self._signups.arrive, profile)
        # About what the first customers' arrivals have risen to by the end.
        self._daily = customers / max(1, (finish - start) / DAY) * 1.3
        self._world.at(finish, self._new_day)
        with _no_collection():
            self._world.run_until(finish)

    @property
    def store(self) -> Store:
        return self._world.store

    @property
    def world(self) -> World:
        return self._world

    @property
    def now(self) -> datetime:
        """Where the account's clock stands."""
        return datetime.fromtimestamp(self._world.now, UTC)

    def advance(self, days: int) -> None:
        """Let `days` more days happen; events older than 30 days leave."""
        if days < 1:
            raise ValueError(f"days must be at least 1, got {days}")
        end = self._world.now + days * DAY
        with _no_collection():
            self._world.run_until(end)
        self._world.keep_events_since(end - EVENT_DAYS * DAY)

    def _found(self, founded: int, livemode: bool) -> None:
        world, catalog = self._world, self._catalog
        world.store.account = shapes.account(world.ids.new("acct"), created=founded, livemode=livemode)
        for product in catalog.products.values():
            world.put("products", product)
        for price in catalog.prices.values():
            world.hold("prices", price.embedded)
        for coupon in catalog.coupons.values():
            world.hold("coupons", coupon.obj)
        world.store.expandable = catalog.expandable
        for season in range(1, 200):
            world.at(founded + season * 30 * DAY, self._new_season, season)

    def _new_season(self, season: int) -> None:
        """A new campaign coupon, and a price that is sold no longer."""
        world, catalog = self._world, self._catalog
        coupon = catalog.coupon(
            f"SEASON_{season}", "repeating", percent=str(5 + 5 * (season % 4)), months=2, created=world.now
        )
        catalog.coupons[coupon.id] = coupon
        world.hold("coupons", coupon.obj)
        world.emit("coupon.created", "coupons", coupon.obj)
        retired = catalog.prices[f"addon_{1 + season % 26:02d}", "jpy"].embedded
        world.change("prices", retired, "price.updated", active=not retired["active"])

    def _new_day(self) -> None:
        """Sign-ups go on at the account's pace after its first customers."""
        world = self._world
        count = int(self._daily) + world.chance(self._daily % 1)
        for moment in sorted(world.some_time(world.now, world.now + DAY) for _ in range(count)):
            world.at(moment, self._signups.arrive, self._signups.profile())
        world.later(DAY, self._new_day)

    def _ended(self, subscription: Subscription, reason: str) -> None:
        """Some come back after a while, some have their record deleted."""
        world, member = self._world, subscription.member
        if member.id not in world.store["customers"]:
            return
        fate = world.rng.random()
        if reason == "cancellation_requested" and fate < _COMES_BACK:
            world.later(world.days(25, 150), self._signups.subscribe, member)
        elif fate > 1 - _DELETED:
            world.later(world.days(0.5, 20), self._delete, member)

    def _delete(self, member: Member) -> None:
        world = self._world
        customers = world.store["customers"]
        if member.id not in customers:
            return
        body = dict(member.obj)
        customers.remove(member.id)
        for subscription in member.subscriptions:
            self._lifecycle.end(subscription, "cancellation_requested")
        if member.method["id"] in world.store["payment_methods"]:
            world.store["payment_methods"].remove(member.method["id"])
            world.emit_loose("payment_method.detached", member.method | {"customer": None})
        world.emit_loose("customer.deleted", body)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hundreds of thousands of objects are made and none is garbage: the collector would only look on."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
