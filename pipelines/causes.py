"""Why a step failed, in one line, for people who will not read a stack of exceptions."""

from typing import Any, Final

__all__ = ["root_cause"]

_INTERRUPTED: Final = "DagsterExecutionInterruptedError"


def root_cause(error: Any) -> str:
    """The message of the innermost error of a failed step (Dagster's serialised form), without its wrapping."""
    while error.cause is not None:
        error = error.cause
    name, _, message = str(error.message).strip().partition(":")
    text = message.strip() or name
    if name.endswith(_INTERRUPTED):
        text = "interrupted; what was read and paid is kept, and the next run goes on from there"
    return " ".join(text.split())
