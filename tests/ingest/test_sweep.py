"""The sweep finds what no event told, and costs one request per hundred rows where nothing differs."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.repair import read_objects_again
from ingest.sweep import SweepReport, sweep
from ingest.windows import Window
from resources.limiter import Limiter
from resources.stripe_api import PermissionMissing, StripeApi
from sandbox.launch import Sandbox
from tests.ingest.account import KEY, Account, differences


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(customers=60, only="stripe", account_rate=0, operation_rate=0) as running:
        yield running


def _sweep(account: Account, base: str, budget: int | None = None, **options: Any) -> SweepReport:
    async def run() -> SweepReport:
        limiter = Limiter(requests_per_second=2_000, operation_per_second=2_000, budget=budget)
        async with StripeApi(KEY, base_url=base, limiter=limiter) as api:
            return await sweep(
                api,
                account.lake,
                account.state,
                now=lambda: datetime.now(UTC),
                staging=account.folder / "staging",
                **options,
            )

    return asyncio.run(run())


def test_equal_tables_need_no_repair(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    report = _sweep(account, sandbox.stripe)
    assert report.complete
    assert report.repaired == {}
    windowed = [stream for stream in report.streams if stream.stream not in ("payment_methods", "prices")]
    assert {stream.differing for stream in windowed} == {0}
    assert {stream.unlisted for stream in report.streams} == {0}


def test_changes_without_events_are_repaired(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    sandbox.control(faults={"hide_new_events": True})
    try:
        for name in ("customers", "subscriptions", "invoices", "charges"):
            sandbox.control(mutate=[{"resource": name, "update": 3, "create": 1}])
        sandbox.control(mutate=[{"resource": "customers", "delete": 2}, {"resource": "invoices", "delete": 1}])
        assert account.extract(sandbox.stripe).mode == "unchanged"
        assert differences(account, sandbox) != []
        report = _sweep(account, sandbox.stripe)
        assert report.complete
        assert differences(account, sandbox) == []
        assert sum(row["deleted"] for row in account.rows("customers")) == 2
    finally:
        sandbox.control(reset=True)


def test_a_sweep_stops_at_the_budget_and_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    report = _sweep(account, sandbox.stripe, budget=6)
    assert not report.complete
    assert report.requests <= 12


@pytest.mark.parametrize("budget", [None, 60], ids=["to the end", "up to the budget"])
def test_payment_methods_are_asked_per_customer_where_no_list_is_given(
    budget: int | None, sandbox: Sandbox, tmp_path: Path
) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    sandbox.control(faults={"payment_methods_need_customer": True, "hide_new_events": True})
    try:
        for name in ("customers", "payment_methods"):
            sandbox.control(mutate=[{"resource": name, "update": 3}])
        sandbox.control(mutate=[{"resource": "payment_methods", "delete": 2}])
        report = _sweep(account, sandbox.stripe, budget=budget)
        assert report.complete is (budget is None)
        assert [s.stream for s in report.streams if not s.finished] == (
            [] if budget is None else ["payment_methods"]
        )
        assert "customers" in report.repaired
        assert differences(account, sandbox, ["customers"] if budget else None) == []
    finally:
        sandbox.control(reset=True)


def test_a_stream_that_cannot_be_read_does_not_stop_the_others(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    sandbox.control(faults={"hide_new_events": True, "forbidden": ["disputes"]})
    try:
        sandbox.control(mutate=[{"resource": "customers", "update": 3}])
        with pytest.raises(PermissionMissing, match="disputes"):
            _sweep(account, sandbox.stripe)
        assert differences(account, sandbox, ["customers"]) == []
    finally:
        sandbox.control(reset=True)


def test_single_objects_are_read_again_by_id(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    wanted = {name: [row["id"] for row in account.rows(name)[:3]] for name in ("customers", "invoices")}
    sandbox.control(mutate=[{"resource": "customers", "update": 2, "ids": wanted["customers"][:2]}])
    sandbox.control(mutate=[{"resource": "customers", "delete": 1, "ids": wanted["customers"][2:]}])

    async def run() -> None:
        limiter = Limiter(requests_per_second=2_000, operation_per_second=2_000)
        async with StripeApi(KEY, base_url=sandbox.stripe, limiter=limiter) as api:
            await read_objects_again(
                api,
                account.lake,
                account.state,
                wanted,
                now=lambda: datetime.now(UTC),
                staging=tmp_path / "staging",
            )

    asyncio.run(run())
    assert differences(account, sandbox, ["customers"]) == []
    assert {row["id"] for row in account.rows("customers") if row["deleted"]} >= set(wanted["customers"][2:])


def test_a_stretch_of_time_is_read_again_whatever_it_holds(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    created = sorted(int(row["created"].timestamp()) for row in account.rows("charges"))
    window = Window(created[len(created) // 3], created[len(created) // 2])
    before = {row["id"]: row["fetched_at"] for row in account.rows("charges")}
    report = _sweep(account, sandbox.stripe, created=window, tables=["charges"])
    assert report.complete
    again = {
        row["id"]
        for row in account.rows("charges")
        if created[len(created) // 3] <= int(row["created"].timestamp()) < created[len(created) // 2]
    }
    assert report.repaired["charges"] == len(again) > 0
    changed = {row["id"] for row in account.rows("charges") if row["fetched_at"] != before[row["id"]]}
    assert changed <= again
    assert differences(account, sandbox, ["charges"]) == []
