"""The audit trail: append-only rows, each chained to the one before by its hash.

Here: appending inside the transaction of the act itself (if the row cannot be written, the act does not happen),
export and verification. Not here: what is worth recording (`ledger`, `approval`). One row, the head, is locked
by each writer first; it orders all writers and makes the chain one chain. Events hold hashes, counts and codes,
never request or answer texts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from activation.canonical import canonical_json, digest
from resources.state import State
from resources.state.ledger import audit, audit_head

__all__ = ["AuditRow", "Verified", "append", "export", "lock", "verify"]

_GENESIS = "0" * 64


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One recorded act."""

    seq: int
    at: datetime
    event: str
    previous: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What verification found: rows read, and the first break in one sentence, if there is one."""

    rows: int
    broken: str | None

    @property
    def ok(self) -> bool:
        """Whether the chain is whole."""
        return self.broken is None


def lock(connection: sa.Connection) -> tuple[int, str]:
    """Lock the head for the rest of the transaction; its sequence number and hash."""
    found = connection.execute(sa.select(audit_head.c.seq, audit_head.c.hash).with_for_update()).first()
    if found is None:
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        first = dialect.insert(audit_head).values(id=1, seq=0, hash=_GENESIS).on_conflict_do_nothing()
        connection.execute(first)
        found = connection.execute(sa.select(audit_head.c.seq, audit_head.c.hash).with_for_update()).one()
    return int(found.seq), str(found.hash)


def append(connection: sa.Connection, event: Mapping[str, Any], *, at: datetime) -> None:
    """Add one row to the chain, in the caller's transaction."""
    seq, previous = lock(connection)
    text = canonical_json(dict(event))
    row_hash = _hash(seq + 1, at, text, previous)
    connection.execute(
        audit.insert().values(seq=seq + 1, at=at, event_json=text, previous=previous, hash=row_hash)
    )
    connection.execute(audit_head.update().values(seq=seq + 1, hash=row_hash))


def export(state: State, *, since: datetime | None = None, until: datetime | None = None) -> Iterator[AuditRow]:
    """Rows from `since` up to before `until`, in order."""
    wanted = sa.select(audit).order_by(audit.c.seq)
    if since is not None:
        wanted = wanted.where(audit.c.at >= since)
    if until is not None:
        wanted = wanted.where(audit.c.at < until)
    with state.read() as connection:
        for row in connection.execute(wanted):
            yield AuditRow(seq=row.seq, at=row.at, event=row.event_json, previous=row.previous, hash=row.hash)


def verify(state: State) -> Verified:
    """Recompute the chain from its first row to the head."""
    previous, seq = _GENESIS, 0
    for row in export(state):
        if row.seq != seq + 1:
            return Verified(rows=seq, broken=f"row {seq + 1} is missing")
        if row.previous != previous or row.hash != _hash(row.seq, row.at, row.event, row.previous):
            return Verified(rows=seq, broken=f"row {row.seq} was changed")
        previous, seq = row.hash, row.seq
    with state.read() as connection:
        head = connection.execute(sa.select(audit_head.c.seq, audit_head.c.hash)).first()
    if head is not None and (head.seq, head.hash) != (seq, previous):
        return Verified(rows=seq, broken=f"rows after {seq} are missing: the head is row {head.seq}")
    return Verified(rows=seq, broken=None)


def _hash(seq: int, at: datetime, event: str, previous: str) -> str:
    return digest([seq, at.astimezone(UTC).isoformat(), event, previous])
