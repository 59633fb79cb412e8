"""Walking the list of one stream through its windows, with the sub-lists that its objects need.

Here: requests, cursors and their order with the journal: a page is durable before the next one of its cursor is
looked at, so a killed run fetches one page per cursor again. A list that cannot be windowed has one cursor, which
asks for its next page while the last is written. Not here: the bookkeeping of windows
(`ingest.windows`) and what becomes of the rows (`ingest.commit`).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ingest.events import read_events
from ingest.pages import read_objects
from ingest.rows import Provenance
from ingest.staging import Part, Staging
from ingest.streams import EVENTS, Stream
from ingest.windows import LEAST_ROWS_TO_STEAL, PAGE, Window, cursors_for
from resources.stripe_api import CursorGone, NotFound, Page, StripeApi, StripeError

__all__ = ["ListReader", "first_error"]

_MOST_SUBLISTS = 500
_LATENCY_TO_BEGIN_WITH = 0.1
_Opened: TypeAlias = tuple[str, dict[str, Any]]


def first_error(group: BaseExceptionGroup) -> BaseException:
    """The error that ended a group of tasks."""
    first = group.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first


class ListReader:
    """Reads what `part.windows` says is left of a stream's list, into the part.

    `least_rows` is the number of rows that makes a second cursor worth its request.
    """

    def __init__(
        self,
        api: StripeApi,
        staging: Staging,
        part: Part,
        stream: Stream,
        *,
        least_rows: int = LEAST_ROWS_TO_STEAL,
        on_page: Callable[[Page], None] | None = None,
    ) -> None:
        self._api, self._staging, self.part, self.stream = api, staging, part, stream
        self._least_rows, self._on_page = least_rows, on_page
        self._room = asyncio.Semaphore(_MOST_SUBLISTS)
        self.cursors = 1

    async def run(self) -> None:
        """Read until no window and no sub-list is left.

        Raises: StripeError, StagingError.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for parent, work in list(self.part.sublists.items()):
                    await self._room.acquire()
                    group.create_task(self._sublist(parent, work))
                for window in list(self.part.windows.live):
                    group.create_task(self._walk(group, window))
        except BaseExceptionGroup as failures:
            raise first_error(failures) from None

    def _wanted_cursors(self) -> int:
        usage = self._api.limiter.usage_of(self.stream.operation)
        rate = min(self._api.limiter.pace_of(self.stream.operation).ceiling, self._api.limiter.account.ceiling)
        return cursors_for(rate, usage.latency or _LATENCY_TO_BEGIN_WITH)

    async def _walk(self, group: asyncio.TaskGroup, window: Window) -> None:
        windows = self.part.windows
        ahead: asyncio.Task[Page] | None = None
        try:
            while window in windows.live:
                try:
                    page = await (ahead or self._ask(window))
                except CursorGone:
                    windows.restart(window)
                    ahead = None
                    continue
                durable, opened = await self._take(window, page)
                del page  # much memory, which need not wait for the disk
                ahead = None
                if not self.stream.created and window in windows.live:
                    ahead = asyncio.create_task(self._ask(window))
                await durable
                for parent, work in opened:
                    group.create_task(self._sublist(parent, work))
                if self.stream.created:
                    self.cursors = self._wanted_cursors()
                    while (stolen := windows.steal(self.cursors, least_rows=self._least_rows)) is not None:
                        group.create_task(self._walk(group, stolen))
        finally:
            if ahead is not None:
                ahead.cancel()

    async def _ask(self, window: Window) -> Page:
        return await self._api.list_page(self.stream.path, self._params(window))

    def _params(self, window: Window) -> dict[str, Any]:
        params: dict[str, Any] = {"limit": PAGE, **self.stream.params}
        if self.stream.expand:
            params["expand[]"] = self.stream.expand
        if self.stream.created:
            params["created[gte]"] = window.gte
            if window.lt is not None:
                params["created[lt]"] = window.lt
        if window.cursor is not None:
            params["starting_after"] = window.cursor
        return params

    async def _take(self, window: Window, page: Page) -> "tuple[asyncio.Future[None], list[_Opened]]":
        """Book a page and stage its rows; when they are durable, and the sub-lists that they open."""
        if self._on_page is not None:
            self._on_page(page)
        provenance = Provenance(page.read_at, page.read_at, "api", self._api.kind.live)
        reader = read_events if self.stream is EVENTS else read_objects
        read = reader(self.stream, page.data, provenance)
        created, last_id = _marks(page.data)
        if page.has_more and last_id is None:
            raise StripeError(f"{self.stream.operation}: a page without an id to go on from")
        opened: list[_Opened] = [
            (parent, {"object": source, "read_at": page.read_at}) for parent, source in read.unfinished
        ]
        for _ in opened:
            await self._room.acquire()
        # From here to the write nothing may wait: the journal must never know a cursor without its page's rows.
        self.part.windows.advance(window, created, last_id, has_more=page.has_more)
        self.part.add(pages=1, seen=len(page.data))
        if page.data and isinstance(page.data[0], dict):
            self.part.fields |= page.data[0].keys()
        return self._staging.write(self.part, read.rows, opened=opened), opened

    async def read_parent(self, parent: dict[str, str]) -> None:
        """Stage the whole list of one parent, for a list that is given for one parent at a time only."""
        window = Window(0, None)
        has_more = True
        while has_more:
            try:
                page = await self._api.list_page(self.stream.path, {**self._params(window), **parent})
            except CursorGone:
                window.cursor = None
                continue
            read = read_objects(
                self.stream, page.data, Provenance(page.read_at, page.read_at, "api", self._api.kind.live)
            )
            _, window.cursor = _marks(page.data)
            has_more = page.has_more and window.cursor is not None
            self.part.add(pages=1, seen=len(page.data))
            await self._staging.write(self.part, read.rows)

    async def _sublist(self, parent: str, work: Mapping[str, Any]) -> None:
        try:
            rows = await complete(self._api, self.stream, work["object"], work["read_at"])
            await self._staging.write(self.part, rows, closed=[parent])
        finally:
            self._room.release()


