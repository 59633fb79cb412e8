"""A tick of the inbox sensor: when a run is asked for, and that it is asked for once."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from ingest.inbox import claim, fail, finish, give_back, replay
from ingest.inbox_tick import Waiting, decide, waiting
from ingest.tables import RAW_TABLES
from ingest.webhooks.routes import TABLE_OF, Due, due_for
from resources.state import State
from resources.state.inbox import insert_events
from tests.ingest.test_inbox import row
from tests.ingest.webhook_events import NOW


def found(*, events: int = 3, oldest: float = 20, newest: float = 12, fingerprint: str = "abc") -> Waiting:
    return Waiting(
        events=events,
        oldest=NOW - timedelta(seconds=oldest),
        newest=NOW - timedelta(seconds=newest),
        fingerprint=fingerprint,
        due=Due(tables=frozenset({"invoices"})),
        poison=0,
        quarantined=0,
    )


@pytest.mark.parametrize(
    ("what", "starts"),
    [
        pytest.param(found(newest=10), True, id="quiet for long enough"),
        pytest.param(found(newest=9), False, id="a burst is under way"),
        pytest.param(found(newest=0, oldest=30), True, id="the oldest has waited long enough"),
        pytest.param(found(newest=0, oldest=29, events=500), True, id="a batch is full"),
    ],
)
def test_a_burst_is_let_finish_within_bounds(what: Waiting, starts: bool) -> None:
    decision = decide(what, None, now=NOW)
    assert (decision.run_key is not None) is starts
    assert (decision.skip_reason is None) is starts
    if starts:
        assert decision.due.tables == {"invoices"}


def test_an_empty_inbox_is_skipped() -> None:
    nothing = Waiting(0, None, None, "none", Due(), 0, 0)
    decision = decide(nothing, None, now=NOW)
    assert (decision.run_key, decision.skip_reason, decision.cursor) == (None, "the inbox is empty", "{}")


def test_one_run_at_a_time_also_when_it_has_emptied_the_inbox_in_between() -> None:
    first = decide(found(), None, now=NOW)
    nothing = Waiting(0, None, None, "none", Due(), 0, 0)
    empty = decide(nothing, first.cursor, now=NOW)
    later = found(fingerprint="def")
    asked: list[str] = []

    def is_under_way(run_key: str) -> bool:
        asked.append(run_key)
        return True

    beside = decide(later, empty.cursor, now=NOW, is_under_way=is_under_way)
    assert (beside.run_key, beside.cursor, asked) == (None, first.cursor, ["inbox:abc"])
    assert decide(later, beside.cursor, now=NOW).run_key == "inbox:def", "it has ended"
    hangs = decide(later, beside.cursor, now=NOW + timedelta(minutes=15), is_under_way=is_under_way)
    assert hangs.run_key == "inbox:def", "it will not be waited for any longer"


def test_the_same_events_are_asked_for_once_and_again_when_their_run_died() -> None:
    first = decide(found(), None, now=NOW)
    assert first.run_key == "inbox:abc"
    again = decide(found(oldest=920), first.cursor, now=NOW + timedelta(seconds=899))
    assert (again.run_key, again.cursor) == (None, first.cursor)
    third = decide(found(), again.cursor, now=NOW + timedelta(seconds=900))
    assert third.run_key == "inbox:abc:1"
    other = decide(found(fingerprint="def"), third.cursor, now=NOW + timedelta(seconds=901))
    assert other.run_key == "inbox:def"


@pytest.mark.parametrize("returned", [fail, give_back])
def test_a_retry_and_a_replay_are_another_set_and_a_claim_hides_it(
    state: State, returned: Callable[..., int]
) -> None:
    insert_events(state, [row("evt_1")])
    first = waiting(state, now=NOW)
    assert (first.events, first.oldest, first.due.tables) == (1, NOW, {"subscriptions", "subscription_items"})
    batch = claim(state, worker="a", now=NOW)
    assert waiting(state, now=NOW).events == 0
    returned(state, batch.objects, worker="a", reason="x", now=NOW)
    later = NOW + timedelta(minutes=1)
    second = waiting(state, now=later)
    finish(state, claim(state, worker="a", now=later).objects, worker="a", now=later)
    later += timedelta(minutes=1)
    replay(state, now=later, event_ids=["evt_1"])
    third = waiting(state, now=later)
    assert len({first.fingerprint, second.fingerprint, third.fingerprint}) == 3


def test_what_is_set_aside_is_counted(state: State) -> None:
    insert_events(state, [row("evt_1"), row("evt_2", status="quarantined"), row("evt_3", status="ignored")])
    fail(state, claim(state, worker="a", now=NOW).objects, worker="a", reason="x", now=NOW, max_attempts=1)
    seen = waiting(state, now=NOW)
    assert (seen.events, seen.poison, seen.quarantined) == (0, 1, 1)


@pytest.mark.parametrize(
    ("type_", "object_type", "surface"),
    [
        ("invoice.payment_failed", "invoice", "generations"),
        ("customer.subscription.updated", "subscription", "generations"),
        ("customer.subscription.deleted", "subscription", "generations"),
        ("customer.subscription.paused", "subscription", "generations"),
        ("charge.dispute.created", "dispute", "copy_fixes"),
        ("invoice.paid", "invoice", "case_studies"),
    ],
)
def test_an_event_asks_for_its_job(type_: str, object_type: str, surface: str) -> None:
    assert surface in due_for(object_type, type_).surfaces


def test_routes_name_tables_that_exist() -> None:
    assert set(TABLE_OF.values()) <= set(RAW_TABLES)
    for kind in TABLE_OF:
        due = due_for(kind, "any")
        assert TABLE_OF[kind] in due.tables | {"subscription_items", "invoice_lines"}
        assert due.tables <= set(RAW_TABLES)


def test_an_object_that_no_table_keeps_makes_nothing_due() -> None:
    assert due_for("balance", "balance.available") == Due()
    assert due_for(None, "invoice.upcoming") == Due()
