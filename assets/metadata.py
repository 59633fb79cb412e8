"""What Dagster shows about a table: column schema, row counts, small inline charts.

Here: metadata values made from declared schemas and small results. Not here: numbers of single customers, ids or
texts that came from outside; metadata stays in the event log for ever. Markdown is shown inline only below
1,000 characters, which bounds the charts.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape

import dagster as dg
import pyarrow as pa

from resources.schema import description, is_sensitive, key_of

__all__ = ["bar_chart", "column_schema", "counted", "definition_metadata"]

_INLINE_LIMIT = 1_000
_BAR_WIDTH, _BAR_HEIGHT, _ROW = 160, 11, 14


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """The declared columns in the form of Dagster's column view."""
    key = key_of(schema)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=field.name,
                type=str(field.type),
                description=description(field),
                constraints=dg.TableColumnConstraints(nullable=field.nullable, unique=key == (field.name,)),
                tags={"sensitive": ""} if is_sensitive(field) else None,
            )
            for field in schema
        ]
    )


def definition_metadata(table: str, schema: pa.Schema) -> dict[str, object]:
    """Metadata known before any run: where the table lies and its columns."""
    return {"dagster/table_name": table, "dagster/column_schema": column_schema(schema)}


def counted(table: pa.Table, column: str) -> dict[str, int]:
    """Rows by the values of a column of ours."""
    return {str(entry["values"]): entry["counts"] for entry in table[column].value_counts().to_pylist()}


def bar_chart(values: Mapping[str, int | float]) -> dg.MarkdownMetadataValue | None:
    """Horizontal bars, largest first, as an inline picture; None when there is nothing to show.

    Labels are our own words (tiers, states, countries, reasons). Bars are left out from the smallest up until
    the picture fits the inline limit.
    """
    rows = sorted(values.items(), key=lambda item: -item[1])
    while rows:
        markdown = _svg_markdown(rows)
        if len(markdown) < _INLINE_LIMIT:
            return dg.MetadataValue.md(markdown)
        rows = rows[:-1]
    return None


def _svg_markdown(rows: Sequence[tuple[str, int | float]]) -> str:
    largest = max((value for _, value in rows), default=0) or 1
    shapes = "".join(
        f'<rect x="90" y="{i * _ROW}" height="{_BAR_HEIGHT}" width="{_bar(value, largest)}"/>'
        f'<text x="86" y="{i * _ROW + 9}" text-anchor="end">{escape(label)}</text>'
        for i, (label, value) in enumerate(rows)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="260" height="{len(rows) * _ROW}" font-size="10" '
        f'fill="#5b7fff">{shapes}</svg>'
    )
    return f"![chart](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _bar(value: int | float, largest: int | float) -> int:
    return max(1, round(_BAR_WIDTH * value / largest))
