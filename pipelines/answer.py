"""What a command says in the end: one object for programs or a page for people, and an exit code.

0: everything that was asked for is done. 3: the rest waits for a person. 1: otherwise. Here: printing. Not here:
what the answer is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import orjson
import typer
from rich.console import Console

__all__ = ["Answer", "Exit", "give"]


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    FAILED = 1
    WAITS_FOR_PERSON = 3


def _nothing(_console: Console) -> None:
    """An answer without a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A command's answer; `page` draws it for a person."""

    payload: Mapping[str, Any]
    exit: Exit = Exit.DONE
    page: Callable[[Console], None] = field(default=_nothing)


def give(answer: Answer, *, as_json: bool) -> None:
    """Print the answer on stdout and leave with its exit code."""
    if as_json:
        typer.echo(orjson.dumps(answer.payload, default=str, option=orjson.OPT_SORT_KEYS).decode())
    else:
        answer.page(Console())
    raise typer.Exit(int(answer.exit))
