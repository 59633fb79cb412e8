"""What the receiver counts, in Prometheus' terms, and what it logs of refusals.

Label values come from fixed sets, never from a request. Refusals are logged once a minute for each reason, so that
nobody outside can fill the log.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.webhooks.writer import InboxWriter
from resources.loggers import get_logger

__all__ = ["ReceiverMetrics"]

_log = get_logger("stripe_mavera.webhooks")
_SECONDS_BETWEEN_LINES = 60.0
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 10)


class ReceiverMetrics:
    """Counters of one receiver, in a registry of its own so that two apps in a process do not mix."""

    def __init__(self, writer: InboxWriter) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = 0
        self._refused: dict[tuple[str, str], tuple[float, int]] = {}
        self._requests = Counter(
            "webhook_requests",
            "Requests by origin, outcome and HTTP status",
            ["origin", "outcome", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "webhook_seconds",
            "Time from the request's head to its answer",
            ["origin"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        for name, about, read in (
            ("webhook_backlog", "Events stored and not yet worked off", lambda: writer.backlog),
            ("webhook_queued", "Events that wait in memory for a commit", lambda: writer.queued),
            ("webhook_in_flight", "Requests being served", lambda: self.in_flight),
            ("webhook_commits", "Transactions that stored events, since the start", lambda: writer.groups),
            ("webhook_database_up", "1 if the last use of the database succeeded", lambda: writer.healthy),
        ):
            Gauge(name, about, registry=self.registry).set_function(read)

    def count(self, origin: str, outcome: str, status: int) -> None:
        """Count one answered request."""
        self._requests.labels(origin, outcome, str(status)).inc()
        if status >= 400:
            self._tell(origin, outcome, status)

    def _tell(self, origin: str, outcome: str, status: int) -> None:
        now = time.monotonic()
        told, since = self._refused.get((origin, outcome), (float("-inf"), 0))
        if now - told >= _SECONDS_BETWEEN_LINES:
            _log.warning("webhook refused", origin=origin, reason=outcome, status=status, times=since + 1)
            told, since = now, -1
        self._refused[origin, outcome] = told, since + 1

    @contextmanager
    def timed(self, origin: str) -> Iterator[None]:
        """Measure a request and count it as in flight."""
        self.in_flight += 1
        began = time.perf_counter()
        try:
            yield
        finally:
            self.in_flight -= 1
            self._seconds.labels(origin).observe(time.perf_counter() - began)
