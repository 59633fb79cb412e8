"""Raw tables for tests: rows by the columns that matter, everything else as a plain live object would have it."""

from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.tables import RAW_TABLES
from segments.tables import SEGMENT_TABLES

AS_OF = datetime(2026, 5, 15, tzinfo=UTC)
ENGINES = ("pandas", "duckdb")


def at(text: str) -> datetime:
    """A time in UTC, "2026-01-31" or "2026-01-31T10:00"."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def raw(table: str, *rows: dict[str, Any]) -> pa.Table:
    """Rows of a raw table; ids are numbered where a row has none."""
    return _fill(
        RAW_TABLES[table],
        [
            {
                "id": f"{table}_{number}",
                "created": at("2025-01-01"),
                "livemode": False,
                "deleted": False,
                "version_at": AS_OF,
                "fetched_at": AS_OF,
                "source": "api",
                **row,
            }
            for number, row in enumerate(rows)
        ],
    )


def segment(table: str, *rows: dict[str, Any]) -> pa.Table:
    """Rows of a segment table."""
    return _fill(SEGMENT_TABLES[table], [{"as_of": AS_OF, "reporting_currency": "usd", **row} for row in rows])


def _fill(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    for row in rows:
        unknown = set(row) - set(schema.names) - {"as_of", "reporting_currency"}
        assert not unknown, f"no such column: {unknown}"
    return pa.table({field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in schema})


def on(engine: str, **tables: Any) -> dict[str, Any]:
    """The tables as sources of an engine; DuckDB with a connection that is not in UTC."""
    if engine == "pandas":
        return tables
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'")
    return {
        name: connection.from_arrow(table) if isinstance(table, pa.Table) else table
        for name, table in tables.items()
    }


def assert_same(left: pa.Table, right: pa.Table, name: str) -> None:
    """Equal in every column. Rates may differ in the last bit, as engines add in another order; nothing else
    may."""
    assert left.num_rows == right.num_rows, name
    for column in left.column_names:
        one, other = left[column], right[column]
        assert one.equals(other) or _nearly(one, other), f"{name}.{column}"


def _nearly(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(one.type) or not one.is_null().equals(other.is_null()):
        return False
    return bool(np.allclose(one.drop_null().to_numpy(), other.drop_null().to_numpy(), rtol=1e-12, atol=0))


def by_key(table: pa.Table, *key: str) -> dict[Any, dict[str, Any]]:
    """Rows by key; a key of one column is its value."""
    rows = table.to_pylist()
    return {row[key[0]] if len(key) == 1 else tuple(row[name] for name in key): row for row in rows}
