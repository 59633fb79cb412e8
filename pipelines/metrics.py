"""The figures as Prometheus metrics: read when they are asked for, so that short runs need not push anything.

Here: names, labels and what they mean. Times are given as Unix timestamps: an age is `time() - metric`. Values of
labels are our own words. Not here: what the receiver counts of its requests (`ingest.webhooks.metrics`).
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipelines.figures import Figures

__all__ = ["FiguresCollector"]


class FiguresCollector(Collector):
    """Reads the figures at each scrape."""

    def __init__(self, read: Callable[[], Figures], *, reporting_currency: str) -> None:
        self._read = read
        self._currency = reporting_currency

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The same families without values, so that registering reads nothing."""
        return _families(Figures(at=datetime.fromtimestamp(0, UTC)), self._currency)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every family; without a sample where nothing is known."""
        return _families(self._read(), self._currency)


def _families(figures: Figures, currency: str) -> Iterator[GaugeMetricFamily]:
    credits, inbox, quarantine = figures.credits, figures.inbox, figures.quarantine
    yield _gauge(
        "credits_counted",
        "Mavera credits charged or reserved in the day or month (UTC)",
        "period",
        {} if credits is None else {"day": credits.day, "month": credits.month},
    )
    yield _gauge(
        "credits_unsettled",
        "Credits of the month that no answer has confirmed: under way, unknown or held",
        None,
        {} if credits is None else {"": credits.month - credits.month_settled},
    )
    yield _gauge(
        "credit_budget",
        "MAVERA_CREDIT_BUDGET, the most credits of a month",
        None,
        {} if credits is None or credits.month_cap is None else {"": credits.month_cap},
    )
    yield _gauge(
        "intents",
        "Rows of the ledger by state; `held` waits for a person, `unknown` for its settle window",
        "state",
        {} if figures.intents is None else {**dict.fromkeys(("held", "unknown"), 0), **figures.intents},
    )
    yield _gauge("inbox_events", "Webhooks by status", "status", {} if inbox is None else inbox.events)
    oldest = None if inbox is None else inbox.oldest_pending
    yield _gauge(
        "inbox_oldest_pending_timestamp_seconds",
        "When the oldest webhook that waits came",
        None,
        {} if oldest is None else {"": oldest.timestamp()},
    )
    yield _gauge(
        "extraction_complete_timestamp_seconds",
        "End of the last complete extraction of a stream",
        "stream",
        _moments(figures.read),
    )
    yield _gauge(
        "quarantine_rows",
        "Objects that could not be read",
        "seen",
        {} if quarantine is None else {"ever": quarantine.rows, "last_day": quarantine.last_day},
    )
    yield _gauge(
        "table_made_timestamp_seconds", "Last materialization of a table", "table", _moments(figures.made)
    )
    revenue = figures.revenue
    yield _gauge(
        "mrr_minor",
        "MRR in minor units of the reporting currency",
        "currency",
        {} if revenue is None else {currency: revenue.mrr_minor},
    )
    yield _gauge(
        "customers_paying", "Customers with MRR", None, {} if revenue is None else {"": revenue.customers}
    )
    yield _gauge(
        "source_unread",
        "1 for a source of these metrics that could not be read",
        "source",
        dict.fromkeys(figures.unread, 1),
    )


def _gauge(name: str, about: str, label: str | None, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(_name(name), about, labels=[] if label is None else [label])
    for of, value in values.items():
        family.add_metric([] if label is None else [of], value)
    return family


def _moments(found: Mapping[str, datetime] | None) -> dict[str, float]:
    return {name: at.timestamp() for name, at in (found or {}).items()}


def _name(name: str) -> str:
    return f"stripe_mavera_{name}"
