"""Three protocols as others build them, under the same crashes and faults: what ours is compared with.

Each keeps what it knows in `store`, which survives a crash, and passes the same instants: before and after the
call, before and after each write.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from tests.activation.kit import Timeline
from tests.activation.model_mavera import FAULTS, PRICE, ModelMavera
from tests.activation.schedules import Killed

__all__ = ["PROTOCOLS", "Tally", "tally"]

Probe = Callable[[str], None]
Store = dict[str, str]
Client = httpx.AsyncClient
KEYS = ("key-one", "key-two")
_LABELS = ("call:before", "call:after", "write:before", "write:after")


async def _post(http: Client, key: str, probe: Probe) -> str:
    probe("call:before")
    answer = await http.post("/personas", json={"name": key})
    answer.raise_for_status()
    probe("call:after")
    return str(answer.json()["id"])


def _write(store: Store, key: str, value: str, probe: Probe) -> None:
    probe("write:before")
    store[key] = value
    probe("write:after")


async def retry_then_save(http: Client, store: Store, key: str, probe: Probe) -> None:
    """Retries three times, saves the result afterwards."""
    if key in store:
        return
    for attempt in range(3):
        try:
            made = await _post(http, key, probe)
        except (httpx.HTTPError, ValueError):
            if attempt == 2:
                return
            await asyncio.sleep(1)
        else:
            _write(store, key, made, probe)
            return


async def claim_never_resend(http: Client, store: Store, key: str, probe: Probe) -> None:
    """Claims first and never sends a claimed key again."""
    if key in store:
        return
    _write(store, key, "claimed", probe)
    try:
        _write(store, key, await _post(http, key, probe), probe)
    except (httpx.HTTPError, ValueError):
        return


async def check_send_mark(http: Client, store: Store, key: str, probe: Probe) -> None:
    """Asks whether it is there, sends, then marks it as synchronised."""
    if key in store:
        return
    listed = (await http.get("/personas")).json()["data"]
    found = next((one["id"] for one in listed if one["name"] == key), None)
    try:
        _write(store, key, found or await _post(http, key, probe), probe)
    except (httpx.HTTPError, ValueError):
        return


Protocol = Callable[[Client, Store, str, Probe], Awaitable[None]]
PROTOCOLS: dict[str, Protocol] = {
    "retry 3 times, save after": retry_then_save,
    "claim first, never resend": claim_never_resend,
    "check, send, then mark": check_send_mark,
}


@dataclass
class Tally:
    """Sums over schedules."""

    schedules: int = 0
    kills: int = 0
    duplicated: int = 0
    lost: int = 0
    held: int = 0
    paid: int = 0
    wanted: int = 0


def tally(protocol: Protocol, count: int, *, seed: int) -> Tally:
    """Play `count` seeded schedules: one or two kills, faults for the first calls, then three clean runs."""
    chance, total = random.Random(seed), Tally()
    for _ in range(count):
        time, store = Timeline(), Store()
        server = ModelMavera(clock=time.unix, faults=[chance.choice(FAULTS) for _ in range(4)])
        cuts = [(chance.choice(_LABELS), chance.choice((1, 2))) for _ in range(chance.choice((1, 2)))]
        for number in range(len(cuts) + 3):
            if number >= len(cuts):
                server.faults.clear()
            total.kills += _run(protocol, time, server, store, cuts[number] if number < len(cuts) else None)
        total.schedules += 1
        total.duplicated += server.duplicates()
        there = {one["id"] for one in server.personas}
        total.lost += sum(store.get(key) not in there for key in KEYS)
        total.paid += server.charged
        total.wanted += len(KEYS) * PRICE
    return total


def _run(
    protocol: Protocol, time: Timeline, server: ModelMavera, store: Store, cut: tuple[str, int] | None
) -> int:
    passed: dict[str, int] = {}

    def probe(label: str) -> None:
        passed[label] = passed.get(label, 0) + 1
        if cut == (label, passed[label]):
            raise Killed

    async def inside() -> None:
        async with Client(transport=server, base_url="http://127.0.0.1/api/v1") as http:
            for key in KEYS:
                await protocol(http, store, key, probe)

    try:
        time.run(inside())
    except Killed:
        return 1
    return 0
