"""Messages about finished generations reach a receiver on loopback: once, repeated, reordered, lost or forged."""

import asyncio
import hashlib
import hmac
import json
import queue
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.sandbox.mavera_serving import StandIn, generation

Message = tuple[bytes, str | None]


class Receiver:
    """Keeps the body and the signature of every message."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                messages.put((body, self.headers.get("x-mavera-signature")))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hooks"

    async def next(self) -> tuple[dict[str, Any], Message]:
        message = await asyncio.to_thread(self.messages.get, True, 10)
        return json.loads(message[0]), message


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.mark.parametrize("timing", ["sync", "async"])
def test_a_finished_generation_is_posted_signed(receiver: Receiver, timing: str) -> None:
    async def scenario() -> None:
        mavera = StandIn(
            callbacks={"enabled": True, "signing_secret": "shared", "repeat": 2}, generations={"timing": timing}
        )
        made = (await mavera.post("generations", generation(callback_url=receiver.url))).json()
        for _ in range(2):
            event, (body, signature) = await receiver.next()
            assert (event["type"], event["data"]["id"]) == ("generation.completed", made["id"])
            assert "output" not in event["data"]
            assert signature == "sha256=" + hmac.new(b"shared", body, hashlib.sha256).hexdigest()
        assert (await mavera.get(f"generations/{made['id']}")).json()["output"]

    asyncio.run(scenario())


def test_a_failed_generation_is_posted_as_failed_and_unsigned(receiver: Receiver) -> None:
    async def scenario() -> None:
        mavera = StandIn(callbacks={"enabled": True}, generations={"timing": "async", "outcome": "failed"})
        await mavera.post("generations", generation(callback_url=receiver.url))
        event, (_, signature) = await receiver.next()
        assert (event["type"], signature) == ("generation.failed", None)

    asyncio.run(scenario())


def test_messages_can_come_in_the_wrong_order(receiver: Receiver) -> None:
    async def scenario() -> None:
        mavera = StandIn(callbacks={"enabled": True, "reorder": True})
        ids = [
            (await mavera.post("generations", generation(title, callback_url=receiver.url))).json()["id"]
            for title in ("first", "second")
        ]
        assert [(await receiver.next())[0]["data"]["id"] for _ in ids] == ids[::-1]

    asyncio.run(scenario())


def test_a_forged_message_names_a_generation_that_does_not_exist(receiver: Receiver) -> None:
    async def scenario() -> None:
        mavera = StandIn(callbacks={"enabled": True, "forge": True, "signing_secret": "shared"})
        made = (await mavera.post("generations", generation(callback_url=receiver.url))).json()
        forged, (_, signature) = await receiver.next()
        assert signature is None
        assert (await mavera.get(f"generations/{forged['data']['id']}")).status_code == 404
        assert (await receiver.next())[0]["data"]["id"] == made["id"]

    asyncio.run(scenario())


def test_lost_messages_and_foreign_hosts_get_nothing(receiver: Receiver) -> None:
    async def scenario() -> None:
        mavera = StandIn(callbacks={"enabled": True, "lose_rate": 1.0})
        await mavera.post("generations", generation("lost", callback_url=receiver.url))
        await mavera.post("generations", generation("far", callback_url="https://pipeline.example.com/hooks"))
        await mavera.control(options={"callbacks": {"enabled": True}})
        made = (await mavera.post("generations", generation("heard", callback_url=receiver.url))).json()
        assert (await receiver.next())[0]["data"]["id"] == made["id"]
        assert receiver.messages.empty()

    asyncio.run(scenario())
