"""The query string of a list request, checked as Stripe checks it.

Turns pairs into a `ListQuery`; an unknown name, a number that is none, a limit outside 1–100 or contradictory
cursors raise the error that Stripe answers with. What a resource can be filtered by is in `stripe_tables`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.stripe.errors import ApiError, invalid, unknown_parameter
from sandbox.stripe.tables import Resource

__all__ = ["ListQuery", "expansions", "parse_list", "parse_single"]

MAX_LIMIT: Final = 100
_MAX_TYPES: Final = 20
_INDEXED: Final = re.compile(r"\[\d+\]")
_BOUND: Final = re.compile(r"created\[(gt|gte|lt|lte)\]")
# What the real lists can be filtered by too, and this product does not use.
_NOT_MODELLED: Final = {
    "customers": {"test_clock"},
    "subscriptions": {
        "price",
        "plan",
        "current_period_start",
        "current_period_end",
        "automatic_tax",
        "test_clock",
    },
    "invoices": {"due_date"},
    "charges": {"transfer_group"},
    "prices": {"lookup_keys[]"},
    "products": {"ids[]", "shippable", "url"},
    "payment_methods": {"allow_redisplay"},
}
_STATUSES: Final = {
    "subscriptions": frozenset(
        {
            "active", "all", "canceled", "ended", "incomplete", "incomplete_expired", "past_due", "paused",
            "trialing", "unpaid",
        }
    ),
    "invoices": frozenset({"draft", "open", "paid", "uncollectible", "void"}),
    "invoice_payments": frozenset({"open", "paid", "canceled"}),
}  # fmt: skip

Pairs = Iterable[tuple[str, str]]


@dataclass(slots=True)
class ListQuery:
    limit: int = 10
    after: str | None = None
    before: str | None = None
    lower: int | None = None
    upper: int | None = None
    equal: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, Callable[[Any], bool]] = field(default_factory=dict)
    expand: list[str] = field(default_factory=list)
    delivered: bool | None = None


def parse_list(pairs: Pairs, resource: Resource) -> ListQuery:
    query = ListQuery()
    types: list[str] = []
    status_given = False
    for name, value in pairs:
        plain = _INDEXED.sub("[]", name)
        status_given |= plain == "status"
        if plain == "limit":
            query.limit = _limit(value)
        elif plain == "starting_after":
            query.after = value
        elif plain == "ending_before":
            query.before = value
        elif plain == "expand[]":
            query.expand.append(value)
        elif plain == "include[]":
            raise ApiError(400, f"Property forbidden: {value}", code="property_forbidden", param="include")
        elif plain.startswith("created") and resource.created:
            _bound(query, plain, value)
        elif plain == "types[]" and resource.name == "events":
            types.append(value)
        elif plain == "delivery_success" and resource.name == "events":
            query.delivered = _boolean(plain, value)
        elif plain in resource.indexed:
            query.equal[plain] = value
        elif plain in resource.scanned:
            _scan(query, resource, plain, value)
        elif plain in _NOT_MODELLED.get(resource.name, ()):
            raise invalid(f"The sandbox does not model the parameter {plain} of {resource.name}.", param=plain)
        else:
            raise unknown_parameter(plain)
    if query.after is not None and query.before is not None:
        raise invalid("You cannot parameterize on both ending_before and starting_after.", param="ending_before")
    if resource.name == "subscriptions" and not status_given:
        query.tests["status"] = lambda status: status != "canceled"
    if types:
        _several_types(query, types)
    return query


def parse_single(pairs: Pairs, allowed: frozenset[str] = frozenset()) -> tuple[list[str], dict[str, str]]:
    """Expansions and the allowed others of a request for one object."""
    expand: list[str] = []
    others: dict[str, str] = {}
    for name, value in pairs:
        plain = _INDEXED.sub("[]", name)
        if plain == "expand[]":
            expand.append(value)
        elif plain in allowed:
            others[plain] = value
        else:
            raise unknown_parameter(plain)
    return expand, others


def expansions(paths: Iterable[str], *, in_list: bool) -> list[list[str]]:
    """Expansion paths, checked for depth and for the `data.` that lists need."""
    checked = []
    for path in paths:
        parts = path.split(".")
        if len(parts) > 4:
            raise invalid(
                f"You cannot expand more than 4 levels of a property. Property: {path}",
                param="expand",
                code="property_expansion_max_depth",
            )
        if in_list and parts[0] != "data":
            raise invalid(
                f"This property cannot be expanded ({parts[0]}). You may want to try expanding "
                f"'data.{parts[0]}' instead.",
                param="expand",
            )
        checked.append(parts[1:] if in_list else parts)
    return checked


def _scan(query: ListQuery, resource: Resource, name: str, value: str) -> None:
    if name == "active":
        query.equal[name] = _boolean(name, value)
    elif name == "status" and resource.name in _STATUSES:
        _status(query, resource.name, value)
    elif name == "type" and resource.name == "events":
        query.tests["type"] = _type_test(value)
    else:
        query.equal[name] = value


def _status(query: ListQuery, resource: str, value: str) -> None:
    allowed = _STATUSES[resource]
    if value not in allowed:
        raise invalid(f"Invalid status: must be one of {', '.join(sorted(allowed))}", param="status")
    if value == "all":
        return
    if value == "ended":
        query.tests["status"] = lambda status: status in ("canceled", "incomplete_expired")
    else:
        query.equal["status"] = value


def _several_types(query: ListQuery, types: list[str]) -> None:
    if "type" in query.tests:
        raise invalid("You may pass either `type` or `types`, but not both.", param="types")
    if len(types) > _MAX_TYPES:
        raise invalid(f"You may pass at most {_MAX_TYPES} types.", param="types")
    tests = [_type_test(value) for value in types]
    query.tests["type"] = lambda kind: any(test(kind) for test in tests)


def _type_test(value: str) -> Callable[[Any], bool]:
    if value == "*":
        return lambda _: True
    if value.endswith(".*"):
        prefix = value[:-1]
        return lambda kind: isinstance(kind, str) and kind.startswith(prefix)
    return value.__eq__


def _bound(query: ListQuery, name: str, value: str) -> None:
    number = _integer(name, value)
    if name == "created":
        query.lower, query.upper = number, number + 1
        return
    match = _BOUND.fullmatch(name)
    if match is None:
        raise unknown_parameter(name)
    kind = match.group(1)
    if kind.startswith("g"):
        low = number + (kind == "gt")
        query.lower = low if query.lower is None else max(query.lower, low)
    else:
        high = number + (kind == "lte")
        query.upper = high if query.upper is None else min(query.upper, high)


def _limit(value: str) -> int:
    number = _integer("limit", value)
    if number > MAX_LIMIT:
        raise invalid(f"This value must be less than or equal to {MAX_LIMIT}.", param="limit")
    if number < 1:
        raise invalid("This value must be greater than or equal to 1.", param="limit")
    return number


def _integer(name: str, value: str) -> int:
    if not re.fullmatch(r"-?\d{1,15}", value):
        raise invalid(f"Invalid integer: {value}", param=name, code="parameter_invalid_integer")
    return int(value)


def _boolean(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", param=name)
    return value == "true"
