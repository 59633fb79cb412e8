"""How fresh the report's tables are and what each was made from.

Here: Delta versions and commit records. Not here: what is in the tables.
"""

from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel

from activation.tables import MAVERA_TABLES
from ingest.tables import RAW_TABLES
from resources.lake import Lake
from segments.tables import SEGMENT_TABLES

__all__ = ["ALL_TABLES", "TableFacts", "table_facts"]

ALL_TABLES: Final = (
    *(f"stripe/{name}" for name in (*RAW_TABLES, "quarantine")),
    *(f"segments/{name}" for name in SEGMENT_TABLES),
    *(f"mavera/{name}" for name in MAVERA_TABLES),
)
_READ: Final = "read:"


class TableFacts(BaseModel):
    """A table: its newest version, when that was written, its rows, and the versions it was made from."""

    table: str
    version: int | None = None
    written_at: datetime | None = None
    rows: int | None = None
    made_from: dict[str, str] = {}


def table_facts(lake: Lake) -> list[TableFacts]:
    """Every table of the product, those that do not exist without a version."""
    return [_facts(lake, table) for table in ALL_TABLES]


def _facts(lake: Lake, table: str) -> TableFacts:
    if not lake.exists(table):
        return TableFacts(table=table)
    stored = lake.open(table)
    (commit,) = stored.history(1)
    return TableFacts(
        table=table,
        version=stored.version(),
        written_at=datetime.fromtimestamp(commit["timestamp"] / 1000, UTC) if "timestamp" in commit else None,
        rows=lake.row_count(table),
        made_from={
            name.removeprefix(_READ): str(value)
            for name, value in sorted(commit.items())
            if name.startswith(_READ)
        },
    )
