"""What is worth a message by itself: stale segments, held rows, the budget, objects in quarantine.

Here: the thresholds, the conditions as pure functions of the figures, and the memory by which each is told once
until it has cleared or grown. Not here: reading figures (`pipelines.figures`), channels (`pipelines.notify`), and
checks of a run, which are told when the run ends (`pipelines.sensors`).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipelines.figures import Figures

__all__ = ["THRESHOLDS", "Alert", "AlertThresholds", "conditions", "tell_new"]


@dataclass(frozen=True, kw_only=True)
class AlertThresholds:
    """From when on a condition holds."""

    segments_stale_after: timedelta = timedelta(hours=36)  # a daily refresh was missed
    held_intents: int = 1
    budget_percent: tuple[int, ...] = (50, 75, 90)
    quarantined_last_day: int = 1


THRESHOLDS: Final = AlertThresholds()


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A condition that holds. `key` names it and begins with the figure that it is made of.

    `level` is how far it has gone: it is told again when that grows.
    """

    key: str
    level: int = 1
    title: str
    lines: tuple[str, ...]
    table: str


def conditions(figures: "Figures", thresholds: AlertThresholds = THRESHOLDS) -> tuple[Alert, ...]:
    """Everything that holds now."""
    return (
        *_stale(figures, thresholds),
        *_held(figures, thresholds),
        *_budget(figures, thresholds),
        *_quarantine(figures, thresholds),
    )


def tell_new(
    figures: "Figures", holding: tuple[Alert, ...], cursor: str | None, *, tell: Callable[[Alert], bool]
) -> tuple[int, str]:
    """Tell what is new or has grown; how many were told, and the new cursor.

    What `tell` could not bring to anybody is tried again next time. What could not be read neither clears nor
    begins anything.
    """
    told: dict[str, int] = json.loads(cursor) if cursor else {}
    kept = {key: level for key, level in told.items() if key.partition(":")[0] in figures.unread}
    new = 0
    for alert in holding:
        before = told.get(alert.key, 0)
        grown = alert.level > before
        if not grown or tell(alert):
            kept[alert.key] = alert.level
            new += grown
        elif before:
            kept[alert.key] = before
    return new, json.dumps(kept, sort_keys=True)


def _stale(figures: "Figures", thresholds: AlertThresholds) -> Iterator[Alert]:
    ages = {
        table: figures.at - made
        for table, made in (figures.made or {}).items()
        if table.startswith("segments/") and figures.at - made > thresholds.segments_stale_after
    }
    if ages:
        oldest = max(ages, key=lambda table: ages[table])
        yield Alert(
            key="dagster:stale segments",
            title=f"Segment tables that are stale: {len(ages)}",
            lines=(
                f"{oldest} is {ages[oldest] / timedelta(hours=1):.0f} hours old: run `refresh`, or see why "
                "`daily_refresh` does not",
            ),
            table=oldest,
        )


def _held(figures: "Figures", thresholds: AlertThresholds) -> Iterator[Alert]:
    held = (figures.intents or {}).get("held", 0)
    account = "" if figures.account is None else f" --account {figures.account}"
    if held >= thresholds.held_intents:
        yield Alert(
            key="intents:held",
            level=held,
            title=f"Paid rows that wait for a person: {held}",
            lines=(f"See them with `stripe-mavera held{account}`, and decide each: adopt, release or retry",),
            table="mavera/outcomes",
        )


def _budget(figures: "Figures", thresholds: AlertThresholds) -> Iterator[Alert]:
    credits = figures.credits
    if credits is None or not credits.month_cap:
        return
    reached = [level for level in thresholds.budget_percent if credits.month * 100 >= credits.month_cap * level]
    if reached:
        yield Alert(
            key=f"credits:{figures.at:%Y-%m}",
            level=max(reached),
            title=f"{max(reached)} percent of the month's credits are counted",
            lines=(f"{credits.month:,} of {credits.month_cap:,} (MAVERA_CREDIT_BUDGET); at 100 paid work stops",),
            table="mavera/spend",
        )


def _quarantine(figures: "Figures", thresholds: AlertThresholds) -> Iterator[Alert]:
    found = figures.quarantine
    if found is not None and found.last_day >= thresholds.quarantined_last_day:
        yield Alert(
            key="quarantine:growing",
            title=f"Objects of the last 24 hours that could not be read: {found.last_day}",
            lines=(f"{found.rows:,} lie in stripe/quarantine, each with the field that was wrong",),
            table="stripe/quarantine",
        )
