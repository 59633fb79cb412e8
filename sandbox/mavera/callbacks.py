"""Messages of the pretend Mavera about finished generations: repeated, reordered, lost or forged on request.

The contract's seed guide only says that callbacks exist; address, payload and signature are its assumptions.
Posts go to loopback addresses only, so that a test can never reach a real receiver.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson

from sandbox.mavera.options import Callbacks
from sandbox.mavera.store import unit
from sandbox.mavera.world import Answer, Call, World, iso

__all__ = ["CallbackPost"]

_log = logging.getLogger(__name__)


class CallbackPost:
    """Waits until a generation is due and posts its message."""

    def __init__(self, *, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: tuple[str, bytes] | None = None
        self.posted = 0

    def expect(self, call: Call, answer: Answer, world: World) -> None:
        """Plan the message of a just committed generation by the switches of now, if its request asked for one."""
        url = call.body.get("callback_url")
        if call.operation != "createGeneration" or not url or not world.options.callbacks.enabled:
            return
        if not _is_loopback(url):
            _log.warning("callback to a host that is not loopback was left out")
            return
        task = asyncio.create_task(self._post_when_due(answer.body["id"], url, world, world.options.callbacks))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _post_when_due(self, generation_id: str, url: str, world: World, rules: Callbacks) -> None:
        row = world.store.get("generation", generation_id)
        if row is None or row.outcome == "stuck":
            return
        await self._sleep(max(0.0, (row.due_at or 0.0) - world.now()))
        if unit(world.options.seed, "lose", generation_id) < rules.lose_rate:
            return
        if rules.forge:
            await self._send(url, _message("gen_forged", "forged", "completed", world), secret=None)
        content = _message(generation_id, row.name, row.outcome, world)
        if rules.reorder and self._held is None:
            self._held = (url, content)
            return
        waiting, self._held = self._held, None
        for target, body in [(url, content), *([waiting] if waiting else [])]:
            for _ in range(rules.repeat):
                await self._send(target, body, secret=rules.signing_secret)

    async def _send(self, url: str, content: bytes, *, secret: str | None) -> None:
        headers = {"Content-Type": "application/json"}
        if secret is not None:
            headers["X-Mavera-Signature"] = (
                "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
            )
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                await client.post(url, content=content, headers=headers)
        except httpx.HTTPError as error:
            _log.warning("callback was not delivered: %s", type(error).__name__)
            return
        self.posted += 1


def _message(generation_id: str, title: str, status: str, world: World) -> bytes:
    now = world.now()
    event_id = hashlib.sha256(f"{generation_id}:{status}".encode()).hexdigest()[:12]
    data: dict[str, Any] = {"id": generation_id, "object": "generation", "title": title, "status": status}
    return orjson.dumps(
        {"id": f"evt_{event_id}", "type": f"generation.{status}", "created_at": iso(now), "data": data}
    )


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
