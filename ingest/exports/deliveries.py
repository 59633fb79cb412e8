"""Which exports are complete, and which of them have not been loaded: pure functions of a listing and a cursor.

Data Pipeline writes a full copy of every table into a run folder and then a marker, `coreapi_SUCCESS` for the
tables that mirror the API; without marker nothing is read. The name of the run folder is not documented, so it is
opaque, and of several complete runs only the newest matters. Dashboard CSV files have no marker: one is ready when
size and time are equal on two ticks. Freshness: https://docs.stripe.com/stripe-data/access-data-in-warehouse.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

from ingest.exports.listing import FileEntry, fingerprint

__all__ = ["Delivery", "ExportTick", "Layout", "cursor_after", "deliveries_in", "find_deliveries"]

_TREES = {"livemode": True, "testmode": False}
_REMEMBERED = 500

# Longest first: `unified_customers` must not be taken for `customers` of another export.
_CSV_TABLES = (
    ("unified_customers", "customers"),
    ("unified_payments", "charges"),
    ("customers", "customers"),
    ("subscriptions", "subscriptions"),
    ("payments", "charges"),
    ("charges", "charges"),
    ("disputes", "disputes"),
    ("invoices", "invoices"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the exports are laid out and how old their content is when they appear.

    `marker` is a shell pattern. A delivery shows the account as it was before its time: by `pipeline_lag` for Data
    Pipeline, whose freshness Stripe states as 12 h, by `csv_lag` for the time a person needs to upload a file.
    """

    livemode: bool
    marker: str = "coreapi_SUCCESS"
    pipeline_lag: timedelta = timedelta(hours=12)
    csv_lag: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A complete export: its files by table, and the time that its content is true for.

    `id` is made of place and group for Data Pipeline, of the content for CSV; `run_key` is what a sensor asks for.
    """

    id: str
    kind: Literal["pipeline", "csv"]
    livemode: bool
    version_at: datetime
    tables: dict[str, tuple[FileEntry, ...]]

    @property
    def run_key(self) -> str:
        """The same for the same delivery, however often it is seen."""
        return f"export:{self.id}"

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All its files."""
        return tuple(file for files in self.tables.values() for file in files)


@dataclass(frozen=True, slots=True)
class ExportTick:
    """What a tick decides: deliveries to load, oldest first, the next cursor, and what a person should look at.

    `unsettled` is how many CSV files have yet to be seen unchanged.
    """

    cursor: str
    deliveries: tuple[Delivery, ...] = ()
    problems: tuple[str, ...] = ()
    skip_reason: str | None = None
    unsettled: int = 0


@dataclass(slots=True)
class _Cursor:
    """`done`: deliveries asked for or outdated; `seen`: CSV files of the last tick; `told`: problems shown."""

    done: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, text: str | None) -> "_Cursor":
        stored: dict[str, Any] = json.loads(text) if text else {}
        return cls(stored.get("done", []), stored.get("seen", {}), stored.get("told", []))

    def write(self) -> str:
        return json.dumps({"done": self.done, "seen": self.seen, "told": self.told}, separators=(",", ":"))


def find_deliveries(listing: Sequence[FileEntry], cursor: str | None, *, layout: Layout) -> ExportTick:
    """What to load now. The cursor is the one of the last tick, None at the first."""
    last = _Cursor.read(cursor)
    known = set(last.done)
    found, problems, running = _complete(listing, layout)
    runs, files = found
    wanted = [run for run in runs[-1:] if run.id not in known]
    waiting = 0
    seen: dict[str, str] = {}
    for delivery in files:
        if delivery.id in known:
            continue
        path = delivery.files[0].path
        if last.seen.get(path) == delivery.id:
            wanted.append(delivery)
        else:
            seen[path] = delivery.id
            waiting += 1
    listed = {delivery.id for delivery in (*runs, *files)}
    done = [one for one in last.done if one in listed] + [one for one in last.done if one not in listed][
        -_REMEMBERED:
    ]
    done += [delivery.id for delivery in (*runs, *wanted) if delivery.id not in known]
    done = list(dict.fromkeys(done))
    news = tuple(problem for problem in problems if problem not in last.told)
    reason = None
    if not wanted:
        parts = [f"{waiting} CSV files are still to be seen unchanged"] * bool(waiting)
        parts += [f"{running} Parquet files have no {layout.marker} yet"] * bool(running)
        reason = "; ".join(parts) or f"no new delivery among {len(listing)} files"
    return ExportTick(_Cursor(done, seen, list(problems)).write(), tuple(wanted), news, reason, waiting)


