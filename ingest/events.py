"""Events: the history that is kept, and what each event says about the object it names.

Here: event → row of `stripe/events` with the payload reduced to permitted columns, and the decision per changed
object, as pure functions. Not here: scanning and reading objects again (`ingest.changes`). Events carry the API
version of their creation and come without expansions: https://docs.stripe.com/api/events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import orjson

from ingest import accessors as read
from ingest.accessors import MalformedObject
from ingest.pages import PageRows, quarantine_row
from ingest.rows import Provenance, parse
from ingest.shapes import PERMITTED, cut
from ingest.streams import STREAM_OF_OBJECT, Stream
from resources.stripe_api import API_VERSION
from resources.stripe_clock import MICROS

__all__ = ["Change", "Stored", "Verdict", "changes_of", "decide", "read_events"]

_PROVENANCE_COLUMNS = ("livemode", "deleted", "version_at", "fetched_at", "source")
# An ended subscription stays readable as canceled. A payment method that was detached can never be used again.
_NO_TOMBSTONE = frozenset({"customer.subscription.deleted"})
_TOMBSTONE = frozenset({"payment_method.detached"})


def read_events(stream: Stream, objects: Sequence[Any], provenance: Provenance) -> PageRows:
    """The rows of a page of events; `stream` is the events stream itself."""
    page = PageRows({stream.table: [], "quarantine": []})
    for source in objects:
        try:
            page.rows[stream.table].append(_event_row(source, provenance))
        except MalformedObject as error:
            page.rows["quarantine"].append(quarantine_row(stream.table, source, str(error), provenance))
    return page


def _event_row(event: Any, provenance: Provenance) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise MalformedObject(f"events: {type(event).__name__}, not an object")
    created = read.moment(event, "created")
    if created is None:
        raise MalformedObject("event.created is missing")
    data = read.nested(event, "data")
    payload = dict(read.nested(data, "object"))
    kind = read.text(payload, "object")
    stream = STREAM_OF_OBJECT.get(kind or "")
    livemode = read.flag(event, "livemode")
    row: dict[str, Any] = {
        "id": read.required_text(event, "id"),
        "created": created,
        "type": read.required_text(event, "type"),
        "api_version": read.text(event, "api_version"),
        "object_type": kind,
        "object_id": read.text(payload, "id"),
        "snapshot": None,
        "previous_attributes": None,
        "livemode": provenance.livemode if livemode is None else livemode,
        "deleted": False,
        "version_at": created,
        "fetched_at": provenance.fetched_at,
        "source": provenance.source,
        "replaces": False,
        "children": None,
        "object_created": payload["created"] if type(payload.get("created")) is int else None,
        "touched": _touched(kind, payload),
    }
    if stream is None:
        return row
    previous = read.nested(data, "previous_attributes")
    if previous:
        row["previous_attributes"] = orjson.dumps(cut(dict(previous), PERMITTED[stream.table])).decode()
    try:
        parsed = parse(stream.table, payload, replace(provenance, version_at=created, source="event"))
    except MalformedObject:
        return row  # the object is read instead, and quarantined then if it is malformed there too
    row["snapshot"] = _dumps(parsed.row)
    if parsed.children:
        row["children"] = orjson.dumps([_plain(child) for child in parsed.children]).decode()
    row["replaces"] = row["api_version"] == API_VERSION and parsed.whole and _has_what_is_needed(stream, payload)
    return row


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _PROVENANCE_COLUMNS}


def _dumps(row: Mapping[str, Any]) -> str:
    return orjson.dumps(_plain(row)).decode()


def _touched(kind: str | None, payload: Mapping[str, Any]) -> str | None:
    """Objects that change with the event's own: a discount changes what it lies on."""
    names: list[tuple[str, Any]] = []
    if kind == "discount":
        names = [("subscriptions", payload.get("subscription")), ("customers", payload.get("customer"))]
    found = [[table, identity] for table, identity in names if isinstance(identity, str)]
    return orjson.dumps(found).decode() if found else None


def _has_what_is_needed(stream: Stream, payload: Mapping[str, Any]) -> bool:
    """Whether the payload holds what a list call gets by `expand`."""
    if stream.table == "subscriptions":
        items, _ = read.child_list(payload, "items")
        return all(
            isinstance(discount, dict)
            for holder in (payload, *items)
            for discount in holder.get("discounts") or ()
        )
    if stream.table == "prices":
        tiers = payload.get("billing_scheme") != "tiered" or "tiers" in payload
        return tiers and "currency_options" in payload
    if stream.table == "coupons":
        return "applies_to" in payload and "currency_options" in payload
    return True


@dataclass(frozen=True)
class Change:
    """What the events of a scan say about one object.

    `at` is the second of the newest; `payload` the event whose payload is the object's newest state, if one is;
    `created` the second in which the object was made, if the events tell.
    """

    table: str
    object_id: str
    at: int
    deleted: bool
    payload: str | None
    created: int | None


class Verdict(Enum):
    """What to do about a change."""

    KNOWN = "the stored row is newer"
    SNAPSHOT = "the payload becomes the row"
    READ = "the object is read again"
    TOMBSTONE = "the object is gone"


@dataclass(frozen=True)
class Stored:
    """What the lake holds of an object: its version in microseconds, whether it is a tombstone or an export's."""

    version_at: int
    deleted: bool
    exported: bool = False


def changes_of(
    events: Iterable[Mapping[str, Any]], *, routed: frozenset[str] | set[str] = frozenset()
) -> list[Change]:
    """One change per object, from event rows with times as integers; `routed` are ids that were applied before.

    A payload counts only if no other event of its object has the same second: seconds do not order them. An event
    of any type on a known object counts, as no list of types is ever complete.
    """
    by_object: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    seen: set[str] = set()
    for event in events:
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        stream = STREAM_OF_OBJECT.get(event["object_type"] or "")
        if stream is not None and event["object_id"]:
            by_object.setdefault((stream.table, event["object_id"]), []).append(event)
        for table, identity in orjson.loads(event["touched"] or b"[]"):
            touch = {**event, "replaces": False, "type": "touched"}
            by_object.setdefault((table, identity), []).append(touch)
    changes = []
    for (table, identity), group in by_object.items():
        if all(event["id"] in routed for event in group):
            continue
        newest = max(event["created"] for event in group)
        latest = [event for event in group if event["created"] == newest]
        gone = [event for event in group if _ends(event["type"])]
        alone = latest[0]["id"] if len(latest) == 1 and latest[0]["replaces"] else None
        changes.append(
            Change(
                table,
                identity,
                newest // MICROS,
                bool(gone),
                gone[0]["id"] if gone else alone,
                next((e["object_created"] for e in group if e["type"] != "touched"), None),
            )
        )
    return changes


def _ends(kind: str) -> bool:
    """Whether an event of this type is the last of its object."""
    return kind in _TOMBSTONE or (kind.endswith(".deleted") and kind not in _NO_TOMBSTONE)


def decide(change: Change, stored: Stored | None) -> Verdict:
    """What to do about a change, given what is stored of its object.

    A read at or after the second that follows the event has seen it. An export may show only some of the columns,
    and a stored version of the event's own second may lie on either side of it, so the object is read again.
    """
    if change.deleted:
        return Verdict.KNOWN if stored is not None and stored.deleted else Verdict.TOMBSTONE
    if stored is not None:
        if stored.version_at >= (change.at + 1) * MICROS:
            return Verdict.READ if stored.exported else Verdict.KNOWN
        if stored.version_at // MICROS == change.at:
            return Verdict.READ
    return Verdict.READ if change.payload is None else Verdict.SNAPSHOT
