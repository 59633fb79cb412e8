"""The inbox: one row per event that a webhook brought, from its arrival until it is worked off.

Here: the table and the durable insert. What an event means, who claims it and when it is given up is decided in
`ingest.inbox`. A row holds what routing needs and nothing that a customer wrote.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from resources.state.engine import State
from resources.state.metadata import UtcTime, metadata

__all__ = ["InboxRow", "inbox", "insert_events", "pending_count"]

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("origin", sa.String(16), primary_key=True),
    sa.Column("event_id", sa.String(255), primary_key=True),
    sa.Column("type", sa.String(255), nullable=False),
    sa.Column("object_type", sa.String(255)),
    sa.Column("object_id", sa.String(255)),
    sa.Column("account", sa.String(255)),
    sa.Column("api_version", sa.String(64)),
    sa.Column("livemode", sa.Boolean),
    sa.Column("created", UtcTime),
    sa.Column("received_at", UtcTime, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("replays", sa.Integer, nullable=False, server_default="0"),
    sa.Column("claimed_by", sa.String(64)),
    # A claim moves it to the end of the lease, a failure to the end of the back-off: one column is both.
    sa.Column("available_at", UtcTime, nullable=False),
    sa.Column("finished_at", UtcTime),
    sa.CheckConstraint("status IN ('pending', 'done', 'ignored', 'quarantined', 'poison')", name="status"),
    sa.Index("ix_inbox_status", "status", "received_at"),
    sa.Index("ix_inbox_object", "origin", "object_type", "object_id", "status"),
)


@dataclass(frozen=True, slots=True)
class InboxRow:
    """An event as it arrived. `status` is pending, ignored (nothing routes it) or quarantined (with a reason)."""

    origin: str
    event_id: str
    type: str
    object_type: str | None
    object_id: str | None
    account: str | None
    api_version: str | None
    livemode: bool | None
    created: datetime | None
    received_at: datetime
    status: str
    reason: str | None = None


def insert_events(state: State, rows: Sequence[InboxRow]) -> set[tuple[str, str]]:
    """Store events in one transaction and return the keys that were new; those already there stay as they are.

    On return the new rows are durable. Raises: sqlalchemy.exc.SQLAlchemyError.
    """
    values = {(row.origin, row.event_id): {**asdict(row), "available_at": row.received_at} for row in rows}
    if not values:
        return set()
    insert = sqlite.insert if state.is_sqlite else postgresql.insert
    statement = (
        insert(inbox)
        .on_conflict_do_nothing(index_elements=["origin", "event_id"])
        .returning(inbox.c.origin, inbox.c.event_id)
    )
    with state.begin() as connection:
        return {(origin, event) for origin, event in connection.execute(statement, list(values.values()))}


def pending_count(state: State, *, at_most: int) -> int:
    """How many events wait, counted no further than `at_most`. Raises: sqlalchemy.exc.SQLAlchemyError."""
    waiting = sa.select(sa.literal(1)).where(inbox.c.status == "pending").limit(at_most).subquery()
    with state.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(waiting)).scalar_one())
