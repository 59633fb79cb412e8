"""A model of Mavera for schedules of crashes and faults: personas and usage, in virtual time, with switches.

It commits, charges, hides new objects from lists for `lag` seconds, and can lose, break or delay one call after
the other (`faults`, one for each POST or PATCH in turn). Every committed object and charge is kept for the checks.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

FAULTS = (
    "none",
    "not_sent",
    "request_lost",
    "answer_lost",
    "error_before",
    "error_after",
    "late_commit",
    "html_200",
    "rate_limited",
)
"""What can happen to one paid call."""
PRICE = 300


@dataclass
class ModelMavera(httpx.AsyncBaseTransport):
    """One account. `clock` gives virtual seconds."""

    clock: Callable[[], float]
    faults: list[str] = field(default_factory=list)
    lag: float = 5.0
    late: float = 10.0
    credits: int = 100_000
    patch_price: int = 0
    seconds: float = 0.05
    per_minute: int = 600
    personas: list[dict[str, Any]] = field(default_factory=list)
    charged: int = 0
    created_names: list[str] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    _late: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.arrivals.append(self.clock())
        await asyncio.sleep(0.05 if request.method == "GET" else self.seconds)
        self._commit_what_is_due()
        path = request.url.path.removeprefix("/api/v1")
        if request.method == "GET":
            return self.read(path)
        fault = self.faults.pop(0) if self.faults else "none"
        return await self._write(path, request, fault)

    def duplicates(self) -> int:
        """Objects beyond the first of each name."""
        self._commit_what_is_due(everything=True)
        return sum(count - 1 for count in Counter(self.created_names).values())

    # ---- reads --------------------------------------------------------------------------------------------------
    def read(self, path: str) -> httpx.Response:
        """The answer to a GET."""
        self._commit_what_is_due()
        if path == "/usage":
            credits = {"used": self.charged, "included": self.credits, "remaining": self.credits - self.charged}
            return httpx.Response(
                200, json={"credits": credits, "rate_limit": {"requests_per_minute": self.per_minute}}
            )
        if path == "/personas":
            visible = [one for one in self.personas if one["created_at"] + self.lag <= self.clock()]
            return httpx.Response(200, json={"data": visible, "has_more": False, "total": len(visible)})
        if path.startswith("/personas/"):
            found = [one for one in self.personas if one["id"] == path.split("/")[2]]
            return httpx.Response(200, json=found[0]) if found else _error(404, "resource_not_found")
        if path == "/generation-apps" or path.startswith(("/generations", "/brand-voices", "/mave")):
            return httpx.Response(200, json={"data": [], "has_more": False, "total": 0})
        return _error(404, "resource_not_found")

    # ---- writes -------------------------------------------------------------------------------------------------
    async def _write(self, path: str, request: httpx.Request, fault: str) -> httpx.Response:
        body = json.loads(request.content)
        match fault:
            case "not_sent":
                raise httpx.ConnectError("refused", request=request)
            case "request_lost":
                raise httpx.WriteError("broken pipe", request=request)
            case "error_before":
                return _error(500, "internal_error")
            case "rate_limited":
                answer = _error(429, "rate_limit_exceeded")
                answer.headers["Retry-After"] = "2"
                return answer
            case "late_commit":
                self._late.append((self.clock() + self.late, {"path": path, "body": body}))
                raise httpx.ReadTimeout("no answer", request=request)
        made = self._commit(path, body)
        match fault:
            case "answer_lost":
                raise httpx.ReadError("connection reset", request=request)
            case "error_after":
                return _error(500, "internal_error")
            case "html_200":
                return httpx.Response(200, text="<html>ok</html>", headers={"content-type": "text/html"})
        return made

    def _commit(self, path: str, body: dict[str, Any]) -> httpx.Response:
        if path.startswith("/personas/"):
            found = next((one for one in self.personas if one["id"] == path.split("/")[2]), None)
            if found is None:
                return _error(404, "resource_not_found")
            found.update(body)
            self.charged += self.patch_price
            return httpx.Response(200, json=found)
        if self.charged + PRICE > self.credits:
            return _error(402, "credits_exhausted")
        self.charged += PRICE
        made = {
            "id": f"clx{len(self.personas):06d}",
            "is_custom": True,
            "created_at": self.clock(),
            "credits_charged": PRICE,
            **body,
        }
        self.personas.append(made)
        self.created_names.append(body["name"])
        return httpx.Response(201, json=made)

    def _commit_what_is_due(self, *, everything: bool = False) -> None:
        due = [item for item in self._late if everything or item[0] <= self.clock()]
        self._late = [item for item in self._late if item not in due]
        for _, call in due:
            self._commit(call["path"], call["body"])


def _error(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": code, "type": "x", "code": code, "param": None}})
