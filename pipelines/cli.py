"""The command line `stripe-mavera`: each command asks one thing of the same graph that Dagster's UI shows.

Here: arguments, the hand-over, and how errors become one line and an exit code (`pipelines.answer`). Results go
to stdout, everything else to stderr. Not here: any rule.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from pipelines.answer import Answer, Exit, give
from pipelines.settings import SANDBOX_MAVERA_PORT, SANDBOX_STRIPE_PORT, Settings

__all__ = ["app", "main"]

app = typer.Typer(
    name="stripe-mavera",
    help="Stripe revenue to Mavera personas, messages, case studies and copy. Without keys it runs on a sandbox.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, everything else on stderr.")]


def main() -> None:
    """Entry point: errors that a person can mend become one line on stderr and exit code 1."""
    try:
        app()
    except (ValidationError, OSError, RuntimeError, ValueError) as error:
        _err.print(f"[red]error:[/red] {_one_line(error)}", highlight=False, soft_wrap=True)
        sys.exit(Exit.FAILED)


def _one_line(error: BaseException) -> str:
    from resources.redaction import redact

    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        return f"{name}: {first['msg']}" if name else str(first["msg"])
    return redact(" ".join(str(error).split()) or type(error).__name__)


@contextmanager
def _session(*, size: int | None = None) -> Iterator[Settings]:
    """The settings, with a sandbox started for each side that has no key and no address."""
    from pipelines.sandboxes import with_sandboxes

    settings = Settings()
    if size is not None:
        settings = settings.model_copy(update={"sandbox_customers": size})
    with with_sandboxes(settings, note=lambda line: _err.print(line, highlight=False, soft_wrap=True)) as ready:
        yield ready
