"""The pace of requests to one Stripe account: nested rates for account and operation, and a concurrency cap.

Here: when a request may leave and what a 429 teaches. Not here: repeating a request (`resources.stripe_api`)
and the exchange between runs of one account (`resources.state.extraction.SharedPace`). Rests on
https://docs.stripe.com/rate-limits: a whole account has 100 requests a second live and 25 in test mode, each
operation 25; concurrency limits are not published and are met only through `Stripe-Rate-Limited-Reason`.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from resources.loggers import get_logger

__all__ = ["KeyKind", "Limiter", "Pace", "Usage", "key_kind"]

_log = get_logger("stripe_mavera.limiter")
LIVE_PER_SECOND, TEST_PER_SECOND, OPERATION_PER_SECOND = 100.0, 25.0, 25.0
_BURST_SECONDS = 0.25
_MARGIN = 0.96  # ceiling 24 of 25 and 95 of 100: the server's clock and ours do not tick together
_START = 0.8
_LOWEST_RATE = 0.5
_CUT = 0.75
_CUT_EVERY_SECONDS = 1.0
_PAUSE_SECONDS = 0.25
_FAST_CLIMB, _SLOW_CLIMB = 0.25, 0.02  # share of the ceiling gained in a second of success
_LOWEST_CAP = 2
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class KeyKind:
    """What the prefix of an API key tells: live or test, restricted or not."""

    live: bool
    restricted: bool

    @property
    def requests_per_second(self) -> float:
        """Stripe's limit of the whole account for this mode."""
        return LIVE_PER_SECOND if self.live else TEST_PER_SECOND


def key_kind(key: str) -> KeyKind:
    """The kind of a secret (`sk_`) or restricted (`rk_`) key, live or test.

    Raises: ValueError for anything else, such as a publishable key; the message never holds the key.
    """
    prefix = key[:8]
    if prefix[:3] not in ("sk_", "rk_") or prefix[3:] not in ("live_", "test_"):
        raise ValueError("a Stripe key begins with sk_live_, rk_live_, sk_test_ or rk_test_")
    return KeyKind(live=prefix[3:] == "live_", restricted=prefix.startswith("rk_"))


class Pace:
    """A rate with a burst of a quarter second, raised by success and cut by refusals.

    Requests book the next free instant (the generic cell rate algorithm), so the pace holds however many wait.
    """

    def __init__(self, limit: float, clock: Callable[[], float]) -> None:
        self.ceiling = limit * (0.95 if limit >= LIVE_PER_SECOND else _MARGIN)
        self.rate = self.ceiling * _START
        self._clock = clock
        self._next = clock()
        self._climbed = clock()
        self._cut = float("-inf")
        self._known_good = self.ceiling

    def book(self) -> float:
        """Seconds until the next request may leave; the instant is taken."""
        now = self._clock()
        free = max(self._next, now - _BURST_SECONDS)
        self._next = free + 1.0 / self.rate
        return max(0.0, free - now)

    def succeeded(self) -> None:
        """Raise the rate with the time passed: fast up to what was fine before, slowly beyond."""
        now = self._clock()
        passed, self._climbed = min(1.0, now - self._climbed), now
        climb = _FAST_CLIMB if self.rate < self._known_good else _SLOW_CLIMB
        self.rate = min(self.ceiling, self.rate + self.ceiling * climb * passed)

    def refused(self) -> None:
        """Cut the rate, once a second at most: a burst of refusals is one lesson."""
        now = self._clock()
        self._next = max(self._next, now + _PAUSE_SECONDS)
        self._climbed = now
        if now - self._cut < _CUT_EVERY_SECONDS:
            return
        self._cut = now
        self._known_good = max(_LOWEST_RATE, self.rate * 0.9)
        self.rate = max(_LOWEST_RATE, self.rate * _CUT)

    def limit_to(self, ceiling: float) -> None:
        """Put a new ceiling, as when another run of the account takes its share; growing it lifts the rate too."""
        grown = ceiling > self.ceiling
        self.rate = min(ceiling, self.rate * ceiling / self.ceiling if grown else self.rate)
        self._known_good = min(ceiling, max(self._known_good, ceiling if grown else 0.0))
        self.ceiling = ceiling


@dataclass
class Usage:
    """What the requests of one operation, or of all, came to."""

    requests: int = 0
    limited: int = 0
    retried: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=64))

    @property
    def latency(self) -> float | None:
        """Median seconds of the latest answers."""
        return sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else None


