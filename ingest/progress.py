"""The live view of a run: pages, rows, pace and time left of each stream, a few times a second.

Here: sampling counters into frozen snapshots for a callable. Not here: drawing them (the command line does).
"""

import asyncio
from collections import deque
from typing import Self

from ingest.lists import ListReader
from ingest.report import Progress, StreamProgress, StreamState
from resources.limiter import Limiter
from resources.loggers import get_logger

__all__ = ["ProgressBoard"]

_log = get_logger("stripe_mavera.extraction")

_TICK_SECONDS = 0.25
_WINDOW_TICKS = 8


class ProgressBoard:
    """Watches readers and tells `progress` about them until the block is left."""

    def __init__(self, limiter: Limiter, progress: Progress | None) -> None:
        self._limiter, self._progress = limiter, progress
        self._readers: dict[str, ListReader] = {}
        self._states: dict[str, StreamState] = {}
        self._history: dict[str, deque[tuple[float, int]]] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._paces: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._progress is not None:
            self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._tell()

    def watch(self, stream: str, reader: ListReader) -> None:
        """Follow a reader."""
        self._readers[stream] = reader
        self._states[stream] = "reading"
        self._begun[stream] = self._asked(reader)

    def put(self, stream: str, state: StreamState) -> None:
        """Tell what a stream is at; its end is logged."""
        begun = self._begun.pop(stream, None)
        if begun is not None:  # it has been read
            at, requests = self._asked(self._readers[stream])
            self._paces[stream] = (requests - begun[1]) / max(at - begun[0], _TICK_SECONDS)
        self._states[stream] = state
        if state in ("done", "failed"):
            counts = self._readers[stream].part.counts
            say = _log.info if state == "done" else _log.error
            say(
                f"stream {state}",
                stream=stream,
                rows=counts.get(f"rows:{stream}", 0),
                pages=counts.get("pages", 0),
            )

    def pace(self, stream: str) -> tuple[float, float] | None:
        """Requests a second of a stream's list while it was read, and the share of the operation's limit."""
        rate = self._paces.get(stream)
        return None if rate is None else (rate, rate / self._limiter.operation_per_second)

    def _asked(self, reader: ListReader) -> tuple[float, int]:
        return asyncio.get_running_loop().time(), self._limiter.usage_of(reader.stream.operation).requests

    async def _tick(self) -> None:
        while True:
            self._tell()
            await asyncio.sleep(_TICK_SECONDS)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(tuple(self._snapshot(name, reader) for name, reader in self._readers.items()))

    def _snapshot(self, name: str, reader: ListReader) -> StreamProgress:
        history = self._history.setdefault(name, deque(maxlen=_WINDOW_TICKS))
        history.append(self._asked(reader))
        passed = history[-1][0] - history[0][0]
        rate = (history[-1][1] - history[0][1]) / passed if passed > 0 else 0.0
        rows_left = reader.part.windows.rows_left
        state = self._states[name]
        counts = reader.part.counts
        eta = None
        if state in ("writing", "done"):
            eta = 0.0
        elif rate > 0 and reader.part.windows.live and reader.stream.created:
            eta = rows_left / (rate * 100)
        return StreamProgress(
            stream=name,
            state=state,
            pages=counts.get("pages", 0),
            rows=counts.get(f"rows:{reader.stream.table}", 0),
            requests_per_second=rate,
            share=min(1.0, rate / self._limiter.operation_per_second),
            eta_seconds=eta,
        )
