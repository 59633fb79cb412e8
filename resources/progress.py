"""How long work tells that it goes on: one call, whoever listens.

Here: the protocol that rooms and assets report to, and the listener of a run without a terminal. The command
line has one that draws bars (`pipelines.progress`).
"""

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """A listener. Calls must be cheap: a worker may make several a second for each task."""

    def report(self, task: str, done: int, total: int | None, note: str = "") -> None:
        """`task` has done `done` of `total` (None: unknown) pieces; `note` is one short line."""


class Silent:
    """Listens and says nothing."""

    def report(self, task: str, done: int, total: int | None, note: str = "") -> None:
        """Nothing."""
