"""A pretend Stripe and an extraction of it in this process, which can die at any step that outlives it.

Here: the account behind httpx without a socket, and the doors through which an extraction leaves marks: requests,
state, lake. Each passage is a step; at the step that a test chose, the run dies: from then on every door is shut,
so no cleanup can tidy up, and what was under way is lost. Not here: what happens to the account and what is
expected (the tests). Nothing sleeps; times of the state come from a clock that steps.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import orjson
import sqlalchemy as sa

from ingest.extract import extract
from ingest.report import ExtractReport
from resources.lake import Lake
from resources.limiter import Limiter
from resources.state import State, metadata
from resources.state.extraction import runs
from resources.stripe_api import StripeApi
from sandbox.stripe.host import StripeOptions, create_stripe_app
from sandbox.stripe.limits import Limits
from tests.ingest.account import KEY

__all__ = ["Killed", "MortalAccount", "Server"]

_END = datetime(2026, 6, 1, tzinfo=UTC)
_PAGE = 12


class Killed(BaseException):
    """The process is gone; nothing that runs after this leaves a mark."""


class Server:
    """A pretend account: what the sandbox serves, without its process. Pages are short, to have many."""

    def __init__(self, *, seed: int, customers: int) -> None:
        options = StripeOptions(
            end=_END,
            seed=seed,
            customers=customers,
            months=4,
            limits=Limits(account_rate=None, operation_rate=None),
        )
        self._app = create_stripe_app(options)

    def control(self, **command: Any) -> None:
        """As `Sandbox.control`."""
        self._app.control.operate("POST", "control", orjson.dumps(command), {})

    def advance(self, days: int) -> None:
        """As `Sandbox.advance`."""
        self._app.control.advance(days)

    def objects(self, resource: str) -> list[dict[str, Any]]:
        """As `Sandbox.objects`."""
        found: list[dict[str, Any]] = orjson.loads(
            self._app.control.operate("GET", "objects", b"", {"resource": resource}) or b""
        )
        return found

    def asked(self) -> dict[str, int]:
        """Requests by operation since the last reset."""
        counts: dict[str, int] = self._app.control.stats.report()["operations"]
        return dict(counts)

    @property
    def now(self) -> int:
        """The account's clock, seconds."""
        return self._app.control.world.now

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, with as few rows to a page as `_PAGE` says. Raises: httpx.TransportError."""
        query = parse_qsl(request.url.query.decode(), keep_blank_values=True)
        short = [(name, str(min(_PAGE, int(value))) if name == "limit" else value) for name, value in query]
        sent: list[Mapping[str, Any]] = []

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "query_string": urlencode(short).encode(),
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
        }
        await self._app(scope, receive, send)
        begin, *bodies = sent
        if bodies[-1].get("more_body"):
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        body = b"".join(message["body"] for message in bodies)
        return httpx.Response(begin["status"], headers=begin["headers"], content=body, request=request)


class _Life:
    """Counts down to a death; without a number it lasts."""

    def __init__(self, steps: int | None) -> None:
        self._left, self.dead = steps, False
        self.on_death: Callable[[], object] = lambda: None

    def step(self) -> None:
        """Pass a door. Raises: Killed."""
        if self._left is not None and not self.dead:
            self._left -= 1
            if self._left <= 0:
                self.dead = True
                self.on_death()
        if self.dead:
            raise Killed


class _MortalTransport(httpx.AsyncBaseTransport):
    def __init__(self, server: Server, life: _Life, rng: Random) -> None:
        self._server, self._life, self._rng = server, life, rng

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._life.step()
        for _ in range(self._rng.randrange(6)):  # answers overtake each other
            await asyncio.sleep(0)
        return await self._server.answer(request)


class _MortalState(State):
    def __init__(self, url: str, life: _Life) -> None:
        super().__init__(url)
        self._life = life

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        self._life.step()
        with super().begin() as connection:
            yield connection
        self._life.step()


class _MortalLake(Lake):
    def __init__(self, uri: str, life: _Life) -> None:
        super().__init__(uri)
        self._life = life

    def _passing(self, write: Callable[..., int], *args: Any, **options: Any) -> int:
        self._life.step()
        version = write(*args, **options)
        self._life.step()
        return version

    def append(self, *args: Any, **options: Any) -> int:
        return self._passing(super().append, *args, **options)

    def merge(self, *args: Any, **options: Any) -> int:
        return self._passing(super().merge, *args, **options)

    def rewrite(self, *args: Any, **options: Any) -> int:
        return self._passing(super().rewrite, *args, **options)


class MortalAccount:
    """A lake and a state for one server, extracted in lives that may end early."""

    def __init__(self, folder: Path, server: Server, *, seed: int) -> None:
        self._folder, self._server, self._rng = folder, server, Random(seed)
        self._clock = _END
        self.lake = Lake(f"{folder}/lake")
        state = State(self._url)
        metadata.create_all(state.engine)
        state.close()

    @property
    def _url(self) -> str:
        return f"sqlite:///{self._folder}/state.db"

    def _now(self) -> datetime:
        self._clock += timedelta(milliseconds=1)
        return self._clock

    def extract(self, *, dies_at: int | None = None, **options: Any) -> ExtractReport:
        """One extraction in a life of its own. Raises: Killed if the life ended first, ExtractionFailed."""
        life = _Life(dies_at)
        state = _MortalState(self._url, life)
        try:
            return asyncio.run(self._live(life, state, options))
        finally:
            state.close()
            if life.dead:
                self._bury()

    async def _live(self, life: _Life, state: State, options: dict[str, Any]) -> ExtractReport:
        limiter = Limiter(requests_per_second=1e6, operation_per_second=1e6)
        transport = _MortalTransport(self._server, life, self._rng)
        api = StripeApi(KEY, limiter=limiter, transport=transport, sleep=_at_once, jitter=self._rng)
        lake = _MortalLake(self.lake.uri, life)
        run = asyncio.ensure_future(
            extract(api, lake, state, now=self._now, staging=self._folder / "staging", **options)
        )
        loop = asyncio.get_running_loop()
        life.on_death = lambda: loop.call_soon_threadsafe(run.cancel)
        await asyncio.gather(run, return_exceptions=True)
        if life.dead:
            raise Killed
        return run.result()

    def _bury(self) -> None:
        """The run's process is gone: the kernel knows no such process any more."""
        state = State(self._url)
        with state.begin() as connection:
            connection.execute(
                runs.update()
                .where(runs.c.status == "running")
                .values(holder=f"{socket.gethostname()}:{2**22 + 1}:0")
            )
        state.close()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of a raw table."""
        found: list[dict[str, Any]] = self.lake.read(f"stripe/{table}").to_pylist()
        return found


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)