def cursor_after(done: Iterable[str]) -> str:
    """The cursor of a first tick that knows these deliveries already."""
    return _Cursor(done=sorted(done)).write()


def deliveries_in(listing: Sequence[FileEntry], *, layout: Layout) -> tuple[Delivery, ...]:
    """Every complete delivery of a listing, for a run that was told an id, and for backfills."""
    (runs, files), _, _ = _complete(listing, layout)
    return (*runs, *files)


def _complete(
    listing: Sequence[FileEntry], layout: Layout
) -> tuple[tuple[list[Delivery], list[Delivery]], list[str], int]:
    """Runs of Data Pipeline, oldest first, and CSV files; problems; and how many Parquet files lack a marker."""
    markers: dict[str, FileEntry] = {}
    parquet: list[FileEntry] = []
    csv: list[Delivery] = []
    problems: list[str] = []
    for file in listing:
        if file.path.endswith(".parquet"):
            parquet.append(file)
        elif file.path.endswith("_SUCCESS"):
            if fnmatchcase(file.name, layout.marker):
                markers[file.path.rpartition("/")[0]] = file
        elif file.path.lower().endswith(".csv") and _mode(file.path) in (layout.livemode, None):
            table = _csv_table(file.name)
            if table is None:
                problems.append(f"{file.path} is not named like an export that is known")
            else:
                csv.append(_csv_delivery(file, table, layout))
    content: dict[str, dict[str, list[FileEntry]]] = {folder: defaultdict(list) for folder in markers}
    unmarked = 0
    for file in parquet:
        folder, table = _run_of(file.path, markers)
        if folder is not None:
            content[folder][table].append(file)
        elif _mode(file.path) is layout.livemode:
            unmarked += 1
    runs = []
    for folder, marker in markers.items():
        mode = _mode(marker.path)
        if mode is None:
            problems.append(f"{marker.path} lies in neither livemode/ nor testmode/, so its mode is unknown")
        elif mode is layout.livemode:
            runs.append(_run_delivery(folder, marker, content[folder], layout))
    runs.sort(key=lambda run: (run.id, run.version_at))
    return (runs, csv), problems, unmarked


def _run_of(path: str, markers: Iterable[str]) -> tuple[str | None, str]:
    """The run folder that a Parquet file belongs to, and its table: the folder below the run's."""
    parts = path.split("/")
    for depth in range(len(parts) - 2, -1, -1):
        folder = "/".join(parts[:depth])
        if folder in markers:
            return folder, parts[depth]
    return None, ""


def _mode(path: str) -> bool | None:
    """Live or test, where a folder of the path says so."""
    return next((_TREES[part] for part in path.split("/")[:-1] if part in _TREES), None)


def _csv_table(name: str) -> str | None:
    lowered = name.lower()
    return next((table for prefix, table in _CSV_TABLES if lowered.startswith(prefix)), None)


def _run_delivery(folder: str, marker: FileEntry, tables: dict[str, list[FileEntry]], layout: Layout) -> Delivery:
    name = f"{folder}:{marker.name.removesuffix('_SUCCESS')}"
    if folder.rpartition("/")[2] in _TREES:
        name += f"@{marker.modified.isoformat()}"  # no run folder: each run overwrites the last one in place
    return Delivery(
        id=name,
        kind="pipeline",
        livemode=layout.livemode,
        version_at=marker.modified - layout.pipeline_lag,
        tables={name: tuple(files) for name, files in sorted(tables.items())},
    )


def _csv_delivery(file: FileEntry, table: str, layout: Layout) -> Delivery:
    return Delivery(
        id=f"csv:{fingerprint([file])[:24]}",
        kind="csv",
        livemode=layout.livemode,
        version_at=file.modified - layout.csv_lag,
        tables={table: (file,)},
    )
