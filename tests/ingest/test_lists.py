"""Nested lists of more than ten, cursors under way, and what a kill leaves on disk."""

import asyncio
import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stripe_account import END, Expected, write_account
from ingest.staging import Staging, StagingError
from ingest.windows import Windows
from resources.state import State
from resources.state.extraction import ExtractionState
from sandbox.launch import Sandbox
from tests.ingest.account import Account, differences

_TABLES = ("customers", "subscriptions", "prices", "invoices", "charges")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Expected]]:
    folder = tmp_path_factory.mktemp("account")
    expected = write_account(folder, customers=120, invoices=260, charges=900)
    end = datetime.fromtimestamp(END, UTC).isoformat()
    with Sandbox(only="stripe", dataset=folder, end=end, account_rate=0, operation_rate=0) as sandbox:
        yield sandbox, expected


def test_nested_lists_are_read_to_their_end(served: tuple[Sandbox, Expected], tmp_path: Path) -> None:
    sandbox, expected = served
    sandbox.control(reset=True)
    account = Account(tmp_path)
    report = account.extract(sandbox.stripe, tables=_TABLES)
    assert {table: report.table(table).rows for table in expected.rows} == expected.rows
    assert all(row["items_complete"] for row in account.rows("subscriptions"))
    assert all(row["lines_complete"] for row in account.rows("invoices"))
    assert differences(account, sandbox, _TABLES) == []
    operations = sandbox.stats()["operations"]
    assert operations["GET /v1/subscription_items"] == 50  # one call where there is more, none elsewhere
    assert operations["GET /v1/invoices/{id}/lines"] == 50


def test_a_nested_list_is_replaced_as_a_set(served: tuple[Sandbox, Expected], tmp_path: Path) -> None:
    sandbox, _ = served
    account = Account(tmp_path)
    account.extract(sandbox.stripe, tables=_TABLES)
    items = {row["id"] for row in account.rows("subscription_items")}
    sandbox.control(mutate=[{"resource": "subscriptions", "update": 5}])
    account.extract(sandbox.stripe, tables=_TABLES)
    assert {row["id"] for row in account.rows("subscription_items")} == items
    assert differences(account, sandbox, _TABLES) == []


def test_a_second_run_waits_for_no_first_one_and_shares_its_pace(
    served: tuple[Sandbox, Expected], tmp_path: Path
) -> None:
    sandbox, expected = served
    account = Account(tmp_path)

    async def both() -> list[Any]:
        options = {"tables": _TABLES}
        return await asyncio.gather(*(account.extract_async(sandbox.stripe, options) for _ in range(2)))

    reports = asyncio.run(both())
    assert all(report.complete for report in reports)
    assert {table: len(account.rows(table)) for table in expected.rows} == expected.rows
    assert differences(account, sandbox, _TABLES) == []


def _quarantined(number: int) -> dict[str, Any]:
    return {
        "raw_hash": f"{number:064d}",
        "table": "charges",
        "object_id": None,
        "reason": "r",
        "source": "api",
        "fetched_at": number,
    }


def test_bytes_past_the_journal_are_cut_off(state: State, tmp_path: Path) -> None:
    journal = ExtractionState(state, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    journal.begin_run("r", "acct", {})

    async def write(*numbers: int) -> list[int]:
        async with Staging(tmp_path, journal, "r") as staging:
            part = staging.part("charges", ("charges",))
            part.windows = Windows.over(1, 2)
            for number in numbers:
                await staging.write(part, {"quarantine": [_quarantined(number)]})
            return [row["raw_hash"] for batch in part.batches("quarantine") for row in batch.to_pylist()]

    first = asyncio.run(write(1, 2))
    with (tmp_path / "r" / "charges.part").open("ab") as file:
        file.write(b"half a page that no journal knows")
    assert asyncio.run(write()) == first
    assert asyncio.run(write(3)) == [*first, f"{3:064d}"]


def test_a_folder_that_cannot_be_written_is_named(state: State, tmp_path: Path) -> None:
    journal = ExtractionState(state, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    journal.begin_run("r", "acct", {})
    (tmp_path / "taken").write_text("a file where the folder should be")

    async def write() -> None:
        async with Staging(tmp_path / "taken", journal, "r"):
            pass

    with pytest.raises(StagingError, match=r"pages cannot be staged in .*taken/r: .*; tables are as they were"):
        asyncio.run(write())


def test_a_full_disk_ends_with_one_line_and_books_nothing(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = ExtractionState(state, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    journal.begin_run("r", "acct", {})

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def write() -> None:
        async with Staging(tmp_path, journal, "r") as staging:
            monkeypatch.setattr(os, "fsync", full)
            await staging.write(staging.part("charges", ("charges",)), {"quarantine": [_quarantined(1)]})

    with pytest.raises(StagingError, match="No space left on device; tables are as they were"):
        asyncio.run(write())
    assert journal.journal("r") == {}
