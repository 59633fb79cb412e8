"""The inbox: claims, coalescing, poison, replay; on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest.inbox import Batch, claim, fail, finish, give_back, prune, replay
from ingest.inbox_tick import waiting
from resources.state import State
from resources.state.inbox import InboxRow, inbox, insert_events, pending_count
from tests.activation.databases import fresh_database
from tests.ingest.webhook_events import NOW


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


@pytest.fixture
def state(server: str | None, tmp_path: Path) -> Iterator[State]:
    opened = State(fresh_database(server, tmp_path))
    yield opened
    opened.close()


def row(event_id: str, *, object_id: str = "sub_1", at: datetime = NOW, **more: str | None) -> InboxRow:
    given: dict[str, str | None] = {
        "origin": "stripe",
        "type": "customer.subscription.updated",
        "object_type": "subscription",
        "status": "pending",
        "reason": None,
        **more,
    }
    return InboxRow(
        event_id=event_id,
        object_id=object_id,
        account=None,
        api_version=None,
        livemode=False,
        created=at,
        received_at=at,
        **given,  # type: ignore[arg-type]
    )


def statuses(state: State) -> dict[str, str]:
    with state.read() as connection:
        return dict(connection.execute(sa.select(inbox.c.event_id, inbox.c.status)).tuples().all())


def ids(batch: Batch) -> list[tuple[str, ...]]:
    return sorted(item.event_ids for item in batch.objects)


def test_events_of_one_object_are_one_thing_to_read(state: State) -> None:
    insert_events(
        state,
        [
            row("evt_2", at=NOW + timedelta(seconds=1), type="customer.subscription.deleted"),
            row("evt_1"),
            row("evt_3", object_id="in_1", object_type="invoice", type="invoice.payment_failed"),
        ],
    )
    batch = claim(state, worker="a", now=NOW + timedelta(seconds=2))
    assert ids(batch) == [("evt_1", "evt_2"), ("evt_3",)]
    subscription = next(item for item in batch.objects if item.object_id == "sub_1")
    assert (subscription.table, subscription.tombstone) == ("subscriptions", False)
    assert batch.due.tables == {"subscriptions", "subscription_items", "invoices", "invoice_lines"}
    assert batch.due.surfaces == {"personas", "generations"}


@pytest.mark.parametrize(
    ("type_", "object_type", "tombstone"),
    [
        ("customer.deleted", "customer", True),
        ("price.deleted", "price", True),
        ("customer.subscription.deleted", "subscription", False),
        ("customer.updated", "customer", False),
    ],
)
def test_a_deletion_is_a_hint_of_a_tombstone_unless_it_means_ended(
    state: State, type_: str, object_type: str, tombstone: bool
) -> None:
    insert_events(state, [row("evt_1", object_id="x_1", object_type=object_type, type=type_)])
    (item,) = claim(state, worker="a", now=NOW).objects
    assert item.tombstone is tombstone


def test_a_limit_never_splits_the_events_of_an_object(state: State) -> None:
    insert_events(state, [row(f"evt_{n}") for n in range(5)])
    insert_events(state, [row("evt_9", object_id="sub_2", at=NOW + timedelta(seconds=1))])
    batch = claim(state, worker="a", now=NOW + timedelta(seconds=1), limit=1)
    assert ids(batch) == [tuple(f"evt_{n}" for n in range(5))]


def test_a_claimed_event_belongs_to_one_worker_until_its_lease_ends(state: State) -> None:
    insert_events(state, [row("evt_1")])
    first = claim(state, worker="a", now=NOW, lease_seconds=60)
    assert claim(state, worker="b", now=NOW + timedelta(seconds=59)).objects == ()
    second = claim(state, worker="b", now=NOW + timedelta(seconds=60))
    assert ids(second) == [("evt_1",)]
    assert finish(state, first.objects, worker="a", now=NOW + timedelta(seconds=61)) == 0
    assert statuses(state) == {"evt_1": "pending"}
    assert finish(state, second.objects, worker="b", now=NOW + timedelta(seconds=62)) == 1
    assert statuses(state) == {"evt_1": "done"}


def test_an_event_that_arrives_during_the_work_waits_for_the_next_batch(state: State) -> None:
    insert_events(state, [row("evt_1")])
    batch = claim(state, worker="a", now=NOW)
    insert_events(state, [row("evt_2")])
    finish(state, batch.objects, worker="a", now=NOW)
    assert statuses(state) == {"evt_1": "done", "evt_2": "pending"}
    assert ids(claim(state, worker="a", now=NOW)) == [("evt_2",)]


def test_a_failing_event_is_set_aside_and_the_others_go_on(state: State) -> None:
    insert_events(state, [row("evt_bad", object_id="sub_bad"), row("evt_good", object_id="sub_good")])
    now = NOW
    for attempt in range(3):
        batch = claim(state, worker="a", now=now, max_attempts=3)
        assert len(batch.objects) == (2 if attempt == 0 else 1)
        bad = [item for item in batch.objects if item.object_id == "sub_bad"]
        finish(state, [item for item in batch.objects if item not in bad], worker="a", now=now)
        assert fail(state, bad, worker="a", reason="500 from Stripe", now=now, max_attempts=3) == 1
        assert claim(state, worker="a", now=now + timedelta(seconds=59)).objects == ()
        now += timedelta(seconds=60)
    assert statuses(state) == {"evt_bad": "poison", "evt_good": "done"}
    assert claim(state, worker="a", now=now + timedelta(days=1)).objects == ()
    with state.read() as connection:
        kept = connection.execute(sa.select(inbox.c.reason).where(inbox.c.event_id == "evt_bad")).scalar_one()
    assert kept == "500 from Stripe"


def test_an_event_whose_workers_die_silently_is_set_aside_too(state: State) -> None:
    insert_events(state, [row("evt_1")])
    now = NOW
    for _ in range(3):
        assert len(claim(state, worker="dies", now=now, lease_seconds=10, max_attempts=3).objects) == 1
        now += timedelta(seconds=10)
    assert claim(state, worker="a", now=now, max_attempts=3).objects == ()
    assert statuses(state) == {"evt_1": "poison"}


def test_events_that_are_given_back_lose_no_attempt_and_wait_ever_longer(state: State) -> None:
    insert_events(state, [row("evt_1")])
    now, pauses = NOW, []
    for _ in range(9):
        batch = claim(state, worker="a", now=now)
        assert give_back(state, batch.objects, worker="a", reason="Stripe is away", now=now) == 1
        pause = next(m for m in range(1, 60) if waiting(state, now=now + timedelta(minutes=m)).events)
        pauses.append(pause)
        now += timedelta(minutes=pause)
    assert pauses == [1, 1, 2, 4, 8, 15, 15, 15, 15]
    assert len(claim(state, worker="a", now=now, max_attempts=1).objects) == 1
    assert give_back(state, [], worker="a", reason="nothing", now=now) == 0


def _settled(state: State) -> None:
    """One event of each kind: done, poison, ignored, quarantined, waiting; a minute apart."""
    for minute, (name, status) in enumerate(
        [("done", "pending"), ("poison", "pending"), ("ignored", "ignored"), ("other", "quarantined")]
    ):
        at = NOW + timedelta(minutes=minute)
        insert_events(state, [row(f"evt_{name}", object_id=name, at=at, status=status)])
    batch = claim(state, worker="a", now=NOW + timedelta(minutes=5), max_attempts=1)
    by_id = {item.object_id: item for item in batch.objects}
    finish(state, [by_id["done"]], worker="a", now=NOW + timedelta(minutes=5))
    fail(state, [by_id["poison"]], worker="a", reason="x", now=NOW + timedelta(minutes=5), max_attempts=1)
    insert_events(state, [row("evt_waiting", object_id="waiting", at=NOW + timedelta(minutes=4))])


def test_replay_takes_poison_and_only_once(state: State) -> None:
    _settled(state)
    later = NOW + timedelta(hours=1)
    assert replay(state, now=later) == 1
    assert replay(state, now=later) == 0
    assert statuses(state) == {
        "evt_done": "done",
        "evt_poison": "pending",
        "evt_ignored": "ignored",
        "evt_other": "quarantined",
        "evt_waiting": "pending",
    }
    assert ids(claim(state, worker="a", now=later, max_attempts=1)) == [("evt_poison",), ("evt_waiting",)]


def test_replay_by_id_takes_whatever_is_settled(state: State) -> None:
    _settled(state)
    named = ["evt_done", "evt_ignored", "evt_other", "evt_waiting", "evt_unknown"]
    assert replay(state, now=NOW, event_ids=named) == 3
    assert replay(state, now=NOW, event_ids=named) == 0


def test_pruning_forgets_settled_events_and_never_waiting_or_poisoned_ones(state: State) -> None:
    _settled(state)
    assert prune(state, before=NOW + timedelta(days=31)) == 2
    assert sorted(statuses(state)) == ["evt_other", "evt_poison", "evt_waiting"]


def test_a_thousand_objects_are_claimed_and_finished_in_one_batch(state: State) -> None:
    insert_events(state, [row(f"evt_{n}", object_id=f"sub_{n}") for n in range(1_000)])
    batch = claim(state, worker="a", now=NOW, limit=1_000)
    assert len(batch.objects) == 1_000
    assert finish(state, batch.objects, worker="a", now=NOW) == 1_000
    assert pending_count(state, at_most=10) == 0


def test_two_workers_at_once_never_hold_the_same_event(state: State) -> None:
    insert_events(state, [row(f"evt_{n}", object_id=f"sub_{n}") for n in range(200)])
    with ThreadPoolExecutor(8) as threads:
        batches = list(threads.map(lambda n: claim(state, worker=f"w{n}", now=NOW, limit=40), range(8)))
    held = [event for batch in batches for item in batch.objects for event in item.event_ids]
    assert len(held) == len(set(held))


def test_inserting_again_stores_nothing_and_says_so(state: State) -> None:
    first = insert_events(state, [row("evt_1"), row("evt_1"), row("evt_2")])
    assert first == {("stripe", "evt_1"), ("stripe", "evt_2")}
    assert insert_events(state, [row("evt_2"), row("evt_3")]) == {("stripe", "evt_3")}
    assert insert_events(state, []) == set()
    assert pending_count(state, at_most=2) == 2
