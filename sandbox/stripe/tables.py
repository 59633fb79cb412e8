"""The resources of the pretend account: names, permissions, and what a list of each can be filtered by.

One place for what is different between resources; storage and HTTP are written once for all of them.
Filters as in Stripe's API reference for lists; permissions as restricted keys name them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["PREFIXES", "RESOURCES", "Fact", "Resource", "resource_of_object"]

Obj = dict[str, Any]
Fact = Callable[[Obj], Any]


def _plain(name: str) -> Fact:
    return lambda obj: obj.get(name)


def _ref(name: str, inside: str | None = None) -> Fact:
    """The id that a field refers to, whether the field is expanded or not."""

    def fact(obj: Obj) -> str | None:
        holder: Any = obj.get(inside) if inside else obj
        found: Any = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(found, str):
            return found  # by far the most frequent case
        if isinstance(found, dict):
            found = found.get("id")
        return found if isinstance(found, str) else None

    return fact


_SUBSCRIPTION: Final = _ref("subscription")


def _parent_subscription(obj: Obj) -> Any:
    parent = obj.get("parent")
    details = parent.get("subscription_details") if isinstance(parent, dict) else None
    return _SUBSCRIPTION(details if isinstance(details, dict) else obj)


@dataclass(frozen=True, slots=True)
class Resource:
    """`indexed` filters have few matches per value; `scanned` ones are tested row by row."""

    name: str
    object: str
    prefix: str
    permission: str
    created: bool = True
    indexed: dict[str, Fact] = field(default_factory=dict)
    scanned: dict[str, Fact] = field(default_factory=dict)
    # Listed only as long as the object exists; looked up afterwards, a stub with `deleted` is the answer.
    leaves_stub: bool = False
    # Where the nested list sits and the operation that pages the rest of it.
    nested: str | None = None


RESOURCES: Final[dict[str, Resource]] = {
    resource.name: resource
    for resource in (
        Resource(
            "customers",
            "customer",
            "cus",
            "rak_customer_read",
            indexed={"email": _ref("email")},
            leaves_stub=True,
        ),
        Resource(
            "subscriptions",
            "subscription",
            "sub",
            "rak_subscription_read",
            indexed={"customer": _ref("customer")},
            scanned={"status": _plain("status"), "collection_method": _plain("collection_method")},
            nested="items",
        ),
        Resource(
            "products",
            "product",
            "prod",
            "rak_product_read",
            scanned={"active": _plain("active")},
            leaves_stub=True,
        ),
        Resource(
            "prices",
            "price",
            "price",
            "rak_plan_read",
            indexed={"product": _ref("product")},
            scanned={
                "active": _plain("active"),
                "currency": _plain("currency"),
                "type": _plain("type"),
                "recurring[interval]": _ref("interval", "recurring"),
            },
        ),
        Resource("coupons", "coupon", "", "rak_coupon_read", leaves_stub=True),
        Resource(
            "payment_methods",
            "payment_method",
            "pm",
            "rak_payment_method_read",
            created=False,
            indexed={"customer": _ref("customer")},
            scanned={"type": _plain("type")},
        ),
        Resource(
            "invoices",
            "invoice",
            "in",
            "rak_invoice_read",
            indexed={"customer": _ref("customer"), "subscription": _parent_subscription},
            scanned={"status": _plain("status"), "collection_method": _plain("collection_method")},
            nested="lines",
        ),
        Resource(
            "invoice_payments",
            "invoice_payment",
            "inpay",
            "rak_invoice_read",
            indexed={
                "invoice": _ref("invoice"),
                "payment[payment_intent]": _ref("payment_intent", "payment"),
                "payment[charge]": _ref("charge", "payment"),
            },
            scanned={"status": _plain("status"), "payment[type]": _ref("type", "payment")},
        ),
        Resource(
            "charges",
            "charge",
            "ch",
            "rak_charge_read",
            indexed={"customer": _ref("customer"), "payment_intent": _ref("payment_intent")},
        ),
        Resource(
            "refunds",
            "refund",
            "re",
            "rak_charge_read",
            indexed={"charge": _ref("charge"), "payment_intent": _ref("payment_intent")},
        ),
        Resource(
            "disputes",
            "dispute",
            "du",
            "rak_dispute_read",
            indexed={"charge": _ref("charge"), "payment_intent": _ref("payment_intent")},
        ),
        Resource("events", "event", "evt", "rak_event_read", scanned={"type": _plain("type")}),
    )
}

# Which resource holds an id, from the id's prefix; coupons have ids of their owner's choice.
PREFIXES: Final = {resource.prefix: name for name, resource in RESOURCES.items() if resource.prefix}

_BY_OBJECT: Final = {resource.object: name for name, resource in RESOURCES.items()}


def resource_of_object(name: str) -> str | None:
    """`customer` → `customers`."""
    return _BY_OBJECT.get(name)
