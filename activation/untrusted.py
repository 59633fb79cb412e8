"""Cleaning of what Mavera answers: generated text and ids are untrusted input.

Here: caps on size and removal of control and terminal sequences. Not here: ids (`surfaces.base`) and the
meaning of an answer (`surfaces`). Nothing cleaned here is ever put into SQL, a path, a shell or a prompt as
instructions; whoever shows it escapes it for Markdown or HTML.
"""

import re
from typing import Any

__all__ = ["MAX_TEXT", "clean_text", "short_text"]

MAX_TEXT = 100_000
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)


def clean_text(value: Any, *, limit: int = MAX_TEXT) -> str | None:
    """The text without terminal sequences and invisible characters, cut at `limit`; None for anything else."""
    if not isinstance(value, str):
        return None
    text = _INVISIBLE.sub("", _ESCAPES.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))).strip()
    return text[:limit] or None


def short_text(value: Any, *, limit: int = 300) -> str:
    """One line for a reason: whitespace folded, cut; empty when there is no text."""
    return " ".join((clean_text(value, limit=limit * 4) or "").split())[:limit]
