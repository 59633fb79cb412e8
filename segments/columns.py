"""How the columns and tables of the segments are declared: builders of Arrow fields and schemas.

Here: the builders. Not here: any table (`segments.tables`).
"""

from collections.abc import Iterable

import pyarrow as pa

__all__ = ["TIMESTAMP", "column", "table"]

TIMESTAMP = pa.timestamp("us", tz="UTC")


def column(
    name: str, type_: pa.DataType, about: str, *, required: bool = False, sensitive: bool = False
) -> pa.Field:
    """A column with its meaning; `required` ones are never null, `sensitive` ones name somebody."""
    metadata = {"description": about, "sensitive": str(sensitive).lower()}
    return pa.field(name, type_, nullable=not required, metadata=metadata)


def table(about: str, columns: Iterable[pa.Field], *, key: tuple[str, ...]) -> pa.Schema:
    """A table with its meaning and the columns that identify a row."""
    return pa.schema(list(columns), metadata={"description": about, "key": ",".join(key)})
