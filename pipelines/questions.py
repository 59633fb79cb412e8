"""Small questions in SQL to single tables of the lake, for pages that people read.

Here: asking, with each table read once. Not here: what is asked (`pipelines.summary`, `pipelines.report`).
"""

from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from pydantic import BaseModel

from resources.lake import Lake

__all__ = ["Questions"]

_LineT = TypeVar("_LineT", bound=BaseModel)


class Questions:
    """SQL over single tables of the lake; each is called `t`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._tables: dict[str, pa.Table] = {}

    def table(self, table: str) -> pa.Table:
        """The table itself. Raises: TableMissingError."""
        if table not in self._tables:
            self._tables[table] = self._lake.read(table)
        return self._tables[table]

    def one(self, table: str, sql: str, *parameters: Any) -> tuple[Any, ...]:
        """The first row of the answer. Raises: TableMissingError."""
        return self._ask(table, sql, parameters)[1][0]

    def rows(self, line: type[_LineT], table: str, sql: str, *parameters: Any) -> list[_LineT]:
        """Each row of the answer as a `line`, by column names. Raises: TableMissingError."""
        names, found = self._ask(table, sql, parameters)
        return [line.model_validate(dict(zip(names, row, strict=True))) for row in found]

    def _ask(self, table: str, sql: str, parameters: tuple[Any, ...]) -> tuple[list[str], list[tuple[Any, ...]]]:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("t", self.table(table))
            answer = connection.execute(sql, list(parameters))
            return [column[0] for column in answer.description or ()], answer.fetchall()
