"""The report as one self-contained page: no script, nothing loaded, good on a phone, printed, and in the dark.

Here: pictures and the template. Not here: the facts (`pipelines.report.facts`) and how a number is shown
(`pipelines.report.shown`). The template escapes everything that is not `Markup`, which only the pictures of
`pipelines.report.charts` and this package's style sheet are; the page's own policy forbids scripts and loads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources

import jinja2
from markupsafe import Markup

from pipelines.report import charts, shown
from pipelines.report.facts import Facts
from pipelines.report.revenue import MOVED, TIERS, Point, Step

__all__ = ["page"]

_GAINS = ("new", "reactivation", "expansion")


def page(facts: Facts) -> str:
    """The whole page."""
    show = shown.Shown(facts.reporting_currency)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "label": shown.label,
        "place": shown.place,
        "share": shown.share,
        "month": shown.month,
        "moment": shown.moment,
        "money": show.money,
        "signed": show.signed,
        "figure": _figure,
    }
    style = resources.files("pipelines.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        facts=facts,
        show=show,
        per=shown.per,
        age=shown.age,
        style=Markup(style),
        tiers=TIERS,
        moved=MOVED,
        by_month=_tier_months(facts, show),
        by_day=_tier_days(facts, show),
        by_movement=_movement_months(facts, show),
        waterfall=_waterfall(facts.movements),
        at_risk=_at_risk(facts),
    )


def _figure(money: str) -> Markup:
    """Money with its currency in smaller letters."""
    number, _, currency = money.rpartition(" ")
    return Markup('{} <span class="unit">{}</span>').format(number, currency)


def _axis(show: shown.Shown) -> charts.AxisLabel:
    return lambda value: shown.short_money(value, show.currency)


def _by_day(points: Iterable[Point], show: shown.Shown) -> dict[date, dict[str, int]]:
    found: dict[date, dict[str, int]] = {}
    for point in points:
        values = found.setdefault(point.at, dict.fromkeys(reversed(TIERS), 0))
        if point.tier in values:
            values[point.tier] = show.drawn(point.mrr_minor, point.customers)
    return dict(sorted(found.items()))


def _columns(months: Sequence[tuple[date, dict[str, int]]]) -> list[charts.Column]:
    """Columns with the month's name, and the year under the first and under each January."""
    return [
        charts.Column(
            label=month.strftime("%b"),
            below=str(month.year) if not number or month.month == 1 else "",
            values=values,
        )
        for number, (month, values) in enumerate(months)
    ]


def _tier_months(facts: Facts, show: shown.Shown) -> Markup | None:
    if facts.tiers is None:
        return None
    months = list(_by_day(facts.tiers.months, show).items())
    return charts.columns(
        _columns(months),
        title="MRR by tier at month ends",
        text="Stacked columns; the table below has the numbers.",
        axis=_axis(show),
    )


def _tier_days(facts: Facts, show: shown.Shown) -> Markup | None:
    if facts.tiers is None:
        return None
    days = _by_day(facts.tiers.days, show).items()
    return charts.lines(
        [charts.Column(label=day.strftime("%d %b"), below=str(day.year), values=values) for day, values in days],
        title="MRR by tier by day",
        text="A line for each tier, on the days on which the tables were made.",
        axis=_axis(show),
    )


def _movement_months(facts: Facts, show: shown.Shown) -> Markup | None:
    if facts.movements is None:
        return None
    months = [(step.month, {**step.moved, "fx": step.fx}) for step in facts.movements]
    return charts.columns(
        _columns(months),
        title="MRR gained and lost by month",
        text="Gains stand above the zero line, losses hang below it; the table below has the numbers.",
        axis=_axis(show),
    )


@dataclass(frozen=True, slots=True)
class _Bar:
    """A row of the waterfall; where its bar begins and how long it is, for CSS."""

    name: str
    amount: int
    kind: str
    left: str
    width: str


@dataclass(frozen=True, slots=True)
class _Waterfall:
    """The latest month. The bars begin at `floor`, which is above zero where the movements would vanish else."""

    step: Step
    floor: int
    bars: list[_Bar]


def _waterfall(steps: Sequence[Step] | None) -> _Waterfall | None:
    """Opening, each movement from where the last ended, closing."""
    if not steps:
        return None
    step = steps[-1]
    reached = step.opening
    spans = [("Opening", step.opening, "total", 0, step.opening)]
    for name, amount in (*step.moved.items(), ("fx", step.fx)):
        kind = "fx" if name == "fx" else "gain" if name in _GAINS else "loss"
        before, reached = reached, reached + amount
        spans.append((shown.label(name), amount, kind, min(before, reached), max(before, reached)))
    spans.append(("Closing", step.closing, "total", 0, step.closing))
    ends = [end for *_, end in spans] + [begin for *_, kind, begin, _ in spans if kind != "total"]
    floor = max(min(ends) - (max(ends) - min(ends)) // 2, 0)
    scale = max(ends) - floor
    bars = [
        _Bar(name, amount, kind, shown.per(begin - floor, scale), shown.per(end - max(begin, floor), scale))
        for name, amount, kind, begin, end in spans
    ]
    return _Waterfall(step, floor, bars)


def _at_risk(facts: Facts) -> dict[str, int] | None:
    """Customers whose revenue may go, and that revenue; those who have gone are not among them."""
    if facts.risk is None:
        return None
    open_lines = [line for line in facts.risk if line.state not in ("healthy", "canceled")]
    return {
        "customers": sum(line.customers for line in open_lines),
        "minor": sum(line.mrr_at_risk_minor for line in open_lines),
        "largest": max((line.mrr_at_risk_minor for line in open_lines), default=0),
    }
