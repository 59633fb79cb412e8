"""Kills under load: what was answered 200 is in the inbox afterwards, each event once (T15)."""

import asyncio
import itertools
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from ingest.webhooks import sign_stripe
from resources.state import State, metadata
from resources.state.inbox import inbox
from tests.ingest.receiver_process import SECRET
from tests.ingest.webhook_events import event_bytes
from tests.postgres import new_database


@pytest.mark.parametrize(
    ("database", "kills", "sent_at_least"),
    [
        pytest.param("SQLite", 5, 200, id="5 kills"),
        pytest.param("SQLite", 100, 50_000, id="100 kills and 50,000 events", marks=pytest.mark.soak),
        pytest.param("PostgreSQL", 20, 10_000, id="20 kills on PostgreSQL", marks=pytest.mark.soak),
    ],
)
def test_no_acknowledged_event_is_lost_when_the_receiver_is_killed(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, kills: int, sent_at_least: int
) -> None:
    on_sqlite = database == "SQLite"
    url = f"sqlite:///{tmp_path}/state.db" if on_sqlite else new_database(request.getfixturevalue("postgres"))
    state = State(url)
    with state.begin() as connection:
        metadata.create_all(connection)
    acknowledged: set[str] = set()
    chance = random.Random(15)
    numbers = itertools.count()
    for _ in range(kills):
        few = len(acknowledged) + max(1, sent_at_least // kills)
        asyncio.run(_load_until_killed(url, acknowledged, numbers, stop_at=few + chance.randrange(40)))
    with state.read() as connection:
        kept = list(connection.execute(sa.select(inbox.c.event_id)).scalars())
        integrity = connection.execute(sa.text("PRAGMA integrity_check")).scalar_one() if on_sqlite else "ok"
    state.close()
    assert len(acknowledged) >= sent_at_least
    assert acknowledged - set(kept) == set()
    assert len(kept) == len(set(kept))
    assert integrity == "ok"


async def _load_until_killed(
    url: str, acknowledged: set[str], numbers: "itertools.count[int]", *, stop_at: int
) -> None:
    """Sixteen senders post events, every third one twice; the kill comes in the middle of their requests."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.ingest.receiver_process", url, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    enough = asyncio.Event()

    async def send(client: httpx.AsyncClient) -> None:
        while True:
            number = next(numbers)
            event_id = f"evt_{number}"
            body = event_bytes(event_id=event_id, object_id=f"in_{number % 50}")
            header = {"Stripe-Signature": sign_stripe(body, secret=SECRET, at=datetime.now(UTC))}
            for _ in range(2 if number % 3 == 0 else 1):
                try:
                    answer = await client.post("/webhooks/stripe", content=body, headers=header)
                except httpx.HTTPError:
                    return  # killed: nothing was promised for this one
                assert answer.status_code == 200
                acknowledged.add(event_id)
            if len(acknowledged) >= stop_at:
                enough.set()

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        senders = [asyncio.create_task(send(client)) for _ in range(16)]
        await asyncio.wait([*senders, asyncio.create_task(enough.wait())], return_when=asyncio.FIRST_COMPLETED)
        process.kill()
        await process.wait()
        for ended in await asyncio.gather(*senders, return_exceptions=True):
            assert ended is None, ended
    enough.set()
