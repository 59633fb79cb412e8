"""What can go wrong at the pretend Stripe, switchable while it runs.

One validated model holds the switches; `FaultDice` throws the seeded dice for the random ones. Shares are of
answers: 0.05 is one in twenty. Which objects are malformed, and how, is in `malformed`; what changes between two
pages is in `mutations`.
"""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.stripe.errors import ApiError, lock_timeout, rate_limited, server_error
from sandbox.stripe.tables import RESOURCES
from sandbox.stripe.versions import known_version

__all__ = ["FaultDice", "Faults", "PagingMutation", "Script"]

Share = Annotated[float, Field(ge=0, le=1)]
Reason = Literal[
    "endpoint-rate", "global-rate", "endpoint-concurrency", "global-concurrency", "resource-specific", "none"
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PagingMutation(_Strict):
    """Every `every` pages of `on` that are served, change so many objects of `resource` (default: the same)."""

    on: str
    every: int = Field(default=1, ge=1)
    times: int = Field(default=1, ge=0, description="how often in all")
    resource: str | None = None
    create: int = Field(default=0, ge=0)
    update: int = Field(default=0, ge=0)
    delete: int = Field(default=0, ge=0)
    delete_cursor: bool = Field(default=False, description="delete the last object of the page just served")


class Script(_Strict):
    """The next `times` requests of an operation, after `skip` of them, get this answer."""

    operation: str = Field(description="for example `GET /v1/charges`, `GET /v1/charges/{id}` or `*`")
    status: int = Field(default=500, ge=400, le=599)
    reason: Reason | None = None
    drop: bool = Field(default=False, description="break the connection in the middle of the body instead")
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)


class Faults(_Strict):
    """All switches; the defaults are a healthy Stripe."""

    latency_ms: float = Field(default=0, ge=0)
    jitter_ms: float = Field(default=0, ge=0, description="added to the latency, evenly between 0 and this")
    rate_429: dict[Reason, Share] = Field(default_factory=dict)
    rate_500: Share = 0
    rate_drop: Share = Field(default=0, description="connections dropped in the middle of the body")
    rate_lock_timeout: Share = 0
    forbidden: tuple[str, ...] = Field(default=(), description="resources that restricted keys may not read")
    malformed: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="kinds, by resource")
    hide_new_events: bool = Field(default=False, description="events written from now on show when this ends")
    old_events: str | None = Field(default=None, description="API version in which new events are written")
    payment_methods_need_customer: bool = False
    mutations: tuple[PagingMutation, ...] = ()
    scripts: tuple[Script, ...] = ()
    seed: int = 1

    @field_validator("forbidden", "malformed")
    @classmethod
    def _known_resources(cls, value: tuple[str, ...] | dict[str, tuple[str, ...]]) -> object:
        known = {*RESOURCES, "account", "balance"}
        unknown = [name for name in value if name not in known]
        if unknown:
            raise ValueError(f"no such resource: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return value

    @field_validator("old_events")
    @classmethod
    def _version(cls, value: str | None) -> str | None:
        if value is not None and not known_version(value):
            raise ValueError(f"not an API version since 2022-11-15: {value}")
        return value


class FaultDice:
    """Throws for each request; the same seed and order of requests give the same faults."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._rng = Random(f"faults:{faults.seed}")
        self._scripted = [[script.skip, script.times] for script in faults.scripts]
        self._random = bool(faults.rate_429 or faults.rate_500 or faults.rate_lock_timeout or faults.rate_drop)

    def delay(self) -> float:
        """Seconds."""
        jitter = self.faults.jitter_ms * self._rng.random() if self.faults.jitter_ms else 0
        return (self.faults.latency_ms + jitter) / 1000

    def error(self, operation: str) -> ApiError | None:
        scripted = self._script(operation)
        if scripted is not None and not scripted.drop:
            if scripted.status == 429:
                return rate_limited(None if scripted.reason in (None, "none") else scripted.reason)
            return server_error(scripted.status)
        if not self._random:
            return None
        faults, throw = self.faults, self._rng.random()
        for reason, share in faults.rate_429.items():
            throw -= share
            if throw < 0:
                return rate_limited(None if reason == "none" else reason)
        for share, error in ((faults.rate_500, server_error), (faults.rate_lock_timeout, lock_timeout)):
            throw -= share
            if throw < 0:
                return error()
        return None

    def drops(self, operation: str) -> bool:
        """Asked once for each answer that would be good."""
        for script, left in zip(self.faults.scripts, self._scripted, strict=True):
            if script.drop and script.operation in (operation, "*") and self._due(left):
                return True
        return self.faults.rate_drop > 0 and self._rng.random() < self.faults.rate_drop

    def _script(self, operation: str) -> Script | None:
        for script, left in zip(self.faults.scripts, self._scripted, strict=True):
            if not script.drop and script.operation in (operation, "*") and self._due(left):
                return script
        return None

    def _due(self, left: list[int]) -> bool:
        if left[0] > 0:
            left[0] -= 1
            return False
        if left[1] > 0:
            left[1] -= 1
            return True
        return False
