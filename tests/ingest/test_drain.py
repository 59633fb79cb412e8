"""Working off the inbox against the sandbox: objects read once, poison set aside, an outage loses nothing."""

import asyncio
import itertools
import random
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from ingest.drain import DrainReport, callbacks, drain
from ingest.position import position
from ingest.staging import StagingError
from ingest.streams import STREAMS
from resources.limiter import Limiter
from resources.state.inbox import InboxRow, inbox, insert_events
from resources.stripe_api import StripeApi, StripeUnavailable, Unauthorized, Unreachable, WrongAccount
from sandbox.launch import Sandbox
from tests.ingest.account import KEY, Account, differences

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(customers=60, seed=7, only="stripe") as running:
        yield running


@pytest.fixture
def account(sandbox: Sandbox, tmp_path: Path) -> Iterator[Account]:
    loaded = Account(tmp_path)
    loaded.extract(sandbox.stripe)
    yield loaded
    sandbox.control(reset=True)


def event(
    number: int, object_type: str, object_id: str, *, origin: str = "stripe", at: datetime = NOW, type_: str = ""
) -> InboxRow:
    return InboxRow(
        origin=origin,
        event_id=f"evt_{number}",
        type=type_ or f"{object_type}.updated",
        object_type=object_type,
        object_id=object_id,
        account=None,
        api_version=None,
        livemode=False,
        created=at,
        received_at=at,
        status="pending",
    )


def work_off(
    account: Account,
    base: str,
    /,
    *,
    at: datetime = NOW,
    until: datetime | None = None,
    staging: str = "staging",
    **options: Any,
) -> DrainReport:
    async def short(seconds: float) -> None:
        await asyncio.sleep(seconds / 100)

    async def run() -> DrainReport:
        limiter = Limiter(requests_per_second=2_000, operation_per_second=2_000)
        async with StripeApi(
            KEY,
            base_url=base,
            limiter=limiter,
            unreachable_after=0.5,
            unavailable_after=0.5,
            sleep=short,
            **options,
        ) as api:
            return await drain(
                api,
                account.lake,
                account.state,
                now=lambda: at,
                staging=account.folder / staging,
                worker="run",
                until=until,
            )

    return asyncio.run(run())


def rows(account: Account) -> dict[str, tuple[str, str | None]]:
    with account.state.read() as connection:
        found = connection.execute(sa.select(inbox.c.event_id, inbox.c.status, inbox.c.reason)).all()
    return {row.event_id: (row.status, row.reason) for row in found}


def ids(account: Account, table: str, count: int) -> list[str]:
    return [str(row["id"]) for row in account.rows(table)[:count]]


def test_each_object_is_read_once_however_many_events_speak_of_it(sandbox: Sandbox, account: Account) -> None:
    first, gone = ids(account, "customers", 2)
    sandbox.control(mutate=[{"resource": "customers", "update": 1, "ids": [first]}])
    sandbox.control(mutate=[{"resource": "customers", "delete": 1, "ids": [gone]}])
    speaking = [event(number, "customer", first) for number in range(5)]
    insert_events(account.state, [*speaking, event(9, "customer", gone), event(10, "balance", "balance_1")])
    before = sandbox.stats()["operations"].get("GET /v1/customers/{id}", 0)

    report = work_off(account, sandbox.stripe)
    assert (report.events, report.objects, report.put_back) == (7, 3, 0)
    assert sandbox.stats()["operations"]["GET /v1/customers/{id}"] - before == 2
    assert differences(account, sandbox, ["customers"]) == []
    assert [row["deleted"] for row in account.rows("customers") if row["id"] == gone] == [True]
    assert {status for status, _ in rows(account).values()} == {"done"}
    assert work_off(account, sandbox.stripe) == DrainReport()


