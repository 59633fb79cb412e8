"""Draining the inbox: claim a batch, know which objects to read again, and finish it, fail it or give it back.

Events arrive late, twice and out of order, so an event is only a sign that an object changed: all waiting events
of an object become one `DirtyObject`, and whoever claims it reads the object from Stripe. A claim is a lease. A
row whose lease ran out is claimed again; after `max_attempts` claims it is set aside as poison, the others go on,
until a person replays it. A claim that is given back does not count.
Nothing here reads Stripe or starts a run; when a run is worth starting is decided in `ingest.inbox_tick`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ingest.webhooks.routes import ENDS_BY_EVENT, TABLE_OF, Due, due_for, merge_due
from resources.state import State
from resources.state.inbox import inbox

__all__ = ["Batch", "DirtyObject", "claim", "claimable", "fail", "finish", "give_back", "prune", "replay"]

_EventKey = tuple[str, str]
_SHORTEST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class DirtyObject:
    """An object that events speak of: read it again, once. `tombstone` is a hint that it may be gone.

    `waiting_since` is when the first of the events arrived.
    """

    origin: str
    object_type: str
    object_id: str
    table: str | None
    event_ids: tuple[str, ...]
    event_types: tuple[str, ...]
    tombstone: bool
    due: Due
    waiting_since: datetime

    @property
    def keys(self) -> tuple[_EventKey, ...]:
        """The inbox rows behind it."""
        return tuple((self.origin, event) for event in self.event_ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one worker claimed, by object, until `lease_until`."""

    worker: str
    lease_until: datetime
    objects: tuple[DirtyObject, ...]

    @property
    def due(self) -> Due:
        """Everything the batch makes due."""
        return merge_due(item.due for item in self.objects)


