"""Rows of an export into a raw table: one atomic rewrite, never newer by older, within bounded memory.

The stored rows that stay and the rows of the export that are newer are streamed into a new version of the table;
only ids are held in memory. All rows of a delivery have one version time, so which side wins is a comparison with
that time; a tombstone stays, as deletion is final, but for objects that people name. A row of the API of which an
export tells some columns keeps its time, so that later events still bring the others up to date. A table that
changed meanwhile is computed again. A nested list is replaced as a set with its parent: a stored child that its
parent no longer has leaves, and one of a parent whose stored version is newer stays out. A parent that is missing
from the export stays: that is a case for the reconciliation sweep, not a deletion.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from ingest.commit import lake_table
from ingest.exports.columns import literal, quoted
from ingest.exports.warehouse import Warehouse
from ingest.tables import RAW_TABLES
from resources.lake import Lake, LakeConflictError

__all__ = ["Incoming", "merge_into"]

_TRIES = 3
# A new object may bear the name of a deleted one, so that here a tombstone is as old as it says.
_NAMED_BY_PEOPLE = frozenset({"coupons", "prices"})


@dataclass(frozen=True, slots=True)
class Incoming:
    """What comes in for a raw table: the view of its ids, the query of its columns, how it meets what is stored.

    `also` are views with more ids that the query yields. `parent` is the parent's table and the column that names
    it, for a nested list. `decided` are the columns that the export tells; None means all, otherwise the others
    keep what they had, and `patched` are the fields of a stored `billing` that follow a decided column of the same
    name. `passes` is in how many pieces the query runs.
    """

    table: str
    source: str
    query: str
    version_at: datetime
    fetched_at: datetime
    livemode: bool
    also: tuple[str, ...] = ()
    parent: tuple[str, str] | None = None
    decided: frozenset[str] | None = None
    patched: Mapping[str, str] = field(default_factory=dict)
    passes: int = 1


def merge_into(lake: Lake, warehouse: Warehouse, incoming: Incoming, *, facts: dict[str, str]) -> int:
    """Write the rows; returns the new version of the table.

    Raises: LakeError, UnreadableError.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return _merge_once(lake, warehouse, incoming, facts)
        except LakeConflictError:
            if attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def _merge_once(lake: Lake, warehouse: Warehouse, incoming: Incoming, facts: dict[str, str]) -> int:
    name, schema = lake_table(incoming.table), RAW_TABLES[incoming.table]
    version = lake.version(name)
    warehouse.sql.execute(f"CREATE OR REPLACE TEMP VIEW incoming AS {_with_provenance(incoming, schema)}")
    columns = ", ".join(quoted(column) for column in schema.names)
    if version is None:
        rows = warehouse.stream(f"SELECT {columns} FROM incoming", passes=incoming.passes)
        return lake.rewrite(name, rows, schema, read_version=None, facts=facts)
    at = f"TIMESTAMPTZ {literal(incoming.version_at.isoformat())}"
    sql = warehouse.sql
    ids = " UNION ".join(f"SELECT id FROM {view}" for view in (incoming.source, *incoming.also))
    sql.execute(f"CREATE OR REPLACE TEMP TABLE incoming_ids AS {ids}")
    wins = f"(version_at >= {at})" if incoming.table in _NAMED_BY_PEOPLE else f"(deleted OR version_at >= {at})"
    _stored(lake, warehouse, name, version, ("id", "version_at", "deleted"))
    sql.execute(f"CREATE OR REPLACE TEMP TABLE fresher AS SELECT id FROM stored WHERE {wins}")
    stays = "NOT EXISTS (SELECT 1 FROM incoming_ids AS i WHERE i.id = o.id)"
    enters = "NOT EXISTS (SELECT 1 FROM fresher AS f WHERE f.id = n.id)"
    if incoming.parent is not None:
        table, column = incoming.parent
        owners = _fresher_owners(lake, warehouse, table, at)
        enters += f" AND NOT EXISTS (SELECT 1 FROM {owners} AS p WHERE p.id = n.{quoted(column)})"
        # The owner is in the export and its stored version is not newer, so its list is the export's; unless a
        # row of the list could not be read, which must not look as if it had left.
        stays += f""" AND NOT (EXISTS (SELECT 1 FROM {table} AS d WHERE d.id = o.{quoted(column)})
            AND NOT EXISTS (SELECT 1 FROM {owners} AS p WHERE p.id = o.{quoted(column)})
            AND NOT EXISTS (SELECT 1 FROM {incoming.source}__bad AS b
                WHERE b.{quoted(column)} = o.{quoted(column)}))"""
    chosen = f"SELECT {columns} FROM incoming AS n WHERE {enters}"
    if incoming.decided is not None:
        _stored(lake, warehouse, name, version, schema.names)
        sql.execute(
            "CREATE OR REPLACE TEMP TABLE before AS SELECT o.* FROM stored AS o JOIN incoming_ids USING (id)"
        )
        filled = _filled(incoming, schema)
        chosen = f"SELECT {filled} FROM incoming AS n LEFT JOIN before AS b ON b.id = n.id WHERE {enters}"
    _stored(lake, warehouse, name, version, schema.names)
    kept = f"SELECT {columns} FROM stored AS o WHERE {wins} OR ({stays})"
    rows = warehouse.stream(chosen, passes=incoming.passes, before=kept)
    return lake.rewrite(name, rows, schema, read_version=version, facts=facts)