@pytest.mark.parametrize("told_by", ["a webhook", "the scan of events"])
@pytest.mark.parametrize(("resource", "object_type"), [("customers", "customer"), ("invoices", "invoice")])
def test_a_tombstone_counts_as_read_now(
    sandbox: Sandbox, account: Account, resource: str, object_type: str, told_by: str
) -> None:
    """Tables that are renewed from what has changed look for rows that were read since they were made."""
    made = position(account.state).as_of
    (gone,) = ids(account, resource, 1)
    sandbox.control(mutate=[{"resource": resource, "delete": 1, "ids": [gone]}])
    if told_by == "a webhook":
        insert_events(account.state, [event(1, object_type, gone)])
        work_off(account, sandbox.stripe)
    else:
        account.extract(sandbox.stripe)
    (row,) = [row for row in account.rows(resource) if row["id"] == gone]
    assert row["deleted"]
    assert row["fetched_at"] >= made
    nested = STREAMS[resource].nested
    if nested is not None:
        lines = [row for row in account.rows(nested.table) if row[nested.parent_column] == gone]
        assert lines
        assert all(row["deleted"] and row["fetched_at"] >= made for row in lines)


# A subscription's six changes at Stripe, by the second in which they are made.
_TYPES = ("created", "updated", "updated", "paused", "resumed", "deleted")
_SECONDS = ((0, 1), (2,), (3,), (4, 5))
_ORDERS = [*itertools.permutations(range(len(_TYPES)))]


@pytest.mark.parametrize(
    "orders",
    [
        pytest.param(random.Random(18).sample(_ORDERS, 3), id="3 orders"),
        pytest.param(_ORDERS, id="all 720 orders", marks=pytest.mark.soak),
    ],
)
def test_in_whatever_order_events_arrive_the_table_shows_what_stripe_shows(
    sandbox: Sandbox, account: Account, orders: Sequence[tuple[int, ...]]
) -> None:
    """Two runs for each order, the first in its midst, when Stripe has made the changes that were told by then."""
    (changed,) = ids(account, "subscriptions", 1)
    for number, order in enumerate(orders):
        cut = number % len(order)
        made = 0
        # The second part holds the first event a second time.
        for told, newest in ((order[:cut], max(order[:cut], default=-1)), ((*order[cut:], order[0]), 5)):
            while made < len(_SECONDS) and _SECONDS[made][0] <= newest:
                named = [changed] * len(_SECONDS[made])
                change = {"resource": "subscriptions", "update": len(named), "ids": named, "same_second": True}
                sandbox.control(mutate=[change])
                made += 1
            kinds = ((one, f"customer.subscription.{_TYPES[one]}") for one in told)
            told_now = [event(10 * number + one, "subscription", changed, type_=type_) for one, type_ in kinds]
            insert_events(account.state, told_now)
            report = work_off(account, sandbox.stripe, at=NOW + timedelta(minutes=number))
            assert report.objects == bool(told)
        assert differences(account, sandbox, ["subscriptions"]) == [], order
    assert {status for status, _ in rows(account).values()} == {"done"}


def test_what_cannot_be_read_is_set_aside_after_some_tries_and_the_others_go_on(
    sandbox: Sandbox, account: Account
) -> None:
    customers, disputes = ids(account, "customers", 6), ids(account, "disputes", 1)
    sandbox.control(faults={"forbidden": ["disputes"]})
    known = [event(number, "customer", one) for number, one in enumerate(customers)]
    insert_events(account.state, [*known, event(100, "dispute", disputes[0])])

    report = work_off(account, sandbox.stripe)
    assert (report.objects, report.put_back) == (6, 1)
    status, reason = rows(account)["evt_100"]
    assert status == "pending"
    assert "rak_dispute_read" in str(reason)
    for attempt in range(1, 5):
        work_off(account, sandbox.stripe, at=NOW + timedelta(minutes=2 * attempt))
    assert rows(account)["evt_100"][0] == "poison"
    assert {rows(account)[f"evt_{number}"][0] for number in range(6)} == {"done"}


def test_an_object_that_stripe_fails_on_does_not_stop_the_others(sandbox: Sandbox, account: Account) -> None:
    (customer,), (charge,) = ids(account, "customers", 1), ids(account, "charges", 1)
    failing: dict[str, Any] = {"operation": "GET /v1/charges/{id}", "status": 500, "times": 10_000}
    sandbox.control(faults={"scripts": [failing]})
    insert_events(account.state, [event(1, "customer", customer), event(2, "charge", charge)])
    report = work_off(account, sandbox.stripe)
    assert (report.objects, report.put_back) == (1, 1)
    assert (rows(account)["evt_1"][0], rows(account)["evt_2"][0]) == ("done", "pending")


