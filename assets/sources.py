"""What a derived table is made from: tables of the lake as the chosen engine reads them, and their versions.

Here: reading, and remembering which Delta version was read, for the provenance record. Not here: what is done with
the rows, and how an engine reads (`resources.engines`).
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from resources.engines import Engine, InParts
from segments.inputs import COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

    from ingest.position import Position
    from resources.lake import Lake
    from resources.state import State

__all__ = ["Sources"]


class Sources:
    """Reads tables of one lake for one derived table; `versions` tells what was read."""

    def __init__(self, lake: "Lake", state: "State", *, engine: Engine) -> None:
        self._lake, self._state, self._engine = lake, state, engine
        self.versions: dict[str, int | None] = {}

    @cached_property
    def position(self) -> "Position":
        """The account of the raw tables and the time up to which they hold. Raises: PositionError."""
        from ingest.position import position

        return position(self._state)

    @property
    def in_parts(self) -> InParts | None:
        """How the engine runs Python functions over partitions, if it does."""
        return self._engine.in_parts

    def __call__(self, table: str, columns: "pa.Schema | None" = None) -> Any:
        """A table for a segment function, with the columns that segments read of it, or with those named.

        Raises: TableMissingError, EngineError.
        """
        version = self.versions[table] = self._lake.open(table).version()
        wanted = COLUMNS[table.split("/")[-1]] if columns is None else columns
        return self._engine.table(self._lake, table, wanted, version=version)

    def whole(self, table: str) -> "pa.Table":
        """A table with all its columns, in memory, whatever the engine. Raises: TableMissingError."""
        version = self.versions[table] = self._lake.open(table).version()
        return self._lake.read(table, version=version)

    def before(self, table: str) -> "pa.Table | None":
        """The table as the last run left it; None before the first."""
        return self._lake.read(table) if self._lake.exists(table) else None

    def changed_since(self, table: str, earlier: "pa.Table | None") -> frozenset[str]:
        """Ids of rows of a raw table that were read at or after the time for which an earlier table holds."""
        import pyarrow.compute as pc

        if earlier is None or not earlier.num_rows:
            return frozenset()
        since = earlier["as_of"][0]
        rows = self._lake.read(table, columns=["id", "fetched_at"])
        fresh = rows.filter(pc.greater_equal(rows["fetched_at"], since))
        return frozenset(fresh["id"].to_pylist())
