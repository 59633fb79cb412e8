"""Loading streams whole: permissions first, then every list at once, each committed when it is complete.

Here: one stream's failure does not stop the others, nor does it count as loaded. Loading a table again also finds
what the list lacks: Stripe never lists what was deleted. Not here: walking one list (`ingest.lists`).
"""

import asyncio
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ingest.changes import ChangeReader
from ingest.commit import Committer, TableWrite, lake_table
from ingest.events import Stored
from ingest.fan_out import needs_customer, read_per_customer
from ingest.lists import ListReader
from ingest.progress import ProgressBoard
from ingest.staging import Part, Staging, StagingError
from ingest.streams import EVENTS, Stream
from ingest.tables import RAW_TABLES
from ingest.windows import Windows
from resources.lake import Lake, LakeError
from resources.stripe_api import BadRequest, PermissionMissing, StripeApi, StripeError

__all__ = ["Backfill", "PermissionsMissing", "probe"]

_EVENTS_KEPT_SECONDS = 30 * 86_400
# Linked tables are committed after those that hold the links.
_COMMITTED_AFTER: dict[str, tuple[str, ...]] = {
    "charges": ("invoice_payments",),
    "invoices": ("invoice_payments", "charges"),
}
_LINKED_IN_ORDER = {"invoice_payments", "charges", "invoices"}


class PermissionsMissing(StripeError):
    """Streams that the key may not read; the message names each with its permission."""


async def probe(api: StripeApi, streams: Sequence[Stream]) -> None:
    """Ask one row of every stream. Raises: PermissionsMissing, StripeError."""

    async def missing(stream: Stream) -> str | None:
        try:
            await api.list_page(stream.path, {"limit": 1, **stream.params})
        except BadRequest as error:
            if not needs_customer(stream.table, error):
                raise
        except PermissionMissing as error:
            told = "" if error.permission is None else f", Stripe names {error.permission}"
            return f"{stream.table} needs read permission for {stream.permission}{told}"
        return None

    found = [text for text in await asyncio.gather(*map(missing, streams)) if text is not None]
    if found:
        raise PermissionsMissing("the Stripe key lacks permissions: " + "; ".join(found))


class Backfill:
    """Loads streams into their tables."""

    def __init__(
        self,
        api: StripeApi,
        lake: Lake,
        staging: Staging,
        committer: Committer,
        changes: ChangeReader,
        board: ProgressBoard,
    ) -> None:
        self._api, self._lake, self._staging = api, lake, staging
        self._committer, self._changes, self._board = committer, changes, board
        self._ended: dict[str, asyncio.Event] = {}
        self._committed: set[str] = set()  # here; the journal tells of others, whose links may have come later
        self._permitted = asyncio.Event()
        self._writing = asyncio.Lock()  # two loads at once would hold twice the memory
        self.parts: list[Part] = []
        self.unfinished: dict[str, str] = {}
        self.writes: list[TableWrite] = []

    async def run(self, streams: Sequence[Stream], *, floor: int, frozen_at: int) -> dict[str, Exception]:
        """Load the streams; what failed, by stream. Raises: PermissionsMissing, StripeError."""
        self._ended = {stream.table: asyncio.Event() for stream in streams}
        readers = []
        for stream in streams:
            part = self._staging.part(stream.table, stream.tables)
            self.parts.append(part)
            if part.fresh:
                since = max(floor, frozen_at - _EVENTS_KEPT_SECONDS) if stream is EVENTS else floor
                part.windows = Windows.over(since, frozen_at + 1)
            readers.append(ListReader(self._api, self._staging, part, stream))
            self._board.watch(stream.table, readers[-1])
        # Reading begins beside the probes, to spare their time; nothing is committed before they all passed.
        loads = [asyncio.create_task(self._load(reader)) for reader in readers]
        try:
            await probe(self._api, streams)
            self._permitted.set()
            results = await asyncio.gather(*loads)
        finally:
            for load in loads:
                load.cancel()
            await asyncio.gather(*loads, return_exceptions=True)
        errors = {s.table: error for s, error in zip(streams, results, strict=True) if error is not None}
        holding_links = {"invoice_payments", "charges"} & self._ended.keys()
        if holding_links and not errors and not self._committed >= _LINKED_IN_ORDER:
            self.writes += await asyncio.to_thread(self._committer.relink)
        return errors

    async def _load(self, reader: ListReader) -> Exception | None:
        table, part = reader.stream.table, reader.part
        try:
            if not part.committed:
                await self._read(reader)
                self._board.put(table, "waiting")
                await self._permitted.wait()
                for other in _COMMITTED_AFTER.get(table, ()):
                    if other in self._ended:
                        await self._ended[other].wait()
                if reader.stream is not EVENTS and table not in self.unfinished:
                    await self._find_unlisted(reader)
                async with self._writing:
                    self._board.put(table, "writing")
                    self.writes += await asyncio.to_thread(
                        self._committer.commit, part, reader.stream, relevant_links=False
                    )
                if table not in self.unfinished:  # else a resumed run would take it for whole
                    self._staging.committed(part)
                self._committed.add(table)
        except (StripeError, StagingError, LakeError) as error:
            self._board.put(table, "failed")
            return error
        finally:
            self._ended[table].set()
        self._board.put(table, "done")
        return None

    async def _read(self, reader: ListReader) -> None:
        try:
            await reader.run()
        except BadRequest as error:
            if not needs_customer(reader.stream.table, error):
                raise
            for other in ("customers", "subscriptions", "charges"):
                if other in self._ended:
                    await self._ended[other].wait()
            left = await read_per_customer(self._api, self._lake, reader)
            if left is not None:
                self.unfinished[reader.stream.table] = left

    async def _find_unlisted(self, reader: ListReader) -> None:
        """Read again, one by one, what the table has and the list has not: it is deleted, or has moved away."""
        stream, part = reader.stream, reader.part
        if self._lake.row_count(lake_table(stream.table)) == 0:
            return
        schema = RAW_TABLES[stream.table]
        stored = self._lake.read(lake_table(stream.table), columns=["id", "version_at", "deleted"])
        listed = part.column(stream.table, "id")["id"].combine_chunks()
        lost = stored.filter(pc.invert(pc.or_(pc.is_in(stored["id"], value_set=listed), stored["deleted"]))).cast(
            pa.schema([schema.field(name) for name in stored.schema.names])
        )
        versions = lost["version_at"].cast(pa.int64()).to_pylist()
        known = {i: Stored(v, False) for i, v in zip(lost["id"].to_pylist(), versions, strict=True)}
        await self._changes.read_each(part, stream, list(known), known)
