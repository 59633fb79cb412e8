"""Faults of the pretend Mavera over a real socket: what the client sees, and what was committed all the same."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.sandbox.mavera_serving import StandIn, brand_voice, generation, model_answer, persona, serve

KEY = {"Authorization": "Bearer key-one"}


def client(base_url: str, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=base_url, headers=KEY, trust_env=False, timeout=10, **options)


def ledger(http: httpx.Client) -> list[tuple[str, int]]:
    rows = http.get(str(http.base_url).replace("/api/v1/", "/_sandbox/ledger")).json()
    return [(row["kind"], row["credits"]) for row in rows["objects"]]


DROPPED = {"lost_request": [], "lost_answer": [("persona", 300)]}


@pytest.mark.parametrize(("kind", "committed"), DROPPED.items(), ids=["before the commit", "after the commit"])
def test_a_cut_connection_looks_the_same_before_and_after_the_commit(
    kind: str, committed: list[tuple[str, int]]
) -> None:
    rule = {"operation": "createPersona", "kind": kind, "times": 1}
    with serve(faults=[rule]) as base_url, client(base_url) as http:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            http.post("personas", json=persona())
        assert ledger(http) == committed
        again = http.post("personas", json=persona())
        assert again.status_code == (200 if committed else 201)
        assert ledger(http) == [("persona", 300)]


@pytest.mark.parametrize(("kind", "committed"), [("error_before", 0), ("error_after", 1)])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_looks_the_same_before_and_after_the_commit(kind: str, committed: int, status: int) -> None:
    async def scenario() -> None:
        mavera = StandIn(faults=[{"operation": "createGeneration", "kind": kind, "status": status}])
        answer = await mavera.post("generations", generation())
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, "api_error")
        assert len((await mavera.ledger())["charges"]) == committed

    asyncio.run(scenario())


def test_a_late_commit_happens_after_the_connection_is_gone() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def wait(seconds: float) -> None:
            if seconds:
                await gate.wait()

        rule = {"operation": "createPersona", "kind": "late_commit", "delay_seconds": 5}
        mavera = StandIn(sleep=wait, faults=[rule])
        with pytest.raises(ConnectionResetError):
            await mavera.post("personas", persona())
        assert (await mavera.ledger())["objects"] == []
        gate.set()
        while not (await mavera.ledger())["objects"]:
            await asyncio.sleep(0)
        assert (await mavera.ledger())["credits_charged"] == 300

    asyncio.run(scenario())


def test_a_client_that_gives_up_pays_all_the_same() -> None:
    latency = {"mave": {"low": 0.15, "high": 0.15}, "usage": {"low": 0.3, "high": 0.3}}
    with serve(latency=latency, latency_scale=1) as base_url, client(base_url) as http:
        with pytest.raises(httpx.ReadTimeout):
            http.post("mave/chat", json={"message": "[k7f3q2m9] Draft"}, timeout=0.05)
        # This read is slower than the rest of that call.
        assert http.get("usage").json()["credits"]["used"] > 0
        thread = http.get("mave/threads", params={"search": "k7f3q2m9"}).json()["data"][0]
        assert thread["message_count"] == 2


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"nth": [2, 4]}, [2, 4]),
        ({"times": 2}, [1, 2]),
        ({"nth": [2, 3, 4], "times": 2}, [2, 3]),
        ({"rate": 0.0}, []),
        ({"rate": 1.0, "times": 1}, [1]),
        ({"operation": "createGeneration"}, []),
    ],
    ids=[
        "every call",
        "named calls",
        "a number of calls",
        "named calls up to a number",
        "never",
        "by rate, once",
        "another operation",
    ],
)
def test_which_calls_a_rule_strikes(rule: dict[str, Any], struck: list[int]) -> None:
    async def scenario() -> None:
        mavera = StandIn(faults=[{"operation": "createBrandVoice", "kind": "error_before", **rule}])
        answers = [(await mavera.post("brand-voices", brand_voice(f"Voice {n}"))).status_code for n in range(5)]
        assert [number for number, status in enumerate(answers, 1) if status == 500] == struck

    asyncio.run(scenario())


def test_a_rate_is_repeatable_and_counters_outlive_other_switches() -> None:
    async def struck(seed: int) -> list[int]:
        mavera = StandIn(seed=seed, faults=[{"kind": "error_before", "rate": 0.5}])
        seen = []
        for _ in range(20):
            seen.append((await mavera.get("usage")).status_code)
            await mavera.control(options={"credits": 5})
        return seen

    first, again, other = (asyncio.run(struck(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert 3 <= first.count(500) <= 17


@pytest.mark.parametrize(
    ("style", "status", "seen", "body"),
    [
        ("json", 502, 502, "application/json"),
        ("html", 502, 502, "text/html"),
        ("html", 500, 500, "application/json"),
        ("empty", 500, 500, ""),
        ("json_200", 500, 200, "application/json"),
    ],
)
def test_error_formats(style: str, status: int, seen: int, body: str) -> None:
    async def scenario() -> None:
        mavera = StandIn(error_format=style, faults=[{"kind": "error_before", "status": status}])
        answer = await mavera.get("usage")
        assert answer.status_code == seen
        assert answer.headers.get("content-type", "").partition(";")[0] == body
        assert ("X-RateLimit-Limit" in answer.headers) is (body != "text/html")
        if body == "application/json":
            assert answer.json()["error"]["code"] == "internal_error"

    asyncio.run(scenario())


def test_a_rule_may_have_an_error_format_of_its_own() -> None:
    async def scenario() -> None:
        mavera = StandIn(faults=[{"kind": "error_before", "status": 500, "error_format": "html"}])
        answer = await mavera.get("usage")
        assert (answer.status_code, answer.text[:15]) == (500, "<!doctype html>")

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["redirect", "html", "empty", "no_id", "wrong_types", "truncated", "oversized"])
def test_malformed_answers_come_after_the_commit(kind: str) -> None:
    async def scenario() -> None:
        mavera = StandIn(faults=[{"operation": "createResponse", "kind": kind}])
        answer = await mavera.post("responses", model_answer())
        good = kind not in ("redirect", "html", "empty", "truncated")
        assert answer.status_code == (307 if kind == "redirect" else 200)
        if good:
            body = answer.json()
            assert isinstance(body.get("id"), str) is (kind == "oversized")
        else:
            with pytest.raises(json.JSONDecodeError):
                answer.json()
        assert (len(answer.content) > 10 * 2**20) is (kind == "oversized")
        assert len((await mavera.ledger())["charges"]) == 1

    asyncio.run(scenario())


def test_a_gzip_bomb_is_small_on_the_wire() -> None:
    rule = {"operation": "createResponse", "kind": "gzip_bomb"}
    with serve(faults=[rule]) as base_url, client(base_url) as http:
        answer = http.post("responses", json=model_answer())
        assert int(answer.headers["content-length"]) < 50_000
        assert len(answer.content) > 10 * 2**20
