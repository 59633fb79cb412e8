"""Incremental extraction: one scan of the events, routed to every table here, objects read again where needed.

Here: the scan, and what each change asks for: its payload, a read, a tombstone, or listing the span again when
that costs fewer requests. Not here: the decision itself (`ingest.events`). Events are kept for 30 days by Stripe
and may become visible late, so a scan begins a quarter of an hour before the last one ended.
"""

import asyncio
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingest.commit import lake_table
from ingest.events import Change, Stored, Verdict, changes_of, decide
from ingest.lists import ListReader, complete, first_error
from ingest.pages import read_objects
from ingest.rows import Provenance
from ingest.staging import Part, Staging
from ingest.streams import EVENTS, STREAMS, Stream
from ingest.tables import RAW_TABLES
from ingest.windows import PAGE, Windows
from resources.lake import Lake
from resources.stripe_api import NotFound, StripeApi
from resources.stripe_clock import MICROS, utc

__all__ = ["OVERLAP_SECONDS", "SCAN", "ChangeReader", "changes_part"]

OVERLAP_SECONDS = 900
SCAN = "events~scan"
_ROUTING = ("id", "created", "type", "object_type", "object_id", "replaces", "object_created", "touched")
# A short scan is not worth a second cursor: the last page of each cursor is seldom full.
_LEAST_EVENTS_TO_STEAL = 1_500
_ROWS_AT_ONCE = 500


def changes_part(table: str) -> str:
    """Name of the part that holds changes of a table."""
    return f"{table}~changes"


