"""Each answer and each broken call has one meaning; rate headers are read or left out."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.mavera import (
    AmbiguousError,
    AuthenticationError,
    BrokenConnectionError,
    DuplicateNameError,
    InvalidRequestError,
    MaveraAnswer,
    MaveraError,
    MissingScopeError,
    NotFoundError,
    NotOfferedError,
    NotSentError,
    OutOfCreditsError,
    PermanentError,
    RateLimitedError,
    RateState,
    RetryableError,
    ServerFaultError,
    UnreadableAnswerError,
    parse_error,
    transport_error,
)

NOW = datetime(2025, 11, 7, 8, 0, tzinfo=UTC)


# ---- what answers mean ------------------------------------------------------------------------------------------
def answered(status: int, body: object = None, *, kind: str = "application/json", **headers: str) -> MaveraAnswer:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    shown = httpx.Headers({"content-type": kind, **headers})
    return MaveraAnswer(status=status, headers=shown, body=content, rate=RateState.parse(shown, now=NOW))


def failure(code: str | None = None, param: str | None = None, message: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "code": code, "param": param}}


@pytest.mark.parametrize(
    ("answer", "expected", "confirmed"),
    [
        (answered(400, failure("missing_field", "name")), InvalidRequestError, True),
        (answered(400, failure("x", "name", "A persona with this name already exists")), DuplicateNameError, True),
        (answered(401, failure("revoked_api_key")), AuthenticationError, True),
        (answered(401, b"", kind=""), AuthenticationError, False),
        (answered(402, failure("credits_exhausted")), OutOfCreditsError, True),
        (answered(403, failure("forbidden")), MissingScopeError, True),
        (answered(403, b"<html>", kind="text/html"), MissingScopeError, False),
        (answered(404, failure("resource_not_found")), NotFoundError, True),
        (answered(405, failure("method_not_allowed")), NotOfferedError, True),
        (answered(409, failure()), DuplicateNameError, True),
        (answered(409, failure(param="weights")), InvalidRequestError, True),
        (answered(422, failure("duplicate_name", "name")), DuplicateNameError, True),
        (answered(422, failure("invalid_field", "mcda_weights")), InvalidRequestError, True),
        (answered(413, b"", kind=""), InvalidRequestError, False),
        (answered(429, failure("rate_limit_exceeded")), RateLimitedError, True),
        (answered(500, failure("internal_error")), ServerFaultError, True),
        (answered(502, b"<html>", kind="text/html"), ServerFaultError, False),
        (answered(503, b"", kind=""), ServerFaultError, False),
        (answered(302, b"", kind=""), UnreadableAnswerError, False),
        (answered(200, b"<html>", kind="text/html"), UnreadableAnswerError, False),
        (answered(200, b"{}", kind="text/plain"), UnreadableAnswerError, False),
        (answered(200, b'{"id": "a"', kind="application/json"), UnreadableAnswerError, False),
        (answered(200, [1]), UnreadableAnswerError, False),
        (answered(204, b"", kind=""), UnreadableAnswerError, False),
        (answered(200, failure("credits_exhausted")), OutOfCreditsError, True),
        (answered(200, failure("resource_not_found")), NotFoundError, True),
        (answered(200, failure("internal_error")), ServerFaultError, True),
        (answered(200, failure("something_new")), UnreadableAnswerError, True),
        (answered(200, {"error": "text"}), UnreadableAnswerError, False),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_failure_has_a_type(answer: MaveraAnswer, expected: type[MaveraError], confirmed: bool) -> None:
    error = parse_error(answer, operation="createPersona")
    assert type(error) is expected
    assert error.confirmed is confirmed
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        answered(200, {"id": "a"}),
        answered(201, {"id": "a", "error": None}),
        answered(202, {"id": "gen_1", "error": {"code": "generation_failed"}}),
        answered(200, {"data": []}, kind="application/json; charset=utf-8"),
        answered(200, {"data": []}, kind="application/problem+json"),
    ],
    ids=["object", "null error", "object that failed later", "charset", "JSON suffix"],
)
def test_a_success_is_no_failure(answer: MaveraAnswer) -> None:
    assert parse_error(answer, operation="getPersona") is None


REQUEST = httpx.Request("POST", "http://127.0.0.1/")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError, NotSentError),
        (httpx.ConnectTimeout, NotSentError),
        (httpx.PoolTimeout, NotSentError),
        (httpx.UnsupportedProtocol, NotSentError),
        (httpx.WriteError, BrokenConnectionError),
        (httpx.WriteTimeout, BrokenConnectionError),
        (httpx.ReadError, BrokenConnectionError),
        (httpx.ReadTimeout, BrokenConnectionError),
        (httpx.RemoteProtocolError, BrokenConnectionError),
        (httpx.LocalProtocolError, BrokenConnectionError),
        (httpx.ProxyError, BrokenConnectionError),
    ],
)
def test_a_broken_call_is_ambiguous_unless_it_cannot_have_been_sent(
    error: type[httpx.RequestError], expected: type[MaveraError]
) -> None:
    assert type(transport_error(error("x", request=REQUEST), operation="createPersona")) is expected


def test_the_three_kinds_of_failure_do_not_overlap() -> None:
    kinds = (PermanentError, RetryableError, AmbiguousError)
    leaves = [leaf for kind in kinds for leaf in kind.__subclasses__()]
    assert len(leaves) == 12
    assert all(sum(issubclass(leaf, kind) for kind in kinds) == 1 for leaf in leaves)


# ---- rate headers -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, RateState()),
        (
            {"X-RateLimit-Limit": "240", "X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "1762502460"},
            RateState(limit=240, remaining=7, reset_after=60.0),
        ),
        ({"Retry-After": "12"}, RateState(retry_after=12.0)),
        ({"Retry-After": format_datetime(NOW + timedelta(seconds=30))}, RateState(retry_after=30.0)),
        ({"Retry-After": format_datetime(NOW - timedelta(seconds=30))}, RateState(retry_after=0.0)),
        (
            {"Date": format_datetime(NOW + timedelta(hours=1)), "X-RateLimit-Reset": "1762506005"},
            RateState(reset_after=5.0),
        ),
        ({"Retry-After": "soon", "X-RateLimit-Limit": "-1", "X-RateLimit-Reset": "1e3"}, RateState()),
        ({"Retry-After": "9" * 400}, RateState()),
        ({"Date": "Mon, 01 Jan 2024 00:00:00 +" + "9" * 20, "X-RateLimit-Limit": "60"}, RateState(limit=60)),
    ],
    ids=[
        "none",
        "all three",
        "seconds",
        "date",
        "past date",
        "server clock ahead",
        "unreadable",
        "absurd",
        "absurd zone",
    ],
)
def test_rate_headers(headers: dict[str, str], expected: RateState) -> None:
    assert RateState.parse(httpx.Headers(headers), now=NOW) == expected


@given(st.dictionaries(st.sampled_from(["retry-after", "date", "x-ratelimit-reset"]), st.text(max_size=40)))
def test_no_header_breaks_the_reading(headers: dict[str, str]) -> None:
    state = RateState.parse(headers, now=NOW)
    assert state.retry_after is None or state.retry_after >= 0
