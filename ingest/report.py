"""What an extraction tells: its progress while it runs, and its report afterwards.

Here: frozen results that assets turn into metadata and the command line into a live view. Not here: how the
numbers come about (`ingest.extract`), and verdicts on them (`ingest.completeness`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "ExtractReport",
    "ExtractionFailed",
    "Mode",
    "Progress",
    "StreamProgress",
    "StreamReport",
    "StreamState",
    "TableReport",
]

StreamState: TypeAlias = Literal["waiting", "reading", "writing", "done", "failed"]
Mode: TypeAlias = Literal["backfill", "incremental", "unchanged", "failed"]


@dataclass(frozen=True)
class StreamProgress:
    """One stream at one instant. `share` is its part of the operation's limit; `eta_seconds` None if unknown."""

    stream: str
    state: StreamState
    pages: int
    rows: int
    requests_per_second: float
    share: float
    eta_seconds: float | None


Progress: TypeAlias = Callable[[tuple[StreamProgress, ...]], None]


@dataclass(frozen=True)
class TableReport:
    """One raw table after the run: rows written, rows that left with a new set of children, rows it holds."""

    table: str
    stream: str
    mode: Mode
    upserted: int
    left: int
    rows: int
    version: int | None


@dataclass(frozen=True)
class StreamReport:
    """One stream of the run: what was asked, seen and refused. `requests` are those of its operations.

    Of the lists of a load: `seen` objects came, `staged` became rows, `distinct` ids were among them, and `fields`
    are names at their top level. `requests_per_second` is the pace at which the list was read and `share` its part
    of the operation's limit; None if it was not read. `unfinished` tells why an optional list was left before its
    end, which is no `error`.
    """

    stream: str
    mode: Mode
    pages: int
    seen: int
    requests: int
    limited: int
    retried: int
    quarantined: int
    staged: int
    distinct: int
    fields: tuple[str, ...] = ()
    requests_per_second: float | None = None
    share: float | None = None
    error: str | None = None
    unfinished: str | None = None


@dataclass(frozen=True)
class ExtractReport:
    """A whole run. `events_until` is the second up to which events have been applied."""

    run_id: str
    account: str
    live: bool
    mode: Mode
    complete: bool
    resumed: bool
    tables: tuple[TableReport, ...]
    streams: tuple[StreamReport, ...]
    requests: int
    limited: int
    retried: int
    request_budget: int | None
    seconds: float
    events_until: int | None
    changes: dict[str, int] = field(default_factory=dict)

    def table(self, name: str) -> TableReport:
        """The report of one table. Raises: KeyError."""
        for table in self.tables:
            if table.table == name:
                return table
        raise KeyError(name)


class ExtractionFailed(RuntimeError):
    """A run that did not get everything; `report` tells what it got. The message is one line."""

    def __init__(self, message: str, report: ExtractReport | None = None) -> None:
        super().__init__(message)
        self.report = report
