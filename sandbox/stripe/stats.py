"""What the pretend Stripe counted: requests by operation and status, most under way at once, the last requests."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Stats"]


@dataclass(slots=True)
class Stats:
    requests: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    bytes_sent: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    recent: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=5000))

    def arrived(self, operation: str, query: str, version: str | None) -> None:
        self.requests[operation] += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.recent.append({"operation": operation, "query": query, "version": version})

    def answered(self, operation: str, status: int, size: int, reason: str | None) -> None:
        self.in_flight -= 1
        self.statuses.setdefault(operation, Counter())[str(status)] += 1
        self.bytes_sent += size
        if status == 429:
            self.reasons[reason or "none"] += 1

    def reset(self) -> None:
        """Start counting anew; what is under way stays counted."""
        self.requests.clear()
        self.statuses.clear()
        self.reasons.clear()
        self.recent.clear()
        self.dropped = self.bytes_sent = 0
        self.peak_in_flight = self.in_flight

    def report(self) -> dict[str, Any]:
        totals: Counter[str] = Counter()
        for counts in self.statuses.values():
            totals.update(counts)
        return {
            "requests": sum(self.requests.values()),
            "operations": dict(self.requests),
            "statuses": dict(totals),
            "operation_statuses": {name: dict(counts) for name, counts in self.statuses.items()},
            "rate_limited": dict(self.reasons),
            "dropped": self.dropped,
            "bytes_sent": self.bytes_sent,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
        }
