"""Every order of a six-event history, with a duplicate and a tie in one second, ends in the truth (T18)."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from ingest.inbox import claim, finish
from resources.state import State, metadata
from resources.state.inbox import inbox, insert_events
from tests.ingest.test_inbox import row, statuses
from tests.ingest.webhook_events import NOW


@pytest.fixture
def state() -> Iterator[State]:
    """A database in memory: 720 orders are about what is decided, not about what survives."""
    opened = State("sqlite://")
    with opened.begin() as connection:
        metadata.create_all(connection)
    yield opened
    opened.close()


# A pretend Stripe whose subscription goes through six versions, two of them in the same second.
_HISTORY = [
    (0, "customer.subscription.created", "incomplete"),
    (5, "customer.subscription.updated", "trialing"),
    (60, "customer.subscription.updated", "active"),
    (60, "customer.subscription.updated", "past_due"),
    (300, "customer.subscription.paused", "paused"),
    (900, "customer.subscription.deleted", "canceled"),
]


def _arrive(state: State, numbers: Sequence[int]) -> None:
    insert_events(
        state,
        [row(f"evt_{n}", at=NOW + timedelta(seconds=_HISTORY[n][0]), type=_HISTORY[n][1]) for n in numbers],
    )


def _drain(state: State, table: dict[str, str], truth: str, now: datetime) -> int:
    """What a run does: claim, read each object again, write it, finish; returns the reads."""
    batch = claim(state, worker="run", now=now)
    for item in batch.objects:
        table[item.object_id] = truth
    finish(state, batch.objects, worker="run", now=now)
    return len(batch.objects)


@pytest.mark.parametrize("first", range(len(_HISTORY)), ids=lambda n: f"{_HISTORY[n][2]} arrives first")
def test_every_order_of_a_history_ends_in_the_truth(state: State, first: int) -> None:
    rest = [n for n in range(len(_HISTORY)) if n != first]
    for number, order in enumerate(itertools.permutations(rest)):
        with state.begin() as connection:
            connection.execute(sa.delete(inbox))
        table: dict[str, str] = {}
        arrivals = [first, *order]
        cut = number % len(arrivals)  # a run happens in the middle, when Stripe shows what had happened by then
        _arrive(state, arrivals[:cut])
        newest = max(arrivals[:cut], default=0)
        now = NOW + timedelta(hours=1)
        reads = _drain(state, table, _HISTORY[newest][2], now)
        _arrive(state, [*arrivals[cut:], arrivals[number % 6]])  # the rest, and one of them a second time
        reads += _drain(state, table, "canceled", now)
        assert table == {"sub_1": "canceled"}, arrivals
        assert reads == (1 if cut == 0 else 2)
        assert set(statuses(state).values()) == {"done"}
