"""What an event makes due: the raw tables it changes, and the Mavera job to ask for.

Routing goes by the kind of object, so that an event type nobody listed still reaches its table
(https://github.com/airbytehq/airbyte/pull/39393). Only where the type says more than the object, as in "a
payment failed", does it add a job. A route never pays: it names what is due, the plan decides. Not here: which
segment tables follow (`pipelines.selection` reads them off the graph).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["ENDS_BY_EVENT", "TABLE_OF", "Due", "due_for", "merge_due"]


@dataclass(frozen=True, slots=True)
class Due:
    """What is due: names of raw tables, and of the Mavera tables whose jobs follow.

    The surface `reconciliation` stands for a hint that Mavera has an answer to be read.
    """

    tables: frozenset[str] = field(default_factory=frozenset)
    surfaces: frozenset[str] = field(default_factory=frozenset)


def _due(tables: str = "", surfaces: str = "") -> Due:
    return Due(frozenset(tables.split()), frozenset(surfaces.split()))


TABLE_OF: dict[str, str] = {
    "customer": "customers",
    "subscription": "subscriptions",
    "subscription_item": "subscription_items",
    "invoice": "invoices",
    "line_item": "invoice_lines",
    "invoice_payment": "invoice_payments",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
    "price": "prices",
    "plan": "prices",
    "coupon": "coupons",
    "payment_method": "payment_methods",
}
"""Raw table of each kind of object that is kept."""

ENDS_BY_EVENT = frozenset({"customer.subscription.deleted"})
"""Deletions that mean "ended": the object stays readable and is read again, without a tombstone."""

_BY_OBJECT: dict[str, Due] = {
    "customer": _due("customers"),
    "subscription": _due("subscriptions subscription_items", "personas"),
    "subscription_item": _due("subscriptions subscription_items", "personas"),
    "invoice": _due("invoices invoice_lines"),
    "line_item": _due("invoices invoice_lines"),
    "invoice_payment": _due("invoice_payments invoices charges"),
    "charge": _due("charges"),
    "refund": _due("refunds charges"),
    "dispute": _due("disputes charges", "copy_fixes"),
    "price": _due("prices"),
    "plan": _due("prices"),
    "coupon": _due("coupons"),
    "payment_method": _due("payment_methods"),
    "generation": _due(surfaces="reconciliation"),
}

_RETENTION = _due(surfaces="generations")
_BY_TYPE: dict[str, Due] = {
    "invoice.payment_failed": _RETENTION,
    "invoice.payment_action_required": _RETENTION,
    "invoice.marked_uncollectible": _RETENTION,
    "customer.subscription.updated": _RETENTION,
    "customer.subscription.deleted": _RETENTION,
    "customer.subscription.paused": _RETENTION,
    "customer.subscription.resumed": _RETENTION,
    "customer.subscription.trial_will_end": _RETENTION,
    "charge.failed": _RETENTION,
    "payment_method.automatically_updated": _RETENTION,
    "invoice.paid": _due(surfaces="case_studies"),
}


def due_for(object_type: str | None, event_type: str) -> Due:
    """What one event makes due; nothing for objects that no table keeps."""
    by_object = _BY_OBJECT.get(object_type or "")
    if by_object is None:
        return Due()
    return merge_due([by_object, _BY_TYPE.get(event_type, Due())])


def merge_due(dues: Iterable[Due]) -> Due:
    """Everything that any of `dues` names."""
    found = list(dues)
    return Due(
        frozenset().union(*(due.tables for due in found)),
        frozenset().union(*(due.surfaces for due in found)),
    )
