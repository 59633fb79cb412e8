"""Window stealing: how a list that is newest first and has no total is read by several cursors at once.

Here: the windows of one stream and the two moves on them, as pure bookkeeping. Not here: requests. Windows are
half-open `[gte, lt)` in whole seconds; a cursor walks a window from its newest end. When a cursor is free, the
window with most rows left gives away its older half. A list of N pages costs N requests and a few, where cutting
by time beforehand costs double: nobody knows where the rows lie before having seen them.
"""

from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any

__all__ = ["LEAST_ROWS_TO_STEAL", "PAGE", "Window", "Windows", "cursors_for"]

PAGE = 100
LEAST_ROWS_TO_STEAL = 3 * PAGE
_LEAST_CURSORS, _MOST_CURSORS = 4, 16


def cursors_for(rate: float, latency: float) -> int:
    """Cursors that keep `rate` requests a second under way at a latency in seconds."""
    return min(_MOST_CURSORS, max(_LEAST_CURSORS, ceil(rate * latency) + 1))


@dataclass(eq=False)
class Window:
    """A stretch of creation times still to be read, from `top` downwards; `cursor` is the last id seen.

    `density` is in rows a second.
    """

    gte: int
    lt: int | None
    cursor: str | None = None
    top: int | None = None
    density: float = 0.0

    def left(self) -> float:
        """Rows that are likely left, 0 before the first page."""
        return 0.0 if self.top is None else max(0.0, self.density * (self.top - self.gte))


@dataclass
class Windows:
    """The windows of one stream that are not yet read to their end. Empty means complete, nothing else does."""

    live: list[Window] = field(default_factory=list)

    @classmethod
    def over(cls, gte: int, lt: int | None) -> "Windows":
        """One window over everything; `lt` None leaves the newest end open."""
        return cls([Window(gte, lt)])

    def advance(self, window: Window, created: list[int], last_id: str | None, *, has_more: bool) -> None:
        """Book a page of `window`: creation times of its rows in their order, and the id of the last."""
        if not has_more or not created or last_id is None:
            self.live.remove(window)
            return
        begin = created[0] if window.top is None else max(created[0], window.top)
        window.density = len(created) / max(1, begin - created[-1])
        window.top, window.cursor = created[-1], last_id
        if window.top < window.gte:  # the floor was raised while the page was under way
            self.live.remove(window)

    def restart(self, window: Window) -> None:
        """The cursor object is gone: go on from the last time seen, whose rows may come twice."""
        window.cursor = None
        if window.top is not None:
            window.lt = window.top + 1

    def steal(self, cursors: int, *, least_rows: int = LEAST_ROWS_TO_STEAL) -> Window | None:
        """A new window, the older half of the fullest one; None when no cursor is free or nothing is worth it."""
        if len(self.live) >= cursors:
            return None
        victim = max(
            (window for window in self.live if window.top is not None),
            key=Window.left,
            default=None,
        )
        if victim is None or victim.top is None or victim.left() < least_rows:
            return None
        middle = (victim.gte + victim.top) // 2
        if not victim.gte < middle < victim.top:
            return None
        stolen = Window(victim.gte, middle, top=middle, density=victim.density)
        victim.gte = middle
        self.live.append(stolen)
        return stolen

    @property
    def rows_left(self) -> float:
        """Rows that are likely left in windows that have been begun."""
        return sum(window.left() for window in self.live)

    def to_json(self) -> list[dict[str, Any]]:
        """What the journal keeps."""
        return [asdict(window) for window in self.live]

    @classmethod
    def from_json(cls, remaining: list[dict[str, Any]]) -> "Windows":
        """The windows of a journal."""
        return cls([Window(**entry) for entry in remaining])
