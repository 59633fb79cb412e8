"""The two-level limiter of the pretend account: requests per second and requests under way.

Token buckets for the account and, inside it, for each operation (a method and a path template); a bucket holds one
second's worth. Real time, whatever the account's own clock says. Limits as in https://docs.stripe.com/rate-limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Limiter", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per second and under way; None is no limit."""

    account_rate: float | None = 100
    operation_rate: float | None = 25
    account_concurrency: int | None = None
    operation_concurrency: int | None = None
    # How many seconds' worth a bucket holds.
    burst_seconds: float = 1.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float

    def refill(self, rate: float, capacity: float, now: float) -> None:
        self.tokens = min(capacity, self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now


@dataclass(slots=True)
class Limiter:
    """Says why a request is refused, or None."""

    limits: Limits
    clock: Callable[[], float]
    under_way: dict[str, int] = field(default_factory=dict)
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def refusal(self, operation: str) -> str | None:
        """Ask once per request; a refused request costs no token."""
        limits = self.limits
        if limits.account_concurrency is not None and sum(self.under_way.values()) > limits.account_concurrency:
            return "global-concurrency"
        running = self.under_way.get(operation, 0)
        if limits.operation_concurrency is not None and running > limits.operation_concurrency:
            return "endpoint-concurrency"
        now = self.clock()
        account = self._bucket("", limits.account_rate, now)
        own = self._bucket(operation, limits.operation_rate, now)
        if account is not None and account.tokens < 1:
            return "global-rate"
        if own is not None and own.tokens < 1:
            return "endpoint-rate"
        for bucket in (account, own):
            if bucket is not None:
                bucket.tokens -= 1
        return None

    def _bucket(self, name: str, rate: float | None, now: float) -> _Bucket | None:
        if rate is None:
            return None
        capacity = max(1.0, rate * self.limits.burst_seconds)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(capacity, now)
        bucket.refill(rate, capacity, now)
        return bucket
