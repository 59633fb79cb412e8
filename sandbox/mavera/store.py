"""Objects and charges of the pretend Mavera, in one SQLite file or in memory.

Everything that must outlive a `kill -9` of the stand-in is here; windows, counters and leases are not. Keys
are kept as fingerprints only. One write transaction per operation (`BEGIN IMMEDIATE`), so that an object and
its charge are committed together or not at all, even when two stand-ins share a folder.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

__all__ = ["ID_PREFIXES", "Row", "Store", "unit"]

ID_PREFIXES = {
    "persona": "clx",
    "generation": "gen_",
    "mave_thread": "mave_thread_",
    "mave_message": "mave_msg_",
    "response": "resp_",
    "brand_voice": "bv_",
    "generation_app": "app_",
}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, custom INTEGER NOT NULL,
    operation TEXT NOT NULL, key TEXT NOT NULL, parent TEXT NOT NULL,
    created_at REAL NOT NULL, visible_at REAL NOT NULL, due_at REAL,
    outcome TEXT NOT NULL, deleted_at REAL, name TEXT NOT NULL, searched TEXT NOT NULL, request TEXT NOT NULL,
    body TEXT NOT NULL, UNIQUE (kind, id));
CREATE INDEX IF NOT EXISTS objects_by_name ON objects (kind, name);
CREATE INDEX IF NOT EXISTS objects_by_parent ON objects (kind, parent);
-- The row number ends every index, so that a list comes out of this one in its order.
CREATE INDEX IF NOT EXISTS objects_listed ON objects (kind, deleted_at);
CREATE TABLE IF NOT EXISTS charges (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, key TEXT NOT NULL, operation TEXT NOT NULL, object_id TEXT NOT NULL,
    credits INTEGER NOT NULL, test_mode INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS charges_by_key ON charges (key, at);
"""


def unit(seed: int, *parts: object) -> float:
    """A number from 0 up to 1 that follows from the seed and the parts alone."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stored object; times are Unix seconds of the stand-in's clock."""

    seq: int
    id: str
    kind: str
    name: str
    custom: bool
    operation: str
    key: str
    request: dict[str, Any]
    body: dict[str, Any]
    parent: str
    created_at: float
    visible_at: float
    due_at: float | None
    outcome: str
    deleted_at: float | None


