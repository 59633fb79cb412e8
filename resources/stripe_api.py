"""The Stripe API as extraction needs it: list pages, single objects, the account, over raw HTTP.

Here: one pinned API version, retries, error types, the server's clock, and nothing that writes. Not here: which
lists there are and what rows their objects give (`ingest`), and pace (`resources.limiter`). The `stripe` SDK is
not used for reading: building its objects costs forty times the parsing, and it gives up on a plain 429.
Errors: https://docs.stripe.com/api/errors.
"""

import asyncio
import hashlib
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx
import orjson
from pydantic import SecretStr

from resources.limiter import Limiter, key_kind
from resources.loggers import get_logger
from resources.stripe_clock import ServerClock

__all__ = [
    "API_VERSION",
    "BadRequest",
    "CursorGone",
    "NotFound",
    "Page",
    "PermissionMissing",
    "Read",
    "StripeApi",
    "StripeError",
    "StripeUnavailable",
    "Unauthorized",
    "Unreachable",
    "WrongAccount",
]

API_VERSION = "2025-09-30.clover"
_PERMISSION = re.compile(r"rak_[a-z_]+")
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]+")
_KEY = re.compile(r"\b([sr]k_(?:live|test)_)\w+")
_BACKOFF_START, _BACKOFF_CAP = 0.25, 8.0
_TOLD_AFTER = 5.0  # Seconds of an outage; a single failure is nothing to speak of.
_CONNECTIONS = 64
_log = get_logger("stripe_mavera.stripe")
_LOOPBACK = ("http://127.", "http://localhost", "http://[::1]")


class StripeError(RuntimeError):
    """Stripe did not give what was asked for; the message is one line and holds no key."""


class Unreachable(StripeError):
    """No answer from the API for longer than the configured time."""


class StripeUnavailable(StripeError):
    """The API answered with server errors for longer than the configured time."""


class Unauthorized(StripeError):
    """The key is refused."""


class PermissionMissing(StripeError):
    """The key may not read a resource.

    `permission` is Stripe's name of what is missing and `account` the id of the account, where it told them.
    """

    def __init__(self, operation: str, permission: str | None, *, account: str | None = None) -> None:
        wanted = permission or "a permission that Stripe does not name"
        super().__init__(f"the Stripe key may not call {operation}: it needs {wanted}")
        self.operation, self.permission, self.account = operation, permission, account


class WrongAccount(StripeError):
    """The key is of another account than the tables."""


class BadRequest(StripeError):
    """A request that Stripe refuses: an unknown parameter, a wrong value."""

    def __init__(self, operation: str, message: str, *, code: str | None, param: str | None) -> None:
        super().__init__(f"{operation}: {message}")
        self.code, self.param = code, param


class NotFound(StripeError):
    """The object does not exist (any more)."""


class CursorGone(StripeError):
    """The object that a page was to start after does not exist any more."""


@dataclass(frozen=True)
class Page:
    """One page of a list. `read_at`: server's clock when the request left, microseconds since 1970."""

    data: list[dict[str, Any]]
    has_more: bool
    read_at: int


@dataclass(frozen=True)
class Read:
    """One object. `read_at`: server's clock when the request left, microseconds since 1970."""

    data: dict[str, Any]
    read_at: int