async def complete(
    api: StripeApi, stream: Stream, source: dict[str, Any], read_at: int
) -> dict[str, list[dict[str, Any]]]:
    """Rows of an object after reading the rest of its nested list.

    The version stays that of the object: what changes in between comes with its event. A cursor object that is
    gone begins the list again; a parent that is gone keeps what it had, and its event follows.
    """
    nested = stream.nested
    assert nested is not None
    entries: list[Any] = source[nested.field]["data"]
    has_more = True
    while has_more:
        params: dict[str, Any] = {"limit": PAGE}
        if nested.parent_param is not None:
            params[nested.parent_param] = source["id"]
        if nested.expand:
            params["expand[]"] = nested.expand
        _, cursor = _marks(entries)
        if cursor is not None:
            params["starting_after"] = cursor
        try:
            page = await api.list_page(nested.path, params, id=source["id"])
        except CursorGone:
            entries = []
            continue
        except NotFound:
            break
        has_more = page.has_more
        if has_more and not page.data:
            raise StripeError(f"GET /v1/{nested.path}: an empty page that says there is more")
        entries = entries + page.data
    source = {**source, nested.field: {"data": entries, "has_more": has_more}}
    read = read_objects(stream, [source], Provenance(read_at, read_at, "api", api.kind.live))
    for _, unfinished in read.unfinished:
        # The parent vanished meanwhile: what is known of it is kept, marked as incomplete.
        known = {**unfinished, nested.field: {"data": entries, "has_more": None}}
        read = read_objects(stream, [known], Provenance(read_at, read_at, "api", api.kind.live))
    return read.rows


def _marks(objects: list[Any]) -> tuple[list[int], str | None]:
    """Creation times of a page in their order, and the last id a cursor can go on from."""
    sound = [entry for entry in objects if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    created = [entry["created"] for entry in sound if isinstance(entry.get("created"), int)]
    return created, sound[-1]["id"] if sound else None