def claim(
    state: State,
    *,
    worker: str,
    now: datetime,
    origin: str | None = None,
    until: datetime | None = None,
    limit: int = 500,
    lease_seconds: int = 300,
    max_attempts: int = 5,
) -> Batch:
    """Lease up to `limit` events, oldest first, together with every other waiting event of the same objects.

    `origin` limits it to the events of one sender: whoever reads Stripe again has no answer for Mavera's. `until`
    limits it to what had arrived by then: a run that makes some tables leaves later events to the run that makes
    theirs.
    """
    lease_until = now + timedelta(seconds=lease_seconds)
    mine = [claimable(now)]
    mine += [] if origin is None else [inbox.c.origin == origin]
    mine += [] if until is None else [inbox.c.received_at <= until]
    with state.begin() as connection:
        # A worker that dies while it works on an event never reports it, so worn-out rows are set aside here too.
        connection.execute(
            inbox.update()
            .where(*mine, inbox.c.attempts >= max_attempts)
            .values(
                status="poison", reason=sa.func.coalesce(inbox.c.reason, "no worker finished it"), finished_at=now
            )
        )
        first = connection.execute(
            sa.select(inbox.c.origin, inbox.c.object_type, inbox.c.object_id)
            .where(*mine)
            .order_by(inbox.c.received_at, inbox.c.event_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
        rows: list[sa.Row[Any]] = []
        for chunk in _chunks(sorted({tuple(row) for row in first})):
            rows += connection.execute(
                sa.select(
                    inbox.c.origin,
                    inbox.c.event_id,
                    inbox.c.type,
                    inbox.c.object_type,
                    inbox.c.object_id,
                    inbox.c.received_at,
                )
                .where(
                    *mine,
                    sa.tuple_(inbox.c.origin, inbox.c.object_type, inbox.c.object_id).in_(chunk),
                )
                .order_by(inbox.c.created, inbox.c.event_id)
                .with_for_update(skip_locked=True)
            ).all()
        for keys in _chunks([(row.origin, row.event_id) for row in rows]):
            connection.execute(
                inbox.update()
                .where(_is_one_of(keys))
                .values(claimed_by=worker, available_at=lease_until, attempts=inbox.c.attempts + 1)
            )
    return Batch(worker, lease_until, _by_object(rows))


def finish(state: State, objects: Iterable[DirtyObject], *, worker: str, now: datetime) -> int:
    """Record the events of `objects` as worked off; returns how many still belonged to `worker`."""
    return _settle(state, objects, worker=worker, values={"status": "done", "reason": None, "finished_at": now})


def fail(
    state: State,
    objects: Iterable[DirtyObject],
    *,
    worker: str,
    reason: str,
    now: datetime,
    retry_seconds: int = 60,
    max_attempts: int = 5,
) -> int:
    """Let events at fault wait for another try, or set them aside as poison, with a reason; returns how many."""
    worn_out = inbox.c.attempts >= max_attempts
    return _settle(
        state,
        objects,
        worker=worker,
        values={
            "status": sa.case((worn_out, "poison"), else_="pending"),
            "finished_at": sa.case((worn_out, sa.literal(now, inbox.c.finished_at.type)), else_=sa.null()),
            "available_at": now + timedelta(seconds=retry_seconds),
            "reason": reason,
        },
    )


def give_back(state: State, objects: Sequence[DirtyObject], *, worker: str, reason: str, now: datetime) -> int:
    """Let events wait as if nobody had claimed them, as what failed is not theirs; returns how many.

    They wait once more as long as the oldest of them has waited, from a minute to a quarter of an hour.
    """
    waited = now - min((one.waiting_since for one in objects), default=now)
    return _settle(
        state,
        objects,
        worker=worker,
        values={
            "attempts": inbox.c.attempts - 1,
            "available_at": now + min(max(waited, _SHORTEST_PAUSE), _LONGEST_PAUSE),
            "reason": reason,
        },
    )


def replay(state: State, *, now: datetime, event_ids: Sequence[str] = ()) -> int:
    """Make poison events wait again, or settled events of any kind by their ids; returns how many.

    Rows that wait already stay as they are, so a second call does nothing.
    """
    chosen: list[sa.ColumnElement[bool]] = [inbox.c.status == "poison"]
    if event_ids:
        settled = (inbox.c.status != "pending", inbox.c.object_id.is_not(None))
        chosen = [sa.and_(*settled, inbox.c.event_id.in_(chunk)) for chunk in _chunks(event_ids)]
    values = {
        "status": "pending",
        "reason": None,
        "attempts": 0,
        "replays": inbox.c.replays + 1,
        "claimed_by": None,
        "available_at": now,
        "finished_at": None,
    }
    with state.begin() as connection:
        return sum(connection.execute(inbox.update().where(part).values(values)).rowcount for part in chosen)


def prune(state: State, *, before: datetime) -> int:
    """Forget events settled before `before`; Stripe resends up to 30 days back, so keep at least those."""
    settled = sa.func.coalesce(inbox.c.finished_at, inbox.c.received_at) < before
    with state.begin() as connection:
        return connection.execute(
            sa.delete(inbox).where(inbox.c.status.in_(("done", "ignored")), settled)
        ).rowcount


def claimable(now: datetime) -> sa.ColumnElement[bool]:
    """The rows that a worker may claim at `now`."""
    return sa.and_(inbox.c.status == "pending", inbox.c.available_at <= now, inbox.c.object_id.is_not(None))


def _is_one_of(keys: Sequence[_EventKey]) -> sa.ColumnElement[bool]:
    return sa.tuple_(inbox.c.origin, inbox.c.event_id).in_(keys)


def _chunks(values: Sequence[Any], size: int = 300) -> Iterable[Sequence[Any]]:
    """SQLite binds at most 999 parameters in old builds, and a key has up to three."""
    return (values[start : start + size] for start in range(0, len(values), size))


def _by_object(rows: Iterable[sa.Row[Any]]) -> tuple[DirtyObject, ...]:
    grouped: dict[tuple[str, str, str], list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        grouped[(row.origin, row.object_type, row.object_id)].append(row)
    return tuple(
        DirtyObject(
            origin=origin,
            object_type=object_type,
            object_id=object_id,
            table=TABLE_OF.get(object_type) if origin == "stripe" else None,
            event_ids=tuple(row.event_id for row in events),
            event_types=tuple(sorted({row.type for row in events})),
            tombstone=any(row.type.endswith(".deleted") and row.type not in ENDS_BY_EVENT for row in events),
            due=merge_due(due_for(object_type, row.type) for row in events),
            waiting_since=min(row.received_at for row in events),
        )
        for (origin, object_type, object_id), events in grouped.items()
    )


def _settle(state: State, objects: Iterable[DirtyObject], *, worker: str, values: dict[str, Any]) -> int:
    """Write the outcome where the row still belongs to `worker`: a lease that ran out belongs to the next one."""
    keys = [key for item in objects for key in item.keys]
    with state.begin() as connection:
        return sum(
            connection.execute(
                inbox.update()
                .where(_is_one_of(chunk), inbox.c.claimed_by == worker, inbox.c.status == "pending")
                .values({"claimed_by": None, **values})
            ).rowcount
            for chunk in _chunks(keys)
        )
