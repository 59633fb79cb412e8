"""Starting and stopping the sandbox as a process of its own, for tests and for the command line.

`Sandbox` runs `python -m sandbox`, waits for its one line of JSON, and ends it by its process id. The process
also ends by itself when the one that started it is gone.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Sandbox", "SandboxError", "Urls"]

_ROOT = Path(__file__).resolve().parent.parent


class SandboxError(RuntimeError):
    """The sandbox process could not be started or refused a control request."""


@dataclass(frozen=True, slots=True)
class Urls:
    """What to set as `STRIPE_API_BASE` and `MAVERA_API_BASE`; `end` is the account's clock."""

    stripe: str | None
    mavera: str | None
    fx: str | None
    end: datetime


class Sandbox:
    """A running sandbox; use it in a `with` block.

    `options` are command-line options by name: `Sandbox(customers=200, seed=7, only="stripe")`.
    """

    def __init__(self, *, timeout: float = 120, **options: Any) -> None:
        self._timeout = timeout
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: Any = None
        self._urls: Urls | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def urls(self) -> Urls:
        if self._urls is None:
            raise SandboxError("the sandbox is not running")
        return self._urls

    @property
    def stripe(self) -> str:
        return _present(self.urls.stripe, "Stripe")

    @property
    def mavera(self) -> str:
        return _present(self.urls.mavera, "Mavera")

    @property
    def pid(self) -> int:
        if self._process is None:
            raise SandboxError("the sandbox is not running")
        return self._process.pid

    def start(self) -> Urls:
        """Start the process and wait until it serves."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-m", "sandbox", "--parent-pid", str(os.getpid()), *_arguments(self._options)]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors
        )
        try:
            ready = json.loads(self._first_line(self._process))
        except BaseException:
            self.stop()
            raise
        self._urls = Urls(ready["stripe"], ready["mavera"], ready["fx"], datetime.fromisoformat(ready["end"]))
        return self._urls

    def stop(self) -> None:
        process, self._process, self._urls = self._process, None, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def control(self, **command: Any) -> dict[str, Any]:
        """Switch faults and limits, change objects: see `sandbox.stripe.control.Command`."""
        answer: dict[str, Any] = self._ask("control", command)
        return answer

    def advance(self, days: int) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("advance", {"days": days})
        return answer

    def stats(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("stats")
        return answer

    def objects(self, resource: str) -> list[dict[str, Any]]:
        """Every object of a resource as it is now, nested lists whole."""
        found: list[dict[str, Any]] = self._ask(f"objects?resource={resource}")
        return found

    def _ask(self, name: str, payload: dict[str, Any] | None = None) -> Any:
        data = None if payload is None else json.dumps(payload).encode()
        request = urllib.request.Request(f"{self.stripe}/_sandbox/{name}", data=data)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SandboxError(error.read().decode()) from error

    def _first_line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        deadline = time.monotonic() + self._timeout
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise SandboxError(f"the sandbox was not ready within {self._timeout:.0f} s{self._said()}")
        line: bytes = process.stdout.readline()
        if not line:
            raise SandboxError(f"the sandbox ended with exit code {process.wait()}{self._said()}")
        return line

    def _said(self) -> str:
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return f"; it said:\n{text[-4000:]}" if text else " and said nothing"


def _arguments(options: dict[str, Any]) -> Sequence[str]:
    arguments: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif value is not None and value is not False:
            arguments += [flag, str(value)]
    return arguments


def _present(url: str | None, side: str) -> str:
    if url is None:
        raise SandboxError(f"this sandbox does not serve {side}")
    return url
