"""The extraction: from an account to raw tables, whole or by what has changed.

Here: the order of one run. First load: permissions, events cursor, all lists at once, commit per stream, then the
events since the cursor. Later: one scan of events. A cursor that Stripe's memory of events has nearly outlived
loads everything again, unasked. Not here: each step's inside. A run is recorded as complete only if every stream
is; the next run goes on with what is left.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.backfill import Backfill
from ingest.changes import ChangeReader
from ingest.commit import Committer, TableWrite
from ingest.named import NamedObjects
from ingest.progress import ProgressBoard
from ingest.report import ExtractionFailed, ExtractReport, Mode, Progress, StreamReport, TableReport
from ingest.staging import Part, Staging, StagingError
from ingest.streams import EVENTS, STREAMS, Stream, chosen
from resources.lake import Lake, LakeError
from resources.state import State
from resources.state.extraction import ExtractionState, RunRow, SharedPace
from resources.stripe_api import PermissionMissing, StripeApi, StripeError
from resources.stripe_clock import MICROS

__all__ = ["extract"]

_STRIPE_BEGAN = int(datetime(2011, 1, 1, tzinfo=UTC).timestamp())
_OLDEST_CURSOR_SECONDS = 28 * 86_400
_BEAT_SECONDS = 1.0
# Linked tables are committed after those that hold the links.
_COMMIT_ORDER = ("invoice_payments", "charges")

_Refused = (StripeError, StagingError, LakeError)


@dataclass(frozen=True)
class _Plan:
    """What a run does; kept with it, so that a later process can go on. Times in seconds on Stripe's clock."""

    backfill: tuple[str, ...]
    frozen_at: int
    floor: int
    events_from: int
    skip_landed: bool

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "backfill": list(self.backfill)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "_Plan":
        return cls(**{**stored, "backfill": tuple(stored["backfill"])})


async def extract(
    api: StripeApi,
    lake: Lake,
    state: State,
    *,
    now: Callable[[], datetime],
    staging: Path,
    tables: Sequence[str] | None = None,
    full: bool = False,
    progress: Progress | None = None,
) -> ExtractReport:
    """Bring the raw tables of the lake to the account's present content.

    `tables` limits which tables are loaded for the first time or, with `full`, again; changes are applied to
    every table that has been loaded. `staging` is a local folder for pages under way. `now` gives aware UTC times
    for the state's rows; what is read is ordered by Stripe's own clock.
    Raises: ExtractionFailed, whose report tells what was got all the same.
    """
    run = _Extraction(api, lake, state, staging, now, progress)
    return await run.extract(chosen(tables), full=full)


