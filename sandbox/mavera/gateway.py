"""The door of the pretend Mavera: keys, scopes, windows, latency and faults around each operation.

Order of a call: key, window, method, scope, Mave lease, fault before the commit, latency, operation, fault
after the commit. A refused call costs nothing. What an operation does is in the modules of the surfaces.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sandbox.mavera.callbacks import CallbackPost
from sandbox.mavera.faults import (
    BEFORE,
    DroppedConnection,
    Faults,
    error_answer,
    fault_status,
    json_answer,
    malformed,
)
from sandbox.mavera.options import FaultRule, MaveraOptions, Surface
from sandbox.mavera.store import unit
from sandbox.mavera.world import Answer, Call, Refusal, World, fingerprint, invalid

__all__ = ["Gateway", "Operation"]

Operation = Callable[[Call, World], Answer]
Sleep = Callable[[float], Awaitable[None]]

_WINDOW_SECONDS = 60.0
_MAX_BODY_BYTES = 2**20
_SCOPES = {
    "createPersona": "personas:write",
    "updatePersona": "personas:write",
    "deletePersona": "personas:write",
    "createGeneration": "generations:write",
    "createBrandVoice": "brand-voices:write",
}
_KEY_STATES = {"revoked": "revoked_api_key", "expired": "expired_api_key"}


class Gateway:
    """One per stand-in; used from one event loop."""

    def __init__(self, world: World, *, sleep: Sleep, callbacks: CallbackPost) -> None:
        self.world = world
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight = 0
        self.answers: Counter[tuple[str, int]] = Counter()
        self._windows: dict[str, deque[float]] = {}
        self._sleep = sleep
        self._callbacks = callbacks
        self._late: set[asyncio.Task[None]] = set()
        self.faults = Faults((), seed=0)
        self.configure(world.options)

    def configure(self, options: MaveraOptions) -> None:
        """Take new switches; the counters of unchanged fault rules go on."""
        self.world.options = options
        if options.faults != self.faults.rules:
            self.faults = Faults(options.faults, seed=options.seed)

    def forget(self) -> None:
        """Empty windows and statistics."""
        self._windows.clear()
        self.answers.clear()
        self.world.requests.clear()
        self.most_in_flight = 0

    async def close(self) -> None:
        """Commits that were still to come never happen, as if the process had been killed."""
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    def endpoint(
        self, operation: str, surface: Surface, run: Operation
    ) -> Callable[[Request], Awaitable[Response]]:
        """The Starlette endpoint of one operation of the contract."""

        async def answer(request: Request) -> Response:
            response = await self._answer(request, operation, surface, run)
            dropped = isinstance(response, DroppedConnection)
            self.answers[operation, 0 if dropped else response.status_code] += 1
            return response

        return answer

    async def _answer(self, request: Request, operation: str, surface: Surface, run: Operation) -> Response:
        headers: dict[str, str] = {}
        lease = ""
        try:
            key = self._key(request)
            headers, wait = self._window(fingerprint(key))
            if wait:
                raise _too_many("Too many calls in the last minute.", retry_after=wait)
            call = await self._call(request, operation, key)
            if surface == "mave" and request.method == "POST":
                lease = self._lease(call.key)
            return await self._run(call, surface, run, headers)
        except Refusal as refusal:
            return error_answer(refusal, style=self.world.options.error_format, headers=headers)
        finally:
            if lease:
                self.in_flight[lease] -= 1

    async def _run(self, call: Call, surface: Surface, run: Operation, headers: Mapping[str, str]) -> Response:
        rule = self.faults.strike(call.operation)
        if rule is not None and rule.kind in BEFORE:
            if rule.kind == "late_commit":
                self._commit_late(rule.delay_seconds, call, run)
            return self._error(rule, headers) if rule.kind == "error_before" else DroppedConnection()
        await self._sleep(self._latency(call, surface))
        answer = run(call, self.world)
        self._callbacks.expect(call, answer, self.world)
        good = json_answer(answer.body, status=answer.status, headers=headers)
        if rule is None:
            return good
        if rule.kind == "lost_answer":
            return DroppedConnection()
        if rule.kind == "error_after":
            return self._error(rule, headers)
        return malformed(rule.kind, good, headers=headers)

    def _error(self, rule: FaultRule, headers: Mapping[str, str]) -> Response:
        style = rule.error_format or self.world.options.error_format
        return error_answer(fault_status(rule), style=style, headers=headers, forced=rule.error_format is not None)

    def _commit_late(self, seconds: float, call: Call, run: Operation) -> None:
        async def commit() -> None:
            await self._sleep(seconds)
            try:
                answer = run(call, self.world)
            except Refusal:
                return
            self._callbacks.expect(call, answer, self.world)

        task = asyncio.create_task(commit())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _latency(self, call: Call, surface: Surface) -> float:
        options = self.world.options
        span = options.latency.get(surface)
        if span is None or not options.latency_scale:
            return 0
        return span.at(unit(options.seed, "latency", call.operation, call.path, call.body)) * options.latency_scale

    # ---- access -------------------------------------------------------------------------------------------------
    def _key(self, request: Request) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise _unauthorized("missing_api_key", "No key was sent.")
        rule = self.world.options.keys.get(key.strip())
        if self.world.options.scopes == "enforced" and rule is None:
            raise _unauthorized("invalid_api_key", "The key is not known.")
        if rule is not None and rule.status != "active":
            raise _unauthorized(_KEY_STATES[rule.status], "This key is no longer valid.")
        return key.strip()

    def _window(self, key: str) -> tuple[dict[str, str], int]:
        """Count the call in its key's sliding window; the headers, and the seconds to wait if it was full."""
        now, limit = self.world.now(), self.world.requests_per_minute(key)
        stamps = self._windows.setdefault(key, deque())
        while stamps and stamps[0] <= now - _WINDOW_SECONDS:
            stamps.popleft()
        full = len(stamps) >= limit
        if not full:
            stamps.append(now)
        reset = stamps[0] + _WINDOW_SECONDS
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - len(stamps)),
            "X-RateLimit-Reset": str(math.ceil(reset)),
        }
        return headers, max(1, math.ceil(reset - now)) if full else 0

    def _lease(self, key: str) -> str:
        if self.in_flight[key] >= self.world.options.mave_in_flight:
            raise _too_many("Too many calls of this kind at once.", retry_after=5)
        self.in_flight[key] += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight[key])
        return key

    async def _call(self, request: Request, operation: str, key: str) -> Call:
        options = self.world.options
        if options.billing == "lapsed":
            raise Refusal(402, "subscription_lapsed", "The subscription has lapsed.", type="insufficient_credits")
        if operation in options.unsupported:
            raise Refusal(405, "method_not_allowed", "This method is not offered here.")
        scope = _SCOPES.get(operation)
        if options.scopes == "enforced" and scope is not None and scope not in options.keys[key].scopes:
            raise Refusal(403, "forbidden", "This key may not do this.", type="permission_error")
        sandbox = request.headers.get("x-mavera-sandbox", "") == "true"
        call = Call(
            operation=operation,
            key=fingerprint(key),
            test_mode=sandbox and options.sandbox_header == "honoured",
            path=dict(request.path_params),
            query=dict(request.query_params),
            body=await _body(request) if request.method in ("POST", "PATCH") else {},
        )
        self.world.requests[call.key] += 1
        return call


async def _body(request: Request) -> dict[str, Any]:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_BODY_BYTES:
            raise invalid(None, "The body is too large.")
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise invalid(None, "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise invalid(None, "The body is not an object.")
    return body


def _unauthorized(code: str, message: str) -> Refusal:
    return Refusal(401, code, message, type="authentication_error")


def _too_many(message: str, *, retry_after: int) -> Refusal:
    return Refusal(429, "rate_limit_exceeded", message, type="rate_limit_error", retry_after=retry_after)
