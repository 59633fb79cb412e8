"""The files of a delivery as SQL views: read piece by piece, every value typed, what cannot be read set aside.

DuckDB streams Parquet and CSV files within a memory bound and spills joins to disk, so an export may be larger
than memory. For each source table there are views: `<name>` with the good rows, one per id, `<name>__bad` with
those that cannot be read, as far as they can, and `<name>__all` with every row, a `_bad` reason and the raw row
for its hash. Not here: which columns are read
(`pipeline`, `dashboard`), and what the views become (`load`).
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import duckdb
import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from ingest.exports.columns import SQL_TYPES, Read, Readable, literal, quoted
from ingest.exports.listing import FileEntry

__all__ = ["SourceTable", "UnreadableError", "Warehouse"]

_BATCH_ROWS = 65_536
# A damaged file may show as any error of the library; these show that the query or the machine is at fault.
_OUR_FAULT = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.OutOfMemoryException)


class UnreadableError(ValueError):
    """Files that cannot be read as what they should be; the message names the first of them and why."""


@dataclass(frozen=True, slots=True)
class SourceTable:
    """What was found in the files of a table: rows, rows set aside, and the columns that were there."""

    name: str
    rows: int
    bad: int
    columns: frozenset[str]


class Warehouse:
    """One delivery, opened; a context manager that leaves no file behind.

    `memory` is DuckDB's bound in its own notation, threads are its own too.
    """

    def __init__(
        self,
        uri: str,
        *,
        variables: Mapping[str, bool | str | None],
        exponents: Mapping[str, int],
        memory: str = "512MB",
        threads: int = 2,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._filesystem, self._root = fsspec.core.url_to_fs(uri, **dict(storage_options or {}))
        self._exponents = exponents
        self.damage: UnreadableError | None = None
        self._spill = Path(tempfile.mkdtemp(prefix="exports-"))
        self.sql = duckdb.connect()
        self.sql.execute(f"SET memory_limit = {literal(memory)}")
        self.sql.execute(f"SET threads = {threads}")
        self.sql.execute(f"SET temp_directory = {literal(str(self._spill))}")
        self.sql.execute("SET preserve_insertion_order = false")
        self.sql.execute("SET enable_progress_bar = false")
        self.sql.execute("SET TimeZone = 'UTC'")
        for name, value in variables.items():
            given = literal(value) if isinstance(value, str) else "NULL" if value is None else str(value).lower()
            self.sql.execute(f"SET VARIABLE {name} = {given}")
        if not isinstance(self._filesystem, LocalFileSystem):
            self.sql.register_filesystem(self._filesystem)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sql.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def add(
        self,
        name: str,
        files: Sequence[FileEntry],
        fields: Mapping[str, Read],
        *,
        form: Literal["parquet", "csv"],
        one_per_id: bool,
    ) -> SourceTable:
        """Make the views of a table from its files; without files they are empty.

        `one_per_id` says that `id` names a row: a second one is set aside. Raises: UnreadableError.
        """
        if not files:
            empty = ", ".join(
                f"CAST(NULL AS {SQL_TYPES[read.kind]}) AS {quoted(key)}" for key, read in fields.items()
            )
            self._view(name, f"SELECT {empty} WHERE false")
            self._view(f"{name}__bad", f"SELECT * FROM {name}")
            return SourceTable(name, 0, 0, frozenset())
        source = self._scan([self._address(file) for file in files], form)
        try:
            described = self.sql.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()
            present = {column.lower(): (column, str(type_)) for column, type_, *_ in described}
            if fields["id"].find(present) is None:
                raise UnreadableError(f"{files[0].path} has no column {' or '.join(fields['id'].names)}")
            readable = {key: read.sql(present, exponents=self._exponents) for key, read in fields.items()}
            self._view(f"{name}__all", f"SELECT {self._columns(readable)} FROM {source}")
            rows, bad = self._mark(name, one_per_id=one_per_id)
        except _OUR_FAULT:
            raise
        except duckdb.Error as error:
            raise UnreadableError(self._culprit(files, form, error)) from error
        there = frozenset(key for key, one in readable.items() if one.source is not None)
        return SourceTable(name, rows, bad, there)

    def bad_rows(self, name: str, *, at_most: int) -> list[tuple[str | None, str, str]]:
        """Id, reason and SHA-256 of rows that were set aside."""
        query = f"""SELECT id, _bad, sha256(CAST(_raw AS VARCHAR)) FROM {name}__all WHERE _bad IS NOT NULL
            UNION ALL SELECT id, 'id occurs more than once', sha256(CAST(_raw AS VARCHAR))
            FROM ({self._repeated(name)} > 1) LIMIT {at_most}"""
        return self.sql.sql(query).fetchall()

    def stream(self, query: str, *, passes: int = 1, before: str | None = None) -> pa.RecordBatchReader:
        """The rows of `before`, which reads what is stored, then those of `query`, batch by batch.

        The query is run `passes` times, with the variables `pass` (from 0) and `passes` set, by which it takes its
        share of the rows: lists are put together in memory, so a query that makes them must be cut in pieces.
        Raises: UnreadableError, also while it is read, where a consumer may turn it into an error of its own;
        `damage` then has it.
        """
        self.damage = None
        first = self._open(query if before is None else before, 0, passes)
        batches = self._watched(first, query, passes, is_stored=before is not None)
        return pa.RecordBatchReader.from_batches(first.schema, batches)

    def _open(self, query: str, number: int, passes: int) -> pa.RecordBatchReader:
        self.sql.execute(f"SET VARIABLE passes = {passes}")
        self.sql.execute(f"SET VARIABLE pass = {number}")
        try:
            return self.sql.sql(query).to_arrow_reader(_BATCH_ROWS)
        except _OUR_FAULT:
            raise
        except duckdb.Error as error:
            raise UnreadableError(type(error).__name__) from error

    def _watched(
        self, first: pa.RecordBatchReader, query: str, passes: int, *, is_stored: bool
    ) -> Iterator[pa.RecordBatch]:
        """A connection has one open result, so each is drained before the next is asked for."""
        if is_stored:
            yield from first
        try:
            if not is_stored:
                yield from first
            for number in range(0 if is_stored else 1, passes):
                yield from self._open(query, number, passes)
        except _OUR_FAULT:
            raise
        except UnreadableError as error:
            self.damage = error
            raise
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            self.damage = UnreadableError(type(error).__name__)
            raise self.damage from error

    def _mark(self, name: str, *, one_per_id: bool) -> tuple[int, int]:
        """Make the view of good rows; returns all rows and those set aside."""
        rows, bad, ids = self.sql.sql(
            f"""SELECT count(*), count(*) FILTER (_bad IS NOT NULL),
                count(DISTINCT hash(id)) FILTER (_bad IS NULL) FROM {name}__all"""
        ).fetchall()[0]
        self.sql.execute(f"CREATE TEMP TABLE {name}__twice (id VARCHAR)")
        # Where nothing is bad, no row has to be looked at for it again.
        is_good, is_bad = ("_bad IS NULL", "_bad IS NOT NULL") if bad else ("true", "false")
        good = f"SELECT * FROM {name}__all WHERE {is_good}"
        if one_per_id and ids < rows - bad:
            self.sql.execute(f"INSERT INTO {name}__twice SELECT id FROM ({good}) GROUP BY id HAVING count(*) > 1")
            bad += self.sql.sql(f"SELECT count(*) FROM ({self._repeated(name)} > 1)").fetchall()[0][0]
            good += f" AND id NOT IN (SELECT id FROM {name}__twice) UNION ALL {self._repeated(name)} = 1"
        self._view(name, f"SELECT * EXCLUDE (_bad, _raw) FROM ({good})")
        self._view(f"{name}__bad", f"SELECT * EXCLUDE (_bad, _raw) FROM {name}__all WHERE {is_bad}")
        return rows, bad

    @staticmethod
    def _repeated(name: str) -> str:
        """Rows whose id occurs more than once, to be told by their place; the order is the same each time."""
        return f"""SELECT * FROM {name}__all WHERE _bad IS NULL AND id IN (SELECT id FROM {name}__twice)
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY CAST(_raw AS VARCHAR))"""

    @staticmethod
    def _columns(readable: Mapping[str, Readable]) -> str:
        """The typed columns, what is wrong with the row, and the row as it was read."""
        typed = [f"{one.value} AS {quoted(key)}" for key, one in readable.items()]
        wrong = [f"WHEN ({readable['id'].value}) IS NULL THEN 'id is missing'"]
        wrong += [
            f"WHEN {one.failed} THEN {literal(f'{key} cannot be read')}"
            for key, one in readable.items()
            if one.failed is not None
        ]
        raw = ", ".join(sorted({f"{one.source} := {one.source}" for one in readable.values() if one.source}))
        return ", ".join([*typed, f"CASE {' '.join(wrong)} END AS _bad", f"to_json(struct_pack({raw})) AS _raw"])

    def _address(self, file: FileEntry) -> str:
        path = f"{self._root.rstrip('/')}/{file.path}"
        return path if isinstance(self._filesystem, LocalFileSystem) else self._filesystem.unstrip_protocol(path)

    @staticmethod
    def _scan(addresses: Sequence[str], form: Literal["parquet", "csv"]) -> str:
        listed = "[" + ", ".join(literal(address) for address in addresses) + "]"
        if form == "parquet":
            return f"read_parquet({listed}, union_by_name = true, hive_partitioning = false)"
        # Every value is read as text, so that no guess at a type loses a digit; a ragged line is an error.
        return f"read_csv({listed}, all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"')"

    def _culprit(self, files: Sequence[FileEntry], form: Literal["parquet", "csv"], error: duckdb.Error) -> str:
        """Which file it is, found by opening each alone. Kept short: the library's text may quote the content."""
        for file in files:
            try:
                self.sql.sql(f"SELECT count(*) FROM {self._scan([self._address(file)], form)}").fetchall()
            except duckdb.Error as own:
                return f"{file.path} is not readable as {form}: {type(own).__name__}"
        return (
            f"{files[0].path} and its {len(files) - 1} neighbours cannot be read together: {type(error).__name__}"
        )

    def _view(self, name: str, query: str) -> None:
        self.sql.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {query}")
