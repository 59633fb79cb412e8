"""What the pretend Mavera has acknowledged is there after a kill, each object with exactly its charge."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.sandbox.mavera_serving import StandIn, generation, persona

ROOT = Path(__file__).parents[2]


@contextmanager
def running(state_dir: Path) -> Iterator[tuple[httpx.Client, "subprocess.Popen[str]"]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sandbox.mavera_process", str(state_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        headers = {"Authorization": "Bearer key-one"}
        with httpx.Client(base_url=base_url, headers=headers, trust_env=False, timeout=10) as http:
            yield http, process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_acknowledged_objects_survive_kill_9_and_have_one_charge_each(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for round_number in range(3):
        with running(tmp_path) as (http, process):
            for number in range(20 + 7 * round_number):
                answer = http.post("personas", json=persona(f"Persona {round_number} {number}"))
                acknowledged.add(answer.json()["id"])
            # The kill comes while a request is on its way.
            request = http.build_request("POST", "personas", json=persona(f"Last of {round_number}"))
            process.kill()
            with pytest.raises(httpx.TransportError):
                http.send(request)
    with running(tmp_path) as (http, _):
        ledger = http.get(str(http.base_url).replace("/api/v1/", "/_sandbox/ledger")).json()
        objects = [row["id"] for row in ledger["objects"]]
        assert acknowledged <= set(objects)
        assert len(objects) == len(set(objects))
        assert sorted(charge["object_id"] for charge in ledger["charges"]) == sorted(objects)
        assert http.get("usage").json()["credits"]["used"] == 300 * len(objects)


def test_a_second_start_finds_everything_and_goes_on_with_new_ids(tmp_path: Path) -> None:
    async def first() -> list[str]:
        mavera = StandIn(state_dir=tmp_path)
        made = [
            await mavera.post("personas", persona()),
            await mavera.post("generations", generation()),
            await mavera.post("mave/chat", {"message": "[k7f3q2m9] Draft"}),
        ]
        return [made[0].json()["id"], made[1].json()["id"], made[2].json()["thread_id"]]

    async def second(ids: list[str]) -> None:
        mavera = StandIn(state_dir=tmp_path)
        assert (await mavera.post("personas", persona())).json()["id"] == ids[0]
        assert (await mavera.get(f"generations/{ids[1]}")).status_code == 200
        assert len((await mavera.get(f"mave/threads/{ids[2]}")).json()["messages"]) == 2
        assert (await mavera.post("personas", persona("Another one"))).json()["id"] not in ids

    asyncio.run(second(asyncio.run(first())))


def test_two_stand_ins_on_one_folder_make_one_persona_of_a_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        pair = [StandIn(state_dir=tmp_path), StandIn(state_dir=tmp_path)]
        answers = [await mavera.post("personas", persona(f"Tier {n // 2}")) for n in range(10) for mavera in pair]
        assert len({answer.json()["id"] for answer in answers}) == 5
        assert (await pair[0].ledger())["credits_charged"] == 1500

    asyncio.run(scenario())


def test_no_key_is_written_to_the_folder(tmp_path: Path) -> None:
    asyncio.run(StandIn(state_dir=tmp_path).post("personas", persona()))
    assert all(b"key-one" not in path.read_bytes() for path in tmp_path.iterdir())


# ---- data set ---------------------------------------------------------------------------------------------------
def write(folder: Path, name: str, items: list[dict[str, Any]]) -> None:
    (folder / "mavera").mkdir(exist_ok=True)
    (folder / "mavera" / name).write_bytes(b"\n".join(map(orjson.dumps, items)))


def test_a_data_set_replaces_what_is_built_in_and_what_was_removed_stays_removed(tmp_path: Path) -> None:
    write(
        tmp_path,
        "personas.jsonl",
        [{"id": "p1", "name": "Ours", "is_custom": True}, {"id": "p2", "name": "Base", "is_custom": False}],
    )
    write(tmp_path, "generation_apps.jsonl", [{"id": "our_app", "input_data": {"topic": {"required": True}}}])
    write(tmp_path, "brand_voices.jsonl", [{"id": "bv_1", "label": "Ours", "status": "completed"}])

    async def scenario() -> None:
        mavera = StandIn(state_dir=tmp_path / "state", dataset=tmp_path)
        assert [item["id"] for item in (await mavera.get("personas")).json()["data"]] == ["p2", "p1"]
        assert (await mavera.get("brand-voices/bv_1")).json()["status"] == "completed"
        refused = await mavera.post("generations", {"app_id": "our_app", "input_data": {}})
        assert refused.json()["error"]["param"] == "input_data.topic"
        assert (await mavera.http.delete("personas/p2")).status_code == 403
        assert (await mavera.http.delete("personas/p1")).status_code == 200
        again = StandIn(state_dir=tmp_path / "state", dataset=tmp_path)
        assert [item["id"] for item in (await again.get("personas")).json()["data"]] == ["p2"]
        assert (await again.ledger())["objects"] == []

    asyncio.run(scenario())
