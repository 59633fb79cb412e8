"""Extraction while everything goes wrong: the tables still equal the server, each object once, at its newest."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest.report import ExtractionFailed
from ingest.streams import STREAMS
from ingest.tables import RAW_TABLES
from sandbox.launch import Sandbox
from tests.ingest.account import Account, differences
from tests.ingest.in_process import MortalAccount, Server

_ERRORS: dict[str, Any] = {
    "rate_429": {"endpoint-rate": 0.01, "global-rate": 0.01, "endpoint-concurrency": 0.005, "none": 0.01},
    "rate_500": 0.02,
    "rate_lock_timeout": 0.01,
    "rate_drop": 0.01,
}
_STIR = [
    {"on": "charges", "every": 2, "times": 6, "create": 1, "update": 2},
    {"on": "customers", "every": 1, "times": 3, "create": 1, "update": 1, "delete": 1},
    {"on": "invoices", "every": 2, "times": 6, "create": 1, "update": 2, "delete": 1},
    {"on": "subscriptions", "every": 1, "times": 3, "create": 1, "update": 2, "delete": 1},
    {"on": "payment_methods", "every": 1, "times": 2, "delete": 1},
]

_WHEN_READ = {"version_at", "fetched_at", "source"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(customers=150, only="stripe", account_rate=0, operation_rate=0) as running:
        yield running


def _settled(account: Account, sandbox: Sandbox) -> list[str]:
    """Differences after one more run: what changed while the last one ended has its event by now."""
    account.extract(sandbox.stripe)
    return differences(account, sandbox)


def test_errors_and_dropped_connections_lose_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.control(faults=_ERRORS)
    account = Account(tmp_path)
    report = account.extract(sandbox.stripe)
    assert report.complete
    assert report.limited > 0
    assert report.retried > report.limited
    assert differences(account, sandbox) == []


def test_changes_and_deletes_between_pages_lose_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.control(faults={**_ERRORS, "mutations": _STIR})
    account = Account(tmp_path)
    assert account.extract(sandbox.stripe).complete
    assert _settled(account, sandbox) == []


@pytest.mark.parametrize("name", ["customers", "payment_methods", "invoices"])
def test_a_deleted_cursor_object_restarts_its_window(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.control(faults={"mutations": [{"on": name, "every": 1, "times": 3, "delete_cursor": True}]})
    account = Account(tmp_path)
    assert account.extract(sandbox.stripe).complete
    assert _settled(account, sandbox) == []


def test_hundreds_of_objects_in_one_second_are_read_to_the_last(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.control(mutate=[{"resource": "charges", "create": 350, "same_second": True}])
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    assert differences(account, sandbox) == []
    sandbox.control(mutate=[{"resource": "invoices", "create": 250, "update": 50, "same_second": True}])
    account.extract(sandbox.stripe)
    assert differences(account, sandbox) == []


def test_events_of_an_old_version_cause_reads(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    sandbox.control(faults={"old_events": "2022-11-15"})
    for name in ("subscriptions", "invoices", "charges", "customers"):
        sandbox.control(mutate=[{"resource": name, "update": 3}])
    report = account.extract(sandbox.stripe)
    assert report.changes["read"] >= 10
    assert report.changes["snapshot"] == 0
    assert differences(account, sandbox) == []


def test_late_events_are_found_by_the_overlap(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    sandbox.control(faults={"hide_new_events": True})
    sandbox.control(mutate=[{"resource": "customers", "update": 3}])
    assert account.extract(sandbox.stripe).mode == "unchanged"
    sandbox.control(faults={"hide_new_events": False})
    sandbox.control(mutate=[{"resource": "charges", "update": 1}])
    account.extract(sandbox.stripe)
    assert differences(account, sandbox) == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    account = MortalAccount(tmp_path_factory.mktemp("undisturbed"), Server(seed=1, customers=12), seed=1)
    account.extract()
    return _tables(account)


class _RefusesOnce(Server):
    """Answers the first page of one list with an error; not the question whether the key may read it."""

    def __init__(self, name: str, **options: int) -> None:
        super().__init__(**options)
        self._path: str | None = f"/v1/{name}"

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == self._path and request.url.params["limit"] != "1":
            self._path = None
            return httpx.Response(400, json={"error": {"type": "invalid_request_error", "message": "no"}})
        return await super().answer(request)


def _tables(account: MortalAccount) -> dict[str, list[dict[str, Any]]]:
    """All rows without what tells when they were read."""
    return {
        table: sorted(
            ({k: v for k, v in row.items() if k not in _WHEN_READ} for row in account.rows(table)),
            key=lambda row: str(row["id"]),
        )
        for table in RAW_TABLES
    }


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_fails_leaves_the_run_incomplete_and_the_next_does_the_rest(
    name: str, undisturbed: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    server = _RefusesOnce(name, seed=1, customers=12)
    account = MortalAccount(tmp_path, server, seed=1)
    with pytest.raises(ExtractionFailed, match=name) as failure:
        account.extract()
    assert failure.value.report is not None
    assert not failure.value.report.complete
    assert [table for table in STREAMS if not account.lake.exists(f"stripe/{table}")] == [name]
    server.control(reset=True)
    report = account.extract()
    assert report.complete
    assert report.resumed
    again = {table for table in STREAMS if server.asked().get(f"GET /v1/{table}", 0) > 1}  # one is the probe
    assert again <= {name, "events"}
    assert _tables(account) == undisturbed


def _kill_and_finish(sandbox: Sandbox, folder: Path, rng: random.Random, kills: int) -> int:
    """Kill extractions at random instants, then let one end; the number that were under way when killed."""
    killed = 0
    for _ in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.ingest.extract_process", sandbox.stripe, str(folder)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()  # it is about to begin
        time.sleep(rng.uniform(0.0, 1.2))
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.wait()
        child.stdout.close()
    return killed


def test_killed_runs_go_on_where_they_were(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.control(faults={"latency_ms": 15, **_ERRORS})
    killed = _kill_and_finish(sandbox, tmp_path, random.Random(3), kills=4)
    assert killed > 0
    account = Account(tmp_path)
    report = account.extract(sandbox.stripe)
    assert report.complete
    assert differences(account, sandbox) == []


@pytest.mark.soak
def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    rng = random.Random(11)
    killed = 0
    for number in range(20):
        with Sandbox(customers=150, only="stripe", account_rate=0, operation_rate=0, seed=number) as sandbox:
            sandbox.control(faults={"latency_ms": 15, **_ERRORS, "seed": number, "mutations": _STIR})
            killed += _kill_and_finish(sandbox, tmp_path / str(number), rng, kills=10)
            account = Account(tmp_path / str(number))
            account.extract(sandbox.stripe)
            assert _settled(account, sandbox) == [], f"account {number}"
    assert killed >= 100
