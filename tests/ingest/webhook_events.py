"""Events as Stripe sends them, for the tests and benchmarks of the receiver."""

import itertools
from datetime import UTC, datetime
from typing import Any

import orjson

__all__ = ["NOW", "event", "event_bytes"]

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def event(
    type_: str = "invoice.paid",
    *,
    event_id: str | None = None,
    object_type: str = "invoice",
    object_id: str | None = "in_1",
    livemode: bool = False,
    created: datetime = NOW,
    **more: Any,
) -> dict[str, Any]:
    """A snapshot event; its object carries texts that must never be kept."""
    about = {"object": object_type, "customer_email": "ada@example.com", "description": "Consulting for Ada"}
    if object_id is not None:
        about["id"] = object_id
    return {
        "id": event_id or f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": int(created.timestamp()),
        "type": type_,
        "livemode": livemode,
        "pending_webhooks": 1,
        "data": {"object": about},
        **more,
    }


def event_bytes(**options: Any) -> bytes:
    """The body of `event(**options)`."""
    return orjson.dumps(event(**options))
