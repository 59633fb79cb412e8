"""The operator's side of the pretend Stripe: switches, counters, changes by hand, days that pass.

In a test, call the methods; over HTTP, `/_sandbox/control` and its neighbours call them. Nothing here needs a key,
as the server listens on loopback only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.accounts.account import Account
from sandbox.simulation.billing_calendar import DAY, iso
from sandbox.simulation.shapes import API_VERSION
from sandbox.simulation.world import World
from sandbox.stripe.answers import Answers
from sandbox.stripe.faults import FaultDice, Faults
from sandbox.stripe.fx import eurofxref_csv
from sandbox.stripe.limits import Limiter, Limits
from sandbox.stripe.malformed import companions
from sandbox.stripe.mutations import Mutations
from sandbox.stripe.stats import Stats
from sandbox.stripe.tables import RESOURCES
from sandbox.stripe.versions import Shaper

__all__ = ["Command", "Control"]


class _Change(BaseModel):
    model_config = ConfigDict(extra="forbid")
    resource: str
    create: int = Field(default=0, ge=0)
    update: int = Field(default=0, ge=0)
    delete: int = Field(default=0, ge=0)
    ids: tuple[str, ...] = ()
    same_second: bool = False


class Command(BaseModel):
    """What `POST /_sandbox/control` takes; parts that are absent change nothing."""

    model_config = ConfigDict(extra="forbid")
    faults: dict[str, Any] | None = Field(default=None, description="switches to set; {} changes none")
    limits: dict[str, Any] | None = Field(default=None, description="limits to set")
    reset: bool = Field(default=False, description="first: all faults off, counters at zero")
    mutate: tuple[_Change, ...] = ()
    undelivered: int | None = Field(default=None, description="so many newest events count as not delivered")


class Control:
    """Everything about one served account that can be switched or asked."""

    def __init__(
        self,
        account: Account,
        *,
        limits: Limits,
        faults: Faults | None = None,
        seed: int = 1,
        clock: Callable[[], float] = time.monotonic,
        on_advance: Callable[[int], None] | None = None,
    ) -> None:
        self._account = account
        self._seed = seed
        self._on_advance = on_advance
        self.stats = Stats()
        self.limiter = Limiter(limits, clock)
        self.answers = Answers(self.world.store)
        self._mutations = Mutations(self.world, seed=seed)
        self._event_mark: set[str] = set()
        self._pages: list[list[int]] = []
        self._rates: tuple[int, bytes] | None = None
        self.faults = Faults()
        self.dice = FaultDice(self.faults)
        self.set_faults(faults or self.faults)

    @property
    def world(self) -> World:
        return self._account.world

    @property
    def account_id(self) -> str:
        return str(self.world.store.account["id"])

    @property
    def forbidden(self) -> tuple[str, ...]:
        return self.faults.forbidden

    def permission(self, resource: str) -> str:
        return RESOURCES[resource].permission if resource in RESOURCES else f"rak_{resource}_read"

    def set_faults(self, faults: Faults) -> None:
        """These switches and no others; random faults start their sequence anew."""
        broken = {name: companions(self.world.store[name], kinds) for name, kinds in faults.malformed.items()}
        events = self.world.store["events"]
        if faults.hide_new_events and not self.faults.hide_new_events:
            self._event_mark = set(events.ids())
        self.faults = faults
        self.dice = FaultDice(faults)
        self.answers.companions = self.world.store.companions | broken
        self.answers.payment_methods_need_customer = faults.payment_methods_need_customer
        self._pages = [[0, mutation.times] for mutation in faults.mutations]
        self.world.reshape = self._reshaper(faults.old_events)
        self._hide_events()

    def set_limits(self, limits: Limits) -> None:
        self.limiter.limits = limits

    def mutate(self, resource: str, **counts: Any) -> list[str]:
        """See `Mutations.apply`."""
        touched = self._mutations.apply(resource, **counts)
        self._hide_events()
        return touched

    def advance(self, days: int) -> None:
        self._account.advance(days)
        self._hide_events()
        if self._on_advance is not None:
            self._on_advance(days)

    def page_served(self, resource: str, last: str | None) -> None:
        """What the switches want changed between this page and the next."""
        for mutation, state in zip(self.faults.mutations, self._pages, strict=True):
            if mutation.on != resource or state[1] == 0:
                continue
            state[0] += 1
            if state[0] % mutation.every:
                continue
            state[1] -= 1
            target = mutation.resource or resource
            if mutation.create or mutation.update or mutation.delete:
                self.mutate(target, create=mutation.create, update=mutation.update, delete=mutation.delete)
            if mutation.delete_cursor and last is not None:
                self.mutate(resource, delete=1, ids=(last,))

    def account_body(self) -> bytes:
        return orjson.dumps(self.world.store.account)

    def balance_body(self) -> bytes:
        rows = [{"amount": 1_000_000, "currency": "usd", "source_types": {"card": 1_000_000}}]
        return orjson.dumps(
            {"object": "balance", "available": rows, "livemode": self.world.livemode, "pending": rows}
        )

    def rates(self) -> bytes:
        """The reference rates up to the day before the account's clock."""
        now = self.world.now
        if self._rates is None or self._rates[0] != now:
            first = datetime.fromtimestamp(self.world.start - 400 * DAY, UTC).date()
            last = datetime.fromtimestamp(now - 1, UTC).date()
            self._rates = (now, eurofxref_csv(seed=self._seed, first=first, last=last))
        return self._rates[1]

    def operate(self, method: str, name: str, body: bytes, query: dict[str, str]) -> bytes | None:
        """One operator's request; None is an unknown one. Raises ValueError with what is wrong."""
        if method == "POST" and name == "control":
            return orjson.dumps(self._command(body))
        if method == "POST" and name == "advance":
            payload = orjson.loads(body or b"{}")
            self.advance(int(payload.get("days", 1)))
            return orjson.dumps({"end": iso(self.world.now)})
        if method != "GET":
            return None
        if name == "stats":
            return orjson.dumps(self.stats.report() | {"end": iso(self.world.now), "api_version": API_VERSION})
        if name == "requests":
            return orjson.dumps(list(self.stats.recent))
        if name == "objects":
            return self._dump(query.get("resource", ""))
        return None

    def _command(self, body: bytes) -> dict[str, Any]:
        try:
            command = Command.model_validate_json(body)
            if command.reset:
                self.stats.reset()
                self.set_faults(Faults())
            if command.faults is not None:
                self.set_faults(Faults.model_validate(self.faults.model_dump() | command.faults))
        except ValidationError as error:
            raise ValueError(str(error)) from error
        if command.limits is not None:
            current = {name: getattr(self.limiter.limits, name) for name in Limits.__dataclass_fields__}
            unknown = set(command.limits) - set(current)
            if unknown:
                raise ValueError(f"no such limit: {', '.join(sorted(unknown))}; known are {', '.join(current)}")
            self.set_limits(Limits(**current | command.limits))
        touched: dict[str, list[str]] = {}
        for change in command.mutate:
            counts = change.model_dump(exclude={"resource"})
            touched.setdefault(change.resource, []).extend(self.mutate(change.resource, **counts))
        if command.undelivered is not None:
            page = self.world.store["events"].page(limit=command.undelivered)
            self.answers.undelivered_events = set(page.ids)
        return {"end": iso(self.world.now), "faults": self.faults.model_dump(), "touched": touched}

    def _dump(self, resource: str) -> bytes:
        """Every object of a resource as it is now, nested lists whole: what a copy must equal."""
        if resource not in RESOURCES:
            raise ValueError(f"no such resource: {resource!r}; known are {', '.join(RESOURCES)}")
        table = self.world.store[resource]
        return b"[" + b",".join(orjson.dumps(table.get(object_id)) for object_id in table.ids()) + b"]"

    def _hide_events(self) -> None:
        events = self.world.store["events"]
        hidden = set(events.ids()) - self._event_mark if self.faults.hide_new_events else set()
        self.answers.hidden_events = hidden

    def _reshaper(self, version: str | None) -> Callable[[bytes], tuple[str, bytes]] | None:
        if version is None:
            return None
        shaper = Shaper(self.world.store, version)
        return lambda body: (version, shaper.shape_body(body))
