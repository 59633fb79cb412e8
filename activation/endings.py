"""How planned rows end: as done, unchanged, failed, held or skipped, with a reason and what comes next.

Here: the value, and the two endings that several modules give. Not here: who decides them (`worker`, `carrier`).
"""

from dataclasses import dataclass
from typing import Literal

from activation.plan_model import Operation

__all__ = ["Ended", "Ending", "skipped", "unapproved"]

Ending = Literal["done", "unchanged", "failed", "held", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a planned row ended, why, and what comes next."""

    operation: Operation
    ending: Ending
    reason: str = ""
    next_action: str = ""
    code: str = ""
    remote_id: str | None = None


def skipped(operation: Operation, reason: str, *, code: str) -> Ended:
    """Not carried out, and nothing was paid; the next plan decides anew."""
    return Ended(
        operation=operation, ending="skipped", reason=reason, next_action="the next plan decides anew", code=code
    )


def unapproved(operation: Operation, reason: str) -> Ended:
    """A row of a plan that waits for a person."""
    if not operation.changes_state:
        ending: Ending = "held" if operation.action == "held" else "unchanged"
        return Ended(operation=operation, ending=ending, reason=operation.reason)
    return Ended(
        operation=operation,
        ending="skipped",
        reason=f"not approved: {reason}",
        next_action="approve the plan's hash",
        code="unapproved",
    )
