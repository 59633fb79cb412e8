"""What Dagster shows about a table: column schema, row counts, small inline charts.

Here: metadata values made from declared schemas and small results. Not here: numbers of single customers, ids or
texts that came from outside; metadata stays in the event log for ever. Markdown is shown inline only below
1,000 characters, which bounds the charts.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
import pyarrow as pa

from resources.schema import description, is_sensitive, key_of

if TYPE_CHECKING:
    from segments.movements import Waterfall

__all__ = [
    "bar_chart",
    "column_schema",
    "counted",
    "definition_metadata",
    "inline_svg",
    "line_chart",
    "summed",
    "waterfall_chart",
]

_INLINE_LIMIT = 1_000
_LABELS, _BAR_WIDTH, _BAR_HEIGHT, _ROW = 112, 146, 11, 14
_LINE_HEIGHT, _MOST_POINTS = 80, 24
# Middle tones, readable on the light and the dark page of Dagster's UI.
_FILLS = {"bar": "#5b7fff", "gain": "#2e9e6b", "loss": "#d9534f", "fx": "#8a94a6"}
_LINES = ("#5b7fff", "#1b9aa0", "#c58a1c", "#8a94a6")


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


def summed(table: pa.Table, by: str, value: str) -> dict[str, int]:
    """Sums of a column by the values of another of ours; what sums to nothing is left out."""
    sums = table.group_by(by).aggregate([(value, "sum")]).to_pylist()
    return {str(row[by]): row[f"{value}_sum"] for row in sums if row[f"{value}_sum"]}


def bar_chart(values: Mapping[str, int | float]) -> dg.MarkdownMetadataValue | None:
    """Horizontal bars, largest first, as an inline picture; None when there is nothing to show.

    Labels are our own words (tiers, states, countries, reasons). Bars are left out from the smallest up until
    the picture fits the inline limit.
    """
    rows = sorted(values.items(), key=lambda item: -item[1])
    while rows:
        largest = max(value for _, value in rows) or 1
        bars = [_Bar(name, "bar", 0, max(_BAR_WIDTH * value / largest, 1)) for name, value in rows]
        if (chart := _inline(_bars(bars), height=len(bars) * _ROW)) is not None:
            return chart
        rows = rows[:-1]
    return None


def waterfall_chart(fall: "Waterfall") -> dg.MarkdownMetadataValue | None:
    """Opening MRR, what moved it and closing MRR as an inline picture without numbers.

    The bars begin where half of their span lies below the lowest, so that the movements can be seen.
    """
    steps = [(name, amount) for name, amount in (*fall.movements.items(), ("fx", fall.fx)) if amount]
    spans, reached = [], fall.opening
    for name, amount in steps:
        colour = "fx" if name == "fx" else "gain" if amount > 0 else "loss"
        spans.append((name, colour, min(reached, reached + amount), max(reached, reached + amount)))
        reached += amount
    ends = [fall.opening, fall.closing, *(end for *_, begin, last in spans for end in (begin, last))]
    floor = max(min(ends) - (max(ends) - min(ends)) / 2, 0)
    if max(ends) <= floor:
        return None
    scale = _BAR_WIDTH / (max(ends) - floor)
    whole = [("opening", "bar", floor, fall.opening), *spans, ("closing", "bar", floor, fall.closing)]
    bars = [
        _Bar(name, colour, (begin - floor) * scale, max((end - begin) * scale, 1))
        for name, colour, begin, end in whole
    ]
    return _inline(_bars(bars), height=len(bars) * _ROW)


def line_chart(series: Mapping[str, Sequence[int]]) -> dg.MarkdownMetadataValue | None:
    """A line for each name over equally spaced points, as an inline picture; None with fewer than two points.

    Points are thinned out evenly, the first and the last kept, until the picture fits the inline limit.
    """
    length = max((len(values) for values in series.values()), default=0)
    largest = max((value for values in series.values() for value in values), default=0)
    for points in range(min(length, _MOST_POINTS), 1, -1) if largest > 0 else ():
        places = [round(number * (length - 1) / (points - 1)) for number in range(points)]
        shapes = ""
        for (name, values), colour in zip(series.items(), _LINES, strict=False):
            heights = [_LINE_HEIGHT - round(_LINE_HEIGHT * values[place] / largest) + 6 for place in places]
            path = " ".join(f"{round(170 * n / (points - 1))} {y}" for n, y in enumerate(heights))
            shapes += (
                f'<path stroke="{colour}" d="M{path}"/>'
                f'<text x="175" y="{heights[-1] + 3}" fill="{colour}">{escape(name)}</text>'
            )
        picture = f'<g fill="none" stroke-width="2">{shapes}</g>'
        if (chart := _inline(picture, height=_LINE_HEIGHT + 12)) is not None:
            return chart
    return None


class _Bar(NamedTuple):
    label: str
    colour: str
    begin: float
    length: float


def _bars(bars: Sequence[_Bar]) -> str:
    """Labels on the left, one path for all bars of a colour."""
    labels = "".join(f'<text x="{_LABELS - 4}" y="{y + 9}">{escape(bar.label)}</text>' for y, bar in _placed(bars))
    paths = ""
    for colour, fill in _FILLS.items():
        drawn = "".join(
            f"M{round(_LABELS + bar.begin)} {y}h{round(bar.length)}v{_BAR_HEIGHT}h-{round(bar.length)}z"
            for y, bar in _placed(bars)
            if bar.colour == colour
        )
        paths += f'<path fill="{fill}" d="{drawn}"/>' if drawn else ""
    return f'<g text-anchor="end">{labels}</g>{paths}'


def _placed(bars: Sequence[_Bar]) -> list[tuple[int, _Bar]]:
    return [(number * _ROW, bar) for number, bar in enumerate(bars)]


def _inline(shapes: str, *, height: int) -> dg.MarkdownMetadataValue | None:
    """The shapes as a picture that Dagster shows inline; None when it is too long for that."""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="260" height="{height}" font-size="10" '
        f'font-family="sans-serif" fill="{_FILLS["bar"]}">{shapes}</svg>'
    )
    return inline_svg(svg)


def inline_svg(svg: str) -> dg.MarkdownMetadataValue | None:
    """A picture of ours that Dagster shows inline; None when it is too long for that."""
    markdown = f"![chart](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
    return dg.MetadataValue.md(markdown) if len(markdown) < _INLINE_LIMIT else None
