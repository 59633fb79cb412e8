"""The exports as a source: what has come since the last time is loaded, oldest first, and remembered.

Here: which deliveries a run loads, and the record of them in the state. Not here: when a run starts (a sensor asks
`find_deliveries`), how files are read (`load`). A run that was told an id loads that delivery, whatever was loaded
before; a run that was not loads all that are new.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ingest.exports.deliveries import Delivery, Layout, cursor_after, deliveries_in, find_deliveries
from ingest.exports.listing import list_files
from ingest.exports.load import ExportReport, load_delivery
from resources.lake import Lake
from resources.progress import Progress
from resources.state import State
from resources.state.exports import loaded_deliveries, remember_delivery

__all__ = ["DeliveryMissingError", "ExportSource", "LoadedExports", "load_exports"]

# Between two looks at a CSV file, which has no marker that would say that it is whole.
_STABLE_SECONDS = 2.0


class DeliveryMissingError(RuntimeError):
    """A delivery that was asked for is not there, or not complete."""


@dataclass(frozen=True, slots=True)
class ExportSource:
    """Where the exports lie, how they are laid out, and the operator's word about what they do not show."""

    uri: str
    layout: Layout
    csv_without_discounts: bool = False


@dataclass(frozen=True, slots=True)
class LoadedExports:
    """What a run loaded, and files that a person should look at."""

    reports: tuple[ExportReport, ...] = ()
    problems: tuple[str, ...] = field(default=())


def load_exports(
    source: ExportSource,
    lake: Lake,
    state: State,
    *,
    now: Callable[[], datetime],
    exponents: Mapping[str, int],
    delivery: str | None = None,
    again: bool = False,
    progress: Progress | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> LoadedExports:
    """Load the delivery of that id, or every one that has not been loaded (with `again`, also those that have).

    A delivery counts as loaded also if some of its files could not be read: they are in quarantine and reported.
    Raises: DeliveryMissingError, LakeError, OSError when the place cannot be listed.
    """
    if delivery is None:
        wanted, problems = _new(source, frozenset() if again else loaded_deliveries(state), pause)
    else:
        wanted, problems = (_named(source, delivery),), ()
    reports = []
    for one in wanted:
        reports.append(
            load_delivery(
                source.uri,
                one,
                lake,
                now=now(),
                exponents=exponents,
                progress=progress,
                csv_without_discounts=source.csv_without_discounts,
            )
        )
        remember_delivery(state, one.id, livemode=one.livemode, version_at=one.version_at, loaded_at=now())
    return LoadedExports(tuple(reports), problems)


def _named(source: ExportSource, delivery: str) -> Delivery:
    for one in deliveries_in(list_files(source.uri), layout=source.layout):
        if one.id == delivery:
            return one
    raise DeliveryMissingError(f"{delivery} is not a complete delivery in {source.uri}: it was moved or changed")


def _new(
    source: ExportSource, loaded: frozenset[str], pause: Callable[[float], None]
) -> tuple[tuple[Delivery, ...], tuple[str, ...]]:
    """Complete deliveries that are not in the state. CSV files are looked at twice: one may still be growing."""
    first = find_deliveries(list_files(source.uri), cursor_after(loaded), layout=source.layout)
    found = list(first.deliveries)
    if first.unsettled:
        pause(_STABLE_SECONDS)
        found += find_deliveries(list_files(source.uri), first.cursor, layout=source.layout).deliveries
    return tuple(sorted(found, key=lambda one: one.version_at)), first.problems
