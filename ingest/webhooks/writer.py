"""The group commit: many requests, one transaction at a time, and no answer before it is durable.

One task takes whatever has arrived since the last commit and stores it in one transaction in a thread; each
request waits for the commit that holds its event. While a transaction is being synced to disk the next group
gathers by itself, so throughput rises with load and the event loop never waits for the disk. Refused is what
would wait in memory beyond a bound, or in the table beyond the backlog bound: a refused event is sent again.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from resources.loggers import get_logger
from resources.state import State
from resources.state.inbox import InboxRow, insert_events, pending_count

__all__ = ["InboxWriter", "NotStoredError"]

_T = TypeVar("_T")
_log = get_logger("stripe_mavera.webhooks")


class NotStoredError(RuntimeError):
    """The event was not stored and must be sent again; `reason` is one of a few fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not stored: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Waiting:
    row: InboxRow
    stored: asyncio.Future[bool]


class InboxWriter:
    """Stores inbox rows in groups; `start` and `stop` belong to the event loop that serves."""

    def __init__(
        self,
        state: State,
        *,
        backlog_bound: int,
        queue_bound: int = 2_000,
        group_size: int = 500,
        commit_seconds: float = 8.0,
        recount_seconds: float = 1.0,
    ) -> None:
        self._state = state
        self._backlog_bound = backlog_bound
        self._queue_bound = queue_bound
        self._group_size = group_size
        self._commit_seconds = commit_seconds
        self._recount_seconds = recount_seconds
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        # One thread, so that writes are serial here and not in the database's lock queue.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inbox-writer")
        self.backlog = 0
        self.groups = 0
        self.healthy = False

    @property
    def queued(self) -> int:
        """Events that wait in memory for the next commit."""
        return len(self._queue)

    async def start(self) -> None:
        """Count what already waits, then accept. Raises: sqlalchemy.exc.SQLAlchemyError."""
        self.backlog = await self._in_thread(self._count)
        self.healthy = True
        self._task = asyncio.create_task(self._run(), name="inbox-writer")

    async def stop(self) -> None:
        """Store what has been taken, then end."""
        self._stopping = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def store(self, row: InboxRow) -> bool:
        """Return once the event is durable: True if it is new, False if it was there.

        Raises: NotStoredError.
        """
        if self._stopping or self._task is None or self._task.done():
            raise NotStoredError("stopping")
        if self.backlog >= self._backlog_bound:
            raise NotStoredError("backlog")
        if len(self._queue) >= self._queue_bound:
            raise NotStoredError("busy")
        waiting = _Waiting(row, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        try:
            # A commit that comes after all stores the event twice at worst, and the second time is a duplicate.
            async with asyncio.timeout(self._commit_seconds):
                return await waiting.stored
        except TimeoutError as error:
            raise NotStoredError("slow database") from error

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        recount_at = loop.time() + self._recount_seconds
        while self._queue or not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(recount_at):
                    await self._arrived.wait()
            if self._queue:
                await self._commit_group()
            if not self._queue and not self._stopping:
                self._arrived.clear()
            if loop.time() >= recount_at:
                await self._recount()
                recount_at = loop.time() + self._recount_seconds

    async def _commit_group(self) -> None:
        group = [self._queue.popleft() for _ in range(min(self._group_size, len(self._queue)))]
        group = [waiting for waiting in group if not waiting.stored.done()]
        rows = [waiting.row for waiting in group]
        try:
            new = await self._in_thread(lambda: insert_events(self._state, rows))
        except sa.exc.SQLAlchemyError as error:
            self.healthy = False
            _log.error("events not stored", events=len(rows), error=type(error).__name__)
            for waiting in group:
                if not waiting.stored.done():
                    waiting.stored.set_exception(NotStoredError("database"))
            return
        self.healthy = True
        self.groups += 1
        for waiting in group:
            key = (waiting.row.origin, waiting.row.event_id)
            is_new = key in new
            new.discard(key)  # the second of two in one group is the duplicate
            self.backlog += is_new and waiting.row.status == "pending"
            if not waiting.stored.done():
                waiting.stored.set_result(is_new)

    async def _recount(self) -> None:
        try:
            self.backlog = await self._in_thread(self._count)
            self.healthy = True
        except sa.exc.SQLAlchemyError as error:
            self.healthy = False
            _log.error("backlog not counted", error=type(error).__name__)

    def _count(self) -> int:
        return pending_count(self._state, at_most=self._backlog_bound)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
