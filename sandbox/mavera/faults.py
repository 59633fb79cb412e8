"""Faults of the pretend Mavera: which call is struck, and what the client then sees.

A fault before the commit and one after it look the same to the client; only the ledger tells them apart.
Error answers are rendered here in all formats, HTML as a proxy would send it: without rate headers.
"""

import gzip
import random
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.mavera.options import ErrorFormat, FaultRule
from sandbox.mavera.world import Refusal

__all__ = [
    "BEFORE",
    "TRANSPORT",
    "DroppedConnection",
    "Faults",
    "error_answer",
    "fault_status",
    "json_answer",
    "malformed",
]

BEFORE = frozenset({"lost_request", "error_before", "late_commit"})
TRANSPORT = "mavera.transport"
_PROXY = frozenset({502, 503, 504})
_OVERSIZED = 10 * 2**20
_PAGE = b"<!doctype html><title>Error</title><h1>The request could not be served</h1>"


class Faults:
    """Picks the fault of a call. Counters belong to a rule and start when the rules are set."""

    def __init__(self, rules: tuple[FaultRule, ...], *, seed: int) -> None:
        self.rules = rules
        self._calls = [0] * len(rules)
        self._strikes = [0] * len(rules)
        self._random = random.Random(seed)

    def strike(self, operation: str) -> FaultRule | None:
        """The first rule that strikes this call; every matching rule counts it."""
        struck = None
        for number, rule in enumerate(self.rules):
            if rule.operation not in ("*", operation):
                continue
            self._calls[number] += 1
            hit = rule.nth is None or self._calls[number] in rule.nth
            if rule.rate is not None:
                hit = self._random.random() < rule.rate and hit
            if struck is None and hit and (rule.times is None or self._strikes[number] < rule.times):
                self._strikes[number] += 1
                struck = rule
        return struck


class DroppedConnection(Response):
    """Cuts the connection without a single byte of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope.get(TRANSPORT)
        if transport is None:
            raise ConnectionResetError("the stand-in dropped this connection")
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def json_answer(body: dict[str, Any], *, status: int, headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(body), status, dict(headers), "application/json")


def error_answer(
    refusal: Refusal, *, style: ErrorFormat, headers: Mapping[str, str], forced: bool = False
) -> Response:
    """The refusal in the wanted format; HTML only for proxy errors unless `forced`."""
    shown = dict(headers)
    if refusal.retry_after is not None:
        shown["Retry-After"] = str(refusal.retry_after)
    if style == "empty":
        return Response(b"", refusal.status, shown)
    if style == "html" and (forced or refusal.status in _PROXY):
        return Response(_PAGE, refusal.status, media_type="text/html")
    status = 200 if style == "json_200" else refusal.status
    return json_answer({"error": refusal.error}, status=status, headers=shown)


def fault_status(rule: FaultRule) -> Refusal:
    """The error of an `error_before` or `error_after` rule."""
    if rule.status == 503:
        return Refusal(503, "service_unavailable", "The service is not available at the moment.", type="api_error")
    return Refusal(rule.status, "internal_error", "Something failed on our side.", type="api_error")


def malformed(kind: str, good: Response, *, headers: Mapping[str, str]) -> Response:
    """An answer that no client can use, in place of a good one."""
    content, shown, status = bytes(good.body), dict(headers), good.status_code
    if kind == "redirect":
        return Response(b"", 307, {**shown, "Location": "http://127.0.0.1:9/elsewhere"})
    if kind == "html":
        return Response(_PAGE, status, shown, "text/html")
    if kind == "empty":
        return Response(b"", status, shown)
    if kind == "truncated":
        return Response(content[: len(content) // 2], status, shown, "application/json")
    if kind == "oversized":
        return Response(content[:-1] + b" " * _OVERSIZED + b"}", status, shown, "application/json")
    if kind == "gzip_bomb":
        bomb = gzip.compress(content[:-1] + b" " * _OVERSIZED + b"}", mtime=0)
        return Response(bomb, status, {**shown, "Content-Encoding": "gzip"}, "application/json")
    body = orjson.loads(content or b"{}")
    if kind == "no_id":
        body = {name: value for name, value in body.items() if name != "id"}
    else:  # wrong_types
        body = {name: [value] for name, value in body.items()}
    return json_answer(body, status=status, headers=shown)
