"""What one HTTP exchange with Mavera means: error types, rate headers, and a size-capped answer.

Nothing here decides to send, to wait or to send again. The caller does, by the type of the error: a
`PermanentError` is definite and repeating it is useless, a `RetryableError` ran nothing, an `AmbiguousError`
may have run. Server texts are read to classify an answer and never kept, because they can repeat what was
sent.

Rests on the contract in `tests/data/mavera/openapi.yaml`: status first, `error.code` second, `error.type`
never.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

__all__ = [
    "AmbiguousError",
    "AuthenticationError",
    "BrokenConnectionError",
    "DuplicateNameError",
    "InvalidRequestError",
    "MaveraAnswer",
    "MaveraError",
    "MissingScopeError",
    "NotFoundError",
    "NotOfferedError",
    "NotSentError",
    "OutOfCreditsError",
    "PermanentError",
    "RateLimitedError",
    "RateState",
    "RetryableError",
    "ServerFaultError",
    "UnreadableAnswerError",
    "exchange",
    "parse_error",
    "transport_error",
]

_WORD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_EXISTS = re.compile(r"exist|already|taken|duplicate", re.IGNORECASE)


class MaveraError(Exception):
    """One line: operation, status, code and field, remedy. `confirmed` tells that an error body came with it."""

    remedy = "see the Mavera status page"

    def __init__(
        self,
        operation: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        confirmed: bool = False,
        seen: str = "",
        remedy: str | None = None,
    ) -> None:
        self.operation = operation
        self.status = status
        self.code = code
        self.param = param
        self.confirmed = confirmed
        facts = [str(status) if status else "", code or "", f"field {param}" if param else "", seen]
        what = ", ".join(fact for fact in facts if fact) or type(self).__name__
        super().__init__(f"Mavera {operation}: {what}; {remedy or self.remedy}")


class PermanentError(MaveraError):
    """Definite: nothing was made, and the same call will fail again."""


class InvalidRequestError(PermanentError):
    remedy = "correct the named field; the call is not repeated"


class AuthenticationError(PermanentError):
    remedy = "set MAVERA_API_KEY to a key that is valid for this address"


class OutOfCreditsError(PermanentError):
    remedy = "add credits or wait for the next period; paid work stops, everything else goes on"


class MissingScopeError(PermanentError):
    remedy = (
        "give the key the scope of this surface, such as personas:write, generations:write, brand-voices:write"
    )


class NotFoundError(PermanentError):
    remedy = "list the objects again; it may have been removed"


class NotOfferedError(PermanentError):
    remedy = "read the list instead of the single object"


class DuplicateNameError(PermanentError):
    remedy = "look the name up and change the object that has it"


class RetryableError(MaveraError):
    """Nothing ran: the same call may be sent again."""

    remedy = "the call may be sent again"


class RateLimitedError(RetryableError):
    """429; `retry_after` is in seconds and may be absent."""

    remedy = "wait, then send it again"

    def __init__(self, operation: str, *, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(operation, **facts)
        self.retry_after = retry_after


class NotSentError(RetryableError):
    remedy = "check MAVERA_API_BASE and the network"


class AmbiguousError(MaveraError):
    """The call may have run: look for its object before sending it again."""

    remedy = "look for the object before sending it again"


class ServerFaultError(AmbiguousError):
    pass


class BrokenConnectionError(AmbiguousError):
    pass


class UnreadableAnswerError(AmbiguousError):
    """A redirect, or a success that is not the object it should be."""


_BY_STATUS: dict[int, type[PermanentError]] = {
    401: AuthenticationError,
    402: OutOfCreditsError,
    403: MissingScopeError,
    404: NotFoundError,
    405: NotOfferedError,
}
_BY_CODE: dict[str, type[MaveraError]] = {
    **dict.fromkeys(("missing_field", "invalid_field", "invalid_model", "invalid_persona"), InvalidRequestError),
    **dict.fromkeys(
        ("missing_api_key", "invalid_api_key", "revoked_api_key", "expired_api_key"), AuthenticationError
    ),
    **dict.fromkeys(("credits_exhausted", "budget_exceeded"), OutOfCreditsError),
    **dict.fromkeys(("internal_error", "service_unavailable"), ServerFaultError),
    "forbidden": MissingScopeError,
    "resource_not_found": NotFoundError,
    "rate_limit_exceeded": RateLimitedError,
}


@dataclass(frozen=True, kw_only=True)
class RateState:
    """What the rate headers say; each part is absent if its header is missing or unreadable."""

    limit: int | None = None
    remaining: int | None = None
    reset_after: float | None = None
    retry_after: float | None = None

    @classmethod
    def parse(cls, headers: Mapping[str, str], *, now: datetime) -> "RateState":
        """`now` stands in for a missing `Date` header; all waits are seconds from the moment of the answer."""
        sent_at = _http_date(headers.get("date")) or now
        reset = _whole(headers.get("x-ratelimit-reset"))
        retry = headers.get("retry-after")
        seconds = _whole(retry)
        if seconds is None and (at := _http_date(retry)) is not None:
            seconds = round((at - sent_at).total_seconds())
        return cls(
            limit=_whole(headers.get("x-ratelimit-limit")),
            remaining=_whole(headers.get("x-ratelimit-remaining")),
            reset_after=None if reset is None else max(0.0, reset - sent_at.timestamp()),
            retry_after=None if seconds is None else max(0.0, float(seconds)),
        )


@dataclass(frozen=True, kw_only=True)
class MaveraAnswer:
    """A whole answer: at most the allowed number of bytes, decompressed."""

    status: int
    headers: httpx.Headers
    body: bytes
    rate: RateState

    def json_object(self) -> dict[str, Any] | None:
        """The body if it is a JSON object and says so, else nothing."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            return None
        try:
            body = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return body if isinstance(body, dict) else None

    def object_or_raise(self, operation: str) -> dict[str, Any]:
        """The JSON object of a success; every other answer is raised as its `MaveraError`."""
        error = parse_error(self, operation=operation)
        if error is not None:
            raise error
        body = self.json_object()
        assert body is not None  # parse_error has refused it otherwise
        return body


