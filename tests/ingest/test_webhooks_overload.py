"""Overload and a database that hangs: 503 within bounds, and service again as soon as it ends (T17)."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from ingest.webhooks import create_app, sign_stripe
from ingest.webhooks import writer as writer_module
from ingest.webhooks.writer import InboxWriter, NotStoredError
from resources.state import State
from resources.state.inbox import InboxRow, inbox, insert_events
from tests.ingest.test_inbox import row
from tests.ingest.webhook_events import NOW, event_bytes

SECRET = "whsec_test"


def receiver(state: State, **options: Any) -> Starlette:
    settings: dict[str, Any] = {"stripe_secrets": [SECRET], "mavera_secret": None, "livemode": False}
    return create_app(state, clock=lambda: NOW, **{**settings, **options})


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://r") as client,
    ):
        yield client


async def post(client: httpx.AsyncClient) -> httpx.Response:
    body = event_bytes()
    header = {"Stripe-Signature": sign_stripe(body, secret=SECRET, at=NOW)}
    return await client.post("/webhooks/stripe", content=body, headers=header)


def stored(state: State) -> int:
    with state.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(inbox)).scalar_one())


class Gate:
    """Holds inserts back, as a slow disk would, until it is opened."""

    def __init__(self, insert: Callable[..., Any]) -> None:
        self._insert = insert
        self.entered, self._open = threading.Event(), threading.Event()
        self.groups: list[int] = []

    def __call__(self, state: State, rows: list[InboxRow]) -> set[tuple[str, str]]:
        self.entered.set()
        assert self._open.wait(timeout=20)
        self.groups.append(len(rows))
        result: set[tuple[str, str]] = self._insert(state, rows)
        return result

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(insert_events)
    monkeypatch.setattr(writer_module, "insert_events", gate)
    return gate


def test_three_times_what_fits_is_refused_in_part_and_never_lost(state: State, gate: Gate) -> None:
    async def overload() -> tuple[Counter[int], int]:
        async with serving(receiver(state, in_flight_bound=100)) as client:
            waiting = [asyncio.create_task(post(client)) for _ in range(300)]
            while sum(task.done() for task in waiting) < 200:
                await asyncio.sleep(0)
            gate.open()
            answers = Counter(answer.status_code for answer in await asyncio.gather(*waiting))
            return answers, (await post(client)).status_code

    answers, afterwards = asyncio.run(overload())
    assert answers == {200: 100, 503: 200}
    assert afterwards == 200
    assert stored(state) == 101
    assert max(gate.groups) > 50  # what gathered while the disk was busy went in one transaction


def test_a_database_that_hangs_costs_503_and_nothing_more(state: State, gate: Gate) -> None:
    async def hang() -> list[int]:
        async with serving(receiver(state, commit_seconds=0.05)) as client:
            refused = await asyncio.gather(post(client), post(client))
            gate.open()
            while stored(state) < 1:
                await asyncio.sleep(0)
            return [answer.status_code for answer in (*refused, await post(client))]

    assert asyncio.run(hang()) == [503, 503, 200]


def test_a_sender_that_dawdles_is_cut_off(state: State) -> None:
    async def dawdle() -> int:
        async def trickle() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        async with serving(receiver(state, body_seconds=0.05)) as client:
            return (await client.post("/webhooks/stripe", content=trickle())).status_code

    assert asyncio.run(dawdle()) == 408


def test_stopping_stores_what_was_taken_and_refuses_the_rest(state: State, gate: Gate) -> None:
    async def stop() -> tuple[list[bool], str]:
        writer = InboxWriter(state, backlog_bound=100)
        await writer.start()
        taken = [asyncio.create_task(writer.store(row(f"evt_{number}"))) for number in range(3)]
        await asyncio.to_thread(gate.entered.wait, 20)
        stopping = asyncio.create_task(writer.stop())
        await asyncio.sleep(0)
        with pytest.raises(NotStoredError) as refused:
            await writer.store(row("evt_late"))
        gate.open()
        await stopping
        return list(await asyncio.gather(*taken)), refused.value.reason

    assert asyncio.run(stop()) == ([True, True, True], "stopping")
    assert stored(state) == 3


def test_the_same_event_twice_in_one_group_is_new_once(state: State, gate: Gate) -> None:
    async def twice() -> list[bool]:
        writer = InboxWriter(state, backlog_bound=100)
        await writer.start()
        first = asyncio.create_task(writer.store(row("evt_0")))
        await asyncio.to_thread(gate.entered.wait, 20)
        both = [asyncio.create_task(writer.store(row("evt_1"))) for _ in range(2)]
        await asyncio.sleep(0)
        gate.open()
        await first
        found = list(await asyncio.gather(*both))
        await writer.stop()
        return found

    assert sorted(asyncio.run(twice())) == [False, True]
    assert stored(state) == 2
