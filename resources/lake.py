"""The lake: Delta tables under one URI, a folder by default and a bucket in production.

Here: reading, replacing, appending and merging whole tables, each write one atomic Delta commit. Not here: what
the tables mean (their schemas come from the rooms) and any computation on them. A table that does not exist is
an error of its own kind, so that a failed read is never taken for an empty table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import CommitProperties, DeltaTable, QueryBuilder, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from resources.schema import description, key_of

__all__ = ["Lake", "LakeConflictError", "LakeError", "TableMissingError", "beyond_files"]

_COMMIT_ATTEMPTS = 8
_LEAVES = "leaves_the_table"
# Bounds what a stream of rows holds in memory while it is written.
_ROWS_PER_GROUP = 131_072
# Reader features under which the Parquet files alone still are the table.
_HARMLESS = {"timestampNtz", "vacuumProtocolCheck", "v2Checkpoint"}


class LakeError(RuntimeError):
    """A table could not be read or written; the message names the table and the remedy."""


class LakeConflictError(LakeError):
    """Another writer changed the table in the meantime; computing the write again is safe."""


class TableMissingError(LakeError):
    """The table has never been written."""


def beyond_files(table: DeltaTable) -> set[str]:
    """Features by which the Parquet files of a table alone are not the table; none in what this lake writes."""
    about = table.metadata()
    features = set(table.protocol().reader_features or ()) - _HARMLESS
    if about.configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    if about.partition_columns:
        features.add("partition columns")
    return features


class Lake:
    """Delta tables at `<uri>/<table>`, for example `<uri>/stripe/charges`.

    `storage_options` are those of delta-rs and are needed for buckets only.
    """

    def __init__(self, uri: str, *, storage_options: Mapping[str, str] | None = None) -> None:
        self.uri = uri.rstrip("/")
        self._options = dict(storage_options or {}) or None

    def __repr__(self) -> str:
        return f"Lake({self.uri!r})"

    def path(self, table: str) -> str:
        """Where a table lies."""
        return f"{self.uri}/{table}"

    def open(self, table: str, *, version: int | None = None) -> DeltaTable:
        """The Delta table itself, at a version if one is named.

        Raises: TableMissingError, LakeError.
        """
        try:
            return DeltaTable(self.path(table), version=version, storage_options=self._options)
        except TableNotFoundError as error:
            raise TableMissingError(f"{table} is not in {self.uri}: materialise it first") from error
        except (DeltaError, OSError) as error:
            raise LakeError(f"{table} cannot be read from {self.uri}: {error}") from error

    def exists(self, table: str) -> bool:
        """Whether the table has been written."""
        return self.version(table) is not None

    def version(self, table: str) -> int | None:
        """Newest version of the table, or None when it has never been written."""
        try:
            return self.open(table).version()
        except TableMissingError:
            return None

    def dataset(self, table: str, *, version: int | None = None) -> pads.Dataset:
        """The table as an Arrow dataset, for engines that read it piece by piece.

        Files that a merge wrote keep texts in an Arrow type that dataset filters refuse: filter the batches.
        """
        return self.open(table, version=version).to_pyarrow_dataset()

    def stream(
        self, table: str, *, columns: Sequence[str] | None = None, version: int | None = None
    ) -> pa.RecordBatchReader:
        """The rows once, in small batches and with little read ahead: for tables larger than memory.

        Texts come in Arrow's view type. Raises: TableMissingError, LakeError.
        """
        names = ", ".join(f'"{name}"' for name in columns or ["*"]).replace('"*"', "*")
        try:
            found = QueryBuilder().register("stored", self.open(table, version=version))
            return pa.RecordBatchReader.from_stream(found.execute(f"SELECT {names} FROM stored"))
        except (DeltaError, OSError) as error:
            raise LakeError(f"{table} cannot be read from {self.uri}: {error}") from error

    def read(self, table: str, *, columns: Sequence[str] | None = None, version: int | None = None) -> pa.Table:
        """The table in memory.

        Raises: TableMissingError, LakeError.
        """
        try:
            return self.dataset(table, version=version).to_table(
                columns=None if columns is None else list(columns)
            )
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise LakeError(f"{table} cannot be read from {self.uri}: {error}") from error

    def facts(self, table: str) -> dict[str, str]:
        """What the newest commit was told to keep with it; nothing for a table that was never written."""
        try:
            newest = self.open(table).history(1)[0]
        except TableMissingError:
            return {}
        return {name: value for name, value in newest.items() if isinstance(value, str)}

    def read_or_empty(self, table: str, schema: pa.Schema) -> pa.Table:
        """The table, or no rows of `schema` when it was never written: for tables a first run has not got."""
        try:
            return self.read(table)
        except TableMissingError:
            return schema.empty_table()

    def replace(
        self, table: str, data: pa.Table, schema: pa.Schema, *, facts: Mapping[str, str] | None = None
    ) -> int:
        """Overwrite the table with `data`, cast to `schema`; readers see the old rows or the new, nothing between.

        `facts` are kept with the commit. Returns the new version. Raises: LakeError.
        """
        return self._write(table, data, schema, mode="overwrite", facts=facts)

    def append(
        self, table: str, data: pa.Table, schema: pa.Schema, *, facts: Mapping[str, str] | None = None
    ) -> int:
        """Add rows. Returns the new version. Raises: LakeError."""
        return self._write(table, data, schema, mode="append", facts=facts)

    def merge(
        self,
        table: str,
        data: pa.Table,
        schema: pa.Schema,
        *,
        newer: str | None = None,
        ties_replace: bool = False,
        gone: pa.Array | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> int:
        """Insert or update rows by the schema's key, in one commit.

        With `newer`, a column of times, a row replaces another only when it is later, or as late with
        `ties_replace`. `gone` holds values of a single-column key whose rows leave the table in the same commit.
        A commit that another writer has overtaken is tried again on the newer table. Returns the new version.
        Raises: LakeError.
        """
        rows = self._cast(table, data, schema)
        if not self.exists(table):
            return self.replace(table, rows, schema, facts=facts)
        columns = {name: f"new.{name}" for name in schema.names}
        same = " AND ".join(f"old.{name} = new.{name}" for name in key_of(schema))
        conditions = [] if newer is None else [f"new.{newer} {'>=' if ties_replace else '>'} old.{newer}"]
        leaves = None
        if gone is not None and len(gone):
            (key,) = key_of(schema)
            blank = pa.table({field.name: pa.nulls(len(gone), field.type) for field in schema})
            blank = blank.set_column(schema.get_field_index(key), key, pa.array(gone, schema.field(key).type))
            nullable = pa.schema([field.with_nullable(True) for field in schema])
            rows = pa.concat_tables([rows.cast(nullable), blank.cast(nullable)]).append_column(
                _LEAVES,
                pa.concat_arrays(
                    [pa.repeat(pa.scalar(left), n) for left, n in ((False, len(rows)), (True, len(gone)))]
                ),
            )
            leaves = f"new.{_LEAVES}"
            conditions.append(f"NOT {leaves}")
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                merger = self.open(table).merge(
                    rows,
                    predicate=same,
                    source_alias="new",
                    target_alias="old",
                    commit_properties=self._properties(facts),
                )
                if leaves is not None:
                    merger = merger.when_matched_delete(leaves)
                merger = merger.when_matched_update(columns, " AND ".join(conditions) or None)
                merger.when_not_matched_insert(columns, None if leaves is None else f"NOT {leaves}").execute()
                break
            except CommitFailedError as error:
                if attempt == _COMMIT_ATTEMPTS - 1:
                    raise LakeError(f"{table} is being written by others, run again: {error}") from error
            except (DeltaError, OSError) as error:
                raise LakeError(f"{table} cannot be written to {self.uri}: {error}") from error
        version = self.version(table)
        assert version is not None
        return version

    def row_count(self, table: str) -> int:
        """Rows of the table, from the log alone; 0 when it has never been written."""
        try:
            actions = pa.table(self.open(table).get_add_actions(flatten=True))
        except TableMissingError:
            return 0
        return int(sum(count or 0 for count in actions.column("num_records").to_pylist()))

    def find(
        self,
        table: str,
        key: str,
        values: pa.Array | Sequence[str],
        schema: pa.Schema,
        columns: Sequence[str] = (),
    ) -> pa.Table:
        """The rows whose `key` is among `values`, all columns or some; none when the table was never written.

        Only files that hold such a row are read beyond their key.
        """
        names = list(columns or schema.names)
        fields = pa.schema([schema.field(name) for name in names])
        wanted = values if isinstance(values, pa.Array) else pa.array(values, schema.field(key).type)
        if not len(wanted) or not self.exists(table):
            return fields.empty_table()
        found = []
        for fragment in self.dataset(table).get_fragments():
            keys = fragment.to_table(schema=pa.schema([schema.field(key)]), columns=[key]).column(key)
            places = pc.indices_nonzero(pc.is_in(keys, value_set=wanted))
            if len(places):
                found.append(fragment.to_table(schema=schema, columns=names).take(places))
        return pa.concat_tables([fields.empty_table(), *(part.select(names).cast(fields) for part in found)])

    def rewrite(
        self,
        table: str,
        rows: pa.RecordBatchReader,
        schema: pa.Schema,
        *,
        read_version: int | None,
        facts: Mapping[str, str] | None = None,
    ) -> int:
        """Replace the table by a stream of rows that was computed from its version `read_version`.

        None says that it was not there. For more rows than memory; nothing is kept of a stream that fails. Returns
        the new version. Raises: LakeConflictError if the table was changed meanwhile, LakeError.
        """
        if "://" not in self.uri:
            Path(self.path(table)).mkdir(parents=True, exist_ok=True)
        target = self.path(table) if read_version is None else self.open(table, version=read_version)
        try:
            write_deltalake(
                target,
                self._cast_stream(table, rows, schema),
                mode="error" if read_version is None else "overwrite",
                name=table,
                description=description(schema),
                storage_options=self._options,
                # Without a second try, any commit of another writer in between is a conflict, appends included.
                commit_properties=CommitProperties(custom_metadata=dict(facts or {}), max_commit_retries=0),
                # Properties of our own take the place of all defaults, compression among them.
                writer_properties=WriterProperties(compression="SNAPPY", max_row_group_size=_ROWS_PER_GROUP),
            )
        except CommitFailedError as error:
            raise LakeConflictError(f"{table} was changed while it was rewritten: compute it again") from error
        except (DeltaError, OSError) as error:
            if read_version is None and self.exists(table):
                raise LakeConflictError(f"{table} was created while it was written: compute it again") from error
            reason = str(error).partition(" Detail:")[0]  # what follows is the stream's traceback
            raise LakeError(f"{table} cannot be written to {self.uri}: {reason}") from error
        return 0 if read_version is None else read_version + 1

    @classmethod
    def _cast_stream(cls, table: str, rows: pa.RecordBatchReader, schema: pa.Schema) -> pa.RecordBatchReader:
        """The stream in the declared columns and types, checked batch by batch while it is written."""
        cast = (
            batch
            for source in rows
            for batch in cls._cast(table, pa.Table.from_batches([source]), schema).to_batches()
        )
        return pa.RecordBatchReader.from_batches(schema, cast)

    def _write(
        self, table: str, data: pa.Table, schema: pa.Schema, *, mode: Any, facts: Mapping[str, str] | None
    ) -> int:
        rows = self._cast(table, data, schema)
        if "://" not in self.uri:
            Path(self.path(table)).mkdir(parents=True, exist_ok=True)
        try:
            write_deltalake(
                self.path(table),
                rows,
                mode=mode,
                schema_mode="overwrite" if mode == "overwrite" else "merge",
                name=table,
                description=description(schema),
                storage_options=self._options,
                commit_properties=self._properties(facts),
            )
        except (DeltaError, OSError) as error:
            raise LakeError(f"{table} cannot be written to {self.uri}: {error}") from error
        version = self.version(table)
        assert version is not None
        return version

    @staticmethod
    def _cast(table: str, data: pa.Table, schema: pa.Schema) -> pa.Table:
        """Columns in the declared order and types; a null where none may be is refused before the write."""
        try:
            rows = data.select(schema.names).cast(schema)
        except (KeyError, pa.ArrowInvalid, ValueError) as error:
            raise LakeError(f"{table} does not fit its declared schema: {error}") from error
        for field in schema:
            if not field.nullable and rows.column(field.name).null_count:
                raise LakeError(f"{table}.{field.name} holds nulls, which its declaration forbids")
        return rows

    @staticmethod
    def _properties(facts: Mapping[str, str] | None) -> CommitProperties | None:
        return None if facts is None else CommitProperties(custom_metadata=dict(facts))
