"""How a table is declared: one `pyarrow.Schema` that carries types, nullability, key and meaning.

Here: the two builders that keep a declaration one line a column. Not here: the tables themselves, which
live in the room that fills them (`ingest.tables`, `activation.tables`; `segments.tables` has builders of its
own, as that room imports nothing of the project). Arrow's schema is the form that Delta, DuckDB, pandas and
Dagster's column schema all derive from, so a column is written down once.
"""

from collections.abc import Iterable

import pyarrow as pa

__all__ = ["TIMESTAMP", "column", "description", "is_sensitive", "key_of", "table"]

TIMESTAMP = pa.timestamp("us", tz="UTC")


def column(
    name: str, type_: pa.DataType, about: str, *, required: bool = False, sensitive: bool = False
) -> pa.Field:
    """One column: `required` means never null; `sensitive` marks what must not be shown in metadata."""
    return pa.field(
        name,
        type_,
        nullable=not required,
        metadata={"description": about, "sensitive": str(sensitive).lower()},
    )


def table(about: str, columns: Iterable[pa.Field], *, key: tuple[str, ...]) -> pa.Schema:
    """A table: one sentence about it, its columns, and the columns that identify a row."""
    return pa.schema(list(columns), metadata={"description": about, "key": ",".join(key)})


def key_of(schema: pa.Schema) -> tuple[str, ...]:
    """The columns that identify a row of the table."""
    return tuple(schema.metadata[b"key"].decode().split(","))


def description(declared: pa.Schema | pa.Field) -> str:
    """The sentence that a table or a column was declared with."""
    return str(declared.metadata[b"description"].decode())


def is_sensitive(field: pa.Field) -> bool:
    """Whether a column may never be shown row by row."""
    return bool(field.metadata[b"sensitive"] == b"true")
