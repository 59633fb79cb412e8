"""The report's pictures over time, as inline SVG that takes its colours from the page's style sheet.

Here: geometry. Not here: colours, fonts and dark mode (the style sheet, by class), and bars beside a table's
numbers, which are table cells. Every text goes through `Markup.format`, which escapes it. Pictures are 400 units
wide, so that their letters stay readable on a phone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

__all__ = ["Column", "columns", "lines"]

_WIDTH, _HEIGHT = 400, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 6, 10, 34
_PLOT_W: Final = _WIDTH - _LEFT - _RIGHT
_PLOT_H: Final = _HEIGHT - _TOP - _BOTTOM
_GAP, _WIDEST = 0.24, 34
_TICKS: Final = 4

Values = Mapping[str, int]
AxisLabel = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: a short label, a second line under it where it helps, and the values by class name."""

    label: str
    below: str = ""
    values: Values


def columns(data: Sequence[Column], *, title: str, text: str, axis: AxisLabel) -> Markup | None:
    """Stacked columns; negative values hang below the zero line. None without a value."""
    if not any(value for column in data for value in column.values.values()):
        return None
    high = max(sum(value for value in column.values.values() if value > 0) for column in data)
    low = min(sum(value for value in column.values.values() if value < 0) for column in data)
    scale = _Scale(low, high)
    slot = _PLOT_W / len(data)
    width = min(slot * (1 - _GAP), _WIDEST)
    shapes = []
    for number, column in enumerate(data):
        x = _LEFT + slot * (number + 0.5) - width / 2
        ups = downs = 0
        for name, value in column.values.items():
            if not value:
                continue
            base = ups if value > 0 else downs
            top, bottom = sorted((scale.y(base), scale.y(base + value)))
            shapes.append(
                Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    f"s-{name}", x, top, width, max(bottom - top, 0.8)
                )
            )
            ups, downs = (ups + value, downs) if value > 0 else (ups, downs + value)
        shapes.append(_x_label(x + width / 2, column.label, column.below))
    return _picture(title, text, [*scale.grid(axis), *shapes])


def lines(data: Sequence[Column], *, title: str, text: str, axis: AxisLabel) -> Markup | None:
    """One line for each name over equally spaced points. None with fewer than two points."""
    if len(data) < 2:
        return None
    names = list(dict.fromkeys(name for column in data for name in column.values))
    scale = _Scale(0, max(value for column in data for value in column.values.values()))
    step = _PLOT_W / (len(data) - 1)
    shapes = []
    for name in names:
        points = " ".join(
            f"{_LEFT + step * number:.1f},{scale.y(column.values.get(name, 0)):.1f}"
            for number, column in enumerate(data)
        )
        shapes.append(Markup('<polyline class="l-{}" points="{}"/>').format(name, points))
    shapes += [
        _x_label(_LEFT + step * number, data[number].label, data[number].below, anchor)
        for number, anchor in ((0, "start"), (len(data) - 1, "end"))
    ]
    return _picture(title, text, [*scale.grid(axis), *shapes])


class _Scale:
    """From values to heights, with round ticks that hold all values and zero."""

    def __init__(self, low: int, high: int) -> None:
        span = max(high - low, 1)
        rough = span / _TICKS
        power = 10 ** math.floor(math.log10(rough))
        self.step = next(power * unit for unit in (1, 2, 2.5, 5, 10) if power * unit >= rough)
        self.low = math.floor(low / self.step) * self.step
        self.high = math.ceil(high / self.step) * self.step

    def y(self, value: float) -> float:
        return float(_TOP + _PLOT_H * (self.high - value) / (self.high - self.low))

    def grid(self, axis: AxisLabel) -> list[Markup]:
        ticks = round((self.high - self.low) / self.step)
        found = []
        for number in range(ticks + 1):
            value = self.low + self.step * number
            y = self.y(value)
            found.append(
                Markup(
                    '<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                    '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
                ).format(
                    "zero" if abs(value) < self.step / 2 else "grid",
                    _LEFT,
                    _WIDTH - _RIGHT,
                    y,
                    y,
                    _LEFT - 6,
                    y + 4,
                    axis(value).replace("-", "−"),
                )
            )
        return found


def _x_label(x: float, label: str, below: str, anchor: str = "middle") -> Markup:
    lower = Markup('<tspan class="year" x="{:.1f}" dy="13">{}</tspan>').format(x, below) if below else ""
    return Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}{}</text>').format(
        x, _HEIGHT - _BOTTOM + 15, anchor, label, lower
    )


def _picture(title: str, text: str, shapes: Sequence[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}. {}">{}</svg>').format(
        _WIDTH, _HEIGHT, title, text, Markup("").join(shapes)
    )
