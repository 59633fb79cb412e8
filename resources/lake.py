"""The lake: Delta tables under one URI, a folder by default and a bucket in production.

Here: reading, replacing, appending and merging whole tables, each write one atomic Delta commit. Not here: what
the tables mean (their schemas come from the rooms) and any computation on them. A table that does not exist is
an error of its own kind, so that a failed read is never taken for an empty table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from resources.schema import description, key_of

__all__ = ["Lake", "LakeError", "TableMissingError"]


class LakeError(RuntimeError):
    """A table could not be read or written; the message names the table and the remedy."""


class TableMissingError(LakeError):
    """The table has never been written."""


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
        """The table as an Arrow dataset, for engines that read it piece by piece."""
        return self.open(table, version=version).to_pyarrow_dataset()

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
        facts: Mapping[str, str] | None = None,
    ) -> int:
        """Insert or update rows by the schema's key, in one commit.

        With `newer`, a column of times, a row replaces another only when it is later. Returns the new version.
        Raises: LakeError.
        """
        if not self.exists(table):
            return self.replace(table, data, schema, facts=facts)
        same = " AND ".join(f"old.{name} = new.{name}" for name in key_of(schema))
        condition = None if newer is None else f"new.{newer} > old.{newer}"
        try:
            merger = self.open(table).merge(
                self._cast(table, data, schema),
                predicate=same,
                source_alias="new",
                target_alias="old",
                commit_properties=self._properties(facts),
            )
            merger.when_matched_update_all(condition).when_not_matched_insert_all().execute()
        except (DeltaError, OSError) as error:
            raise LakeError(f"{table} cannot be written to {self.uri}: {error}") from error
        version = self.version(table)
        assert version is not None
        return version

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
