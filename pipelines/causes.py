"""Why a step failed, in one line, for people who will not read a stack of exceptions."""

from typing import Any

__all__ = ["root_cause"]


def root_cause(error: Any) -> str:
    """The message of the innermost error of a failed step (Dagster's serialised form), without its wrapping."""
    while error.cause is not None:
        error = error.cause
    name, _, message = str(error.message).strip().partition(":")
    text = message.strip() or name
    return " ".join(text.split())
