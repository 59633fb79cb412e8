"""The reconciliation sweep: what is stored against what Stripe lists, window by window, repaired where it differs.

Here: windows that each hold at most a page of stored rows, asked all at once without `expand` and compared row by
row; only those that differ are listed again in full, and what the list lacks is read by id. So missed events and
deletes cost a few requests, and an equal table one request per hundred rows. A backfill is a sweep that takes the
stretch of time it was given for different without comparing. Not here: the merge.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.commit import lake_table
from ingest.fan_out import needs_customer, read_per_customer
from ingest.links import LINKED
from ingest.lists import ListReader, first_error
from ingest.pages import read_objects
from ingest.repair import Repair, repairing
from ingest.rows import Provenance
from ingest.streams import EVENTS, Stream, chosen
from ingest.tables import RAW_TABLES
from ingest.windows import PAGE, Window, Windows
from resources.lake import Lake
from resources.state import State
from resources.stripe_api import BadRequest, StripeApi
from resources.stripe_clock import MICROS

__all__ = ["SweepReport", "SweptStream", "sweep"]

# A window has room for objects that the table does not know.
_ROWS_PER_WINDOW = 90
# Provenance, what only `expand` gives, and what is made from other tables.
_NOT_COMPARED = frozenset(("version_at", "fetched_at", "source", "livemode", "deleted", "email_hash"))
_NOT_COMPARED |= {"billing", "discount", "items_complete", "lines_complete"}
_NOT_COMPARED |= {"current_period_start", "current_period_end"}
_LINKS = frozenset(("invoice", "charge", "payment_intent"))


@dataclass(frozen=True)
class SweptStream:
    """One stream: windows compared, windows that differed, ids that the list lacked."""

    stream: str
    windows: int
    differing: int
    unlisted: int
    finished: bool


@dataclass(frozen=True)
class SweepReport:
    """What the sweep found; `repaired` is rows written by table. It is complete if no stream met the budget."""

    streams: tuple[SweptStream, ...]
    repaired: dict[str, int]
    requests: int
    complete: bool


@dataclass
class _Stored:
    """Rows of a stream and its children as hashes of what is compared, and creation times in order."""

    rows: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    created: list[tuple[int, str]] = field(default_factory=list)
    children: dict[str, int] = field(default_factory=dict)
    children_of: dict[str, int] = field(default_factory=dict)


async def sweep(
    api: StripeApi,
    lake: Lake,
    state: State,
    *,
    now: Callable[[], datetime],
    staging: Path,
    tables: Sequence[str] | None = None,
    created: Window | None = None,
) -> SweepReport:
    """Compare the loaded tables, or those named, with Stripe's lists and repair what differs.

    With `created`, nothing is compared: all objects created in that window (seconds) are read again, and lists
    that Stripe cannot cut by time are read whole. The sweep is optional work: it stops at the request budget.
    Raises: StripeError, StagingError, LakeError: of the first stream that failed, after the others are repaired.
    """
    async with repairing(api, lake, state, now=now, staging=staging, kind="sweep") as repair:
        await api.list_page(EVENTS.path, {"limit": 1})  # the server's clock
        streams = [s for s in chosen(tables) if s is not EVENTS and s.table in repair.loaded]
        sweeps = [_Sweep(api, lake, repair, stream, created) for stream in streams]
        results = await asyncio.gather(*(one.run() for one in sweeps), return_exceptions=True)
        swept = [one for one in results if isinstance(one, SweptStream)]
        parts = [
            one.part
            for one, end in zip(sweeps, results, strict=True)
            if isinstance(end, SweptStream) and not one.equal
        ]
        repaired: dict[str, int] = {}
        for write in await repair.commit(parts):
            repaired[write.table] = repaired.get(write.table, 0) + write.written + write.left
        for end in results:
            if isinstance(end, BaseException):
                raise end
        complete = all(stream.finished for stream in swept)
    return SweepReport(tuple(swept), repaired, api.limiter.total.requests, complete)


class _Sweep:
    """The sweep of one stream."""

    def __init__(self, api: StripeApi, lake: Lake, repair: Repair, stream: Stream, created: Window | None) -> None:
        self._api, self._lake, self._repair, self._stream = api, lake, repair, stream
        self._again = created if stream.created else None
        self.part = repair.changes.part_of(stream.table)
        self.equal = False
        self._columns = _compared(stream.table)
        self._listed: set[str] = set()
        self._asked = 0

    async def run(self) -> SweptStream:
        """Compare, list again, read again."""
        stored = await asyncio.to_thread(self._stored)
        windows = self._windows(stored) if self._stream.created and self._again is None else []
        differing: list[Window] = []
        if self._again is not None:
            differing = [Window(self._again.gte, self._again.lt)]
        elif self._stream.created:
            try:
                async with asyncio.TaskGroup() as group:
                    for window in windows:
                        group.create_task(self._compare(window, stored, differing))
            except BaseExceptionGroup as failures:
                raise first_error(failures) from None
        else:
            differing = [Window(0, None)]
        finished = self._asked == len(windows)
        if finished or differing:
            self.part.windows = Windows(differing)
            again = len(differing)
            finished = await self._list_again() and finished
        else:
            again = 0
        unlisted: list[str] = []
        if finished:
            self._listed |= set(self.part.column(self._stream.table, "id")["id"].to_pylist())
            unlisted = sorted(stored.rows.keys() - stored.deleted - self._listed)
            known = self._repair.changes.stored(self._stream.table, unlisted)
            await self._repair.changes.read_each(self.part, self._stream, unlisted, known)
        # What is read again on request is written whatever it holds: not every column can be compared.
        compared = self._again is None and not unlisted
        self.equal = compared and await asyncio.to_thread(self._staged_equal, stored)
        return SweptStream(self._stream.table, len(windows), again, len(unlisted), finished)

    async def _list_again(self) -> bool:
        """Read what is left of the list; whether to its end. Per customer, those that are stored are asked."""
        reader = ListReader(self._api, self._repair.staging, self.part, self._stream)
        try:
            await reader.run()
        except BadRequest as error:
            if not needs_customer(self._stream.table, error):
                raise
            return await read_per_customer(self._api, self._lake, reader) is None
        return True

    def _stored(self) -> _Stored:
        found = _Stored()
        for row in _rows(self._lake, self._stream.table):
            created = (row["created"] or 0) // MICROS
            if self._again is not None and not _within(created, self._again):
                continue
            found.rows[row["id"]] = _hash(row, self._columns)
            found.created.append((created, row["id"]))
            if row["deleted"]:
                found.deleted.add(row["id"])
        found.created.sort()
        nested = self._stream.nested
        if nested is not None:
            columns = _compared(nested.table)
            for row in _rows(self._lake, nested.table):
                found.children[row["id"]] = _hash(row, columns)
                parent = row[nested.parent_column]
                found.children_of[parent] = found.children_of.get(parent, 0) + 1
        return found

    def _windows(self, stored: _Stored) -> list[Window]:
        """Windows over all time, cut between seconds so that none holds much more than its share of rows."""
        edges = [self._repair.floor]
        held = 0
        before = None
        for created, _ in stored.created:
            if held >= _ROWS_PER_WINDOW and created != before and created > edges[-1]:
                edges.append(created)
                held = 0
            held += 1
            before = created
        edges.append((self._api.clock.date or 0) + 1)
        return [Window(gte, lt) for gte, lt in pairwise(edges) if gte < lt]

    async def _compare(self, window: Window, stored: _Stored, differing: list[Window]) -> None:
        if not self._api.limiter.within_budget():
            return
        self._asked += 1
        params: dict[str, str | int] = {
            "limit": PAGE,
            "created[gte]": window.gte,
            "created[lt]": window.lt or 0,
            **self._stream.params,
        }
        page = await self._api.list_page(self._stream.path, params)
        read = read_objects(self._stream, page.data, Provenance(page.read_at, page.read_at, "api", False))
        rows = read.rows[self._stream.table]
        self._listed |= {row["id"] for row in rows} | {identity for identity, _ in read.unfinished}
        equal = not page.has_more and all(identity in stored.rows for identity, _ in read.unfinished)
        for row in rows:
            equal = equal and stored.rows.get(row["id"]) == _hash(row, self._columns)
        if self._stream.nested is not None and equal:
            equal = self._same_children(read.rows[self._stream.nested.table], stored)
        if not equal:
            differing.append(window)

    def _staged_equal(self, stored: _Stored) -> bool:
        """Whether what was listed again is stored already, as where one second holds more than a page."""
        rows: dict[str, list[dict[str, Any]]] = {table: [] for table in self._stream.tables}
        for table, found in rows.items():
            for batch in self.part.batches(table):
                found += _plain(batch, table)
        same = all(stored.rows.get(row["id"]) == _hash(row, self._columns) for row in rows[self._stream.table])
        nested = self._stream.nested
        return same and (nested is None or self._same_children(rows[nested.table], stored))

    def _same_children(self, rows: list[dict[str, Any]], stored: _Stored) -> bool:
        nested = self._stream.nested
        assert nested is not None
        columns = _compared(nested.table)
        counts: dict[str, int] = {}
        for row in rows:
            counts[row[nested.parent_column]] = counts.get(row[nested.parent_column], 0) + 1
            if stored.children.get(row["id"]) != _hash(row, columns):
                return False
        return all(stored.children_of.get(parent) == count for parent, count in counts.items())


def _within(created: int, window: Window) -> bool:
    return window.gte <= created and (window.lt is None or created < window.lt)


def _compared(table: str) -> tuple[str, ...]:
    dropped = _NOT_COMPARED | (_LINKS if table in LINKED else frozenset())
    return tuple(name for name in RAW_TABLES[table].names if name not in dropped)


def _hash(row: dict[str, Any], columns: Sequence[str]) -> int:
    return hash(tuple(row[name] for name in columns))


def _rows(lake: Lake, table: str) -> Iterator[dict[str, Any]]:
    """Stored rows, a batch at a time."""
    for batch in lake.dataset(lake_table(table)).to_batches():
        yield from _plain(batch, table)


def _plain(batch: pa.RecordBatch, table: str) -> list[dict[str, Any]]:
    """Rows with times as integers, as parsers give them."""
    schema = RAW_TABLES[table]
    plain = pa.schema([pa.field(f.name, pa.int64() if pa.types.is_timestamp(f.type) else f.type) for f in schema])
    rows: list[dict[str, Any]] = (
        pa.Table.from_batches([batch]).select(schema.names).cast(schema).cast(plain).to_pylist()
    )
    return rows
