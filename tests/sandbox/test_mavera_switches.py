"""Each switch of the pretend Mavera does what its row in the contract says, and the ledger shows it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from tests.sandbox.mavera_serving import NOW, StandIn, brand_voice, generation, model_answer, persona


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def code(answer: httpx.Response) -> str:
    return answer.json()["error"]["code"]


# ---- duplicate name ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "status", "objects", "goals"),
    [
        ({}, 200, 1, ["old"]),
        ({"duplicate_content": "replace"}, 200, 1, ["new"]),
        ({"duplicate_name": "conflict_409"}, 409, 1, ["old"]),
        ({"duplicate_name": "unprocessable_422"}, 422, 1, ["old"]),
        ({"duplicate_name": "allow_second"}, 201, 2, ["new"]),
    ],
    ids=["existing is returned", "existing takes the new content", "409", "422", "a second one is made"],
)
def test_a_second_persona_of_the_same_name(
    options: dict[str, Any], status: int, objects: int, goals: list[str]
) -> None:
    async def scenario() -> None:
        mavera = StandIn(**options)
        first = await mavera.post("personas", persona(goals=["old"]))
        second = await mavera.post("personas", persona(goals=["new"]))
        ledger = await mavera.ledger()
        assert (first.status_code, second.status_code) == (201, status)
        assert len(ledger["objects"]) == objects
        assert ledger["credits_charged"] == 300 * objects
        newest = (await mavera.get("personas", is_custom="true")).json()["data"][0]["id"]
        assert (await mavera.get(f"personas/{newest}")).json()["details"]["goals"] == goals
        if status == 200:
            assert second.json()["id"] == first.json()["id"]
            assert second.json()["credits_charged"] == 0
        elif status != 201:
            assert (code(second), second.json()["error"]["param"]) == ("duplicate_name", "name")

    run(scenario)


# ---- credits ----------------------------------------------------------------------------------------------------
def test_a_price_above_the_balance_is_refused_and_nothing_is_made() -> None:
    async def scenario() -> None:
        mavera = StandIn(credits=350)
        assert (await mavera.post("personas", persona("First persona"))).status_code == 201
        refused = await mavera.post("personas", persona("Second persona"))
        assert (refused.status_code, code(refused)) == (402, "credits_exhausted")
        assert (await mavera.post("brand-voices", brand_voice())).status_code == 201
        assert (await mavera.get("usage")).json()["credits"] == {
            "used": 350,
            "included": 350,
            "remaining": 0,
            "percentage_used": 100.0,
        }
        assert [row["kind"] for row in (await mavera.ledger())["objects"]] == ["persona", "brand_voice"]

    run(scenario)


def test_credits_come_back_with_the_next_month_and_do_not_roll_over() -> None:
    async def scenario() -> None:
        mavera = StandIn(credits=300)
        await mavera.post("personas", persona())
        await mavera.control(advance_seconds=31 * 86_400)
        usage = (await mavera.get("usage")).json()
        assert usage["credits"]["remaining"] == 300
        assert usage["billing_period"] == {"start": "2025-12-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}

    run(scenario)


def test_each_key_has_its_own_balance() -> None:
    async def scenario() -> None:
        mavera = StandIn(keys={"key-two": {"credits": 40}})
        poor = {"Authorization": "Bearer key-two"}
        refused = await mavera.post("brand-voices", brand_voice(), **poor)
        assert (refused.status_code, code(refused)) == (402, "credits_exhausted")
        assert (await mavera.post("brand-voices", brand_voice())).status_code == 201

    run(scenario)


@pytest.mark.parametrize(
    ("billing", "read", "write", "error"),
    [("budget_exceeded", 200, 402, "budget_exceeded"), ("lapsed", 402, 402, "subscription_lapsed")],
)
def test_other_reasons_for_402(billing: str, read: int, write: int, error: str) -> None:
    async def scenario() -> None:
        mavera = StandIn(billing=billing)
        assert (await mavera.get("personas")).status_code == read
        refused = await mavera.post("personas", persona())
        assert (refused.status_code, code(refused)) == (write, error)

    run(scenario)


def test_with_auto_recharge_the_balance_may_be_passed() -> None:
    async def scenario() -> None:
        mavera = StandIn(credits=10, auto_recharge=True)
        assert await mavera.charged("personas", persona()) == 300
        usage = (await mavera.get("usage")).json()
        assert usage["auto_recharge"]["enabled"] is True
        assert usage["credits"]["remaining"] == 0

    run(scenario)


@pytest.mark.parametrize(
    ("path", "body", "low", "high"),
    [
        ("personas", persona(), 300, 300),
        ("brand-voices", brand_voice(), 50, 50),
        ("generations", generation(), 10, 30),
        ("mave/chat", {"message": "[k7f3q2m9] Draft"}, 10, 50),
        ("responses", model_answer(), 1, 5),
    ],
    ids=["persona", "brand voice", "generation", "Mave", "response"],
)
def test_prices_lie_in_the_list_and_are_what_the_answer_says(
    path: str, body: dict[str, Any], low: int, high: int
) -> None:
    async def scenario() -> None:
        prices = set()
        for seed in range(8):
            mavera = StandIn(seed=seed)
            answer = (await mavera.post(path, body)).json()
            told = answer.get("credits_charged", answer.get("usage", {}).get("credits_used"))
            booked = await mavera.used()
            assert low <= booked <= high
            assert told in (booked, None)
            again = StandIn(seed=seed)
            assert await again.charged(path, body) == booked
            prices.add(booked)
        assert len(prices) == 1 or low < high

    run(scenario)


# ---- windows ----------------------------------------------------------------------------------------------------
def test_the_window_slides_and_refused_calls_cost_nothing() -> None:
    async def scenario() -> None:
        mavera = StandIn(requests_per_minute=3)
        seen = []
        for step in range(4):
            answer = await mavera.post("brand-voices", brand_voice(f"Voice {step}"))
            seen.append((answer.status_code, answer.headers["X-RateLimit-Remaining"]))
            mavera.clock.seconds += 10
        assert seen == [(201, "2"), (201, "1"), (201, "0"), (429, "0")]
        assert answer.headers["X-RateLimit-Limit"] == "3"
        assert answer.headers["X-RateLimit-Reset"] == str(int(NOW) + 60)
        assert answer.headers["Retry-After"] == "30"
        assert code(answer) == "rate_limit_exceeded"
        assert len((await mavera.ledger())["charges"]) == 3
        mavera.clock.seconds = NOW + 60
        assert (await mavera.get("usage")).status_code == 200
        assert (await mavera.get("usage")).status_code == 429
        other = await mavera.http.get("usage", headers={"Authorization": "Bearer key-two"})
        assert other.headers["X-RateLimit-Remaining"] == "2"

    run(scenario)


def test_the_eleventh_mave_call_in_flight_gets_429_and_reads_go_on() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def wait(_: float) -> None:
            await gate.wait()

        mavera = StandIn(sleep=wait)
        calls = [
            asyncio.create_task(mavera.post("mave/chat", {"message": f"[{number:08d}] Draft"}))
            for number in range(11)
        ]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert [call.result().status_code for call in done] == [429]
        assert "Retry-After" in done.pop().result().headers
        gate.set()
        assert sorted(answer.status_code for answer in await asyncio.gather(*calls)) == [200] * 10 + [429]
        assert len([row for row in (await mavera.ledger())["objects"] if row["kind"] == "mave_thread"]) == 10
        assert (await mavera.post("mave/chat", {"message": "[again] Draft"})).status_code == 200

    run(scenario)


def test_latency_stays_in_the_range_of_its_surface_times_the_scale() -> None:
    async def scenario() -> None:
        waits = []

        async def note(seconds: float) -> None:
            waits.append(seconds)

        for _ in range(2):
            mavera = StandIn(sleep=note, latency_scale=0.1)
            for number in range(10):
                await mavera.post("mave/chat", {"message": f"[{number}] Draft"})
        assert waits[:10] == waits[10:], "latency follows from the seed and the request"
        assert all(0.5 <= wait <= 9 for wait in waits)
        assert len(set(waits)) == 10

    run(scenario)


# ---- lists ------------------------------------------------------------------------------------------------------
def test_a_new_object_is_readable_by_id_before_lists_and_searches_show_it() -> None:
    async def scenario() -> None:
        mavera = StandIn(list_lag_seconds=30)
        made = (await mavera.post("personas", persona())).json()
        assert (await mavera.get(f"personas/{made['id']}")).status_code == 200
        assert (await mavera.get("personas", search="Mid-market")).json()["data"] == []
        assert (await mavera.get("personas", is_custom="true")).json()["total"] == 0
        # The server itself knows the name already.
        assert (await mavera.post("personas", persona())).json()["id"] == made["id"]
        mavera.clock.seconds += 30
        assert [item["id"] for item in (await mavera.get("personas", search="mid-MARKET")).json()["data"]] == [
            made["id"]
        ]

    run(scenario)


async def with_personas(count: int, **options: Any) -> StandIn:
    mavera = StandIn(**options)
    for number in range(count):
        assert (await mavera.post("personas", persona(f"Persona {number}"))).status_code == 201
    return mavera


def names(answer: httpx.Response) -> list[str]:
    return [item["name"] for item in answer.json()["data"]]


def test_offset_paging_tells_total_and_ends() -> None:
    async def scenario() -> None:
        mavera = await with_personas(5)
        first = await mavera.get("personas", is_custom="true", limit=2, offset=0)
        last = await mavera.get("personas", is_custom="true", limit=2, offset=4)
        assert names(first) == ["Persona 4", "Persona 3"]
        assert names(last) == ["Persona 0"]
        assert first.json() | {"data": []} == {
            "object": "list", "data": [], "total": 5, "limit": 2, "offset": 0, "has_more": True,
        }  # fmt: skip
        assert last.json()["has_more"] is False

    run(scenario)


def test_cursor_paging_gives_every_item_once_and_ignores_offset() -> None:
    async def scenario() -> None:
        mavera = await with_personas(5, paging={"style": "cursor"})
        cursor: str | None = ""
        seen = []
        while cursor is not None:
            page = await mavera.get("personas", is_custom="true", limit=2, offset=1, cursor=cursor)
            seen += names(page)
            cursor = page.json()["next_cursor"]
            assert page.json()["has_more"] is (cursor is not None)
            assert "total" not in page.json()
        assert seen == [f"Persona {number}" for number in (4, 3, 2, 1, 0)]
        assert (await mavera.get("personas", cursor="!!")).status_code == 400

    run(scenario)


def test_lists_without_paging_fields_still_take_limit_and_offset() -> None:
    async def scenario() -> None:
        mavera = await with_personas(3, paging={"style": "none"})
        page = await mavera.get("personas", is_custom="true", limit=2, offset=2)
        assert page.json().keys() == {"object", "data"}
        assert names(page) == ["Persona 0"]

    run(scenario)


def test_an_ignored_offset_repeats_the_page_and_an_ignored_search_gives_everything() -> None:
    async def scenario() -> None:
        mavera = await with_personas(3, paging={"ignore_offset": True, "ignore_search": True})
        assert names(await mavera.get("personas", limit=2, offset=2)) == ["Persona 2", "Persona 1"]
        assert (await mavera.get("personas", search="nothing", name="nobody")).json()["total"] == 7

    run(scenario)


def test_an_item_inserted_between_two_pages_shows_the_last_one_again() -> None:
    async def scenario() -> None:
        mavera = await with_personas(4, paging={"insert_between_pages": True})
        first = names(await mavera.get("personas", is_custom="true", limit=2, offset=0))
        second = names(await mavera.get("personas", is_custom="true", limit=2, offset=2))
        assert (first, second) == (["Persona 3", "Persona 2"], ["Persona 2", "Persona 1"])

    run(scenario)


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "101"), ("limit", "x"), ("offset", "-1")])
def test_paging_out_of_bounds_is_refused(name: str, value: str) -> None:
    async def scenario() -> None:
        answer = await StandIn().get("personas", **{name: value})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)

    run(scenario)


# ---- access -----------------------------------------------------------------------------------------------------
KEYS = {
    "key-one": {"scopes": ["personas:write"]},
    "key-old": {"status": "revoked"},
    "key-late": {"status": "expired"},
}


@pytest.mark.parametrize(
    ("options", "header", "path", "body", "expected"),
    [
        ({}, "", "usage", None, (401, "missing_api_key")),
        ({}, "Basic abc", "usage", None, (401, "missing_api_key")),
        ({"scopes": "enforced"}, "Bearer key-one", "usage", None, (401, "invalid_api_key")),
        ({"keys": KEYS}, "Bearer key-old", "usage", None, (401, "revoked_api_key")),
        ({"keys": KEYS}, "Bearer key-late", "usage", None, (401, "expired_api_key")),
        ({"keys": KEYS, "scopes": "enforced"}, "Bearer key-one", "generations", generation(), (403, "forbidden")),
        (
            {"keys": KEYS, "scopes": "enforced"},
            "Bearer key-one",
            "brand-voices",
            brand_voice(),
            (403, "forbidden"),
        ),
        ({"keys": KEYS, "scopes": "enforced"}, "Bearer key-one", "personas", persona(), (201, None)),
        ({"keys": KEYS, "scopes": "enforced"}, "Bearer key-one", "responses", model_answer(), (200, None)),
        ({"keys": KEYS}, "Bearer key-one", "generations", generation(), (201, None)),
    ],
    ids=[
        "no key",
        "not a bearer key",
        "unknown key while scopes are enforced",
        "revoked key",
        "expired key",
        "no scope for generations",
        "no scope for brand voices",
        "scope for personas",
        "no scope exists for responses",
        "scopes off",
    ],
)
def test_keys_and_scopes(
    options: dict[str, Any], header: str, path: str, body: Any, expected: tuple[int, str | None]
) -> None:
    async def scenario() -> None:
        mavera = StandIn(**options)
        answer = await mavera.http.request(
            "GET" if body is None else "POST", path, json=body, headers={"Authorization": header}
        )
        assert answer.status_code == expected[0]
        if expected[1] is not None:
            assert code(answer) == expected[1]
            assert (await mavera.ledger())["charges"] == []

    run(scenario)


@pytest.mark.parametrize(("mode", "used"), [("honoured", 0), ("ignored", 300)])
def test_the_sandbox_header_gives_full_answers_and_charges_only_if_ignored(mode: str, used: int) -> None:
    async def scenario() -> None:
        mavera = StandIn(sandbox_header=mode, credits=used)
        answer = await mavera.post("personas", persona(), **{"X-Mavera-Sandbox": "true"})
        assert answer.status_code == 201
        assert answer.json()["credits_charged"] == used
        assert await mavera.used() == used
        assert (await mavera.get("personas", is_custom="true")).json()["total"] == 1

    run(scenario)


@pytest.mark.parametrize(("policy", "stored"), [("drop", None), ("store", {"a": 1})])
def test_unknown_fields_are_dropped_or_stored(policy: str, stored: Any) -> None:
    async def scenario() -> None:
        mavera = StandIn(unknown_field=policy, treat_as_unknown=["attributes", "locale_scope"])
        body = persona(attributes={"a": 1}, locale_scope="country", goals=["kept"])
        details = (await mavera.post("personas", body)).json()["details"]
        assert details.get("attributes") == stored
        assert details.get("locale_scope") == ("country" if stored else None)
        assert details["goals"] == ["kept"]

    run(scenario)


def test_operations_that_are_not_offered_answer_405() -> None:
    async def scenario() -> None:
        mavera = StandIn(unsupported=["getPersona"])
        made = (await mavera.post("personas", persona())).json()
        refused = await mavera.get(f"personas/{made['id']}")
        assert (refused.status_code, code(refused)) == (405, "method_not_allowed")
        assert (await mavera.patch(f"personas/{made['id']}", {"goals": []})).status_code == 200

    run(scenario)


# ---- control ----------------------------------------------------------------------------------------------------
def test_a_wrong_switch_is_refused_and_changes_nothing() -> None:
    async def scenario() -> None:
        mavera = StandIn()
        for wish in (
            {"options": {"credit": 1}},
            {"options": {"credits": -1}},
            {"wish": 1},
            {"advance_seconds": -1},
        ):
            answer = await mavera.http.post("http://127.0.0.1/_sandbox/control", json=wish)
            assert answer.status_code == 400
        assert (await mavera.control())["options"]["credits"] == 10_000

    run(scenario)


def test_a_reset_forgets_objects_charges_and_windows_but_not_what_was_there_before() -> None:
    async def scenario() -> None:
        mavera = StandIn(requests_per_minute=4)
        await mavera.post("personas", persona())
        await mavera.control(reset=True)
        assert (await mavera.ledger())["objects"] == []
        answer = await mavera.get("personas")
        assert answer.json()["total"] == 4
        assert answer.headers["X-RateLimit-Remaining"] == "3"
        assert await mavera.used() == 0

    run(scenario)
