"""Upkeep: what is cleared away, and above all what is left alone."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from ingest.leftovers import clear_leftovers
from pipelines.definitions import build_definitions
from pipelines.maintenance import prune_runs, tables_to_tidy
from pipelines.settings import Settings
from resources.lake import Lake
from resources.lake_upkeep import tidy
from resources.schema import column, table
from resources.state import State
from resources.state.extraction import runs
from resources.state.inbox import InboxRow, inbox, insert_events

_NOW = datetime.now(UTC)
_SCHEMA = table("numbers", [column("a", pa.int64(), "a number", required=True)], key=("a",))


def _age(path: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with one table of six files."""
    lake = Lake(str(tmp_path / "lake"))
    for number in range(6):
        lake.append("stripe/charges", pa.table({"a": [number]}), _SCHEMA)
    return lake


def test_compaction_makes_one_file_and_keeps_rows_and_recent_versions(lake: Lake) -> None:
    done = tidy(lake, "stripe/charges")
    assert (done.files_before, done.files_after, done.removed) == (6, 1, 0)
    assert sorted(lake.read("stripe/charges").column("a").to_pylist()) == [0, 1, 2, 3, 4, 5]
    assert lake.read("stripe/charges", version=2).num_rows == 3


def test_a_table_that_is_in_order_gets_no_new_version(lake: Lake) -> None:
    tidy(lake, "stripe/charges")
    version = lake.version("stripe/charges")
    tidy(lake, "stripe/charges")
    assert lake.version("stripe/charges") == version


def test_what_a_killed_writer_left_goes_after_a_week_and_not_before(lake: Lake) -> None:
    folder = Path(lake.path("stripe/charges"))
    for name, days in (("killed-long-ago.parquet", 9), ("under-way.parquet", 0)):
        (folder / name).write_bytes(b"half a file")
        _age(folder / name, days)
    assert tidy(lake, "stripe/charges").removed == 1
    assert not (folder / "killed-long-ago.parquet").exists()
    assert (folder / "under-way.parquet").exists()


def test_less_than_a_week_is_refused(lake: Lake) -> None:
    with pytest.raises(ValueError, match="7 days"):
        tidy(lake, "stripe/charges", keep=timedelta(days=6))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(f"sqlite:///{tmp_path}/state.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("status", "days", "stays"),
    [
        ("running", 40, True),
        ("failed", 40, True),
        ("complete", 2, False),
        ("abandoned", 2, False),
        (None, 2, False),
        (None, 0, True),
    ],
    ids=[
        "a run that may live keeps its pages",
        "a failed run keeps what the next goes on from",
        "a complete run needs its pages no more",
        "an abandoned run needs its pages no more",
        "a folder that nobody knows goes",
        "a folder that was just written stays",
    ],
)
def test_staging_folders(state: State, tmp_path: Path, status: str | None, days: int, stays: bool) -> None:
    folder = tmp_path / "staging" / "run-1"
    folder.mkdir(parents=True)
    (folder / "charges").write_bytes(b"page")
    _age(folder, days)
    if status is not None:
        row = {"run_id": "run-1", "account": "a", "status": status, "plan": {}, "holder": "h"}
        with state.begin() as connection:
            connection.execute(runs.insert().values(**row, started_at=_NOW, heartbeat_at=_NOW))
    gone = clear_leftovers(tmp_path / "staging", state, before=_NOW - timedelta(days=1))
    assert gone == (() if stays else ("run-1",))
    assert folder.exists() is stays


def test_no_staging_folder_is_nothing_to_do(state: State, tmp_path: Path) -> None:
    assert clear_leftovers(tmp_path / "nowhere", state, before=_NOW) == ()


@dg.asset(name="kept")
def _kept() -> None: ...


@dg.op(name="nothing")
def _nothing() -> None: ...


@dg.job(name="made_no_asset")
def _made_no_asset() -> None:
    _nothing()


def test_old_runs_go_with_their_events_but_not_the_newest_materialization() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = dg.materialize([_kept], instance=instance).run_id
        newest = dg.materialize([_kept], instance=instance).run_id
        other = _made_no_asset.execute_in_process(instance=instance).run_id

        assert prune_runs(instance, before=_NOW - timedelta(days=1)) == 0
        later = datetime.now(UTC) + timedelta(seconds=5)
        assert prune_runs(instance, before=later, most=1) == 1
        assert instance.get_run_by_id(first) is None
        assert prune_runs(instance, before=later) == 1

        assert [run.run_id for run in instance.get_runs()] == [newest]
        assert instance.all_logs(other) == []
        assert instance.get_latest_materialization_event(dg.AssetKey("kept")) is not None


def test_the_job_clears_up_and_says_what_it_did(settings_for: Callable[..., Settings], lake: Lake) -> None:
    settings = settings_for(lake_uri=lake.uri)
    state = State(settings.state_url)
    state.migrate()
    old = _NOW - timedelta(days=100)
    event = InboxRow(
        "stripe", "evt_1", "charge.succeeded", "charge", "ch_1", None, None, False, old, old, "ignored"
    )
    insert_events(state, [event])
    row = {"account": "a", "status": "abandoned", "plan": {}, "holder": "h", "started_at": old}
    with state.begin() as connection:
        connection.execute(runs.insert().values(**row, run_id="r", heartbeat_at=old))
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_job_def("maintain")
        result = job.execute_in_process(instance=instance)
        assert result.success
        outputs = {
            event.step_key: {name: value.value for name, value in event.step_output_data.metadata.items()}
            for event in result.all_events
            if event.event_type_value == "STEP_OUTPUT"
        }
    assert outputs == {
        "tidy_tables": {"tables": 1, "files": 1, "files_removed": 0},
        "prune_history": {"runs": 0, "readings": 1, "webhooks": 1, "staging_folders": 0},
    }
    with state.read() as connection:
        assert connection.execute(sa.select(inbox)).all() == []
    state.close()


def test_every_table_of_the_graph_is_kept_in_order(settings_for: Callable[..., Settings]) -> None:
    graph = build_definitions(settings_for()).resolve_asset_graph()
    written = {key.to_user_string() for key in graph.materializable_asset_keys}
    assert set(tables_to_tidy()) <= written
    no_tables = {"mavera/approval", "mavera/reconciliation", "stripe/reconciliation", "report/page"}
    # Its version is part of what a plan rests on: upkeep would make approved plans stale.
    assert written - set(tables_to_tidy()) - no_tables == {"segments/released_cells"}
