"""Runs beside the extraction that bring single objects up to date: objects named by others, and the sweep's finds.

Here: such a run's staging, heartbeat and commits, and reading objects again by id. Not here: finding out which
(`ingest.sweep`, the webhook inbox). Nothing moves the events cursor: whatever is merged here is ordered by the
time of its read like everything else.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingest.changes import ChangeReader
from ingest.commit import COMMITTED_FIRST, Committer, TableWrite
from ingest.named import NamedObjects
from ingest.session import heartbeat, identify, streams_held
from ingest.staging import Part, Staging
from ingest.streams import STREAMS
from resources.lake import Lake
from resources.state import State
from resources.state.extraction import ExtractionState
from resources.stripe_api import StripeApi

__all__ = ["Repair", "read_objects_again", "repairing"]


@dataclass(frozen=True)
class Repair:
    """What a repairing run works with. `floor` is the account's creation in seconds; `loaded` are its streams."""

    floor: int
    loaded: frozenset[str]
    staging: Staging
    changes: ChangeReader
    committer: Committer
    named: NamedObjects

    async def commit(self, parts: Sequence[Part]) -> list[TableWrite]:
        """Merge staged rows, those that links are made of first, and what they name for the first time."""
        by_table = {table: [part for part in parts if part.tables[0] == table] for table in STREAMS}
        order = dict.fromkeys((*COMMITTED_FIRST, *by_table))
        writes: list[TableWrite] = []
        for table in order:
            for part in by_table[table]:
                if part.bytes:
                    writes += await asyncio.to_thread(
                        self.committer.commit, part, STREAMS[table], relevant_links=True
                    )
        among = {part.tables[0]: part for part in parts}
        for part in await self.named.look_up(self.loaded, among=among):
            writes += await asyncio.to_thread(
                self.committer.commit, part, STREAMS[part.tables[0]], relevant_links=True
            )
        linking = [part for part in parts if part.tables[0] in COMMITTED_FIRST and part.bytes]
        if linking:
            writes += await asyncio.to_thread(self.committer.relink, linking)
        return writes + await asyncio.to_thread(self.committer.set_aside, parts)


@asynccontextmanager
async def repairing(
    api: StripeApi, lake: Lake, database: State, *, now: Callable[[], datetime], staging: Path, kind: str
) -> AsyncIterator[Repair]:
    """A run of a kind of its own beside the account's extraction; its pages are not gone on with after a kill."""
    state = ExtractionState(database, now)
    account, floor = await identify(api, state)
    cursor = state.cursor(account)
    loaded = streams_held(lake, cursor)
    if cursor is not None:
        api.clock.raise_floor(cursor.newest_read)
    run_id = f"{kind}-{now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    state.begin_run(run_id, f"{account}/{kind}", {"kind": kind})
    parts = Staging(staging, state, run_id)
    status = "abandoned"
    try:
        async with heartbeat(api, database, account, run_id, now), parts:
            yield Repair(
                floor,
                loaded,
                parts,
                ChangeReader(api, lake, parts, loaded),
                Committer(lake, {"run_id": run_id}),
                NamedObjects(api, lake, parts),
            )
        status = "complete"
    finally:
        state.note_read(account, api.clock.latest)
        state.end_run(run_id, status)
        parts.clear()


async def read_objects_again(
    api: StripeApi,
    lake: Lake,
    state: State,
    wanted: Mapping[str, Sequence[str]],
    *,
    now: Callable[[], datetime],
    staging: Path,
) -> list[TableWrite]:
    """Read objects by id and merge them; those that are gone become tombstones. `wanted` is ids by raw table.

    Tables that have not been loaded, or were lost, are left out: their load will read the object anyway.
    Raises: StripeError, StagingError, LakeError.
    """
    async with repairing(api, lake, state, now=now, staging=staging, kind="reread") as repair:
        parts = []
        for table, ids in wanted.items():
            if table in repair.loaded and table in STREAMS and table != "events":
                part = repair.changes.part_of(table)
                stored = repair.changes.stored(table, list(ids))
                await repair.changes.read_each(part, STREAMS[table], sorted(set(ids)), stored)
                parts.append(part)
        return await repair.commit(parts)
