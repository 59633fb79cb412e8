"""The Mavera door: where the key goes, how lists end, what is repeated, what is too large."""

import asyncio
import gzip
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from resources.mavera import (
    BrokenConnectionError,
    InvalidRequestError,
    MaveraApi,
    MaveraError,
    PermanentError,
    RateLimitedError,
    RateState,
    ReadPolicy,
    ServerFaultError,
    UnreadableAnswerError,
    Usage,
    WrongAddressError,
    exchange,
    parse_error,
    validate_base_url,
)
from tests.sandbox.mavera_serving import BASE_PERSONA, StandIn, brand_voice, generation, persona, serve

NOW = datetime(2025, 11, 7, 8, 0, tzinfo=UTC)
KEY = "mvra_test_51HqAbCd"


def run(scenario: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(scenario)


class Served:
    """Answers by a function, and remembers requests and waits."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def api(self, **options: Any) -> MaveraApi:
        return MaveraApi(
            base_url="http://127.0.0.1:8790/api/v1",
            api_key=SecretStr(KEY),
            transport=httpx.MockTransport(self),
            sleep=self.sleep,
            clock=lambda: NOW,
            jitter=random.Random(0),
            **options,
        )


def reading(mavera: StandIn, **options: Any) -> MaveraApi:
    """The client on a stand-in of this process, with the key that has made its objects."""
    base_url, key = "http://127.0.0.1/api/v1", SecretStr("key-one")
    return MaveraApi(base_url=base_url, api_key=key, transport=mavera.transport, **options)


def failure(code: str | None = None, param: str | None = None, message: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "code": code, "param": param}}


def in_turn(*answers: httpx.Response | Exception) -> Callable[[httpx.Request], httpx.Response]:
    waiting = list(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        found = waiting.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return answer


USAGE = {"credits": {"used": 10, "included": 100, "remaining": 90}}


# ---- address and key --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://app.mavera.io/api/v1", "https://app.mavera.io/api/v1"),
        ("https://app.mavera.io/api/v1/", "https://app.mavera.io/api/v1"),
        ("http://127.0.0.1:8790/api/v1", "http://127.0.0.1:8790/api/v1"),
        ("http://127.9.9.9/api", "http://127.9.9.9/api"),
        ("http://localhost:8790", "http://localhost:8790"),
        ("http://[::1]:8790/api/v1", "http://[::1]:8790/api/v1"),
    ],
)
def test_addresses_that_may_be_used(url: str, kept: str) -> None:
    assert validate_base_url(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://app.mavera.io/api/v1",
        "http://10.0.0.1/api",
        "http://localhost.example.com/api",
        "http://127.0.0.1.example.com/api",
        "http://0.0.0.0/api",
        "ftp://127.0.0.1/api",
        "app.mavera.io/api/v1",
        "https:///api",
        "https://user:secret-word@app.mavera.io/api",
        "https://app.mavera.io/api?key=secret-word",
        "https://app.mavera.io/api#part",
        "https://app mavera io",
        "",
    ],
)
def test_addresses_that_are_refused_without_being_shown(url: str) -> None:
    with pytest.raises(WrongAddressError) as caught:
        validate_base_url(url)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/personas",
        "http://127.0.0.1:9999/api/v1/personas",
        "https://127.0.0.1:8790/api/v1/personas",
        "http://localhost:8790/api/v1/personas",
    ],
    ids=["other host", "other port", "other scheme", "other name of the host"],
)
def test_the_key_goes_to_no_other_origin(url: str) -> None:
    served = Served(lambda request: httpx.Response(200, json={}))

    async def scenario() -> None:
        async with served.api().write_client(timeout_seconds=1) as client:
            with pytest.raises(WrongAddressError):
                await client.post(url, json={})

    run(scenario())
    assert served.requests == []


def test_the_write_client_follows_no_redirect_and_sends_once() -> None:
    location = {"Location": "https://evil.example.com/"}
    served = Served(lambda request: httpx.Response(307, headers=location))

    async def scenario() -> None:
        async with served.api(sandbox=True).write_client(timeout_seconds=1) as client:
            answer = await exchange(
                client, client.build_request("POST", "personas", json={}), operation="createPersona"
            )
            assert isinstance(parse_error(answer, operation="createPersona"), UnreadableAnswerError)

    run(scenario())
    (request,) = served.requests
    assert request.url == "http://127.0.0.1:8790/api/v1/personas"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-mavera-sandbox"] == "true"


def test_neither_the_key_nor_server_text_is_in_errors_and_reprs() -> None:
    body = {
        "error": {"message": f"no {KEY} for ann@example.com", "code": "invalid_field", "param": "ann@example.com"}
    }
    served = Served(lambda request: httpx.Response(400, json=body))

    async def scenario() -> None:
        async with served.api() as api:
            assert KEY not in repr(api)
            with pytest.raises(InvalidRequestError) as caught:
                await api.usage()
            text = f"{caught.value} {vars(caught.value)}"
            assert KEY not in text
            assert "example.com" not in text
            assert str(caught.value) == (
                "Mavera getUsage: 400, invalid_field; correct the named field; the call is not repeated"
            )

    run(scenario())


# ---- reads: retries ---------------------------------------------------------------------------------------------
def retried(*answers: httpx.Response | Exception, **policy: Any) -> tuple[Usage | MaveraError, Served]:
    served = Served(in_turn(*answers))

    async def scenario() -> Usage | MaveraError:
        async with served.api(policy=ReadPolicy(**policy)) as api:
            try:
                return await api.usage()
            except MaveraError as error:
                return error

    return run(scenario()), served


GOOD = httpx.Response(200, json=USAGE)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(500, json=failure("internal_error")),
        httpx.Response(503, html="<h1>busy</h1>"),
        httpx.Response(429, json=failure("rate_limit_exceeded")),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
    ],
    ids=["500", "503 as HTML", "429", "refused", "timeout", "cut"],
)
def test_a_read_is_repeated_after_passing_trouble(trouble: httpx.Response | Exception) -> None:
    result, served = retried(trouble, trouble, GOOD)
    assert isinstance(result, Usage)
    assert len(served.requests) == 3
    assert 0.25 <= served.waits[0] <= 0.5
    assert 0.5 <= served.waits[1] <= 1.0


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 302, 204])
def test_a_read_is_not_repeated_after_a_definite_or_senseless_answer(status: int) -> None:
    result, served = retried(httpx.Response(status))
    assert isinstance(result, MaveraError)
    assert (len(served.requests), served.waits) == (1, [])


def test_attempts_are_capped_and_the_last_error_is_told() -> None:
    result, served = retried(*[httpx.Response(500)] * 9, attempts=4)
    assert isinstance(result, ServerFaultError)
    assert len(served.requests) == 4


def test_retry_after_is_honoured_and_a_wait_beyond_the_total_is_not_begun() -> None:
    asked = httpx.Response(429, headers={"Retry-After": "7"})
    _, served = retried(asked, GOOD)
    assert 7.0 <= served.waits[0] <= 7.5
    result, served = retried(httpx.Response(429, headers={"Retry-After": "3600"}), GOOD, total_seconds=60.0)
    assert isinstance(result, RateLimitedError)
    assert result.retry_after == 3600.0
    assert served.waits == []


def test_a_read_that_never_ends_is_broken_off() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> None:
        policy = ReadPolicy(attempt_seconds=0.01, attempts=2, backoff_seconds=0)
        transport = httpx.MockTransport(hang)
        api = MaveraApi(base_url="https://h.example", api_key=SecretStr(KEY), policy=policy, transport=transport)
        async with api:
            with pytest.raises(BrokenConnectionError, match="deadline"):
                await api.usage()

    run(scenario())


def test_the_throttle_is_asked_before_each_attempt_and_told_after_each_answer() -> None:
    class Notes:
        def __init__(self) -> None:
            self.asked = 0
            self.told: list[int | None] = []

        async def acquire(self) -> None:
            self.asked += 1

        def observe(self, rate: RateState) -> None:
            self.told.append(rate.remaining)

    notes = Notes()
    served = Served(
        in_turn(
            httpx.ConnectError("refused"),
            httpx.Response(429, headers={"X-RateLimit-Remaining": "0"}),
            httpx.Response(200, json=USAGE, headers={"X-RateLimit-Remaining": "9"}),
        )
    )

    async def scenario() -> None:
        async with served.api(throttle=notes) as api:
            await api.usage()

    run(scenario())
    assert (notes.asked, notes.told) == (3, [0, 9])


# ---- reads: size and compression --------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", ["oversized", "gzip_bomb", "truncated", "html", "empty", "redirect"])
def test_an_answer_that_is_too_large_or_senseless_is_refused(fault: str) -> None:
    with serve(faults=[{"operation": "getUsage", "kind": fault}]) as base_url:

        async def scenario() -> None:
            async with MaveraApi(base_url=base_url, api_key=SecretStr(KEY)) as api:
                with pytest.raises(UnreadableAnswerError):
                    await api.usage()
                assert len(await api.personas()) == 4

        run(scenario())


def test_a_page_may_be_larger_than_a_single_object_but_not_without_end() -> None:
    texts = [{"id": f"gen_{number}", "output": "x" * 30_000} for number in range(100)]
    served = Served(lambda _: httpx.Response(200, json={"data": texts, "has_more": False}))

    async def scenario() -> None:
        async with served.api() as api:
            assert len(await api.generations()) == 100
        async with served.api(policy=ReadPolicy(max_page_bytes=2**20)) as api:
            with pytest.raises(UnreadableAnswerError, match="more than 1048576 bytes"):
                await api.generations()

    run(scenario())


@pytest.mark.parametrize(("encoding", "readable"), [("gzip", True), ("br", False)])
def test_compression_that_was_not_asked_for(encoding: str, readable: bool) -> None:
    content = gzip.compress(orjson.dumps(USAGE))
    headers = {"content-type": "application/json", "content-encoding": encoding}

    class Raw(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield content

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=Raw())

    async def scenario() -> None:
        api = MaveraApi(
            base_url="https://h.example", api_key=SecretStr(KEY), transport=httpx.MockTransport(answer)
        )
        async with api:
            if readable:
                assert (await api.usage()).remaining == 90
            else:
                with pytest.raises(UnreadableAnswerError, match="encoding"):
                    await api.usage()

    run(scenario())


# ---- reads: lists -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "paging",
    [
        {"style": "offset"},
        {"style": "cursor"},
        {"style": "none"},
        {"style": "offset", "persona_key": "personas"},
        {"style": "offset", "insert_between_pages": True},
        {"style": "cursor", "insert_between_pages": True},
    ],
    ids=[
        "offset",
        "cursor",
        "no fields",
        "other list key",
        "offset with an insertion",
        "cursor with an insertion",
    ],
)
def test_a_list_is_read_whole_and_each_object_once(paging: dict[str, Any]) -> None:
    mavera = StandIn(paging=paging, requests_per_minute=1_000)

    async def scenario() -> None:
        made = [(await mavera.post("personas", persona(f"Persona {number}"))).json()["id"] for number in range(11)]
        async with reading(mavera, policy=ReadPolicy(page_size=3)) as api:
            found = [item.id for item in await api.personas()]
        assert len(found) == len(set(found))
        assert set(made) < set(found)

    run(scenario())


def pages(*bodies: dict[str, Any]) -> Callable[[httpx.Request], httpx.Response]:
    """Answers page after page; the last one for ever."""
    waiting = list(bodies)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return answer


def items(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": f"p{number}", "name": f"Persona {number}"} for number in numbers]


FIRST = {"data": items(1), "next_cursor": "a"}


@pytest.mark.parametrize(
    ("bodies", "found", "asked"),
    [
        ([{"data": items(1, 2), "has_more": False}], 2, ["0"]),
        ([{"data": items(1), "has_more": True}, {"data": items(2), "has_more": False}], 2, ["0", "1"]),
        ([{"data": items(1), "total": 3}, {"data": items(2, 3), "total": 3}], 3, ["0", "1"]),
        ([{"data": items(1, 2), "has_more": True}], 2, ["0", "2"]),
        ([{"data": items(1), "has_more": True}, {"data": [], "has_more": True}], 1, ["0", "1"]),
        ([{"data": items(1, 2)}, {"data": items(3)}], 3, ["0", "2"]),
        ([{"data": items(1)}], 1, ["0"]),
        ([{"data": items(1), "next_cursor": "a", "has_more": False}], 1, ["0"]),
        ([FIRST, {"data": items(2), "next_cursor": "a"}], 2, ["0", "a"]),
        ([FIRST, {"data": items(2), "next_cursor": "b"}, {"data": items(3)}], 3, ["0", "a", "b"]),
        ([FIRST, {"data": items(2), "has_more": True}], 2, ["0", "a"]),
        ([{"data": items(1), "next_cursor": ""}], 1, ["0"]),
    ],
    ids=[
        "no more",
        "more by flag",
        "more by total",
        "a repeated page ends it",
        "an empty page ends it",
        "a full page without fields has one successor",
        "a short page without fields is the last",
        "no more in spite of a cursor",
        "a repeated cursor ends it",
        "cursors are followed",
        "a page without cursor ends cursor paging",
        "an empty cursor is none",
    ],
)  # fmt: skip
def test_how_lists_end(bodies: list[dict[str, Any]], found: int, asked: list[str]) -> None:
    served = Served(pages(*bodies))

    async def scenario() -> None:
        async with served.api(policy=ReadPolicy(page_size=2)) as api:
            assert len(await api.personas()) == found

    run(scenario())
    sent = [request.url.params for request in served.requests]
    assert [params.get("cursor") or params.get("offset") for params in sent] == asked
    assert all(("cursor" in params) != ("offset" in params) for params in sent)


def test_a_list_without_end_is_an_error_and_never_cut() -> None:
    counter = iter(range(10**6))
    served = Served(lambda _: httpx.Response(200, json={"data": items(next(counter)), "has_more": True}))

    async def scenario() -> None:
        async with served.api(policy=ReadPolicy(max_pages=5)) as api:
            with pytest.raises(PermanentError, match="more than 5 pages"):
                await api.personas()

    run(scenario())


@pytest.mark.parametrize(
    "body",
    [{}, {"data": None}, {"data": {"a": 1}}, {"data": ["p1"]}, {"data": [{"name": "x"}]}, {"data": [{"id": 7}]}],
    ids=["no list", "null", "an object", "texts", "no id", "an id that is no text"],
)
def test_a_list_with_anything_unreadable_is_refused_as_a_whole(body: dict[str, Any]) -> None:
    served = Served(lambda _: httpx.Response(200, json=body))

    async def scenario() -> None:
        async with served.api() as api:
            with pytest.raises(UnreadableAnswerError):
                await api.personas()

    run(scenario())


def test_threads_stop_early_when_only_the_newest_are_wanted() -> None:
    served = Served(pages({"data": items(1, 2), "has_more": True}))

    async def scenario() -> None:
        async with served.api() as api:
            assert len(await api.mave_threads(newest=2)) == 2

    run(scenario())
    assert len(served.requests) == 1


# ---- reads: single objects --------------------------------------------------------------------------------------
def test_objects_of_the_stand_in_are_read_as_they_were_made() -> None:
    mavera = StandIn()

    async def scenario() -> None:
        sent = persona(goals=["One goal"], is_localized=True, locale_value="DE")
        made = (await mavera.post("personas", sent)).json()
        text = (await mavera.post("generations", generation())).json()
        voice = (await mavera.post("brand-voices", brand_voice())).json()
        reply = (await mavera.post("mave/chat", {"message": "[k7f3q2m9] Draft. 18 accounts."})).json()
        async with reading(mavera) as api:
            found = await api.persona(made["id"])
            assert found is not None
            assert all(found.sent_value(name) == value for name, value in sent.items())
            assert (found.charged, found.is_custom) == (300, True)
            assert (await api.persona(BASE_PERSONA)).name == "Cost-aware operations lead"  # type: ignore[union-attr]
            assert await api.persona("none") is None
            assert [item.id for item in await api.personas(search="mid-market", is_custom=True)] == [made["id"]]
            done = await api.generation(text["id"])
            assert done is not None
            assert (done.progress, done.text, done.title) == ("done", text["output"], text["title"])
            assert await api.generation("none") is None
            assert (await api.generations(search=text["title"]))[0].charged == text["usage"]["credits_used"]
            assert (await api.brand_voice(voice["id"])).progress == "running"  # type: ignore[union-attr]
            mavera.clock.seconds += 5
            assert [item.progress for item in await api.brand_voices()] == ["done"]
            assert await api.brand_voice("none") is None
            (thread,) = await api.mave_threads(search="k7f3q2m9")
            whole = await api.mave_thread(thread.id)
            assert whole is not None
            assert [message.role for message in whole.messages] == ["user", "assistant"]
            assert whole.messages[1].content == reply["content"]
            assert await api.mave_thread("none") is None
            usage = await api.usage()
            assert usage.used == await mavera.used()
            assert (usage.included, usage.requests_per_minute, usage.auto_recharge) == (10_000, 600, False)
            apps = {app.id: app for app in await api.generation_apps()}
            assert [field.name for field in apps["retention-email"].inputs if field.required] == [
                "topic",
                "target_audience",
            ]
            assert apps["retention-email"].inputs[2].options == ("plain", "warm", "formal")
            assert [field.name for field in apps["landing_page_copy"].inputs] == ["key_points", "platform"]

    run(scenario())


def test_where_single_reads_are_not_offered_the_list_is_read() -> None:
    mavera = StandIn(unsupported=["getPersona", "getGeneration"])

    async def scenario() -> None:
        made = (await mavera.post("personas", persona())).json()
        text = (await mavera.post("generations", generation())).json()
        transport = mavera.http._transport
        async with MaveraApi(
            base_url="http://127.0.0.1/api/v1", api_key=SecretStr(KEY), transport=transport
        ) as api:
            found, done = await api.persona(made["id"]), await api.generation(text["id"])
            assert found is not None
            assert done is not None
            assert (found.name, done.text) == (made["name"], text["output"])
            assert await api.persona("none") is None

    run(scenario())


@pytest.mark.parametrize("object_id", ["", ".", ".."])
def test_an_id_cannot_choose_another_path(object_id: str) -> None:
    served = Served(lambda _: httpx.Response(200, json={"id": "a", "name": "b"}))

    async def scenario() -> None:
        async with served.api() as api:
            with pytest.raises(InvalidRequestError):
                await api.persona(object_id)
            await api.persona("../usage?x=1#y")

    run(scenario())
    assert [request.url.raw_path for request in served.requests] == [b"/api/v1/personas/..%2Fusage%3Fx%3D1%23y"]
