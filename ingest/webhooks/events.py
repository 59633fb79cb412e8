"""Bodies of webhooks to inbox rows: what routing needs, and nothing that a customer wrote.

Stripe sends snapshot events, with the object in `data.object`, and thin v2 events, with `related_object`
(https://docs.stripe.com/event-destinations). Mavera's callbacks are a hint that a generation may be read; nothing
but its id is taken from them. Names and ids are checked against what Stripe's look like, so a row always fits
its column and a database error is never the sender's doing.
"""

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

from ingest.strict_json import strict_loads
from ingest.webhooks.routes import TABLE_OF
from resources.state.inbox import InboxRow

__all__ = ["MalformedEventError", "mavera_row", "stripe_row"]

_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,255}")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,255}")
_VERSION = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


class MalformedEventError(ValueError):
    """Signed, but not an event; the message names the field."""


def stripe_row(body: bytes, *, livemode: bool, account: str | None, now: datetime) -> InboxRow:
    """The row of an event that Stripe signed.

    `livemode` is the mode that is served and `account` our own account, where it is known. Raises:
    StrictJsonError, MalformedEventError.
    """
    event = _mapping(strict_loads(body), "body")
    if event.get("object") not in ("event", "v2.core.event"):
        raise MalformedEventError("object")
    mode = event.get("livemode")
    if not isinstance(mode, bool):
        raise MalformedEventError("livemode")
    thin = event["object"] == "v2.core.event"
    holder = {"object": event.get("related_object") or {}} if thin else _mapping(event.get("data"), "data")
    about = _mapping(holder.get("object"), "data.object")
    object_type = _optional(about, "type" if thin else "object", _NAME)
    object_id = _optional(about, "id", _ID)
    owner = _optional(event, "account", _ID)
    status, reason = "pending", None
    if mode is not livemode:
        status, reason = "quarantined", "livemode of the other side"
    elif owner is not None and owner != account:
        status, reason = "ignored", "connected account"
    elif object_type not in TABLE_OF or object_id is None:
        status, reason = "ignored", "no table keeps this kind of object"
    return InboxRow(
        origin="stripe",
        event_id=_required(event, "id", _ID),
        type=_required(event, "type", _NAME),
        object_type=object_type,
        object_id=object_id,
        account=owner,
        api_version=_optional(event, "api_version", _VERSION),
        livemode=mode,
        created=_time(event.get("created")),
        received_at=now,
        status=status,
        reason=reason,
    )


def mavera_row(body: bytes, *, now: datetime) -> InboxRow:
    """The row of a callback that Mavera signed: an event around a generation, or the bare generation.

    Raises: StrictJsonError, MalformedEventError.
    """
    message = _mapping(strict_loads(body), "body")
    wrapped = "data" in message
    generation = _mapping(message["data"], "data") if wrapped else message
    named = wrapped and "id" in message
    return InboxRow(
        origin="mavera",
        event_id=_required(message, "id", _ID) if named else hashlib.sha256(body).hexdigest(),
        type=_required(message, "type", _NAME) if wrapped else "generation",
        object_type="generation",
        object_id=_required(generation, "id", _ID),
        account=None,
        api_version=None,
        livemode=None,
        created=None,
        received_at=now,
        status="pending",
    )


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedEventError(name)
    return value


def _required(source: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = source.get(name)
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise MalformedEventError(name)
    return value


def _optional(source: dict[str, Any], name: str, form: re.Pattern[str]) -> str | None:
    return None if source.get(name) is None else _required(source, name, form)


def _time(value: Any) -> datetime:
    """Unix seconds of snapshot events, ISO 8601 text of thin ones."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, tz=UTC)
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            if parsed.tzinfo is not None:
                return parsed.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise MalformedEventError("created") from error
    raise MalformedEventError("created")
