"""What every operation of the pretend Mavera works on: the call, the stored world, its clock, prices and refusals.

Rules that hold for one surface only are in that surface's module; transport (keys, windows, faults,
rendering) is in `mavera_gateway`.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sandbox.mavera.options import KeyRule, MaveraOptions, Range
from sandbox.mavera.preload import preload
from sandbox.mavera.store import Row, Store, unit

__all__ = [
    "WORKSPACE",
    "Answer",
    "Call",
    "Refusal",
    "World",
    "accept",
    "fingerprint",
    "invalid",
    "iso",
    "missing",
    "month_end",
    "month_start",
    "not_found",
    "refuse_unknown",
]

_ALTERNATIVE = re.compile(r"str$|_|constrained-|list\[|function-")
_Request = TypeVar("_Request", bound=BaseModel)

WORKSPACE = "ws_sandbox"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One accepted call; `key` is the fingerprint of its bearer key."""

    operation: str
    key: str
    test_mode: bool
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an operation returns before faults are applied."""

    body: dict[str, Any]
    status: int = 200


class Refusal(Exception):
    """An error answer in the shape of the contract."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.error = {"message": message, "type": type, "code": code, "param": param}


def invalid(param: str | None, message: str, *, code: str = "invalid_field") -> Refusal:
    return Refusal(400, code, message, param=param)


def missing(param: str) -> Refusal:
    return invalid(param, "A required field is missing.", code="missing_field")


def not_found(what: str, param: str) -> Refusal:
    return Refusal(404, "resource_not_found", f"No {what} has this id.", param=param)


class World:
    """The stored objects together with the switches and the clock."""

    def __init__(
        self, *, state_dir: Path | None, dataset: Path | None, options: MaveraOptions, clock: Callable[[], float]
    ) -> None:
        self.options = options
        self.advanced = 0.0
        self.requests: Counter[str] = Counter()
        self._clock = clock
        self.store = Store(state_dir, seed=options.seed)
        preload(self.store, dataset, now=self.now())

    def now(self) -> float:
        """Unix seconds of the stand-in's clock."""
        return self._clock() + self.advanced

    # ---- money --------------------------------------------------------------------------------------------------
    def price(self, prices: Range, *parts: object) -> int:
        """A whole price inside the range that follows from the seed and the parts."""
        low, high = round(prices.low), round(prices.high)
        return low + int(unit(self.options.seed, "price", *parts) * (high - low + 1))

    def included(self, key: str) -> int:
        """Monthly credits of the key."""
        rule = self._rule(key)
        return self.options.credits if rule is None or rule.credits is None else rule.credits

    def requests_per_minute(self, key: str) -> int:
        rule = self._rule(key)
        if rule is None or rule.requests_per_minute is None:
            return self.options.requests_per_minute
        return rule.requests_per_minute

    def _rule(self, key: str) -> KeyRule | None:
        return next((rule for name, rule in self.options.keys.items() if fingerprint(name) == key), None)

    def used(self, key: str, *, now: float) -> int:
        """Credits charged to the key in the calendar month; they do not roll over."""
        return self.store.used(key, since=month_start(now))

    def charge(self, call: Call, object_id: str, credits: int) -> int:
        """Book the price inside the running transaction and return what was charged; 402 if it cannot be paid."""
        if call.test_mode:
            credits = 0
        self._afford(credits, key=call.key)
        self.store.charge(
            key=call.key,
            operation=call.operation,
            object_id=object_id,
            credits=credits,
            now=self.now(),
            test_mode=call.test_mode,
        )
        return credits

    def _afford(self, credits: int, *, key: str) -> None:
        if not credits:
            return
        if self.options.billing == "budget_exceeded":
            raise _payment("budget_exceeded", "The workspace budget is used up.")
        if not self.options.auto_recharge and credits > self.included(key) - self.used(key, now=self.now()):
            raise _payment("credits_exhausted", "No credits are left in this period.")

    def create(
        self,
        call: Call,
        kind: str,
        body: dict[str, Any],
        *,
        name: str,
        price: int,
        parent: str = "",
        seconds: float | None = None,
        outcome: str = "",
    ) -> tuple[Row, int]:
        """Store the object and book its price inside the running transaction."""
        now = self.now()
        row = self.store.insert(
            kind,
            body,
            name=name,
            operation=call.operation,
            now=now,
            key=call.key,
            request=call.body,
            parent=parent,
            lag=self.options.list_lag_seconds,
            due_at=None if seconds is None else now + seconds,
            outcome=outcome,
        )
        return row, self.charge(call, row.id, price)


def _payment(code: str, message: str) -> Refusal:
    return Refusal(402, code, message, type="insufficient_credits")


def fingerprint(key: str) -> str:
    """What the stand-in keeps of a key: enough to tell keys apart, useless to anybody who reads the file."""
    return hashlib.sha256(key.encode()).hexdigest()[:12] if key else ""


def accept(model: type[_Request], call: Call, options: MaveraOptions) -> tuple[_Request, dict[str, Any]]:
    """The validated body, and the unknown fields that are to be stored with the object."""
    unknown = set(options.treat_as_unknown)
    if not options.callbacks.enabled:
        unknown.add("callback_url")
    known = {info.alias or name for name, info in model.model_fields.items()} - unknown
    extras = {name: value for name, value in call.body.items() if name not in known}
    refuse_unknown(extras, options)
    try:
        body = model.model_validate({name: value for name, value in call.body.items() if name in known})
    except ValidationError as error:
        raise _refusal(error) from error
    return body, extras if options.unknown_field == "store" else {}


def refuse_unknown(extras: Mapping[str, Any], options: MaveraOptions, *, prefix: str = "") -> None:
    if extras and options.unknown_field == "reject":
        raise invalid(prefix + next(iter(extras)), "The field is not known.")


def _refusal(error: ValidationError) -> Refusal:
    first = error.errors(include_url=False)[0]
    # Between field names, pydantic also names the alternative of a union that it tried.
    place = [str(step) for step in first["loc"] if not _ALTERNATIVE.match(str(step))]
    if first["type"] in ("missing_field", "null_field"):
        place.append(first["ctx"]["field"])
    param = ".".join(place) or None
    if param is not None and first["type"] in ("missing", "missing_field"):
        return missing(param)
    code = "invalid_model" if param == "model" else "invalid_field"
    return invalid(param, "The field has a wrong value.", code=code)


def iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def month_start(at: float) -> float:
    moment = datetime.fromtimestamp(at, UTC)
    return datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()


def month_end(at: float) -> float:
    moment = datetime.fromtimestamp(at, UTC)
    return datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC).timestamp()
