"""The client against a scripted transport: what is sent, what is repeated, and what each refusal becomes."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from resources.limiter import Limiter
from resources.stripe_api import (
    API_VERSION,
    BadRequest,
    CursorGone,
    NotFound,
    PermissionMissing,
    StripeApi,
    StripeError,
    StripeUnavailable,
    Unauthorized,
    Unreachable,
)
from resources.stripe_clock import MICROS, ServerClock

_SECRET = "rk_live_" + "s" * 24
_DATE = "Tue, 24 Nov 2026 06:00:00 GMT"
_PAGE = {"object": "list", "data": [{"id": "ch_1"}], "has_more": False}

Answer = httpx.Response | Exception


class Scripted:
    """Answers in order, the last one for ever; keeps requests and sleeps. Time passes only in sleeps."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self.now = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def wait_for_pace(self, seconds: float) -> None:
        self.now += seconds

    def ask(self, call: Callable[[StripeApi], Any], **options: Any) -> Any:
        async def run() -> Any:
            limiter = Limiter(
                requests_per_second=10_000,
                operation_per_second=10_000,
                clock=lambda: self.now,
                sleep=self.wait_for_pace,
            )
            async with StripeApi(
                SecretStr(_SECRET),
                limiter=limiter,
                transport=httpx.MockTransport(self),
                sleep=self.sleep,
                monotonic=lambda: self.now,
                jitter=random.Random(1),
                **options,
            ) as api:
                self.api = api
                return await call(api)

        return asyncio.run(run())

    def charges(self, **params: Any) -> Any:
        return self.ask(lambda api: api.list_page("charges", {"limit": 100, **params}))


def _ok(body: Any = _PAGE, **headers: str) -> httpx.Response:
    return httpx.Response(200, content=orjson.dumps(body), headers={"Date": _DATE, **headers})


def _error(status: int, *, headers: dict[str, str] | None = None, **error: Any) -> httpx.Response:
    return httpx.Response(
        status, content=orjson.dumps({"error": error}), headers={"Date": _DATE, **(headers or {})}
    )


def test_every_request_pins_the_version_and_names_its_parameters() -> None:
    scripted = Scripted(_ok())
    page = scripted.charges(**{"created[gte]": 5, "expand[]": ("data.a", "data.b")})
    (request,) = scripted.requests
    assert request.headers["Stripe-Version"] == API_VERSION == "2025-09-30.clover"
    assert request.headers["Authorization"] == f"Bearer {_SECRET}"
    assert str(request.url) == (
        "https://api.stripe.com/v1/charges?limit=100&created%5Bgte%5D=5&expand%5B%5D=data.a&expand%5B%5D=data.b"
    )
    assert page.data == [{"id": "ch_1"}]
    assert page.read_at // MICROS <= 1_795_500_000


def test_ids_become_part_of_the_path_and_not_of_the_operation() -> None:
    scripted = Scripted(_ok())
    scripted.ask(lambda api: api.list_page("invoices/{id}/lines", {"limit": 100}, id="in_1"))
    assert scripted.requests[0].url.path == "/v1/invoices/in_1/lines"
    assert set(scripted.api.limiter.usage) == {"GET /v1/invoices/{id}/lines"}


@pytest.mark.parametrize(
    "trouble",
    [
        _error(500, message="oops"),
        _error(503, message="oops"),
        _error(409, message="conflict"),
        _error(429, code="lock_timeout", message="locked"),
        _error(429, headers={"Stripe-Rate-Limited-Reason": "endpoint-rate"}, message="slow"),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        httpx.ReadTimeout("slow"),
        httpx.Response(200, content=b'{"object":"list","data":[{"id"', headers={"Date": _DATE}),
        httpx.Response(502, content=b"<html>bad gateway</html>"),
    ],
    ids=lambda trouble: type(trouble).__name__ if isinstance(trouble, Exception) else str(trouble.status_code),
)
def test_passing_trouble_is_tried_again(trouble: Answer) -> None:
    scripted = Scripted(trouble, trouble, _ok())
    assert scripted.charges().data == [{"id": "ch_1"}]
    assert len(scripted.requests) == 3
    assert all(0 <= seconds <= 0.5 for seconds in scripted.slept if seconds)


def test_a_429_never_ends_a_call() -> None:
    refusals = [_error(429, headers={"Stripe-Rate-Limited-Reason": "global-rate"}, message="slow")] * 300
    scripted = Scripted(*refusals, _ok())
    assert scripted.charges().data
    assert scripted.api.limiter.total.limited == 300
    assert max(scripted.slept) <= 60.0