class ChangeReader:
    """Brings the loaded tables up to date with the events since a time."""

    def __init__(self, api: StripeApi, lake: Lake, staging: Staging, loaded: Iterable[str]) -> None:
        self._api, self._lake, self._staging = api, lake, staging
        self.loaded = frozenset(loaded)
        self.parts: dict[str, Part] = {}

    def scan(self, since: int) -> ListReader:
        """The reader of events from `since`, in seconds, less the overlap."""
        part = self._staging.part(SCAN, ("events",))
        if part.fresh:
            part.windows = Windows.over(max(0, since - OVERLAP_SECONDS), None)
        return ListReader(self._api, self._staging, part, EVENTS, least_rows=_LEAST_EVENTS_TO_STEAL)

    async def route(self, scan: Part, since: int, *, skip_landed: bool) -> dict[Verdict, int]:
        """Stage what the scanned events changed. `skip_landed`: events in the lake have been applied already.

        Returns how many objects got each verdict. Raises: StripeError, StagingError, LakeError.
        """
        events = [
            {**row, "created": int(created)}
            for batch in scan.batches("events")
            for row, created in zip(
                batch.select([name for name in _ROUTING if name != "created"]).to_pylist(),
                batch.column("created").cast(pa.int64()).to_pylist(),
                strict=True,
            )
        ]
        ids = pa.array([event["id"] for event in events], pa.string())
        landed = self._lake.find(lake_table("events"), "id", ids, RAW_TABLES["events"], ("id",))["id"]
        routed = frozenset(landed.to_pylist()) if skip_landed else frozenset()
        by_table: dict[str, list[Change]] = {}
        for change in changes_of(events, routed=routed):
            if change.table in self.loaded:
                by_table.setdefault(change.table, []).append(change)
        counts = dict.fromkeys(Verdict, 0)
        work: list[tuple[Part, Stream, list[Change], dict[str, Stored]]] = []
        for table, changes in by_table.items():
            part = self.part_of(table)
            staged = set(part.column(table, "id")["id"].to_pylist())
            stored = self.stored(table, [change.object_id for change in changes])
            verdicts: dict[Verdict, list[Change]] = {verdict: [] for verdict in Verdict}
            for change in changes:
                if change.object_id not in staged:
                    verdicts[decide(change, stored.get(change.object_id))].append(change)
            for verdict, found in verdicts.items():
                counts[verdict] += len(found)
            await self._stage_payloads(scan, part, STREAMS[table], verdicts[Verdict.SNAPSHOT])
            await self._bury_deleted(scan, part, STREAMS[table], verdicts[Verdict.TOMBSTONE], stored)
            if verdicts[Verdict.READ]:
                work.append((part, STREAMS[table], verdicts[Verdict.READ], stored))
        settled = by_table.keys() & {"invoices", "charges", "invoice_payments"}
        try:
            async with asyncio.TaskGroup() as group:
                for part, stream, wanted, known in work:
                    group.create_task(self.read_again(part, stream, wanted, known))
                if (
                    settled
                    and counts[Verdict.READ] + counts[Verdict.SNAPSHOT]
                    and "invoice_payments" in self.loaded
                ):
                    group.create_task(self._list_new(STREAMS["invoice_payments"], since - OVERLAP_SECONDS))
        except BaseExceptionGroup as failures:
            raise first_error(failures) from None
        return counts

    def part_of(self, table: str) -> Part:
        """The part that holds this run's changes of a table."""
        part = self._staging.part(changes_part(table), STREAMS[table].tables)
        self.parts[table] = part
        return part

    def stored(self, table: str, ids: list[str]) -> dict[str, Stored]:
        """What the lake holds of objects, by id."""
        found = self._lake.find(
            lake_table(table), "id", pa.array(ids), RAW_TABLES[table], ("id", "version_at", "deleted", "source")
        )
        versions = found["version_at"].cast(pa.int64()).to_pylist()
        return {
            identity: Stored(version, deleted, source == "export")
            for identity, version, deleted, source in zip(
                found["id"].to_pylist(),
                versions,
                found["deleted"].to_pylist(),
                found["source"].to_pylist(),
                strict=True,
            )
        }

    async def _stage_payloads(
        self, scan: Part, part: Part, stream: Stream, changes: list[Change], *, deleted: bool = False
    ) -> None:
        wanted = {change.payload for change in changes}
        if not wanted:
            return
        ids = pa.array(sorted(name for name in wanted if name is not None), pa.string())
        rows: dict[str, list[dict[str, Any]]] = {table: [] for table in stream.tables}
        for batch in scan.batches("events"):
            found = batch.filter(pc.is_in(batch.column("id"), value_set=ids))
            for event in found.to_pylist():
                if event["id"] not in wanted or event["snapshot"] is None:
                    continue
                wanted.discard(event["id"])  # a page may have been staged twice
                created = int(event["created"].timestamp()) * MICROS
                common = {
                    "livemode": event["livemode"],
                    "deleted": deleted,
                    "version_at": created,
                    "fetched_at": int(event["fetched_at"].timestamp() * MICROS),
                    "source": "event",
                }
                rows[stream.table].append({**orjson.loads(event["snapshot"]), **common})
                if stream.nested is not None:
                    for child in orjson.loads(event["children"] or b"[]"):
                        rows[stream.nested.table].append({**child, **common})
            if len(rows[stream.table]) >= _ROWS_AT_ONCE:
                await self._staging.write(part, rows)
                rows = {table: [] for table in stream.tables}
        await self._staging.write(part, rows)

    async def _bury_deleted(
        self, scan: Part, part: Part, stream: Stream, changes: list[Change], stored: Mapping[str, Stored]
    ) -> None:
        """Tombstones for `*.deleted` events: the stored row with its last values, else the event's payload."""
        unseen = [change for change in changes if change.object_id not in stored]
        await self._stage_payloads(scan, part, stream, unseen, deleted=True)
        versions = {c.object_id: c.at * MICROS for c in changes if c.object_id in stored}
        await self.bury(part, stream, versions, "event")

    async def bury(self, part: Part, stream: Stream, versions: Mapping[str, int], source: str) -> None:
        """Stage tombstones of stored objects: their last values, marked as deleted, with their nested rows.

        `versions` is when each was known to be gone. Gone is final, so the version is never below the stored one.
        """
        if not versions:
            return
        names = [(stream.table, "id")]
        if stream.nested is not None:
            names.append((stream.nested.table, stream.nested.parent_column))
        staged: dict[str, pa.Table] = {}
        for table, key in names:
            rows = self._lake.find(lake_table(table), key, pa.array(list(versions)), RAW_TABLES[table])
            if not len(rows):
                continue
            owners = rows[key].to_pylist()
            parents = staged.get(stream.table)
            at = [versions[owner] for owner in owners]
            if parents is None:
                olds = rows["version_at"].cast(pa.int64()).to_pylist()
                at = [max(mine, old + 1) for mine, old in zip(at, olds, strict=True)]
            else:
                final = dict(
                    zip(parents["id"].to_pylist(), parents["version_at"].cast(pa.int64()).to_pylist(), strict=True)
                )
                at = [final[owner] for owner in owners]
            for name, values in (
                ("version_at", pa.array(at, rows.schema.field("version_at").type)),
                # What is derived from changed rows looks for rows that were read since.
                ("fetched_at", pa.repeat(utc(self._api.clock.latest), len(rows))),
                ("deleted", pa.repeat(pa.scalar(True), len(rows))),
                ("source", pa.repeat(pa.scalar(source), len(rows))),
            ):
                rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
            staged[table] = rows
            part.add(again=len(rows) if table == stream.table else 0)
        await self._staging.write(part, staged)

    async def _list_new(self, stream: Stream, since: int) -> None:
        """List what was created since: not every invoice payment gives an event."""
        part = self.parts[f"{stream.table}~new"] = self._staging.part(f"{stream.table}~new", stream.tables)
        await self._list(part, stream, since, None)

    async def _list(self, part: Part, stream: Stream, gte: int, lt: int | None) -> None:
        part.windows = Windows.over(max(0, gte), lt)
        await ListReader(self._api, self._staging, part, stream).run()

    async def read_again(
        self, part: Part, stream: Stream, changes: list[Change], stored: Mapping[str, Stored]
    ) -> None:
        """Read changed objects by id, or list the span of their creation when that takes fewer requests."""
        moments = [change.created for change in changes if change.created is not None]
        if stream.created and moments and len(moments) == len(changes):
            first, last = min(moments), max(moments)
            unseen = sum(change.object_id not in stored for change in changes)
            if len(changes) > self._pages_between(stream.table, first, last, unseen):
                await self._list(part, stream, first, last + 1)
                seen = set(part.column(stream.table, "id")["id"].to_pylist())
                changes = [change for change in changes if change.object_id not in seen]
        await self.read_each(part, stream, [change.object_id for change in changes], stored)

    async def read_each(self, part: Part, stream: Stream, ids: list[str], stored: Mapping[str, Stored]) -> None:
        """Read objects by id; those that are gone become tombstones."""
        try:
            async with asyncio.TaskGroup() as group:
                for identity in ids:
                    known = stored.get(identity)
                    group.create_task(self._read(part, stream, identity, 0 if known is None else known.version_at))
        except BaseExceptionGroup as failures:
            raise first_error(failures) from None

    def _pages_between(self, table: str, first: int, last: int, unseen: int) -> int:
        """Pages that listing a span of creation times would take, with so many objects that are not stored yet."""
        inside = 0
        if self._lake.exists(lake_table(table)):
            column = self._lake.read(lake_table(table), columns=["created"])["created"].cast(
                pa.timestamp("us", "UTC")
            )
            low, high = (pa.scalar(utc(bound * MICROS), column.type) for bound in (first, last + 1))
            inside = pc.sum(pc.and_(pc.greater_equal(column, low), pc.less(column, high))).as_py() or 0
        return ceil((inside + unseen) / PAGE) + 1

    async def _read(self, part: Part, stream: Stream, identity: str, newer_than: int) -> None:
        """Read one object; its version is later than the stored row's, which was there before the request."""
        try:
            read = await self._api.retrieve(stream.path, identity, expand=stream.retrieve_expand)
        except NotFound:
            await self.bury(part, stream, {identity: self._api.clock.latest}, "api")
            return
        version = max(read.read_at, newer_than + 1)
        detached = stream.table == "payment_methods" and read.data.get("customer") is None
        if read.data.get("deleted") is True or detached:
            await self.bury(part, stream, {identity: version}, "api")
            return
        page = read_objects(stream, [read.data], Provenance(version, read.read_at, "api", self._api.kind.live))
        for _, cut in page.unfinished:
            page.rows = await complete(self._api, stream, cut, version)
        part.add(again=len(page.rows[stream.table]))
        await self._staging.write(part, page.rows)

    def newest(self, scan: Part, since: int) -> int:
        """The second of the newest scanned event, from which the next scan goes on."""
        column = scan.column("events", "created")["created"]
        top = pc.max(column).as_py()
        return since if top is None else max(since, int(top.timestamp()))
