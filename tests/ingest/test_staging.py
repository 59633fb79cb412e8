"""Staging: what is under way when a run ends is finished before its files are closed."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.staging import Staging
from resources.state import State, metadata
from resources.state.extraction import ExtractionState


def test_a_write_under_way_is_finished_before_the_files_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = State(f"sqlite:///{tmp_path}/state.db")
    metadata.create_all(database.engine)
    state = ExtractionState(database, lambda: datetime.now(UTC))
    state.begin_run("run", "acct", {})
    writing, may_go_on = threading.Event(), threading.Event()
    journalled: list[Any] = []

    def slow(*arguments: Any) -> None:
        writing.set()
        assert may_go_on.wait(10)
        journalled.append(arguments)

    monkeypatch.setattr(state, "write_journal", slow)

    async def scenario() -> None:
        async with Staging(tmp_path / "staging", state, "run") as staging:
            part = staging.part("coupons", ("coupons",))
            page = staging.write(part, {})
            await asyncio.to_thread(writing.wait, 10)
            page.cancel()
            asyncio.get_running_loop().call_later(0.05, may_go_on.set)
        assert len(journalled) == 1

    asyncio.run(scenario())