def test_retry_after_is_honoured() -> None:
    scripted = Scripted(_error(429, headers={"Retry-After": "7"}, message="slow"), _ok())
    scripted.charges()
    assert max(scripted.slept) == 7.0


def test_should_retry_false_is_believed() -> None:
    scripted = Scripted(_error(500, headers={"Stripe-Should-Retry": "false"}, message="no use"), _ok())
    with pytest.raises(BadRequest, match="no use"):
        scripted.charges()


def test_an_unreachable_api_ends_with_one_line() -> None:
    scripted = Scripted(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match=r"^Stripe is not reachable at https://api\.stripe\.com since \d+ s"):
        scripted.ask(lambda api: api.account(), unreachable_after=30.0)
    assert scripted.now >= 30.0


def test_an_outage_is_told_once_while_it_is_waited_out(caplog: pytest.LogCaptureFixture) -> None:
    scripted = Scripted(*[httpx.ConnectError("refused")] * 10, _ok())
    with caplog.at_level("WARNING", logger="stripe_mavera.stripe"):
        assert scripted.charges().data
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "https://api.stripe.com" in caplog.text


def test_an_outage_that_does_not_pass_ends_with_one_line() -> None:
    scripted = Scripted(_error(503, message="down"))
    with pytest.raises(StripeUnavailable, match="Stripe answers 503"):
        scripted.ask(lambda api: api.account(), unavailable_after=60.0)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (_error(401, message=f"Invalid API Key provided: {_SECRET}"), Unauthorized, "check STRIPE_API_KEY"),
        (
            _error(403, message="Having the 'rak_charge_read' permission would"),
            PermissionMissing,
            "rak_charge_read",
        ),
        (_error(403, message="no"), PermissionMissing, "does not name"),
        (_error(404, code="resource_missing", message="No such charge: 'ch_2'"), NotFound, "ch_2"),
        (
            _error(400, code="parameter_unknown", param="x", message="Received unknown parameter: x"),
            BadRequest,
            "x",
        ),
        (_error(400, message="a\nb"), BadRequest, "a b"),
    ],
)
def test_refusals_have_types_and_hold_no_key(answer: httpx.Response, kind: type[StripeError], text: str) -> None:
    scripted = Scripted(answer)
    with pytest.raises(kind, match=text) as refusal:
        scripted.charges()
    assert _SECRET not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("status", [400, 404])
def test_a_deleted_cursor_object_has_a_type_of_its_own(status: int) -> None:
    answer = _error(status, code="resource_missing", param="starting_after", message="No such charge: 'ch_9'")
    with pytest.raises(CursorGone):
        Scripted(answer).charges(starting_after="ch_9")


def test_an_answer_that_is_no_list_is_an_error() -> None:
    with pytest.raises(StripeError, match="no list"):
        Scripted(_ok({"object": "charge"})).charges()


def test_nothing_that_is_shown_holds_the_key() -> None:
    scripted = Scripted(_ok())
    scripted.charges()
    assert _SECRET not in repr(scripted.api)
    assert _SECRET not in scripted.api.fingerprint


class TestServerClock:
    """Times are lower bounds of the server's clock."""

    def test_a_time_never_lies_after_the_departure(self) -> None:
        local = 100.0
        clock = ServerClock(monotonic=lambda: local)
        first = clock.sent()
        local = 100.4
        clock.stamp(first, "Tue, 24 Nov 2026 06:00:00 GMT")  # the server's clock is 1795500000.x by now
        local = 103.0
        second = clock.sent()
        local = 103.5
        read_at = clock.stamp(second, "Tue, 24 Nov 2026 06:00:03 GMT")
        assert read_at == 1_795_500_000 * MICROS + 2_600_000

    def test_the_date_of_the_answer_is_a_ceiling_where_the_server_clock_stands_still(self) -> None:
        ticks = iter(range(0, 1_000, 25))
        clock = ServerClock(monotonic=lambda: float(next(ticks)))
        read_at = [clock.stamp(clock.sent(), "Tue, 24 Nov 2026 06:00:00 GMT") for _ in range(5)][-1]
        assert read_at == 1_795_500_000 * MICROS + MICROS - 1

    def test_what_is_read_now_is_newer_than_what_earlier_runs_read(self) -> None:
        floor = 1_795_500_005 * MICROS
        clock = ServerClock(monotonic=lambda: 0.0, floor=floor)
        assert clock.stamp(clock.sent(), "Tue, 24 Nov 2026 06:00:00 GMT") == floor + 1

    def test_an_answer_without_a_date_is_refused(self) -> None:
        with pytest.raises(StripeError, match="no Date header"):
            Scripted(httpx.Response(200, content=orjson.dumps(_PAGE))).charges()
