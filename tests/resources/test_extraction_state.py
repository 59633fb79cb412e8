"""State of the extraction: who may go on with a run, what the journal tells, cursors that never move back."""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.state import State, metadata
from resources.state.extraction import ExtractionState, SharedPace, holder_alive, runs, this_holder

_NOW = datetime(2026, 11, 24, tzinfo=UTC)
_BOOKED = {"remaining": [{"gte": 1}], "part_bytes": 10, "counts": {"pages": 1}, "committed": False}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[State]:
    opened = State(f"sqlite:///{tmp_path}/state.db")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def state(database: State) -> ExtractionState:
    return ExtractionState(database, lambda: _NOW)


def _hold(database: State, run_id: str, holder: str, heartbeat: datetime = _NOW) -> None:
    with database.begin() as connection:
        connection.execute(
            runs.update().where(runs.c.run_id == run_id).values(holder=holder, heartbeat_at=heartbeat)
        )


@pytest.mark.parametrize(
    ("holder", "age", "alive"),
    [
        (this_holder(), 3_600, True),
        (f"{socket.gethostname()}:{os.getpid()}:1", 0, False),
        (f"{socket.gethostname()}:999999999:1", 0, False),
        ("another-host:1:1", 5, True),
        ("another-host:1:1", 300, False),
    ],
    ids=["this process", "a number used again", "a process that is gone", "a fresh beat", "an old beat"],
)
def test_whether_the_holder_of_a_run_lives(holder: str, age: int, alive: bool) -> None:
    assert holder_alive(holder, _NOW - timedelta(seconds=age), _NOW) is alive


def test_a_live_run_is_left_alone_and_a_dead_one_is_taken_over(state: ExtractionState, database: State) -> None:
    state.begin_run("r1", "acct", {"n": 1})
    assert state.unfinished("acct") is None
    _hold(database, "r1", f"{socket.gethostname()}:999999999:1")
    taken = state.unfinished("acct")
    assert taken is not None
    assert (taken.run_id, taken.plan) == ("r1", {"n": 1})
    assert state.unfinished("acct") is None  # it is ours now


def test_only_the_newest_dead_run_is_gone_on_with(state: ExtractionState, database: State) -> None:
    for number in (1, 2):
        later = ExtractionState(database, lambda n=number: _NOW + timedelta(minutes=n))  # type: ignore[misc]
        later.begin_run(f"r{number}", "acct", {})
        later.end_run(f"r{number}", "failed")
    taken = state.unfinished("acct")
    assert taken is not None
    assert taken.run_id == "r2"
    assert state.over(["r1", "r2", "r3"]) == {"r1"}


@pytest.mark.parametrize(
    ("account", "status", "days", "stays"),
    [
        ("acct", "complete", 100, False),
        ("acct", "complete", 10, True),
        ("other", "complete", 100, True),
        ("acct", "abandoned", 100, False),
        ("acct", "failed", 100, True),
        ("acct", "running", 100, True),
        ("acct/reread", "running", 100, False),
        ("acct/reread", "running", 10, True),
    ],
    ids=[
        "an old run",
        "a run of late",
        "the newest that tells when the tables were brought up to date",
        "an old run that was given up",
        "an old run that the next goes on with",
        "an old run that was killed and the next goes on with",
        "an old run beside the extraction that was killed",
        "a run beside the extraction",
    ],
)
def test_runs_are_forgotten_when_nobody_needs_them(
    account: str, status: str, days: int, stays: bool, state: ExtractionState, database: State
) -> None:
    then = _NOW - timedelta(days=days)
    known = ExtractionState(database, lambda: then)
    known.begin_run("r", account, {})
    known.write_journal("r", {"charges": _BOOKED}, added=[("charges", "in_1", {"object": 1})])
    with database.begin() as connection:
        ended = None if status == "running" else then
        connection.execute(runs.update().where(runs.c.run_id == "r").values(status=status, ended_at=ended))
    state.begin_run("newest", "acct", {})
    state.end_run("newest", "complete")
    assert state.forget_runs(before=_NOW - timedelta(days=90)) == (not stays)
    with database.read() as connection:
        assert set(connection.scalars(sa.select(runs.c.run_id))) == {"newest", *(["r"] if stays else [])}
    assert state.journal("r").keys() == ({"charges"} if stays else set())


def test_the_journal_tells_what_was_booked_last(state: ExtractionState) -> None:
    state.begin_run("r", "acct", {})
    state.write_journal("r", {"charges": _BOOKED}, added=[("charges", "in_1", {"object": 1})])
    state.write_journal(
        "r", {"charges": {**_BOOKED, "remaining": [], "part_bytes": 25}}, done=[("charges", "in_1")]
    )
    known = state.journal("r")["charges"]
    assert (known.remaining, known.part_bytes, known.sublists) == ([], 25, {})
    state.end_run("r", "failed")
    assert state.journal("r")["charges"].part_bytes == 25  # the next run goes on from it
    state.end_run("r", "complete")
    assert state.journal("r") == {}


def test_a_cursor_never_moves_back(state: ExtractionState) -> None:
    state.save_cursor("acct", events_from=100, routed=True, newest_read=7, loaded={"charges": 5})
    state.save_cursor("acct", events_from=90, routed=True, newest_read=3, loaded={"charges": 2, "refunds": 4})
    cursor = state.cursor("acct")
    assert cursor is not None
    assert (cursor.events_from, cursor.newest_read, cursor.loaded) == (100, 7, {"charges": 5, "refunds": 4})
    state.save_cursor("acct", events_from=80, routed=False, newest_read=8, loaded={})
    cursor = state.cursor("acct")
    assert cursor is not None
    assert (cursor.events_from, cursor.routed) == (80, False)  # a load has begun: its scan starts earlier


def test_runs_of_one_account_see_each_other_until_they_leave_or_fall_silent(database: State) -> None:
    time = [_NOW]
    first = SharedPace(database, "acct", "r1", lambda: time[0])
    second = SharedPace(database, "acct", "r2", lambda: time[0])
    other = SharedPace(database, "other", "r3", lambda: time[0])
    assert first.exchange({}) == (1, {})
    assert second.exchange({"GET /v1/charges": 0.5}) == (2, {})
    assert first.exchange({}) == (2, {"GET /v1/charges": 0.5})
    assert other.exchange({}) == (1, {})
    second.leave()
    assert first.exchange({}) == (1, {})
    second.exchange({})
    time[0] += timedelta(seconds=60)
    assert first.exchange({}) == (1, {})
