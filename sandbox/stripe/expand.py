"""`expand[]`: which properties of which object can be expanded, and what they become.

The table below is the part of Stripe's expandable properties that this account has objects for; anything else is
refused with Stripe's words, whether or not the list has rows. https://docs.stripe.com/expand
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sandbox.stripe.errors import cannot_expand

__all__ = ["Expander", "Source"]

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Ref:
    """An id, or a list of ids, of an object of that kind."""

    kind: str


@dataclass(frozen=True, slots=True)
class _Inside:
    """A part that is always there: expansion goes on inside it."""

    kind: str


@dataclass(frozen=True, slots=True)
class _Extra:
    """Sent only when it is asked for."""

    kind: str | None = None


_Node = _Ref | _Inside | _Extra

_EXPANDABLE: Final[dict[str, dict[str, _Node]]] = {
    "customer": {
        "discount": _Inside("discount"),
        "invoice_settings": _Inside("invoice_settings"),
        "subscriptions": _Extra("subscription"),
        "tax": _Extra(),
        "sources": _Extra(),
        "tax_ids": _Extra(),
        "default_source": _Ref("source"),
    },
    "invoice_settings": {"default_payment_method": _Ref("payment_method")},
    "subscription": {
        "customer": _Ref("customer"),
        "latest_invoice": _Ref("invoice"),
        "default_payment_method": _Ref("payment_method"),
        "discounts": _Ref("discount"),
        "items": _Inside("subscription_item"),
        "pending_setup_intent": _Ref("setup_intent"),
        "schedule": _Ref("subscription_schedule"),
    },
    "subscription_item": {
        "price": _Inside("price"),
        "discounts": _Ref("discount"),
        "plan": _Inside("plan"),
    },
    "discount": {
        "source": _Inside("discount_source"),
        "customer": _Ref("customer"),
        "promotion_code": _Ref("code"),
    },
    "discount_source": {"coupon": _Ref("coupon")},
    "price": {"product": _Ref("product"), "tiers": _Extra(), "currency_options": _Extra()},
    "plan": {"product": _Ref("product"), "tiers": _Extra()},
    "product": {"default_price": _Ref("price")},
    "coupon": {"applies_to": _Extra(), "currency_options": _Extra()},
    "payment_method": {"customer": _Ref("customer")},
    "invoice": {
        "customer": _Ref("customer"),
        "default_payment_method": _Ref("payment_method"),
        "discounts": _Ref("discount"),
        "lines": _Inside("line_item"),
        "parent": _Inside("invoice_parent"),
        "payments": _Extra("invoice_payment"),
        "total_discount_amounts": _Inside("discount_amount"),
    },
    "invoice_parent": {"subscription_details": _Inside("invoice_subscription")},
    "invoice_subscription": {"subscription": _Ref("subscription")},
    "discount_amount": {"discount": _Ref("discount")},
    "line_item": {
        "discounts": _Ref("discount"),
        "discount_amounts": _Inside("discount_amount"),
        "pricing": _Inside("line_pricing"),
    },
    "line_pricing": {"price_details": _Inside("line_price")},
    "line_price": {"price": _Ref("price")},
    "invoice_payment": {"invoice": _Ref("invoice"), "payment": _Inside("payment_link")},
    "payment_link": {"charge": _Ref("charge")},
    "charge": {"customer": _Ref("customer"), "refunds": _Extra("refund")},
    "refund": {"charge": _Ref("charge")},
    "dispute": {"charge": _Ref("charge")},
    "event": {},
    "account": {},
    "balance": {},
}

# Properties that went away with version 2025-03-31.basil.
_BEFORE_BASIL: Final[dict[str, dict[str, _Node]]] = {
    "invoice": {
        "charge": _Ref("charge"),
        "subscription": _Ref("subscription"),
        "discount": _Inside("old_discount"),
    },
    "charge": {"invoice": _Ref("invoice")},
    "subscription": {"discount": _Inside("old_discount"), "plan": _Inside("plan")},
    "discount": {"coupon": _Inside("coupon")},
    "old_discount": {"coupon": _Inside("coupon")},
    "line_item": {"price": _Inside("price")},
}


class Source:
    """Where expanded objects come from, in the shape of the request's version."""

    def __init__(
        self, fetch: Callable[[str, str], Obj | None], extra: Callable[[str, str, Obj], Any], *, before_basil: bool
    ) -> None:
        self.fetch = fetch
        self.extra = extra
        self.before_basil = before_basil


class Expander:
    """Checks paths against a kind of object, then applies them to objects of that kind."""

    def __init__(self, kind: str, paths: list[list[str]], source: Source) -> None:
        self._kind = kind
        self._paths = paths
        self._source = source
        for path in paths:
            self._check(kind, path, ".".join(path))

    def __bool__(self) -> bool:
        return bool(self._paths)

    def apply(self, obj: Obj) -> Obj:
        for path in self._paths:
            self._expand(self._kind, obj, path)
        return obj

    def _node(self, kind: str, name: str) -> _Node | None:
        node = _EXPANDABLE.get(kind, {}).get(name)
        if node is None and self._source.before_basil:
            node = _BEFORE_BASIL.get(kind, {}).get(name)
        return node

    def _check(self, kind: str | None, path: list[str], whole: str) -> None:
        if not path:
            return
        node = self._node(kind, path[0]) if kind else None
        if node is None:
            raise cannot_expand(whole)
        rest = path[1:]
        # `items.data.price`: the list's own `data` is a level, but no property.
        self._check(node.kind, rest[1:] if rest and rest[0] == "data" else rest, whole)

    def _expand(self, kind: str, obj: Obj, path: list[str]) -> None:
        name, rest = path[0], path[1:]
        node = self._node(kind, name)
        if isinstance(node, _Extra) and name not in obj:
            value = self._source.extra(kind, name, obj)
            if value is not None:
                obj[name] = value
        elif isinstance(node, _Ref):
            obj[name] = self._resolved(node.kind, obj.get(name))
        if not rest or node is None or node.kind is None:
            return
        value = obj.get(name)
        if isinstance(value, dict) and rest[0] == "data":
            value, rest = value.get("data"), rest[1:]
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict) and rest:
                self._expand(node.kind, part, rest)

    def _resolved(self, kind: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolved(kind, each) for each in value]
        if not isinstance(value, str):
            return value
        found = self._source.fetch(kind, value)
        return value if found is None else found