class StripeApi:
    """Reads one account. Use as an asynchronous context manager; every call waits for the limiter.

    `account` is the id that the account must have, where an operator says so.
    `unreachable_after` and `unavailable_after` are seconds without an answer, or with nothing but server errors,
    after which a call gives up; a 429 never makes it give up. `transport`, `sleep` and `jitter` are for tests.
    """

    def __init__(
        self,
        key: SecretStr,
        *,
        limiter: Limiter,
        base_url: str = "https://api.stripe.com",
        account: str | None = None,
        unreachable_after: float = 60.0,
        unavailable_after: float = 300.0,
        timeout: float = 80.0,
        clock: ServerClock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.kind = key_kind(key.get_secret_value())
        self.limiter = limiter
        self.clock = clock or ServerClock()
        self.base_url = base_url.rstrip("/")
        self.wanted_account = account
        # Tells keys and servers apart in the state without holding the key.
        self.fingerprint = hashlib.sha256(f"{self.base_url} {key.get_secret_value()}".encode()).hexdigest()[:32]
        self._unreachable_after, self._unavailable_after = unreachable_after, unavailable_after
        self._monotonic, self._sleep = monotonic, sleep
        self._jitter = jitter or random.Random()
        self._timeout, self._transport = timeout, transport
        self._headers = {
            "Authorization": f"Bearer {key.get_secret_value()}",
            "Stripe-Version": API_VERSION,
            "User-Agent": "stripe-mavera",
        }
        self._pools: dict[str, httpx.AsyncClient] = {}
        self._certificates = httpx.create_ssl_context()
        self.answered_version: str | None = None  # of the newest answer
        self._outage_told = False

    def __repr__(self) -> str:
        return f"StripeApi({self.base_url!r}, {'live' if self.kind.live else 'test'})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    def _pool(self, operation: str) -> httpx.AsyncClient:
        """The connections of an operation. One pool for all would look through all of them for each request."""
        pool = self._pools.get(operation)
        if pool is None:
            pool = self._pools[operation] = httpx.AsyncClient(
                base_url=self.base_url,
                headers=self._headers,
                timeout=httpx.Timeout(self._timeout, connect=10.0, pool=None),
                limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
                verify=self._certificates,
                transport=self._transport,
                trust_env=not self.base_url.startswith(_LOOPBACK),
            )
        return pool

    async def list_page(self, path: str, params: Mapping[str, str | int | Sequence[str]], **ids: str) -> Page:
        """A page of `/v1/<path>`; `{placeholders}` of the path are filled from `ids`.

        Raises: CursorGone, PermissionMissing, BadRequest, NotFound, Unauthorized, Unreachable, StripeUnavailable.
        """
        body, read_at = await self._get(path, params, ids)
        data, has_more = body.get("data"), body.get("has_more")
        if not isinstance(data, list) or not isinstance(has_more, bool):
            raise StripeError(f"GET /v1/{path}: the answer is no list")
        return Page(data, has_more, read_at)

    async def retrieve(self, path: str, object_id: str, *, expand: Sequence[str] = ()) -> Read:
        """One object of `/v1/<path>/{id}`.

        Raises: NotFound, PermissionMissing, BadRequest, Unauthorized, Unreachable, StripeUnavailable.
        """
        body, read_at = await self._get(f"{path}/{{id}}", {"expand[]": expand}, {"id": object_id})
        return Read(body, read_at)

    async def account(self) -> Read:
        """The account of the key."""
        body, read_at = await self._get("account", {}, {})
        return Read(body, read_at)

    async def _get(
        self, path: str, params: Mapping[str, str | int | Sequence[str]], ids: Mapping[str, str]
    ) -> tuple[dict[str, Any], int]:
        operation = f"GET /v1/{path}"
        url = "/v1/" + (path.format(**ids) if ids else path)
        attempt = 0
        failing_since: float | None = None
        while True:
            async with self.limiter.slot(operation):
                began, sent = self._monotonic(), self.clock.sent()
                answer: httpx.Response | None
                try:
                    async with self._pool(operation).stream("GET", url, params=dict(params)) as answer:
                        # Not kept with the answer, which lives until the next collection.
                        content = b"".join([piece async for piece in answer.aiter_bytes()])
                    body = self._body(answer, content)
                    problem = None
                except (httpx.TransportError, orjson.JSONDecodeError) as error:
                    answer, body, problem = None, None, f"{type(error).__name__} {error}".strip()
                seconds = self._monotonic() - began
            if answer is not None and answer.status_code < 400 and body is not None:
                self.limiter.succeeded(operation, seconds)
                self._outage_told = False
                self.answered_version = answer.headers.get("Stripe-Version", self.answered_version)
                try:
                    read_at = self.clock.stamp(sent, answer.headers.get("Date"))
                except ValueError as error:
                    raise StripeError(f"{operation}: {error}") from error
                return body, read_at
            wait = 0.0
            now = self._monotonic()
            if answer is not None and answer.status_code == 429:
                self.limiter.refused(operation, answer.headers.get("Stripe-Rate-Limited-Reason"))
                failing_since, wait = None, _retry_after(answer)
            elif answer is None or self._passes(answer):
                failing_since = now if failing_since is None else failing_since
                self._give_up(operation, now - failing_since, answer, problem)
                self._tell(operation, now - failing_since, answer, problem)
                wait = 0.0 if answer is None else _retry_after(answer)
            else:
                raise self._error(operation, answer.status_code, body or {}, params)
            self.limiter.total.retried += 1
            self.limiter.usage_of(operation).retried += 1
            backoff = self._jitter.uniform(0.0, min(_BACKOFF_CAP, _BACKOFF_START * 2.0 ** min(attempt, 10)))
            attempt += 1
            await self._sleep(max(wait, backoff))

    @staticmethod
    def _body(answer: httpx.Response, content: bytes) -> dict[str, Any] | None:
        """The JSON object of an answer; a 2xx that is cut short or no object counts as a dropped connection."""
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            if answer.status_code < 400:
                raise
            return None
        if isinstance(body, dict):
            return body
        if answer.status_code < 400:
            raise orjson.JSONDecodeError("the answer is no JSON object", "", 0)
        return None

    @staticmethod
    def _passes(answer: httpx.Response) -> bool:
        """Whether trying again can help: server errors and conflicts, unless Stripe says otherwise."""
        told = answer.headers.get("Stripe-Should-Retry")
        if told in ("true", "false"):
            return bool(told == "true")
        return answer.status_code in (408, 409) or answer.status_code >= 500

    def _give_up(self, operation: str, seconds: float, answer: httpx.Response | None, problem: str | None) -> None:
        """Raise once nothing but failures came for too long."""
        if answer is None and seconds >= self._unreachable_after:
            raise Unreachable(
                f"Stripe is not reachable at {self.base_url} since {seconds:.0f} s ({problem}): "
                "check the network and STRIPE_API_BASE, then run again"
            )
        if answer is not None and seconds >= self._unavailable_after:
            raise StripeUnavailable(
                f"{operation}: Stripe answers {answer.status_code} since {seconds:.0f} s; run again later"
            )

    def _tell(self, operation: str, seconds: float, answer: httpx.Response | None, problem: str | None) -> None:
        """Say once that an outage is waited out, so that patience does not look like a hang."""
        if seconds < _TOLD_AFTER or self._outage_told:
            return
        self._outage_told = True
        _log.warning(
            "Stripe does not answer, still trying",
            address=self.base_url,
            operation=operation,
            problem=problem if answer is None else f"HTTP {answer.status_code}",
            gives_up_after_seconds=self._unreachable_after if answer is None else self._unavailable_after,
        )

    @staticmethod
    def _error(operation: str, status: int, body: Mapping[str, Any], params: Mapping[str, Any]) -> StripeError:
        """What a refusal means, told from its code and message, as Stripe's statuses for one case vary."""
        given = body.get("error")
        error: Mapping[str, Any] = given if isinstance(given, dict) else {}
        message = _KEY.sub(r"\1…", str(error.get("message") or f"HTTP {status}").replace("\n", " "))
        code, param = error.get("code"), error.get("param")
        if status == 401:
            return Unauthorized(f"Stripe refuses the key ({message}): check STRIPE_API_KEY")
        if status == 403 or code == "more_permissions_required_for_application":
            permission, account = _PERMISSION.search(message), _ACCOUNT.search(message)
            return PermissionMissing(
                operation,
                permission.group() if permission else None,
                account=account.group() if account else None,
            )
        cursor = params.get("starting_after")
        if cursor and status in (400, 404) and (param == "starting_after" or str(cursor) in message):
            return CursorGone(f"{operation}: the cursor object is gone")
        if status == 404 or code == "resource_missing":
            return NotFound(f"{operation}: {message}")
        return BadRequest(operation, message, code=code, param=param)


def _retry_after(answer: httpx.Response) -> float:
    """Seconds that Stripe asks to wait, if it does."""
    try:
        return min(60.0, max(0.0, float(answer.headers.get("Retry-After", "0"))))
    except ValueError:
        return 0.0
