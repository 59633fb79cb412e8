"""The pretend Stripe as an ASGI application: keys, limits, faults, latency, routing.

Answers come from `stripe_answers`; what is switched and counted from `stripe_control`. Order of a request: key,
limits, injected errors, latency, permission, answer. `Date` is the account's own clock, which stands at the
account's end; limits and latency run in real time. Read-only, as this product only reads.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import orjson

from sandbox.simulation.idents import Ids
from sandbox.simulation.shapes import API_VERSION
from sandbox.stripe.answers import Served, refuse_parameters
from sandbox.stripe.control import Control
from sandbox.stripe.errors import (
    ApiError,
    invalid,
    missing_permission,
    missing_resource,
    rate_limited,
    unauthorized,
    unrecognized_url,
    wrong_method,
)
from sandbox.stripe.tables import RESOURCES
from sandbox.stripe.versions import known_version

__all__ = ["StripeApp"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_KEY_KINDS: Final = ("rk_test_", "sk_test_", "rk_live_", "sk_live_")
_JSON: Final = (b"content-type", b"application/json")


class _Route(NamedTuple):
    operation: str
    resource: str
    object_id: str | None = None
    sub: str | None = None


class StripeApp:
    """One account behind HTTP."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self._request_ids = Ids("requests")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        path: str = scope["path"]
        if path.startswith("/_sandbox/"):
            await self._operate(scope, receive, send)
        elif path == "/fx/eurofxref-hist.csv" and scope["method"] == "GET":
            await _respond(send, 200, self.control.rates(), [(b"content-type", b"text/csv")])
        else:
            await self._serve(scope, send)

    async def _serve(self, scope: Scope, send: Send) -> None:
        control, dice = self.control, self.control.dice
        query = scope["query_string"].decode("latin-1")
        headers = dict(scope["headers"])
        version = headers.get(b"stripe-version", API_VERSION.encode()).decode("latin-1")
        route = _route(scope["method"], scope["path"])
        operation = route.operation if route else f"{scope['method']} {scope['path']}"
        control.stats.arrived(operation, query, headers.get(b"stripe-version", b"").decode("latin-1") or None)
        running = control.limiter.under_way
        running[operation] = running.get(operation, 0) + 1
        status, body, drop = 200, b"", False
        extra: tuple[tuple[str, str], ...] = ()
        try:
            key = _key(headers.get(b"authorization"))
            refused = control.limiter.refusal(operation)
            if refused is not None:
                raise rate_limited(refused)
            delay = dice.delay()
            if delay:
                await asyncio.sleep(delay)
            failure = dice.error(operation)
            if failure is not None:
                raise failure
            served = self._answer(scope, route, key, query, version)
            body = served.body
            drop = dice.drops(operation)
            if route is not None and route.object_id is None:
                control.page_served(route.resource, served.last)
        except ApiError as error:
            status, body, extra = error.status, error.body, error.headers
        finally:
            running[operation] -= 1
            reason = next((value for name, value in extra if name == "stripe-rate-limited-reason"), None)
            control.stats.answered(operation, status, len(body), reason)
        answer_headers = [
            _JSON,
            (b"date", formatdate(control.world.now, usegmt=True).encode()),
            (b"request-id", self._request_ids.new("req").encode()),
            (b"stripe-version", version.encode("latin-1")),
            *((name.encode(), value.encode()) for name, value in extra),
        ]
        if drop:
            control.stats.dropped += 1
        await _respond(send, status, body, answer_headers, drop=drop)

    def _answer(self, scope: Scope, route: _Route | None, key: str, query: str, version: str) -> Served:
        control, method, path = self.control, scope["method"], scope["path"]
        if not known_version(version):
            raise invalid(f"Invalid Stripe API version: {version}")
        if method != "GET":
            raise wrong_method(method, path)
        if route is None:
            raise unrecognized_url(method, path)
        if key.startswith("rk_") and route.resource in control.forbidden:
            raise missing_permission(_shown(key), control.account_id, control.permission(route.resource))
        pairs = parse_qsl(query, keep_blank_values=True)
        answers = control.answers
        if route.resource in ("account", "balance"):
            refuse_parameters(pairs)
            return Served(control.account_body() if route.resource == "account" else control.balance_body())
        if route.resource == "subscription_items":
            if route.object_id is None:
                return answers.items(pairs, version)
            return answers.item(route.object_id, pairs, version)
        resource = RESOURCES[route.resource]
        if route.object_id is None:
            return answers.page(resource, pairs, version)
        if route.sub == "lines":
            return answers.nested(resource, route.object_id, pairs, version, url=path)
        if route.sub == "payment_methods":
            if route.object_id not in control.world.store["customers"]:
                raise missing_resource("customer", route.object_id, param="customer")
            parent = ("customer", route.object_id)
            return answers.page(RESOURCES["payment_methods"], [*pairs, parent], version, url=path)
        return answers.one(resource, route.object_id, pairs, version)

    async def _operate(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The operator's side: `/_sandbox/…`, without key, limit or fault."""
        name, method = scope["path"].removeprefix("/_sandbox/"), scope["method"]
        try:
            body = await _body(receive) if method == "POST" else b""
            answer = self.control.operate(method, name, body, dict(parse_qsl(scope["query_string"].decode())))
        except ValueError as error:
            await _respond(send, 400, orjson.dumps({"error": str(error)}), [_JSON])
            return
        if answer is None:
            await _respond(send, 404, orjson.dumps({"error": f"no such control: {method} {name}"}), [_JSON])
            return
        await _respond(send, 200, answer, [_JSON])


def _route(method: str, path: str) -> _Route | None:
    parts = path.strip("/").split("/")
    if len(parts) < 2 or parts[0] != "v1" or len(parts) > 4:
        return None
    name, rest = parts[1], parts[2:]
    if name in ("account", "balance") and not rest:
        return _Route(f"{method} /v1/{name}", name)
    if name != "subscription_items" and name not in RESOURCES:
        return None
    if not rest:
        return _Route(f"{method} /v1/{name}", name)
    if len(rest) == 1:
        return _Route(f"{method} /v1/{name}/{{id}}", name, rest[0])
    if (name, rest[1]) in (("invoices", "lines"), ("customers", "payment_methods")):
        return _Route(f"{method} /v1/{name}/{{id}}/{rest[1]}", name, rest[0], rest[1])
    return None


def _key(header: bytes | None) -> str:
    """The key of a request; Bearer, or Basic with the key as user name."""
    if header is None:
        raise unauthorized(None)
    scheme, _, value = header.decode("latin-1").partition(" ")
    key = value.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key).decode("latin-1").partition(":")[0]
        except binascii.Error:
            key = ""
    if scheme.lower() not in ("basic", "bearer") or not key:
        raise unauthorized(None)
    if not key.startswith(_KEY_KINDS) or len(key) < 12:
        raise unauthorized(_shown(key))
    return key


def _shown(key: str) -> str:
    """A key as error messages show it."""
    return f"{key[:8]}{'*' * max(0, len(key) - 12)}{key[-4:]}"


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _respond(
    send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]], *, drop: bool = False
) -> None:
    """`drop` ends the connection when half of the announced body is sent: the server closes on a short answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    if drop:
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        return
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
