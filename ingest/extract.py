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
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bind_contextvars, bound_contextvars

from ingest.backfill import Backfill
from ingest.changes import ChangeReader
from ingest.commit import COMMITTED_FIRST, Committer
from ingest.named import NamedObjects
from ingest.progress import ProgressBoard
from ingest.report import ExtractionFailed, ExtractReport, Progress
from ingest.session import heartbeat, identify, streams_held
from ingest.staging import Part, Staging, StagingError
from ingest.streams import EVENTS, STREAMS, Stream, chosen
from ingest.tally import Tally
from resources.lake import Lake, LakeError
from resources.loggers import get_logger
from resources.state import State, StateError
from resources.state.extraction import ExtractionState, RunRow
from resources.stripe_api import StripeApi, StripeError
from resources.stripe_clock import MICROS

__all__ = ["extract"]

_log = get_logger("stripe_mavera.extraction")
_OLDEST_CURSOR_SECONDS = 28 * 86_400

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
    with bound_contextvars(extraction=""):
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
        self._tally = Tally(api, lake, self._board)

    async def extract(self, streams: tuple[Stream, ...], *, full: bool) -> ExtractReport:
        tally = self._tally
        began = asyncio.get_running_loop().time()
        try:
            async with self._board:
                tally.account, floor = await identify(self._api, self._state)
                tally.resumed = await self._once(streams, floor, full=full)
                if tally.resumed and not tally.errors:
                    # The journal tells of the past: what has happened since is one more scan.
                    await self._once(streams, floor, full=False)
        except _Refused as error:
            tally.errors.setdefault("run", error)
        except SQLAlchemyError as error:
            told = getattr(error, "orig", None) or error
            tally.errors.setdefault("run", StateError(f"{self._database!r} cannot be written: {told}"))
        report = tally.report(streams, asyncio.get_running_loop().time() - began)
        _tell(report)
        if tally.errors:
            raise ExtractionFailed(tally.trouble(), report) from next(iter(tally.errors.values()))
        return report

    async def _once(self, streams: tuple[Stream, ...], floor: int, *, full: bool) -> bool:
        """One run; True if it went on with an earlier one."""
        cursor = self._state.cursor(self._tally.account)
        if cursor is not None:
            self._api.clock.raise_floor(cursor.newest_read)
        # The events cursor is taken before the first list call: what changes meanwhile comes with later events.
        newest = await self._api.list_page(EVENTS.path, {"limit": 1})
        present = self._api.clock.date or 0
        mark = newest.data[0]["created"] if newest.data else present
        fresh = self._fresh_plan(streams, cursor, present=present, mark=mark, floor=floor, full=full)
        run, resumed = self._begin(fresh, present, full=full)
        self._tally.run_id = run.run_id
        plan = _Plan.from_json(run.plan)
        bind_contextvars(extraction=run.run_id)
        _log.info("extraction resumed" if resumed else "extraction started", loads=len(plan.backfill))
        status = "failed"
        try:
            async with (
                heartbeat(self._api, self._database, run.account, run.run_id, self._now),
                Staging(self._folder, self._state, run.run_id) as staging,
            ):
                await self._execute(run, plan, staging)
                if not self._tally.errors:
                    status = "complete"
            self._state.end_run(run.run_id, status)
            if status == "complete":
                staging.clear()
        except BaseException:
            # Whatever ended it, the next run goes on from the journal.
            self._state.end_run(run.run_id, "failed")
            raise
        finally:
            self._state.note_read(self._tally.account, self._api.clock.latest)
        return resumed

    def _fresh_plan(
        self, streams: tuple[Stream, ...], cursor: Any, *, present: int, mark: int, floor: int, full: bool
    ) -> _Plan:
        wanted = {stream.table for stream in streams}
        if cursor is None:
            return _Plan(self._ordered(wanted), present, floor, mark, skip_landed=False)
        loaded = streams_held(self._lake, cursor)
        outdated = present - cursor.events_from > _OLDEST_CURSOR_SECONDS
        lost = set(cursor.loaded) - loaded
        backfill = wanted | loaded | lost if outdated else (wanted if full else wanted - loaded) | lost
        since = mark if backfill >= loaded else cursor.events_from
        return _Plan(
            self._ordered(backfill), present, floor, since, skip_landed=not backfill and bool(cursor.routed)
        )

    @staticmethod
    def _ordered(tables: set[str]) -> tuple[str, ...]:
        return tuple(name for name in STREAMS if name in tables)

    def _begin(self, fresh: _Plan, present: int, *, full: bool) -> tuple[RunRow, bool]:
        """Go on with a run that was left, if it still serves, else begin one."""
        left = self._state.unfinished(self._tally.account)
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
        return self._state.begin_run(run_id, self._tally.account, fresh.to_json()), False

    async def _execute(self, run: RunRow, plan: _Plan, staging: Staging) -> None:
        committer = Committer(self._lake, {"run_id": run.run_id})
        cursor = self._state.cursor(self._tally.account)
        loaded = streams_held(self._lake, cursor)
        named = NamedObjects(self._api, self._lake, staging)
        changes = ChangeReader(self._api, self._lake, staging, loaded | set(plan.backfill))
        if plan.backfill:
            backfill = Backfill(self._api, self._lake, staging, committer, changes, self._board)
            todo = [STREAMS[name] for name in plan.backfill]
            errors = await backfill.run(todo, floor=plan.floor, frozen_at=plan.frozen_at)
            self._tally.note(backfill.parts, backfill.writes)
            self._tally.note([], await asyncio.to_thread(committer.set_aside, backfill.parts))
            self._tally.backfilled |= set(plan.backfill)
            self._tally.errors.update(errors)
            self._tally.unfinished.update(backfill.unfinished)
            if errors:
                return
            await self._commit(committer, await named.look_up(changes.loaded))
            self._state.save_cursor(
                self._tally.account,
                events_from=plan.events_from,
                routed=False,
                newest_read=self._api.clock.latest,
                loaded={
                    name: plan.frozen_at * MICROS for name in plan.backfill if name not in backfill.unfinished
                },
            )
        scan = changes.scan(plan.events_from)
        self._board.watch(EVENTS.table, scan)
        await scan.run()
        verdicts = await changes.route(scan.part, plan.events_from, skip_landed=plan.skip_landed)
        for verdict, count in verdicts.items():
            name = verdict.name.lower()
            self._tally.changes[name] = self._tally.changes.get(name, 0) + count
        parts = [*changes.parts.values(), *await named.look_up(changes.loaded, among=changes.parts)]
        await self._commit(committer, parts)
        linking = [part for part in parts if part.tables[0] in COMMITTED_FIRST and part.bytes]
        if linking:
            self._tally.note([], await asyncio.to_thread(committer.relink, linking))
        await self._commit(committer, [scan.part])
        self._tally.note([], await asyncio.to_thread(committer.set_aside, [*parts, scan.part]))
        self._board.put(EVENTS.table, "done")
        self._tally.events_until = changes.newest(scan.part, plan.events_from)
        self._state.save_cursor(
            self._tally.account,
            events_from=self._tally.events_until,
            routed=True,
            newest_read=self._api.clock.latest,
            loaded={},
        )

    async def _commit(self, committer: Committer, parts: Iterable[Part]) -> None:
        """Commit changes: first what links are made of, in their order, then the other tables side by side."""
        by_table: dict[str, list[Part]] = {}
        for part in parts:
            by_table.setdefault(part.tables[0], []).append(part)

        async def write(table: str) -> None:
            for part in by_table.pop(table, ()):
                writes = await asyncio.to_thread(committer.commit, part, STREAMS[table], relevant_links=True)
                self._tally.note([part], writes)

        for table in COMMITTED_FIRST:
            await write(table)
        await asyncio.gather(*map(write, list(by_table)))


def _tell(report: ExtractReport) -> None:
    """The end of a run for the log, with what an on-call person asks first."""
    for stream in report.streams:
        if stream.quarantined:
            _log.warning("objects quarantined", stream=stream.stream, objects=stream.quarantined)
    (_log.info if report.complete else _log.error)(
        "extraction ended",
        mode=report.mode,
        rows=sum(table.upserted for table in report.tables),
        requests=report.requests,
        rate_limited=report.limited,
        retried=report.retried,
        seconds=round(report.seconds, 1),
    )
