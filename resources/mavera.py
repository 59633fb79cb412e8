"""The door to Mavera: where it is, who may see the key, and everything that is free to read.

Reads are retried here. Nothing is written here: paid calls go through the ledger's dispatcher, which takes
`write_client` (no retries, no redirects) and `exchange`. What answers mean is in `mavera_wire`, what objects
look like in `mavera_objects`; both are offered here too.

Rests on the contract in `tests/data/mavera/openapi.yaml`, above all on its rules for `Page`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_any,
    stop_before_delay,
)

from resources.mavera_address import KeyForOneOrigin, WrongAddressError, is_loopback, validate_base_url
from resources.mavera_objects import (
    AppInput,
    BrandVoice,
    Generation,
    GenerationApp,
    MaveMessage,
    MaveReply,
    MaveThread,
    ModelAnswer,
    Persona,
    Usage,
)
from resources.mavera_wire import (
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
    exchange,
    parse_error,
    transport_error,
)

__all__ = [
    "AmbiguousError",
    "AppInput",
    "AuthenticationError",
    "BrandVoice",
    "BrokenConnectionError",
    "DuplicateNameError",
    "Generation",
    "GenerationApp",
    "InvalidRequestError",
    "MaveMessage",
    "MaveReply",
    "MaveThread",
    "MaveraAnswer",
    "MaveraApi",
    "MaveraError",
    "MissingScopeError",
    "ModelAnswer",
    "NotFoundError",
    "NotOfferedError",
    "NotSentError",
    "OutOfCreditsError",
    "PermanentError",
    "Persona",
    "RateLimitedError",
    "RateState",
    "ReadPolicy",
    "RetryableError",
    "ServerFaultError",
    "Throttle",
    "UnreadableAnswerError",
    "Usage",
    "WrongAddressError",
    "exchange",
    "is_loopback",
    "parse_error",
    "transport_error",
    "validate_base_url",
]

_DEFAULT_PAGE_SIZES = (20, 50)
_Object = TypeVar("_Object")
_Parse = Callable[..., _Object]


class Throttle(Protocol):
    """The limiter of a key, shared by all that use it: asked before each call, told after it."""

    async def acquire(self) -> None: ...

    def observe(self, rate: RateState) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ReadPolicy:
    """How long a free read may take. A list that is longer than `max_pages` is an error, never cut."""

    attempts: int = 5
    attempt_seconds: float = 30.0
    total_seconds: float = 120.0
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 20.0
    page_size: int = 100
    max_pages: int = 1_000
    max_bytes: int = 2**20
    max_page_bytes: int = 2**23  # generations are listed with their full texts


class MaveraApi:
    """Free reads of one Mavera key; use as an async context manager.

    Every method raises a `MaveraError`; each attempt waits for the throttle and reports the rate headers to
    it.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: SecretStr,
        sandbox: bool = False,
        policy: ReadPolicy = ReadPolicy(),
        throttle: Throttle | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: random.Random | None = None,
    ) -> None:
        self.base_url = validate_base_url(base_url)
        self.sandbox = sandbox
        self._key = api_key
        self._policy = policy
        self._throttle = throttle
        self._transport = transport
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter or random.Random()
        self._reads: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"MaveraApi({self.base_url}, sandbox={self.sandbox})"

    async def __aenter__(self) -> Self:
        self._reads = self.write_client(timeout_seconds=self._policy.attempt_seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reads is not None:
            await self._reads.aclose()
            self._reads = None

    def write_client(self, *, timeout_seconds: float) -> httpx.AsyncClient:
        """A client that sends each request exactly once, to this base URL only; the caller closes it.

        Neither retries nor redirects. The timeout is per phase: the caller sets the total deadline.
        """
        origin = httpx.URL(self.base_url)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "stripe-mavera"}
        if self.sandbox:
            headers["X-Mavera-Sandbox"] = "true"
        # Proxies of the environment serve the real API; they must never see loopback traffic.
        local = is_loopback(origin.host)
        return httpx.AsyncClient(
            base_url=self.base_url,
            auth=KeyForOneOrigin(self._key, origin),
            headers=headers,
            timeout=httpx.Timeout(timeout_seconds),
            follow_redirects=False,
            trust_env=not local,
            transport=self._transport,
        )

    # ---- personas -----------------------------------------------------------------------------------------------
    async def personas(self, *, search: str | None = None, is_custom: bool | None = None) -> list[Persona]:
        """Base and custom personas. Filters only narrow: the server may ignore them, so compare names yourself."""
        custom = None if is_custom is None else str(is_custom).lower()
        params = {"search": search, "is_custom": custom}
        return await self._list("listPersonas", "personas", params, Persona.parse, keys=("data", "personas"))

    async def persona(self, persona_id: str) -> Persona | None:
        """One persona, or nothing if it is not there; read from the list where the API has no single read."""
        found = await self._get("getPersona", f"personas/{_segment(persona_id)}", Persona.parse)
        if isinstance(found, NotOfferedError):
            return next((item for item in await self.personas() if item.id == persona_id), None)
        return None if isinstance(found, NotFoundError) else found

    # ---- generations --------------------------------------------------------------------------------------------
    async def generation_apps(self) -> list[GenerationApp]:
        return await self._list("listGenerationApps", "generation-apps", {}, GenerationApp.parse)

    async def generations(
        self, *, search: str | None = None, app_id: str | None = None, workspace_id: str | None = None
    ) -> list[Generation]:
        """Generations; compare titles yourself, as for personas."""
        params = {"search": search, "app_id": app_id, "workspace_id": workspace_id}
        return await self._list("listGenerations", "generations", params, Generation.parse)

    async def generation(self, generation_id: str) -> Generation | None:
        """One generation, or nothing if it is not there; read from the list where the API has no single read."""
        found = await self._get("getGeneration", f"generations/{_segment(generation_id)}", Generation.parse)
        if isinstance(found, NotOfferedError | NotFoundError):
            return next((item for item in await self.generations() if item.id == generation_id), None)
        return found

    # ---- Mave ---------------------------------------------------------------------------------------------------
    async def mave_threads(
        self, *, search: str | None = None, workspace_id: str | None = None, newest: int | None = None
    ) -> list[MaveThread]:
        """Threads without their messages; with `newest`, no further page is read once there are that many."""
        params = {"search": search, "workspace_id": workspace_id}
        return await self._list("listMaveThreads", "mave/threads", params, MaveThread.parse, enough=newest)

    async def mave_thread(self, thread_id: str) -> MaveThread | None:
        """One thread with its messages, or nothing if it is not there."""
        found = await self._get("getMaveThread", f"mave/threads/{_segment(thread_id)}", MaveThread.parse)
        return None if isinstance(found, NotFoundError | NotOfferedError) else found

    # ---- brand voices, usage ------------------------------------------------------------------------------------
    async def brand_voices(self, *, workspace_id: str | None = None) -> list[BrandVoice]:
        return await self._list(
            "listBrandVoices", "brand-voices", {"workspace_id": workspace_id}, BrandVoice.parse
        )

    async def brand_voice(self, brand_voice_id: str) -> BrandVoice | None:
        """One brand voice, or nothing if it is not there."""
        found = await self._get("getBrandVoice", f"brand-voices/{_segment(brand_voice_id)}", BrandVoice.parse)
        return None if isinstance(found, NotFoundError | NotOfferedError) else found

    async def usage(self) -> Usage:
        """Credits and limits of the key in the current billing period."""
        return Usage.parse(await self._read("getUsage", "usage", {}), operation="getUsage")

    # ---- one read -----------------------------------------------------------------------------------------------
    async def _get(
        self, operation: str, path: str, parse: _Parse[_Object]
    ) -> "_Object | NotFoundError | NotOfferedError":
        try:
            body = await self._read(operation, path, {})
        except (NotFoundError, NotOfferedError) as error:
            return error
        return parse(body, operation=operation)

    async def _list(
        self,
        operation: str,
        path: str,
        params: Mapping[str, str | None],
        parse: _Parse[_Object],
        *,
        keys: tuple[str, ...] = ("data",),
        enough: int | None = None,
    ) -> list[_Object]:
        """All pages, each object once, by the contract's paging rules; ends when pages repeat."""
        found: dict[str, _Object] = {}
        cursors: set[str] = set()
        place: dict[str, str] = {"offset": "0"}
        read = 0
        for _ in range(self._policy.max_pages):
            sent = {name: value for name, value in params.items() if value is not None}
            query = {**sent, "limit": str(self._policy.page_size), **place}
            body = await self._read(operation, path, query, max_bytes=self._policy.max_page_bytes)
            items = _items(body, keys, operation)
            before = len(found)
            for item in items:
                found.setdefault(_key(item, operation), parse(item, operation=operation))
            read += len(items)
            if len(found) == before or (enough is not None and len(found) >= enough):
                return list(found.values())
            cursor, more, total = body.get("next_cursor"), body.get("has_more"), body.get("total")
            if isinstance(cursor, str) and cursor and more is not False:
                if cursor in cursors:
                    return list(found.values())
                cursors.add(cursor)
                place = {"cursor": cursor}
            elif "cursor" in place:
                return list(found.values())
            elif (
                more is True or (isinstance(total, int) and read < total) or _may_go_on(body, items, self._policy)
            ):
                place = {"offset": str(read)}
            else:
                return list(found.values())
        raise PermanentError(operation, seen=f"more than {self._policy.max_pages} pages", remedy="raise max_pages")

    async def _read(
        self, operation: str, path: str, params: Mapping[str, str], *, max_bytes: int | None = None
    ) -> dict[str, Any]:
        """One GET, repeated while that can help."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((RetryableError, ServerFaultError, BrokenConnectionError)),
            stop=stop_any(
                stop_after_attempt(self._policy.attempts), stop_before_delay(self._policy.total_seconds)
            ),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(self._read_once, operation, path, params, max_bytes or self._policy.max_bytes)

    async def _read_once(
        self, operation: str, path: str, params: Mapping[str, str], max_bytes: int
    ) -> dict[str, Any]:
        if self._reads is None:
            raise RuntimeError("MaveraApi is used outside of its context manager")
        if self._throttle is not None:
            await self._throttle.acquire()
        request = self._reads.build_request("GET", path, params=params)
        try:
            async with asyncio.timeout(self._policy.attempt_seconds):
                answer = await exchange(
                    self._reads,
                    request,
                    operation=operation,
                    max_bytes=max_bytes,
                    clock=self._clock,
                )
        except TimeoutError as error:
            raise BrokenConnectionError(operation, seen="deadline") from error
        if self._throttle is not None:
            self._throttle.observe(answer.rate)
        return answer.object_or_raise(operation)

    def _wait(self, state: RetryCallState) -> float:
        """Exponential backoff with jitter, or longer if the server asks for more."""
        policy = self._policy
        step = min(policy.backoff_limit_seconds, policy.backoff_seconds * 2.0 ** (state.attempt_number - 1))
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, RateLimitedError) else None
        return max(asked or 0.0, step / 2) + self._jitter.uniform(0, step / 2)


def _segment(object_id: str) -> str:
    """An opaque id as one path segment; the server chose it, so it must not be able to choose a path."""
    if object_id.strip(".") == "":
        raise InvalidRequestError(
            "read by id", seen="an unusable id", remedy="list the objects and take an id from there"
        )
    return quote(object_id, safe="")


def _items(body: Mapping[str, Any], keys: tuple[str, ...], operation: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] | None = next((body[key] for key in keys if isinstance(body.get(key), list)), None)
    if items is None or not all(isinstance(item, dict) for item in items):
        raise UnreadableAnswerError(operation, seen="no list of objects")
    return items


def _key(item: Mapping[str, Any], operation: str) -> str:
    key = item.get("id")
    if not isinstance(key, str) or not key:
        raise UnreadableAnswerError(operation, seen="an object without id")
    return key


def _may_go_on(body: Mapping[str, Any], items: list[dict[str, Any]], policy: ReadPolicy) -> bool:
    """A page that says nothing of paging may have a successor if it is full: by our limit or a known default."""
    silent = all(body.get(name) is None for name in ("next_cursor", "has_more", "total"))
    return silent and (len(items) >= policy.page_size or len(items) in _DEFAULT_PAGE_SIZES)
