"""Ways to talk to the pretend Mavera from a test: in process with a clock of its own, or over a real socket."""

import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from sandbox.mavera.api import BASE_PATH, MaveraOptions, create_app

NOW = datetime(2025, 11, 7, 8, 0, tzinfo=UTC).timestamp()
BASE_PERSONA = "clx0base000000000000000001"


class Clock:
    """Stands still until it is moved; sleeping moves it."""

    def __init__(self) -> None:
        self.seconds = NOW

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class StandIn:
    """The stand-in in this process, called without a socket."""

    def __init__(
        self,
        state_dir: Path | None = None,
        dataset: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        app = create_app(
            state_dir=state_dir,
            dataset=dataset,
            options=MaveraOptions.model_validate(options),
            clock=self.clock,
            sleep=sleep or self.clock.sleep,
        )
        self.transport = httpx.ASGITransport(app=app)
        self.http = httpx.AsyncClient(
            transport=self.transport,
            base_url="http://127.0.0.1" + BASE_PATH,
            headers={"Authorization": "Bearer key-one"},
        )

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(path, params=params)

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers=headers)

    async def charged(self, path: str, body: Any) -> int:
        """Send a paid call and give what the ledger booked for it."""
        before = (await self.ledger())["credits_charged"]
        await self.post(path, body)
        return (await self.ledger())["credits_charged"] - before

    async def patch(self, path: str, body: Any) -> httpx.Response:
        return await self.http.patch(path, json=body)

    async def ledger(self) -> dict[str, Any]:
        return (await self.http.get("http://127.0.0.1/_sandbox/ledger")).json()

    async def control(self, **wish: Any) -> dict[str, Any]:
        answer = await self.http.post("http://127.0.0.1/_sandbox/control", json=wish)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def used(self) -> int:
        return (await self.get("usage")).json()["credits"]["used"]


def persona(name: str = "Revenue tier: Mid-market (USD)", **fields: Any) -> dict[str, Any]:
    description = "210 paying accounts, median 2,100 USD a month."
    return {"pipeline_type": "north_star", "type": "B2B", "name": name, "description": description, **fields}


def generation(title: str = "retention past_due 2025-11", **fields: Any) -> dict[str, Any]:
    inputs = {"topic": "Renewal payment failed", "target_audience": "Finance leads"}
    return {"app_id": "retention-email", "input_data": inputs, "title": title, **fields}


def brand_voice(label: str = "Plain and calm") -> dict[str, Any]:
    return {"label": label, "usage_context": "Billing messages to existing customers"}


def model_answer(**fields: Any) -> dict[str, Any]:
    return {"model": "mavera-1", "persona_id": BASE_PERSONA, "input": "Rewrite this sentence.", **fields}


@contextlib.contextmanager
def serve(*, state_dir: Path | None = None, **options: Any) -> Iterator[str]:
    """The stand-in on a free loopback port; gives its base URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = create_app(state_dir=state_dir, dataset=None, options=MaveraOptions.model_validate(options))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            # The socket listens before the loop runs: the first connection simply waits for it.
            listener.listen()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{BASE_PATH}"
        finally:
            server.should_exit = True
            thread.join()