class _Extraction:
    def __init__(
        self,
        api: StripeApi,
        lake: Lake,
        state: State,
        folder: Path,
        now: Callable[[], datetime],
        progress: Progress | None,
    ) -> None:
        self._api, self._lake, self._database = api, lake, state
        self._state = ExtractionState(state, now)
        self._folder, self._now = folder, now
        self._board = ProgressBoard(api.limiter, progress)
        self._writes: list[TableWrite] = []
        self._parts: dict[str, list[Part]] = {}
        self._backfilled: set[str] = set()
        self._errors: dict[str, Exception] = {}
        self._changes: dict[str, int] = {}
        self._account, self._run_id, self._resumed = "", "", False
        self._until: int | None = None

    async def extract(self, streams: tuple[Stream, ...], *, full: bool) -> ExtractReport:
        began = asyncio.get_running_loop().time()
        try:
            async with self._board:
                self._account, floor = await self._identify()
                resumed = await self._once(streams, floor, full=full)
                if resumed and not self._errors:
                    # The journal tells of the past: what has happened since is one more scan.
                    await self._once(streams, floor, full=False)
        except _Refused as error:
            self._errors.setdefault("run", error)
        report = self._report(streams, asyncio.get_running_loop().time() - began)
        if self._errors:
            raise ExtractionFailed(self._trouble(), report) from next(iter(self._errors.values()))
        return report

    async def _identify(self) -> tuple[str, int]:
        """The account's name in the state, and the second of its creation; asked once per key."""
        key_print = self._api.fingerprint
        known = self._state.account_of(key_print)
        if known is None:
            mode = "live" if self._api.kind.live else "test"
            try:
                account = (await self._api.account()).data
                created = account.get("created")
                floor = created if isinstance(created, int) else _STRIPE_BEGAN
                known = (f"{account['id']}:{mode}", floor)
            except PermissionMissing:
                known = (f"key_{key_print[:16]}:{mode}", _STRIPE_BEGAN)
            self._state.remember_account(key_print, *known)
        return known

    async def _once(self, streams: tuple[Stream, ...], floor: int, *, full: bool) -> bool:
        """One run; True if it went on with an earlier one."""
        cursor = self._state.cursor(self._account)
        if cursor is not None:
            self._api.clock.raise_floor(cursor.newest_read)
        # The events cursor is taken before the first list call: what changes meanwhile comes with later events.
        newest = await self._api.list_page(EVENTS.path, {"limit": 1})
        present = self._api.clock.date or 0
        mark = newest.data[0]["created"] if newest.data else present
        fresh = self._fresh_plan(streams, cursor, present=present, mark=mark, floor=floor, full=full)
        run, resumed = self._begin(fresh, present, full=full)
        self._run_id, self._resumed = run.run_id, self._resumed or resumed
        plan = _Plan.from_json(run.plan)
        beats = asyncio.create_task(self._beat(run))
        status = "failed"
        try:
            async with Staging(self._folder, self._state, run.run_id) as staging:
                await self._execute(run, plan, staging, streams)
                if not self._errors:
                    status = "complete"
            self._state.end_run(run.run_id, status)
            if status == "complete":
                staging.clear()
        except _Refused:
            self._state.end_run(run.run_id, status)
            raise
        finally:
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)
        return resumed

    def _fresh_plan(
        self, streams: tuple[Stream, ...], cursor: Any, *, present: int, mark: int, floor: int, full: bool
    ) -> _Plan:
        wanted = {stream.table for stream in streams}
        if cursor is None:
            return _Plan(self._ordered(wanted), present, floor, mark, skip_landed=False)
        loaded = set(cursor.loaded)
        outdated = present - cursor.events_from > _OLDEST_CURSOR_SECONDS
        backfill = wanted | loaded if outdated else (wanted if full else wanted - loaded)
        since = mark if backfill >= loaded else cursor.events_from
        return _Plan(
            self._ordered(backfill), present, floor, since, skip_landed=not backfill and bool(cursor.routed)
        )

    @staticmethod
    def _ordered(tables: set[str]) -> tuple[str, ...]:
        return tuple(name for name in STREAMS if name in tables)

    def _begin(self, fresh: _Plan, present: int, *, full: bool) -> tuple[RunRow, bool]:
        """Go on with a run that was left, if it still serves, else begin one."""
        left = self._state.unfinished(self._account)
        if left is not None:
            plan = _Plan.from_json(left.plan)
            useless = full and not set(fresh.backfill) <= set(plan.backfill)
            if not useless and present - plan.events_from <= _OLDEST_CURSOR_SECONDS:
                merged = _Plan(
                    self._ordered({*plan.backfill, *fresh.backfill}),
                    plan.frozen_at,
                    plan.floor,
                    min(plan.events_from, fresh.events_from),
                    plan.skip_landed and fresh.skip_landed,
                )
                self._state.replan(left.run_id, merged.to_json())
                return RunRow(left.run_id, left.account, merged.to_json()), True
            self._state.end_run(left.run_id, "abandoned")
        run_id = f"{self._now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        return self._state.begin_run(run_id, self._account, fresh.to_json()), False

    async def _beat(self, run: RunRow) -> None:
        """Once a second: take this run's part of the account's pace, and show that it lives."""
        pace = SharedPace(self._database, run.account, run.run_id, self._now)
        try:
            while True:
                runs, lowest = await asyncio.to_thread(pace.exchange, self._api.limiter.learned())
                self._api.limiter.share_with(runs)
                self._api.limiter.heed(lowest)
                await asyncio.to_thread(self._state.beat, run.run_id)
                await asyncio.sleep(_BEAT_SECONDS)
        finally:
            pace.leave()

    async def _execute(self, run: RunRow, plan: _Plan, staging: Staging, streams: tuple[Stream, ...]) -> None:
        committer = Committer(self._lake, {"run_id": run.run_id})
        cursor = self._state.cursor(self._account)
        loaded = set() if cursor is None else set(cursor.loaded)
        named = NamedObjects(self._api, self._lake, staging)
        changes = ChangeReader(self._api, self._lake, staging, loaded | set(plan.backfill))
        if plan.backfill:
            backfill = Backfill(self._api, self._lake, staging, committer, changes, self._board)
            todo = [STREAMS[name] for name in plan.backfill]
            errors = await backfill.run(todo, floor=plan.floor, frozen_at=plan.frozen_at)
            self._note(backfill.parts, backfill.writes)
            self._note([], await asyncio.to_thread(committer.set_aside, backfill.parts))
            self._backfilled |= set(plan.backfill)
            self._errors.update(errors)
            if errors:
                return
            for part in await named.look_up(changes.loaded):
                await self._commit(committer, [part], relevant=True)
            self._state.save_cursor(
                self._account,
                events_from=plan.events_from,
                routed=False,
                newest_read=self._api.clock.latest,
                loaded=dict.fromkeys(plan.backfill, plan.frozen_at * MICROS),
            )
        scan = changes.scan(plan.events_from)
        self._board.watch(EVENTS.table, scan)
        await scan.run()
        verdicts = await changes.route(scan.part, plan.events_from, skip_landed=plan.skip_landed)
        for verdict, count in verdicts.items():
            self._changes[verdict.name.lower()] = self._changes.get(verdict.name.lower(), 0) + count
        parts = [*changes.parts.values(), *await named.look_up(changes.loaded, among=changes.parts)]
        await self._commit(committer, parts, relevant=True)
        links = {name: changes.parts[name] for name in _COMMIT_ORDER if name in changes.parts}
        if any(part.bytes for part in links.values()):
            self._note([], await asyncio.to_thread(committer.relink, links))
        await self._commit(committer, [scan.part], relevant=True)
        self._note([], await asyncio.to_thread(committer.set_aside, [*parts, scan.part]))
        self._board.put(EVENTS.table, "done")
        self._until = changes.newest(scan.part, plan.events_from)
        self._state.save_cursor(
            self._account,
            events_from=self._until,
            routed=True,
            newest_read=self._api.clock.latest,
            loaded={},
        )

    async def _commit(self, committer: Committer, parts: Iterable[Part], *, relevant: bool) -> None:
        def place(part: Part) -> int:
            table = part.tables[0]
            return _COMMIT_ORDER.index(table) if table in _COMMIT_ORDER else len(_COMMIT_ORDER)

        for part in sorted(parts, key=place):
            stream = STREAMS[part.tables[0]]
            writes = await asyncio.to_thread(committer.commit, part, stream, relevant_links=relevant)
            self._note([part], writes)

    def _note(self, parts: Iterable[Part], writes: Iterable[TableWrite]) -> None:
        for part in parts:
            self._parts.setdefault(part.tables[0], []).append(part)
        self._writes += writes

    def _trouble(self) -> str:
        """What went wrong, in one line; streams that failed alike are named together."""
        by_message: dict[str, list[str]] = {}
        for stream, error in self._errors.items():
            by_message.setdefault(str(error), []).append(stream)
        return "; ".join(
            message if names == ["run"] or len(names) > 3 else f"{', '.join(names)}: {message}"
            for message, names in by_message.items()
        )

    def _report(self, streams: tuple[Stream, ...], seconds: float) -> ExtractReport:
        written: dict[str, list[TableWrite]] = {}
        for write in self._writes:
            written.setdefault(write.table, []).append(write)
        names = {stream.table for stream in streams} | {
            t for s in STREAMS.values() for t in s.tables if t in written
        }
        tables, reports = [], []
        for stream in STREAMS.values():
            if stream.table not in names and not set(stream.tables) & written.keys():
                continue
            reports.append(self._stream_report(stream, written))
            for table in stream.tables:
                tables.append(self._table_report(table, stream, written.get(table, [])))
        if "quarantine" in written:
            tables.append(self._table_report("quarantine", EVENTS, written["quarantine"]))
        usage = self._api.limiter.total
        mode: Mode = "unchanged"
        if self._errors:
            mode = "failed"
        elif self._backfilled:
            mode = "backfill"
        elif written:
            mode = "incremental"
        return ExtractReport(
            run_id=self._run_id,
            account=self._account,
            live=self._api.kind.live,
            mode=mode,
            complete=not self._errors,
            resumed=self._resumed,
            tables=tuple(tables),
            streams=tuple(reports),
            requests=usage.requests,
            limited=usage.limited,
            retried=usage.retried,
            request_budget=self._api.limiter.budget,
            seconds=seconds,
            events_until=self._until,
            changes=dict(self._changes),
        )

    def _stream_report(self, stream: Stream, written: dict[str, list[TableWrite]]) -> StreamReport:
        parts = self._parts.get(stream.table, [])
        operations = [name for name in self._api.limiter.usage if _belongs(name, stream)]
        usages = [self._api.limiter.usage[name] for name in operations]
        mode: Mode = "unchanged"
        if stream.table in self._errors:
            mode = "failed"
        elif stream.table in self._backfilled:
            mode = "backfill"
        elif set(stream.tables) & written.keys():
            mode = "incremental"
        error = self._errors.get(stream.table)
        return StreamReport(
            stream=stream.table,
            mode=mode,
            pages=sum(part.counts.get("pages", 0) for part in parts),
            seen=sum(part.counts.get("seen", 0) for part in parts),
            requests=sum(usage.requests for usage in usages),
            limited=sum(usage.limited for usage in usages),
            retried=sum(usage.retried for usage in usages),
            quarantined=sum(part.counts.get("quarantined", 0) for part in parts),
            error=None if error is None else str(error),
        )

    def _table_report(self, table: str, stream: Stream, writes: list[TableWrite]) -> TableReport:
        name = f"stripe/{table}"
        mode: Mode = "backfill" if stream.table in self._backfilled else "incremental" if writes else "unchanged"
        return TableReport(
            table=table,
            stream=stream.table,
            mode=mode,
            upserted=sum(write.written for write in writes),
            left=sum(write.left for write in writes),
            rows=self._lake.row_count(name),
            version=self._lake.version(name),
        )


def _belongs(operation: str, stream: Stream) -> bool:
    """Whether an operation is one of a stream's: its list, its look-ups, its sub-lists."""
    path = operation.removeprefix("GET /v1/")
    own = path == stream.path or path == f"{stream.path}/{{id}}"
    return own or (stream.nested is not None and path == stream.nested.path)
