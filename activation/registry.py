"""Our objects at Mavera: which segment each one stands for, its version, and what was last paid for.

Here: rows of `mavera_objects` as values, and their writing inside a ledger transaction. Not here: when an object
changes its status (`lifecycle`), and the race for who may create it (`ledger`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from activation.canonical import canonical_json, digest
from activation.policy import Kind
from resources.state.ledger import objects

__all__ = ["ObjectStatus", "StoredObject", "change", "newest", "put", "read_objects", "remove"]

ObjectStatus = Literal["active", "dormant", "archived", "superseded"]


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One object of ours. `content` is the brief it was last paid for, `body` the request that made it so."""

    kind: Kind
    segment_key: str
    spec_version: str
    token: str
    remote_id: str
    status: ObjectStatus = "active"
    version: int = 1
    content: Mapping[str, Any]
    body: Mapping[str, Any]
    previous_body: Mapping[str, Any] | None = None
    template_version: str
    remote_hash: str | None = None
    result: Mapping[str, Any] | None = None
    result_status: str = "completed"
    credits: int = 0
    successor: str | None = None
    empty_refreshes: int = 0
    empty_since: str | None = None
    since: datetime
    updated_at: datetime

    @property
    def content_hash(self) -> str:
        """Hash of what it was paid for."""
        return digest(self.content)

    @property
    def no_use(self) -> str | None:
        """What is wrong with a result that was paid for; None for one that is good, or not there yet."""
        good = self.result_status in ("completed", "pending")
        return None if good else f"paid for, but of no use ({self.result_status})"

    @property
    def remedy(self) -> str:
        """How a person has it made, and paid for, another time."""
        return f"stripe-mavera held release {self.kind.value}/{self.segment_key} has it made anew"


def newest(objects: Iterable[StoredObject], kind: Kind, segment_key: str) -> StoredObject | None:
    """The object that stands for a segment: the newest one, without those that are superseded."""
    mine = [one for one in objects if (one.kind, one.segment_key) == (kind, segment_key)]
    live = [one for one in mine if one.status != "superseded"]
    return max(live, key=lambda one: (one.since, one.spec_version), default=None)


def read_objects(connection: sa.Connection, environment: str) -> list[StoredObject]:
    """All objects of an environment, oldest first."""
    wanted = (
        sa.select(objects)
        .where(objects.c.environment == environment)
        .order_by(objects.c.since, objects.c.kind, objects.c.segment_key, objects.c.spec_version)
    )
    return [_value(row) for row in connection.execute(wanted)]


def put(connection: sa.Connection, environment: str, one: StoredObject) -> None:
    """Insert or replace an object by its key, in the caller's transaction."""
    row = {
        "environment": environment,
        "kind": one.kind.value,
        "segment_key": one.segment_key,
        "spec_version": one.spec_version,
        "token": one.token,
        "remote_id": one.remote_id,
        "status": one.status,
        "version": one.version,
        "content_hash": one.content_hash,
        "content_json": canonical_json(dict(one.content)),
        "body_json": canonical_json(dict(one.body)),
        "previous_body_json": None if one.previous_body is None else canonical_json(dict(one.previous_body)),
        "template_version": one.template_version,
        "remote_hash": one.remote_hash,
        "result_json": None if one.result is None else canonical_json(dict(one.result)),
        "result_status": one.result_status,
        "credits": one.credits,
        "successor": one.successor,
        "empty_refreshes": one.empty_refreshes,
        "empty_since": one.empty_since,
        "since": one.since,
        "updated_at": one.updated_at,
    }
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    key = [column.name for column in objects.primary_key]
    connection.execute(
        dialect.insert(objects)
        .values(row)
        .on_conflict_do_update(index_elements=key, set_={n: v for n, v in row.items() if n not in key})
    )


def change(connection: sa.Connection, environment: str, one: StoredObject, **values: Any) -> None:
    """Change single columns of an object, in the caller's transaction."""
    connection.execute(objects.update().where(*_same(environment, one)).values(**values))


def remove(connection: sa.Connection, environment: str, one: StoredObject) -> None:
    """Forget an object, in the caller's transaction; the audit trail keeps what it was."""
    connection.execute(objects.delete().where(*_same(environment, one)))


def _same(environment: str, one: StoredObject) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        objects.c.environment == environment,
        objects.c.kind == one.kind.value,
        objects.c.segment_key == one.segment_key,
        objects.c.spec_version == one.spec_version,
    )


def _value(row: Any) -> StoredObject:
    return StoredObject(
        kind=Kind(row.kind),
        segment_key=row.segment_key,
        spec_version=row.spec_version,
        token=row.token,
        remote_id=row.remote_id,
        status=row.status,
        version=row.version,
        content=json.loads(row.content_json),
        body=json.loads(row.body_json),
        previous_body=None if row.previous_body_json is None else json.loads(row.previous_body_json),
        template_version=row.template_version,
        remote_hash=row.remote_hash,
        result=None if row.result_json is None else json.loads(row.result_json),
        result_status=row.result_status,
        credits=row.credits,
        successor=row.successor,
        empty_refreshes=row.empty_refreshes,
        empty_since=row.empty_since,
        since=row.since,
        updated_at=row.updated_at,
    )
