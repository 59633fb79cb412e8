"""Staging: what is under way when a run ends is finished, and a write that failed lets no later one count it."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from ingest.staging import Staging, StagingError
from ingest.windows import Windows
from resources.state import State
from resources.state.extraction import ExtractionState, runs

_NOW = datetime(2026, 11, 24, tzinfo=UTC)


def _begun(state: State) -> ExtractionState:
    journal = ExtractionState(state, lambda: _NOW)
    journal.begin_run("run", "acct", {})
    return journal


def _quarantined(number: int) -> dict[str, Any]:
    return {
        "raw_hash": f"{number:064d}",
        "table": "refunds",
        "object_id": f"re_{number}",
        "reason": "r",
        "source": "api",
        "fetched_at": number,
    }


def test_a_write_under_way_is_finished_before_the_files_are_closed(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = _begun(state)
    writing, may_go_on = threading.Event(), threading.Event()
    journalled: list[Any] = []

    def slow(*arguments: Any) -> None:
        writing.set()
        assert may_go_on.wait(10)
        journalled.append(arguments)

    monkeypatch.setattr(journal, "write_journal", slow)

    async def scenario() -> None:
        async with Staging(tmp_path / "staging", journal, "run") as staging:
            part = staging.part("coupons", ("coupons",))
            page = staging.write(part, {})
            await asyncio.to_thread(writing.wait, 10)
            page.cancel()
            asyncio.get_running_loop().call_later(0.05, may_go_on.set)
        assert len(journalled) == 1

    asyncio.run(scenario())


def test_no_write_after_a_failed_one_is_journalled(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cursors and counts tell of the page that was not written: the next run would read on behind it."""
    journal = _begun(state)
    writing, may_go_on = threading.Event(), threading.Event()

    def lost(*_: Any) -> None:
        writing.set()
        assert may_go_on.wait(10)
        raise OperationalError("INSERT", {}, Exception("server closed the connection"))

    async def scenario() -> None:
        async with Staging(tmp_path / "staging", journal, "run") as staging:
            part = staging.part("refunds", ("refunds",))
            part.windows = Windows.over(0, 1_000)
            (window,) = part.windows.live
            with monkeypatch.context() as patch:
                patch.setattr(journal, "write_journal", lost)
                part.windows.advance(window, [900], "re_900", has_more=True)
                pages = [staging.write(part, {"quarantine": [_quarantined(900)]})]
                await asyncio.to_thread(writing.wait, 10)
                part.windows.advance(window, [300], "re_300", has_more=True)
                pages.append(staging.write(part, {"quarantine": [_quarantined(300)]}))
                may_go_on.set()
                await asyncio.wait(pages)
            pages.append(staging.write(part, {"quarantine": [_quarantined(100)]}))
            for page in pages:
                with pytest.raises(StagingError, match="server closed the connection"):
                    await page
        assert journal.journal("run") == {}

    asyncio.run(scenario())


def test_only_folders_that_are_there_are_looked_up_and_those_of_ended_runs_removed(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = _begun(state)
    row = {"account": "acct/reread", "plan": {}, "holder": "h", "started_at": _NOW, "heartbeat_at": _NOW}
    old = [{**row, "run_id": f"reread-{number}", "status": "complete"} for number in range(1_000)]
    with state.begin() as connection:
        connection.execute(runs.insert(), [*old, {**row, "run_id": "lives", "status": "running"}])
    for name in ("run", "reread-7", "lives"):
        (tmp_path / "staging" / name).mkdir(parents=True)
    looked_at: list[str] = []
    is_there = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: looked_at.append(path.name) or is_there(path))
    Staging(tmp_path / "staging", journal, "run").clear()
    assert [path.name for path in (tmp_path / "staging").iterdir()] == ["lives"]
    assert len(looked_at) <= 3