async def exchange(
    client: httpx.AsyncClient,
    request: httpx.Request,
    *,
    operation: str,
    max_bytes: int = 2**20,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> MaveraAnswer:
    """Send one request once and read its answer up to `max_bytes`.

    Raises `NotSentError`, `BrokenConnectionError` or `UnreadableAnswerError` (too large). A deadline for the
    whole exchange is the caller's: `asyncio.timeout`.
    """
    try:
        response = await client.send(request, stream=True)
        try:
            body = await _capped(response, operation=operation, max_bytes=max_bytes)
        finally:
            await response.aclose()
    except httpx.HTTPError as error:
        raise transport_error(error, operation=operation) from error
    rate = RateState.parse(response.headers, now=clock())
    return MaveraAnswer(status=response.status_code, headers=response.headers, body=body, rate=rate)


def transport_error(error: httpx.HTTPError, *, operation: str) -> MaveraError:
    """Whether the request can have reached the server, by the phase in which it broke."""
    seen = type(error).__name__
    if isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol
    ):
        return NotSentError(operation, seen=seen)
    return BrokenConnectionError(operation, seen=seen)


def parse_error(answer: MaveraAnswer, *, operation: str) -> MaveraError | None:
    """The failure that this answer is, or nothing if it is a success with a JSON object."""
    body = answer.json_object()
    error = body.get("error") if body is not None else None
    fields = error if isinstance(error, dict) else {}
    code, param = _word(fields.get("code")), _word(fields.get("param"))
    facts: dict[str, Any] = {
        "status": answer.status,
        "code": code,
        "param": param,
        "confirmed": bool(fields),
    }
    status = answer.status
    if 200 <= status < 300:
        if body is None:
            return UnreadableAnswerError(operation, **facts, seen="not a JSON object")
        # A generation or a voice that failed is an object with an `error` of its own.
        if error is None or "id" in body:
            return None
        known = _BY_CODE.get(code or "")
        if known is None:
            return UnreadableAnswerError(operation, **facts, seen="an error under a success")
    elif status == 429:
        known = RateLimitedError
    elif status >= 500:
        known = ServerFaultError
    elif status >= 400:
        known = _BY_STATUS.get(status, InvalidRequestError)
        if _about_existing_name(status, fields):
            known = DuplicateNameError
    else:
        return UnreadableAnswerError(operation, **facts, seen="a redirect" if status >= 300 else "no final answer")
    if known is RateLimitedError:
        return RateLimitedError(operation, retry_after=answer.rate.retry_after, **facts)
    return known(operation, **facts)


def _about_existing_name(status: int, error: Mapping[str, object]) -> bool:
    if status not in (400, 409, 422):
        return False
    param = error.get("param")
    texts = " ".join(text for text in (error.get("code"), error.get("message")) if isinstance(text, str))
    speaks = bool(_EXISTS.search(texts)) and "name" in f"{texts} {param}".lower()
    if status == 409:
        return speaks or param in (None, "name")
    return speaks or (status == 422 and param == "name")


async def _capped(response: httpx.Response, *, operation: str, max_bytes: int) -> bytes:
    # Raw bytes and a bounded decompressor: httpx would unpack a bomb before it could be measured.
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "deflate"):
        raise UnreadableAnswerError(operation, status=response.status_code, seen="an unknown content encoding")
    if response.is_stream_consumed:  # a transport may hand over a body that it has read and unpacked itself
        if len(response.content) > max_bytes:
            raise UnreadableAnswerError(
                operation, status=response.status_code, seen=f"more than {max_bytes} bytes"
            )
        return response.content
    unpack = zlib.decompressobj(47) if encoding in ("gzip", "deflate") else None
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk if unpack is None else unpack.decompress(chunk, max_bytes + 1 - len(body))
            if len(body) > max_bytes or (unpack is not None and unpack.unconsumed_tail):
                seen = f"more than {max_bytes} bytes"
                raise UnreadableAnswerError(operation, status=response.status_code, seen=seen)
    except zlib.error as error:
        raise UnreadableAnswerError(operation, status=response.status_code, seen="broken compression") from error
    return bytes(body)


def _word(value: object) -> str | None:
    """A code or field name, if it looks like one: nothing else of a server's text reaches a message."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _whole(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _http_date(text: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
