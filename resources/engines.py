"""What reads tables of the lake for the segment functions: pandas, DuckDB or Apache Spark, behind one interface.

Here: one class an engine, each of which hands over a table at a version of its Delta log, and the choice between
them. Not here: which tables and columns (the caller says), any rule, and the session of Spark (`resources.spark`).
Narwhals makes the frames of all three look alike, so that nothing behind this door knows which one runs.
"""

import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pyarrow as pa

from resources.lake import beyond_files

if TYPE_CHECKING:
    import pyarrow.dataset as pads
    from deltalake import DeltaTable

    from resources.lake import Lake
    from resources.spark import SparkChoices

__all__ = [
    "DuckDbEngine",
    "Engine",
    "EngineError",
    "EngineName",
    "InParts",
    "PandasEngine",
    "check_engine",
    "open_engine",
]

EngineName = Literal["pandas", "duckdb", "pyspark"]


class EngineError(RuntimeError):
    """The chosen engine cannot run, or cannot read a table; the message says what to install or to change."""


class InParts(Protocol):
    """Calls a function for parts of two frames, wherever they are, and gives all its rows as one table.

    A part holds every row of both frames that have the same key. The function gets an Arrow table of each and
    returns one of `schema`; it runs in other processes, so it must be importable there.
    """

    def __call__(
        self,
        function: Callable[[pa.Table, pa.Table], pa.Table],
        left: Any,
        right: Any,
        *,
        keys: tuple[str, str],
        parts: int,
        schema: pa.Schema,
    ) -> pa.Table: ...


class Engine(Protocol):
    """An engine that can read the lake."""

    @property
    def in_parts(self) -> InParts | None:
        """How Python functions run over partitions; None where everything runs in one process anyway."""

    def table(self, lake: "Lake", table: str, schema: pa.Schema, *, version: int) -> Any:
        """The columns of `schema` of a table at a version, as a source of Narwhals frames.

        Raises: EngineError, TableMissingError, LakeError.
        """


class PandasEngine:
    """Arrow tables in memory, which segment functions bring to pandas."""

    in_parts: InParts | None = None

    def table(self, lake: "Lake", table: str, schema: pa.Schema, *, version: int) -> pa.Table:
        """See `Engine`."""
        return lake.read(table, columns=schema.names, version=version)


class DuckDbEngine:
    """Lazy relations over the files of the lake, on one connection: for more rows than memory holds."""

    in_parts: InParts | None = None

    def __init__(self, *, memory_limit: str | None = None) -> None:
        """`memory_limit` as DuckDB writes it, such as 4GB; by default four fifths of the machine or container."""
        self._memory_limit = memory_limit
        self._spill = tempfile.TemporaryDirectory(prefix="stripe-mavera-duckdb-")
        self._connection: Any = None
        self._copies = 0

    def table(self, lake: "Lake", table: str, schema: pa.Schema, *, version: int) -> Any:
        """See `Engine`."""
        import duckdb

        if self._connection is None:
            place = f"{self._spill.name}/tables.duckdb"
            self._connection = duckdb.connect(place, config={"memory_limit": self._memory_limit or "80%"})
            # Every result is sorted by its key in the end, so no step needs to keep an order.
            self._connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        stored = lake.open(table, version=version)
        files = _local_files(stored)
        if not files:
            return self._copied(lake.dataset(table, version=version), schema)
        relation = self._connection.read_parquet(files, union_by_name=True)
        declared = self._connection.from_arrow(schema.empty_table())
        # Files from before a column was added do not have it.
        later = {field.name for field in stored.schema().fields} - set(relation.columns)
        columns = [
            f'CAST(NULL AS {kind}) AS "{name}"' if name in later else f'CAST("{name}" AS {kind}) AS "{name}"'
            for name, kind in zip(declared.columns, declared.types, strict=True)
        ]
        return relation.select(", ".join(columns))

    def _copied(self, dataset: "pads.Dataset", schema: pa.Schema) -> Any:
        """The columns in a table on this machine's disk, so that a bucket is read once.

        DuckDB does not know how many rows an Arrow dataset has, and may hold the large side of a join in memory.
        """
        self._copies += 1
        columns = ", ".join(f'"{name}"' for name in schema.names)
        self._connection.from_arrow(dataset).select(columns).create(f"copy_{self._copies}")
        return self._connection.table(f"copy_{self._copies}")


def _local_files(table: "DeltaTable") -> list[str]:
    """The Parquet files of a table on this machine, if they alone are the table; DuckDB reads them best itself."""
    local = "://" not in table.table_uri or table.table_uri.startswith("file://")
    return table.file_uris() if local and not beyond_files(table) else []


def check_engine(name: EngineName, *, spark: "SparkChoices | None" = None) -> None:
    """Refuse an engine that this machine cannot run, before any work is done for it. Raises: EngineError."""
    if name == "pyspark":
        from resources.spark import SparkChoices, check

        check(spark or SparkChoices())


def open_engine(name: EngineName, *, spark: "SparkChoices | None" = None) -> Engine:
    """The engine of a name. Raises: EngineError."""
    if name == "pandas":
        return PandasEngine()
    if name == "duckdb":
        return DuckDbEngine()
    from resources.spark import SparkChoices, SparkEngine

    return SparkEngine(spark or SparkChoices())
