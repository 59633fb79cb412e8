"""Names of the instants between which a run can be cut: every durable write and every network edge.

Here: the labels, and the hook that is called at each. In production the hook does nothing; tests stop a run there.
A write has three: `before`, `inside` (written, not committed) and `after`. A test checks that no write and no call
happens without its label.
"""

from collections.abc import Callable

__all__ = ["LABELS", "Probe", "nothing"]

Probe = Callable[[str], None]
_WRITES = ("claim", "sent", "not_sent", "done", "failed", "unknown", "held", "adopted", "result", "approved")
_CALL = ("call:before", "call:after")
LABELS = tuple(f"{write}:{when}" for write in _WRITES for when in ("before", "inside", "after")) + _CALL


def nothing(_label: str) -> None:
    """The hook of production."""