class Store:
    """Used from one event loop only; other processes may use the same file."""

    def __init__(self, folder: Path | None, *, seed: int) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        path = ":memory:" if folder is None else str(folder / "mavera_objects.sqlite3")
        self._seed = seed
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing with NORMAL; only a power cut would, which a stand-in may forget.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; no `await` may happen inside."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def reset(self) -> None:
        """Forget everything that was not preloaded."""
        with self.transaction():
            self._db.execute("DELETE FROM objects WHERE operation <> 'preload'")
            self._db.execute("DELETE FROM charges")

    # ---- objects ------------------------------------------------------------------------------------------------
    def insert(
        self,
        kind: str,
        body: dict[str, Any],
        *,
        name: str,
        operation: str,
        now: float,
        key: str = "",
        request: dict[str, Any] | None = None,
        custom: bool = True,
        parent: str = "",
        lag: float = 0,
        due_at: float | None = None,
        outcome: str = "",
    ) -> Row:
        """Store a new object; without an `id` in its body it gets one that follows from seed and order."""
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM objects").fetchone()
        object_id = body.get("id") or self._new_id(kind, last + 1)
        body = {"id": object_id, **body}
        self._db.execute(
            "INSERT INTO objects VALUES (?,?,?,?,?,?,?,?,?,?,?,NULL,?,?,?,?)",
            (
                last + 1, object_id, kind, custom, operation, key, parent, now, now + lag, due_at, outcome,
                name, _searched(name, body), _text(request or {}), _text(body),
            ),
        )  # fmt: skip
        row = self.get(kind, object_id)
        assert row is not None
        return row

    def update(self, row: Row, body: dict[str, Any], *, name: str | None = None) -> None:
        self._db.execute(
            "UPDATE objects SET body = ?, name = ?, searched = ? WHERE seq = ?",
            (_text(body), name or row.name, _searched(name or row.name, body), row.seq),
        )

    def delete(self, row: Row, *, now: float) -> None:
        self._db.execute("UPDATE objects SET deleted_at = ? WHERE seq = ?", (now, row.seq))

    def get(self, kind: str, object_id: str) -> Row | None:
        """By id, at once after the commit, whatever the list lag is."""
        return self._one("SELECT * FROM objects WHERE kind = ? AND id = ? AND deleted_at IS NULL", kind, object_id)

    def knows(self, kind: str, object_id: str) -> bool:
        """Whether the id was ever used, deleted objects included."""
        return (
            self._db.execute("SELECT 1 FROM objects WHERE kind = ? AND id = ?", (kind, object_id)).fetchone()
            is not None
        )

    def named(self, kind: str, name: str) -> Row | None:
        """The oldest custom object of that exact name."""
        return self._one(
            "SELECT * FROM objects WHERE kind = ? AND name = ? AND custom AND deleted_at IS NULL ORDER BY seq",
            kind,
            name,
        )

    def listed(
        self,
        kind: str,
        *,
        now: float,
        fields: Mapping[str, str] = MappingProxyType({}),
        custom: bool | None = None,
        search: str = "",
        before: int | None = None,
        limit: int,
        offset: int = 0,
    ) -> tuple[list[Row], int]:
        """One page of what a list shows, newest first, and the number of items that the pages share.

        `fields` are equalities on top-level fields of the body; `search` looks into name and description;
        `before` is the `seq` that a cursor points to.
        """
        where = ["kind = ?", "deleted_at IS NULL", "visible_at <= ?"]
        values: list[object] = [kind, now]
        for field, value in fields.items():
            where.append("json_extract(body, ?) = ?")
            values += [f'$."{field}"', value]
        if custom is not None:
            where.append("custom = ?")
            values.append(custom)
        if search:
            where.append("instr(searched, ?)")
            values.append(search.casefold())
        if before is not None:
            where.append("seq < ?")
            values.append(before)
        # The texts are looked through once; only the rows of the page are read whole.
        found = self._db.execute(f"SELECT seq FROM objects WHERE {' AND '.join(where)} ORDER BY seq DESC", values)
        numbers = [seq for (seq,) in found]
        chosen = ",".join(map(str, numbers[offset : offset + limit]))
        rows = self._db.execute(f"SELECT * FROM objects WHERE seq IN ({chosen}) ORDER BY seq DESC")
        return [_row(raw) for raw in rows], len(numbers)

    def count(self, kind: str) -> int:
        """How many objects of a kind there ever were."""
        return int(self._db.execute("SELECT count(*) FROM objects WHERE kind = ?", (kind,)).fetchone()[0])

    def children(self, kind: str, parent: str) -> list[Row]:
        """What belongs to one parent, oldest first."""
        rows = self._db.execute("SELECT * FROM objects WHERE kind = ? AND parent = ? ORDER BY seq", (kind, parent))
        return [_row(raw) for raw in rows]

    def committed(self) -> list[Row]:
        """Every object that a call has made, deleted ones too, oldest first."""
        return [
            _row(raw)
            for raw in self._db.execute("SELECT * FROM objects WHERE operation <> 'preload' ORDER BY seq")
        ]

    # ---- charges ------------------------------------------------------------------------------------------------
    def charge(
        self, *, key: str, operation: str, object_id: str, credits: int, now: float, test_mode: bool
    ) -> None:
        self._db.execute(
            "INSERT INTO charges (at, key, operation, object_id, credits, test_mode) VALUES (?,?,?,?,?,?)",
            (now, key, operation, object_id, credits, test_mode),
        )

    def used(self, key: str, *, since: float) -> int:
        """Credits that a key has been charged from that time on."""
        (total,) = self._db.execute(
            "SELECT coalesce(sum(credits), 0) FROM charges WHERE key = ? AND at >= ?", (key, since)
        ).fetchone()
        return int(total)

    def charges(self) -> list[dict[str, Any]]:
        """Every charge, oldest first."""
        return [dict(raw) for raw in self._db.execute("SELECT * FROM charges ORDER BY seq")]

    def _new_id(self, kind: str, seq: int) -> str:
        tail = hashlib.sha256(f"{self._seed}:{kind}:{seq}".encode()).hexdigest()
        return ID_PREFIXES[kind] + (tail[:22] if kind == "persona" else tail[:12])

    def _one(self, statement: str, *values: object) -> Row | None:
        raw = self._db.execute(statement, values).fetchone()
        return None if raw is None else _row(raw)


def _searched(name: str, body: dict[str, Any]) -> str:
    return f"{name} {body.get('description') or ''}".casefold()


def _text(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()


def _row(raw: sqlite3.Row) -> Row:
    fields = dict(raw)
    del fields["searched"]
    fields["custom"] = bool(fields["custom"])
    fields["request"] = orjson.loads(fields["request"])
    fields["body"] = orjson.loads(fields["body"])
    return Row(**fields)