def answers(status: int) -> dict[str, Any]:
    """A Stripe that answers with an error only, and a clock by which patience is soon over; 0 is no answer."""

    def refuse(_request: httpx.Request) -> httpx.Response:
        if not status:
            raise httpx.ConnectError("nobody is there")
        return httpx.Response(status, json={"error": {"message": "no"}})

    return {"transport": httpx.MockTransport(refuse), "monotonic": itertools.count(0.0, 1.0).__next__}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param(answers(0), Unreachable, id="Stripe does not answer"),
        pytest.param(answers(500), StripeUnavailable, id="Stripe answers with errors only"),
        pytest.param(answers(401), Unauthorized, id="the key was revoked"),
        pytest.param({"account": "acct_other"}, WrongAccount, id="the key is of another account"),
        pytest.param({"staging": "file/staging"}, StagingError, id="the disk takes nothing"),
    ],
)
def test_while_nothing_can_be_read_every_event_waits_however_often_it_is_tried(
    sandbox: Sandbox, account: Account, options: dict[str, Any], error: type[Exception]
) -> None:
    (account.folder / "file").touch()
    insert_events(account.state, [event(n, "customer", one) for n, one in enumerate(ids(account, "customers", 3))])
    for attempt in range(10):
        with pytest.raises(error):
            work_off(account, sandbox.stripe, at=NOW + timedelta(minutes=20 * attempt), **options)
    assert set(rows(account).values()) == {("pending", f"nothing could be read: {error.__name__}")}
    at = NOW + timedelta(minutes=181)
    assert work_off(account, sandbox.stripe, at=at).events == 0, "not before the back-off is over"
    assert work_off(account, sandbox.stripe, at=at + timedelta(minutes=14)).events == 3


@pytest.mark.parametrize("lost", ["charges", "invoice_lines"])
def test_a_lost_table_is_loaded_whole_though_an_event_came_first(
    lost: str, sandbox: Sandbox, account: Account
) -> None:
    (charge,), (invoice,) = ids(account, "charges", 1), ids(account, "invoices", 1)
    shutil.rmtree(account.lake.path(f"stripe/{lost}"))
    insert_events(account.state, [event(1, "charge", charge), event(2, "invoice", invoice)])
    assert work_off(account, sandbox.stripe).events == 2
    assert not account.lake.exists(f"stripe/{lost}")
    assert account.extract(sandbox.stripe).table(lost).mode == "backfill"
    assert differences(account, sandbox) == []


def test_a_run_leaves_later_events_and_callbacks_of_mavera_alone(sandbox: Sandbox, account: Account) -> None:
    early, late = ids(account, "customers", 2)
    insert_events(
        account.state,
        [
            event(1, "customer", early, at=NOW - timedelta(seconds=30)),
            event(2, "customer", late, at=NOW),
            event(3, "generation", "gen_1", origin="mavera", at=NOW - timedelta(seconds=30)),
        ],
    )
    report = work_off(account, sandbox.stripe, until=NOW - timedelta(seconds=30))
    assert report.events == 1
    assert {name: status for name, (status, _) in rows(account).items()} == {
        "evt_1": "done",
        "evt_2": "pending",
        "evt_3": "pending",
    }


def test_callbacks_are_done_when_mavera_was_read_and_wait_when_it_was_not(account: Account) -> None:
    insert_events(account.state, [event(1, "generation", "gen_1", origin="mavera")])
    for attempt in range(10):
        at = NOW + timedelta(minutes=20 * attempt)
        with pytest.raises(ConnectionError), callbacks(account.state, now=lambda at=at: at, worker="run"):
            raise ConnectionError
        assert rows(account)["evt_1"] == ("pending", "Mavera could not be read")
    with callbacks(account.state, now=lambda: NOW + timedelta(minutes=200), worker="run") as called:
        assert called == 1
    assert rows(account)["evt_1"] == ("done", None)