class Limiter:
    """Lets requests out at the pace that the account bears.

    `requests_per_second` is the account's limit, `operation_per_second` that of each operation. `budget` is the
    number of requests that a run should not pass; it stops nothing by itself: optional work asks `within_budget`.
    """

    def __init__(
        self,
        *,
        requests_per_second: float,
        operation_per_second: float = OPERATION_PER_SECOND,
        concurrency: int = 64,
        budget: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if requests_per_second <= 0 or operation_per_second <= 0:
            raise ValueError("rates must be above 0 requests a second")
        self.requests_per_second = requests_per_second
        self.operation_per_second = min(operation_per_second, requests_per_second)
        self.budget = budget
        self.total = Usage()
        self.usage: dict[str, Usage] = {}
        self.in_flight = 0
        self.peak_in_flight = 0
        self.account = Pace(requests_per_second, clock)
        self._account_ceiling = self.account.ceiling
        self._operation_ceiling = Pace(self.operation_per_second, clock).ceiling
        self._runs = 1
        self._operations: dict[str, Pace] = {}
        self._clock, self._sleep = clock, sleep
        self._cap = self._cap_ceiling = float(concurrency)
        self._heeded: set[str] = set()
        self._operation_caps: dict[str, float] = {}
        self._operation_flights: dict[str, int] = {}
        self._cap_cut = float("-inf")
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._told: dict[str, float] = {}

    def within_budget(self, more: int = 1) -> bool:
        """Whether `more` optional requests still fit."""
        return self.budget is None or self.total.requests + more <= self.budget

    def usage_of(self, operation: str) -> Usage:
        """Counters of an operation."""
        return self.usage.setdefault(operation, Usage())

    def pace_of(self, operation: str) -> Pace:
        """The pace of an operation."""
        pace = self._operations.get(operation)
        if pace is None:
            pace = self._operations[operation] = Pace(self.operation_per_second, self._clock)
            pace.limit_to(self._operation_ceiling / self._runs)
        return pace

    @property
    def concurrency(self) -> int:
        """Requests that may be under way at once."""
        return max(_LOWEST_CAP, int(self._cap))

    @asynccontextmanager
    async def slot(self, operation: str) -> AsyncIterator[None]:
        """Wait for the operation's pace, the account's pace and a place among those under way."""
        for pace in (self.pace_of(operation), self.account):
            wait = pace.book()
            if wait > 0:
                await self._sleep(wait)
        while not self._has_place(operation):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((operation, waiter))
            await waiter
        self.in_flight += 1
        self._operation_flights[operation] = self._operation_flights.get(operation, 0) + 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        for counted in (self.total, self.usage_of(operation)):
            counted.requests += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._operation_flights[operation] -= 1
            self._wake()

    def _has_place(self, operation: str) -> bool:
        return self.in_flight < self.concurrency and not self._is_full(operation)

    def _is_full(self, operation: str) -> bool:
        cap = self._operation_caps.get(operation)
        return cap is not None and self._operation_flights.get(operation, 0) >= max(1, int(cap))

    def _wake(self) -> None:
        """Let as many waiters go on as there are places, first come first; thousands may wait for one place."""
        free = self.concurrency - self.in_flight
        passed: deque[tuple[str, asyncio.Future[None]]] = deque()
        while free > 0 and self._waiting:
            operation, waiter = self._waiting.popleft()
            if self._is_full(operation):
                passed.append((operation, waiter))
            elif not waiter.done():
                waiter.set_result(None)
                free -= 1
        self._waiting.extendleft(reversed(passed))

    def succeeded(self, operation: str, seconds: float) -> None:
        """An answer that was no refusal: climb."""
        self.total.seconds.append(seconds)
        self.usage_of(operation).seconds.append(seconds)
        self.pace_of(operation).succeeded()
        self.account.succeeded()
        self._cap = min(self._cap_ceiling, self._cap + 0.02)
        cap = self._operation_caps.get(operation)
        if cap is not None:
            self._operation_caps[operation] = min(self._cap_ceiling, cap + 0.02)

    def refused(self, operation: str, reason: str | None) -> None:
        """A 429: cut what its reason names.

        `resource-specific` and a missing reason (mostly `lock_timeout`) say nothing of the pace and cut nothing.
        """
        for counted in (self.total, self.usage_of(operation)):
            counted.limited += 1
        self._tell(operation, reason)
        if reason == "endpoint-rate":
            self.pace_of(operation).refused()
        elif reason == "global-rate":
            self.account.refused()
        elif reason in ("global-concurrency", "endpoint-concurrency"):
            now = self._clock()
            if now - self._cap_cut < _CUT_EVERY_SECONDS:
                return
            self._cap_cut = now
            if reason == "global-concurrency":
                self._cap = max(_LOWEST_CAP, min(self._cap, self.in_flight + 1) * _CUT)
            else:
                flights = self._operation_flights.get(operation, 0) + 1
                cap = self._operation_caps.get(operation, float(flights))
                self._operation_caps[operation] = max(1.0, min(cap, flights) * _CUT)

    def _tell(self, operation: str, reason: str | None) -> None:
        """Log refusals, now and then for each operation: they come in bursts."""
        now = self._clock()
        if now - self._told.get(operation, float("-inf")) < _SECONDS_BETWEEN_LINES:
            return
        self._told[operation] = now
        _log.warning(
            "slowed down by 429",
            operation=operation,
            reason=reason or "none given",
            refused=self.usage_of(operation).limited,
            per_second=round(min(self.pace_of(operation).rate, self.account.rate), 1),
            concurrency=self.concurrency,
        )

    def share_with(self, runs: int) -> None:
        """Keep to one part of the account's and every operation's pace when `runs` runs are under way."""
        self.account.limit_to(self._account_ceiling / runs)
        self._runs = runs
        for pace in self._operations.values():
            pace.limit_to(self._operation_ceiling / runs)

    def learned(self) -> dict[str, float]:
        """Rates that refusals have pushed well below what a run begins with, as shares of the ceiling."""
        paces = {"account": self.account, **self._operations}
        return {name: pace.rate / pace.ceiling for name, pace in paces.items() if pace.rate < pace.ceiling * _CUT}

    def heed(self, learned: Mapping[str, float]) -> None:
        """Begin no faster than what another run has learned; climbing from there is free."""
        for name, share in learned.items():
            pace = self.account if name == "account" else self.pace_of(name)
            if name not in self._heeded:
                self._heeded.add(name)
                pace.rate = min(pace.rate, max(_LOWEST_RATE, share * pace.ceiling))
