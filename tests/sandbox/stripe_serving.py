"""An account behind the pretend Stripe, asked in-process: no socket, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from sandbox.accounts.account import Account, StillAccount
from sandbox.simulation.business import Business
from sandbox.simulation.world import World
from sandbox.stripe.api import StripeApp
from sandbox.stripe.control import Control
from sandbox.stripe.faults import Faults
from sandbox.stripe.limits import Limits

__all__ = ["END", "KEY", "NO_LIMITS", "Asked", "business", "serve", "still_world"]

END = datetime(2026, 11, 1, tzinfo=UTC)
KEY = "rk_test_51Sandbox"
NO_LIMITS = Limits(account_rate=None, operation_rate=None)


@dataclass
class Asked:
    """The application with the requests that a test sends to it."""

    control: Control
    key: str = KEY
    version: str | None = None
    app: StripeApp = field(init=False)

    def __post_init__(self) -> None:
        self.app = StripeApp(self.control)

    def get(self, path: str, *, key: str | None = "", method: str = "GET", **params: Any) -> httpx.Response:
        """`created__gte=1` stands for `created[gte]=1`, `expand=[…]` for `expand[]=…`; key None sends none."""
        pairs = [pair for name, value in params.items() for pair in _pairs(name, value)]
        headers = {} if key is None else {"Authorization": f"Bearer {key or self.key}"}
        if self.version:
            headers["Stripe-Version"] = self.version

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, params=pairs, headers=headers)

        return asyncio.run(ask())

    def post(self, path: str, payload: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.post(path, json=payload)

        return asyncio.run(ask())

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """All rows of a list, page by page, as a client without mistakes reads it."""
        found: list[dict[str, Any]] = []
        for page in self.pages(path, **params):
            found += page["data"]
        return found

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        cursor: dict[str, Any] = {}
        while True:
            answer = self.get(path, **{"limit": 100} | params | cursor)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield page
            if not page["has_more"]:
                return
            cursor = {"starting_after": page["data"][-1]["id"]}


def business(customers: int = 120, *, seed: int = 7, **options: Any) -> Business:
    return Business(seed=seed, customers=customers, end=END, **options)


def still_world(now: int = int(END.timestamp())) -> World:
    """An empty account whose clock stands at `now`."""
    world = World(seed=1, start=now - 1000, livemode=False)
    world.now = now
    world.store.account = {"id": "acct_1", "object": "account", "created": now - 1000}
    return world


def serve(
    account: Account | World | None = None,
    *,
    limits: Limits = NO_LIMITS,
    clock: Callable[[], float] | None = None,
    **faults: Any,
) -> Asked:
    if account is None:
        account = business()
    if isinstance(account, World):
        account = StillAccount(account)
    options = {} if clock is None else {"clock": clock}
    return Asked(Control(account, limits=limits, faults=Faults(**faults), **options))


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    base, _, inner = name.partition("__")
    if isinstance(value, list):
        return [(f"{name}[]", str(each)) for each in value]
    if isinstance(value, bool):
        value = str(value).lower()
    return [(f"{base}[{inner}]" if inner else name, str(value))]
