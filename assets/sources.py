"""What a derived table is made from: tables of the lake as the chosen engine reads them, and their versions.

Here: reading, and remembering which Delta version was read, for the provenance record. Not here: what is done with
the rows, and how an engine reads (`resources.engines`).
"""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from resources.engines import Engine, InParts
from segments.inputs import COLUMNS
from segments.tables import TIMESTAMP

if TYPE_CHECKING:
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

    def __call__(self, table: str, columns: pa.Schema | None = None) -> Any:
        """A table for a segment function, with the columns that segments read of it, or with those named.

        Raises: TableMissingError, EngineError.
        """
        version = self.versions[table] = self._lake.open(table).version()
        wanted = COLUMNS[table.split("/")[-1]] if columns is None else columns
        return self._engine.table(self._lake, table, wanted, version=version)

    def whole(self, table: str) -> pa.Table:
        """A table with all its columns, in memory, whatever the engine. Raises: TableMissingError."""
        version = self.versions[table] = self._lake.open(table).version()
        return self._lake.read(table, version=version)

    def before(self, table: str) -> pa.Table | None:
        """The table as the last run left it; None before the first."""
        return self._lake.read(table) if self._lake.exists(table) else None

    def changed_since(self, table: str, made: str) -> frozenset[str] | None:
        """Ids of the rows in which a raw table, as read here, differs from the version that `made` was made from.

        None if that version is unknown or gone. Times would not do: an extraction that goes on where one failed
        commits rows that were read before the time for which the tables held meanwhile.
        """
        from deltalake.exceptions import DeltaError

        from resources.lake import LakeError

        then = self._lake.facts(made).get(f"read:{table}")
        if then is None:
            return None
        try:
            return _differing(self._lake, table, int(then), self.versions[table])
        except (LakeError, DeltaError, OSError, pa.ArrowException):
            return None


_VERSION: Final = pa.schema(
    {"id": pa.string(), "version_at": TIMESTAMP, "deleted": pa.bool_(), "fetched_at": TIMESTAMP}
)
"""What tells a row of a raw table from the same object's row before."""


def _differing(lake: "Lake", table: str, before: int, after: int | None) -> frozenset[str]:
    """Ids of rows that two versions do not share; files that they share are not opened."""
    files = [
        {file.path: file for file in lake.dataset(table, version=version).get_fragments()}
        for version in (before, after)
    ]
    shared = files[0].keys() & files[1].keys()
    old, new = (_version_rows(file for path, file in each.items() if path not in shared) for each in files)
    places = pc.index_in(new["id"], value_set=old["id"].combine_chunks())
    same = pc.is_valid(places)
    for name in _VERSION.names[1:]:
        same = pc.and_(same, pc.fill_null(pc.equal(new[name], old[name].take(places)), False))
    changed = new["id"].filter(pc.invert(same)).to_pylist()
    if len(places) - places.null_count < len(old):
        kept = pc.is_in(old["id"], value_set=new["id"].combine_chunks())
        changed += old["id"].filter(pc.invert(kept)).to_pylist()
    return frozenset(changed)


def _version_rows(files: Iterable[Any]) -> pa.Table:
    rows = [file.to_table(schema=_VERSION, columns=_VERSION.names).cast(_VERSION) for file in files]
    return pa.concat_tables([_VERSION.empty_table(), *rows])
