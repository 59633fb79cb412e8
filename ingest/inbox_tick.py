"""A tick of the inbox sensor: whether what waits is worth a run now. The decision is pure.

Here: looking at the inbox and debouncing. Claiming belongs to the run itself (`ingest.inbox`); the sensor that
wires this to Dagster belongs to the pipelines.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from ingest.inbox import claimable
from ingest.webhooks.routes import Due, due_for, merge_due
from resources.state import State
from resources.state.inbox import inbox

__all__ = ["InboxDecision", "Waiting", "decide", "waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The state of the inbox that a sensor decides on: what may be claimed now, and what is set aside."""

    events: int
    oldest: datetime | None
    newest: datetime | None
    fingerprint: str
    due: Due
    poison: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class InboxDecision:
    """Start a run (`run_key` set) or say why not (`skip_reason` set)."""

    cursor: str
    run_key: str | None = None
    due: Due = field(default_factory=Due)
    skip_reason: str | None = None


def waiting(state: State, *, now: datetime, limit: int = 5_000) -> Waiting:
    """Look at the first `limit` events that may be claimed, and count what was set aside."""
    with state.read() as connection:
        rows = connection.execute(
            sa.select(
                inbox.c.event_id,
                inbox.c.type,
                inbox.c.object_type,
                inbox.c.received_at,
                inbox.c.available_at,
            )
            .where(claimable(now))
            .order_by(inbox.c.received_at, inbox.c.event_id)
            .limit(limit)
        ).all()
        aside = dict(
            connection.execute(
                sa.select(inbox.c.status, sa.func.count())
                .where(inbox.c.status.in_(("poison", "quarantined")))
                .group_by(inbox.c.status)
            )
            .tuples()
            .all()
        )
    kinds = {(row.object_type, row.type) for row in rows}
    # A set that was tried in vain, or is replayed, is another set: it became available at another time.
    content = [(row.event_id, row.available_at.isoformat()) for row in rows]
    return Waiting(
        events=len(rows),
        oldest=min((row.received_at for row in rows), default=None),
        newest=max((row.received_at for row in rows), default=None),
        fingerprint=hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32],
        due=merge_due(due_for(object_type, type_) for object_type, type_ in kinds),
        poison=aside.get("poison", 0),
        quarantined=aside.get("quarantined", 0),
    )


def decide(
    found: Waiting,
    cursor: str | None,
    *,
    now: datetime,
    quiet_seconds: int = 10,
    longest_wait_seconds: int = 30,
    batch_events: int = 500,
    again_seconds: int = 900,
    is_under_way: Callable[[str], bool] = lambda _run_key: False,
) -> InboxDecision:
    """Whether to start a run for what waits.

    A burst is let finish: a run starts once nothing arrived for `quiet_seconds`, the oldest event has waited
    `longest_wait_seconds`, or a batch is full. One run at a time: beside another (`is_under_way` tells by its key)
    it would wait for the same reads and write the same tables. The run key is made from the events, so a repeated
    tick asks for nothing twice; if the same events still wait after `again_seconds`, their run died before it
    claimed them, and the key changes.
    """
    seen = json.loads(cursor) if cursor else {}
    if found.oldest is None or found.newest is None:
        return InboxDecision(cursor=cursor or "{}", skip_reason="the inbox is empty")
    quiet = now - found.newest >= timedelta(seconds=quiet_seconds)
    patient = now - found.oldest < timedelta(seconds=longest_wait_seconds)
    if not quiet and patient and found.events < batch_events:
        return InboxDecision(
            cursor=cursor or "{}", skip_reason=f"{found.events} events wait until the burst is over"
        )
    round_ = 0
    is_recent = bool(seen) and now < datetime.fromisoformat(seen["at"]) + timedelta(seconds=again_seconds)
    if seen.get("fingerprint") == found.fingerprint:
        if is_recent:
            return InboxDecision(cursor=cursor or "{}", skip_reason="a run for these events was asked for")
        round_ = int(seen["round"]) + 1
    elif is_recent and is_under_way(_run_key(seen["fingerprint"], seen["round"])):
        return InboxDecision(
            cursor=cursor or "{}",
            skip_reason=f"{found.events} events wait until the run for earlier ones has ended",
        )
    marked = json.dumps({"fingerprint": found.fingerprint, "at": now.isoformat(), "round": round_})
    return InboxDecision(cursor=marked, run_key=_run_key(found.fingerprint, round_), due=found.due)


def _run_key(fingerprint: str, round_: int) -> str:
    return f"inbox:{fingerprint}:{round_}" if round_ else f"inbox:{fingerprint}"
