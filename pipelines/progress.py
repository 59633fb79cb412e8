"""Progress in the terminal: bars that move where there is a screen, lines where there is none.

Here: drawing on stderr only, so that stdout stays for results. Not here: what is measured.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["TerminalProgress"]

_SECONDS_BETWEEN_LINES = 5.0


class TerminalProgress:
    """Bars for each task on a terminal; elsewhere a line per task when it ends, and every few seconds before."""

    def __init__(self, console: Console, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}
        self._finished: set[str] = set()
        self._bars = Progress(
            TextColumn("[bold]{task.description:<28}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:>9,.0f}"),
            TextColumn("[dim]{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            transient=False,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def report(self, task: str, done: int, total: int | None, note: str = "") -> None:
        """Move the task's bar, or print its line when it is time."""
        with self._lock:
            if self._console.is_terminal:
                self._move(task, done, total, note)
            else:
                self._line(task, done, total, note)

    def _move(self, task: str, done: int, total: int | None, note: str) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total, note=note)
        self._bars.update(self._tasks[task], completed=done, total=total, note=note)
        if total is not None and done >= total:
            self._bars.stop_task(self._tasks[task])

    def _line(self, task: str, done: int, total: int | None, note: str) -> None:
        now = self._monotonic()
        finished = total is not None and done >= total
        due = now - self._last_line.setdefault(task, now) >= _SECONDS_BETWEEN_LINES
        if (finished and task not in self._finished) or (due and not finished):
            if finished:
                self._finished.add(task)
            self._last_line[task] = now
            of = f" of {total:,}" if total is not None and total != done else ""
            self._console.print(f"{task:<28} {done:>9,}{of}  {note}", highlight=False, soft_wrap=True)
