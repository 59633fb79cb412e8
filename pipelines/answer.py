"""What a command says in the end: one object for programs or a page for people, and an exit code.

0: everything that was asked for is done. 3: the rest waits for a person. 1: otherwise. Here: printing; what is
said besides goes to stderr, as a line or, where logs are JSON, as a log line. Not here: what the answer is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import orjson
import typer
from rich.console import Console

from pipelines.logs import logs_are_json
from resources.loggers import get_logger
from resources.redaction import redact

__all__ = ["Answer", "Exit", "complain", "give", "note", "say_json"]

_log = get_logger("stripe_mavera.command")


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
        say_json(answer.payload)
    else:
        answer.page(Console())
    raise typer.Exit(int(answer.exit))


def say_json(payload: Mapping[str, Any]) -> None:
    """Print the one object on stdout."""
    typer.echo(orjson.dumps(payload, default=str, option=orjson.OPT_SORT_KEYS).decode())


def note(line: str) -> None:
    """Say on stderr what is going on."""
    if logs_are_json():
        _log.info(line)
    else:
        Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


def complain(line: str) -> None:
    """Say on stderr what went wrong."""
    if logs_are_json():
        _log.error(line)
    else:
        err = Console(stderr=True)
        err.print(f"error: {redact(line)}", style="red", markup=False, highlight=False, soft_wrap=True)
