"""How long work tells that it goes on: one call, whoever listens.

Here: the protocol that rooms and assets report to, and the listener of a run without a terminal. The command
line has one that draws bars (`pipelines.progress`).
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Logged", "Progress", "Silent"]

_LOGGER = logging.getLogger("stripe_mavera.progress")
_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """A listener. Calls must be cheap: a worker may make several a second for each task."""

    def report(self, task: str, done: int, total: int | None, note: str = "") -> None:
        """`task` has done `done` of `total` (None: unknown) pieces; `note` is one short line."""


class Silent:
    """Listens and says nothing."""

    def report(self, task: str, done: int, total: int | None, note: str = "") -> None:
        """Nothing."""


class Logged:
    """Writes a log line for a task every ten seconds and when it ends; Dagster shows it with the run."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told: dict[str, float] = {}
        self._ended: set[str] = set()

    def report(self, task: str, done: int, total: int | None, note: str = "") -> None:
        """Log the line when it is time."""
        now, ended = self._monotonic(), total is not None and done >= total
        due = now - self._told.setdefault(task, now) >= _SECONDS_BETWEEN_LINES
        if (ended and task not in self._ended) or (due and not ended):
            self._told[task] = now
            if ended:
                self._ended.add(task)
            _LOGGER.info("%s: %s %s", task, f"{done:,}", note)
