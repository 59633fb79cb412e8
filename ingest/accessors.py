"""Reading fields of a Stripe object strictly, wherever the API version at hand keeps them.

Here: typed reads that refuse a wrong type by naming the field, and one accessor for each thing that has moved
since 2022-11-15. Not here: which fields become which column (`ingest.rows`). The new place is read first.
Moves: https://docs.stripe.com/changelog/basil and https://docs.stripe.com/changelog/clover.
"""

from collections.abc import Mapping
from typing import Any

from resources.stripe_clock import MICROS

__all__ = [
    "MalformedObject",
    "amount_sum",
    "child_list",
    "first_text",
    "flag",
    "invoice_subscription",
    "line_item",
    "line_price",
    "line_product",
    "line_proration",
    "line_subscription",
    "moment",
    "nested",
    "objects",
    "payment_of",
    "reference",
    "required_text",
    "subscription_period",
    "text",
    "whole",
]

Object = Mapping[str, Any]


class MalformedObject(ValueError):
    """A field has not the type that Stripe documents. The message names the field, never its value."""


def _wrong(where: str, name: str, value: Any, wanted: str) -> MalformedObject:
    return MalformedObject(f"{where}.{name} is {type(value).__name__}, not {wanted}")


def _where(source: Object) -> str:
    name = source.get("object")
    return name if isinstance(name, str) else "object"


def text(source: Object, name: str) -> str | None:
    """A text or null."""
    value = source.get(name)
    if value is None or type(value) is str:
        return value
    raise _wrong(_where(source), name, value, "a text")


def first_text(source: Object, name: str) -> str | None:
    """The first of a list of texts, null when there is none."""
    value = source.get(name)
    if value is None or value == []:
        return None
    if isinstance(value, list) and type(value[0]) is str:
        return value[0]
    raise _wrong(_where(source), name, value, "a list of texts")


def required_text(source: Object, name: str) -> str:
    """A text that must be there."""
    value = source.get(name)
    if type(value) is str and value:
        return value
    raise _wrong(_where(source), name, value, "a text")


def whole(source: Object, name: str) -> int | None:
    """A whole number or null; amounts are minor units."""
    value = source.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise _wrong(_where(source), name, value, "a whole number")
    if not -(2**63) <= value < 2**63:
        raise MalformedObject(f"{_where(source)}.{name} is too large")
    return value


def flag(source: Object, name: str) -> bool | None:
    """True, false or null."""
    value = source.get(name)
    if value is None or type(value) is bool:
        return value
    raise _wrong(_where(source), name, value, "true or false")


def moment(source: Object, name: str) -> int | None:
    """A time as microseconds since 1970; Stripe sends whole seconds."""
    value = source.get(name)
    if value is None:
        return None
    if type(value) is int and -(10**11) < value < 10**11:
        return value * MICROS
    raise _wrong(_where(source), name, value, "a time in seconds")


def reference(source: Object, name: str) -> str | None:
    """The id of another object, whether it came as an id or expanded."""
    value = source.get(name)
    if value is None or type(value) is str:
        return value or None
    if isinstance(value, dict):
        return required_text(value, "id")
    raise _wrong(_where(source), name, value, "an id")


_NOTHING: dict[str, Any] = {}


def nested(source: Object, *names: str) -> Object:
    """An object inside, an empty one when any step is absent or null."""
    for name in names:
        value = source.get(name)
        if value is None:
            return _NOTHING
        if not isinstance(value, dict):
            raise _wrong(_where(source), name, value, "an object")
        source = value
    return source


def objects(source: Object, name: str) -> list[dict[str, Any]]:
    """A list of objects, an empty one when absent or null."""
    value = source.get(name)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        return value
    raise _wrong(_where(source), name, value, "a list of objects")


def child_list(source: Object, name: str) -> tuple[list[dict[str, Any]], bool]:
    """The embedded page of a nested list, and whether it is the whole list. An absent list is not whole."""
    value = source.get(name)
    if value is None:
        return [], False
    page = nested(source, name)
    return objects(page, "data"), page.get("has_more") is False


def amount_sum(source: Object, name: str, *, only: tuple[str, Any] | None = None) -> int:
    """The sum of `amount` over a list of objects, of those where a field has a value if `only` says so."""
    return sum(
        whole(entry, "amount") or 0
        for entry in objects(source, name)
        if only is None or entry.get(only[0]) == only[1]
    )


def subscription_period(subscription: Object) -> tuple[int | None, int | None]:
    """Earliest start and latest end of the items' current periods; before basil the subscription held them.

    Items of a flexible subscription may differ.
    """
    items, _ = child_list(subscription, "items")
    starts = [start for item in items if (start := moment(item, "current_period_start")) is not None]
    ends = [end for item in items if (end := moment(item, "current_period_end")) is not None]
    return (
        min(starts) if starts else moment(subscription, "current_period_start"),
        max(ends) if ends else moment(subscription, "current_period_end"),
    )


def invoice_subscription(invoice: Object) -> str | None:
    """The subscription that an invoice is for. An object born under a newer model has null in the old place."""
    parent = nested(invoice, "parent", "subscription_details")
    return reference(parent, "subscription") or reference(invoice, "subscription")


def _line_parent(line: Object) -> Object:
    parent = nested(line, "parent")
    return nested(parent, "subscription_item_details") or nested(parent, "invoice_item_details")


def line_subscription(line: Object) -> str | None:
    """The subscription that a line is for."""
    return reference(_line_parent(line), "subscription") or reference(line, "subscription")


def line_item(line: Object) -> str | None:
    """The subscription item that a line is for; the item may be gone."""
    return reference(_line_parent(line), "subscription_item") or reference(line, "subscription_item")


def line_proration(line: Object) -> bool | None:
    """Whether a line is a proration."""
    new = flag(_line_parent(line), "proration")
    return flag(line, "proration") if new is None else new


def line_price(line: Object) -> str | None:
    """The price of a line: `pricing`, before basil `price`, in the oldest shapes `plan`."""
    new = reference(nested(line, "pricing", "price_details"), "price")
    return new or reference(line, "price") or reference(line, "plan")


def line_product(line: Object) -> str | None:
    """The product of a line."""
    new = reference(nested(line, "pricing", "price_details"), "product")
    if new is not None:
        return new
    for name in ("price", "plan"):
        if isinstance(line.get(name), dict):
            return reference(nested(line, name), "product")
    return None


def payment_of(invoice_payment: Object) -> tuple[str | None, str | None]:
    """The charge and the payment intent of an invoice payment; Stripe sends one of the two."""
    payment = nested(invoice_payment, "payment")
    return reference(payment, "charge"), reference(payment, "payment_intent")