def _with_provenance(incoming: Incoming, schema: pa.Schema) -> str:
    """Every column of the raw table; those that the export has not are null."""
    given = {
        "livemode": str(incoming.livemode).lower(),
        "version_at": f"TIMESTAMPTZ {literal(incoming.version_at.isoformat())}",
        "fetched_at": f"TIMESTAMPTZ {literal(incoming.fetched_at.isoformat())}",
        "source": "'export'",
    }
    constants = ", ".join(f"{value} AS {quoted(column)}" for column, value in given.items())
    blank = ", ".join(
        f"CAST(NULL AS {_SQL_TYPES[field.type]}) AS {quoted(field.name)}"
        for field in schema
        if field.name not in given
    )
    return f"""SELECT * REPLACE (coalesce(deleted, false) AS deleted) FROM (
        SELECT {blank}, {constants} WHERE false UNION ALL BY NAME SELECT *, {constants} FROM ({incoming.query}))"""


_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}


def _filled(incoming: Incoming, schema: pa.Schema) -> str:
    """The columns of a row whose export tells only some of them."""
    assert incoming.decided is not None
    told = incoming.decided | {"id", "livemode", "deleted", "fetched_at"}
    columns = []
    for column in schema.names:
        name = quoted(column)
        if column == "billing":
            told_here = {key: value for key, value in incoming.patched.items() if key in told}
            patch = ", ".join(f"{literal(key)}, {value}" for key, value in told_here.items())
            patched = f"CAST(json_merge_patch(b.{name}::JSON, json_object({patch})) AS VARCHAR)"
            columns.append(f"CASE WHEN b.{name} IS NULL THEN n.{name} ELSE {patched} END AS {name}")
        elif column in ("version_at", "source"):
            columns.append(f"CASE WHEN b.source <> 'export' THEN b.{name} ELSE n.{name} END AS {name}")
        elif column in told:
            columns.append(f"n.{name}")
        else:
            columns.append(f"coalesce(b.{name}, n.{name}) AS {name}")
    return ", ".join(columns)


def _fresher_owners(lake: Lake, warehouse: Warehouse, table: str, at: str) -> str:
    """A table of the owners whose stored version is newer than the export, or final."""
    warehouse.sql.execute("CREATE OR REPLACE TEMP TABLE fresher_owners (id VARCHAR)")
    name = lake_table(table)
    version = lake.version(name)
    if version is not None:
        _stored(lake, warehouse, name, version, ("id", "version_at", "deleted"))
        warehouse.sql.execute(
            f"INSERT INTO fresher_owners SELECT id FROM stored WHERE deleted OR version_at > {at}"
        )
    return "fresher_owners"


def _stored(lake: Lake, warehouse: Warehouse, name: str, version: int, columns: Iterable[str]) -> None:
    """Make the stored rows readable as `stored`, once."""
    warehouse.sql.register("stored", lake.stream(name, columns=list(columns), version=version))
