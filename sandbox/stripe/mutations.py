"""Changes to the account by hand: create, update and delete objects while somebody is reading.

Every change writes its event as the real account would. Objects of the simulation are changed in place, so that
the simulation goes on from the change. New objects are copies of existing ones with new ids.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import orjson

from sandbox.simulation.world import World
from sandbox.stripe.tables import RESOURCES

__all__ = ["Mutations"]

Obj = dict[str, Any]


def _set(change: Callable[[Obj], Obj]) -> Callable[[Obj], Obj]:
    """An update that sets the top-level fields that `change` gives; what they were is returned."""

    def update(obj: Obj) -> Obj:
        values = change(obj)
        previous = {name: obj.get(name) for name, value in values.items() if obj.get(name) != value}
        obj.update(values)
        return previous

    return update


def _toggle(name: str) -> Callable[[Obj], Obj]:
    return _set(lambda obj: {name: not obj.get(name)})


def _count(name: str) -> Callable[[Obj], Obj]:
    return _set(lambda obj: {name: (obj.get(name) or 0) + 1})


def _more_seats(obj: Obj) -> Obj:
    """One seat more on the first item; in place, as the simulation holds the same item."""
    before = orjson.loads(orjson.dumps(obj["items"]))
    row = obj["items"]["data"][0]
    row["quantity"] = (row.get("quantity") or 0) + 1
    return {"items": before}


def _refund_some(obj: Obj) -> Obj:
    amount = obj.get("amount") or 0
    refunded = min(amount, (obj.get("amount_refunded") or 0) + 1)
    return {"amount_refunded": refunded, "refunded": refunded == amount}


def _next_status(*statuses: str) -> Callable[[Obj], Obj]:
    def change(obj: Obj) -> Obj:
        status = obj.get("status")
        place = statuses.index(status) if status in statuses else -1
        return {"status": statuses[(place + 1) % len(statuses)]}

    return _set(change)


def _newer_card(obj: Obj) -> Obj:
    kind = obj["type"]
    return {kind: obj[kind] | {"exp_year": obj[kind].get("exp_year", 2030) + 1}}


_UPDATES: Final[dict[str, tuple[str, Callable[[Obj], Obj]]]] = {
    "customers": ("customer.updated", _toggle("delinquent")),
    "subscriptions": ("customer.subscription.updated", _more_seats),
    "products": ("product.updated", _toggle("active")),
    "prices": ("price.updated", _toggle("active")),
    "coupons": ("coupon.updated", _count("times_redeemed")),
    "payment_methods": ("payment_method.updated", _set(_newer_card)),
    "invoices": ("invoice.updated", _count("attempt_count")),
    "charges": ("charge.refunded", _set(_refund_some)),
    "refunds": ("refund.updated", _next_status("pending", "succeeded", "failed")),
    "disputes": ("charge.dispute.updated", _next_status("under_review", "won", "lost")),
}
_CREATED: Final = {
    "subscriptions": "customer.subscription.created",
    "payment_methods": "payment_method.attached",
    "invoices": "invoice.created",
    "invoice_payments": "invoice_payment.paid",
    "charges": "charge.succeeded",
    "disputes": "charge.dispute.created",
}
_DELETED: Final = {"payment_methods": "payment_method.detached"}
# Parts with ids of their own, by the list that holds them.
_PARTS: Final = {"items": "si", "lines": "il"}


class Mutations:
    """The operator's hand in one account."""

    def __init__(self, world: World, *, seed: int) -> None:
        self._world = world
        self._rng = Random(f"mutations:{seed}")

    def apply(
        self,
        resource: str,
        *,
        create: int = 0,
        update: int = 0,
        delete: int = 0,
        ids: tuple[str, ...] = (),
        same_second: bool = False,
    ) -> list[str]:
        """Change so many objects, or the named ones; each takes a second unless all share one."""
        if resource not in RESOURCES or resource == "events":
            raise ValueError(f"{resource} cannot be changed by hand")
        if update and resource not in _UPDATES:
            raise ValueError(f"{resource} has no update")
        touched: list[str] = []
        self._world.tick()
        for count, change in ((create, self._create), (update, self._update), (delete, self._delete)):
            # Objects are chosen before any of them changes; named ones come first.
            chosen = list(ids)[:count] + [self._any(resource) for _ in range(count - len(ids))]
            for object_id in chosen:
                if object_id not in self._world.store[resource]:
                    continue
                if touched and not same_second:
                    self._world.tick()
                touched.append(change(resource, object_id))
        return touched

    def _any(self, resource: str) -> str:
        table = self._world.store[resource]
        if not len(table):
            raise ValueError(f"{resource} is empty")
        return table.nth(self._rng.randrange(len(table)))

    def _create(self, resource: str, like: str) -> str:
        world, table = self._world, self._world.store[resource]
        obj = orjson.loads(orjson.dumps(table.get(like)))
        prefix = RESOURCES[resource].prefix
        obj["id"] = world.ids.new(prefix) if prefix else f"BY_HAND_{world.ids.text(12)}"
        obj["created"] = world.now
        for name, part_prefix in _PARTS.items():
            if isinstance(obj.get(name), dict):
                obj[name]["url"] = str(obj[name].get("url")).replace(like, obj["id"])
                for row in obj[name].get("data") or ():
                    row["id"] = world.ids.new(part_prefix)
                    self._adopt(row, obj)
        world.put(resource, obj)
        if like in world.store.expandable:
            world.store.expandable[obj["id"]] = world.store.expandable[like]
        world.emit(_CREATED.get(resource, f"{RESOURCES[resource].object}.created"), resource, obj)
        return str(obj["id"])

    def _adopt(self, row: Obj, parent: Obj) -> None:
        """A copied item or line belongs to the copy."""
        if parent.get("object") == "subscription":
            row.update(subscription=parent["id"], created=parent["created"])
            self._world.store.item_owner[row["id"]] = parent["id"]
        else:
            row["invoice"] = parent["id"]

    def _update(self, resource: str, object_id: str) -> str:
        kind, update = _UPDATES[resource]
        obj = self._world.store[resource].get(object_id)
        previous = update(obj)
        self._world.put(resource, obj)
        self._world.emit(kind, resource, obj, previous)
        return object_id

    def _delete(self, resource: str, object_id: str) -> str:
        world, table = self._world, self._world.store[resource]
        obj = table.get(object_id)
        if resource == "subscriptions":
            self._cancel(obj)
            return object_id
        if resource == "customers":
            for subscription_id in world.store["subscriptions"].page(limit=100, equal={"customer": object_id}).ids:
                self._cancel(world.store["subscriptions"].get(subscription_id))
        table.remove(object_id)
        world.emit_loose(_DELETED.get(resource, f"{RESOURCES[resource].object}.deleted"), obj)
        return object_id

    def _cancel(self, obj: Obj) -> None:
        """A deleted subscription stays readable, as canceled."""
        if obj.get("status") not in ("canceled", "incomplete_expired"):
            details = (obj.get("cancellation_details") or {}) | {"reason": "cancellation_requested"}
            now = self._world.now
            obj.update(status="canceled", canceled_at=now, ended_at=now, cancellation_details=details)
            self._world.put("subscriptions", obj)
            self._world.emit("customer.subscription.deleted", "subscriptions", obj)
