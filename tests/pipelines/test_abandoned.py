"""A run of the command line that was killed while it held a pool does not keep the next one waiting."""

import os
import signal
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from pipelines.abandoned import end_abandoned_runs, run_of_this_process

_INSTANCE = "telemetry: {enabled: false}\nconcurrency: {pools: {default_limit: 1}}\n"


@dg.op(pool="mavera")
def work() -> None:
    """Nothing, or no end."""
    if os.environ.get("WORK_HAS_NO_END"):
        signal.pause()


@dg.job(executor_def=dg.in_process_executor)
def one_step() -> None:
    """The only step needs the only slot."""
    work()


def _run(home: Path) -> None:
    with DagsterInstance.from_config(str(home)) as instance, run_of_this_process(home) as run_id:
        end_abandoned_runs(instance, home)
        assert one_step.execute_in_process(instance=instance, run_id=run_id).success


def _run_without_end(home: str, ready: Connection) -> None:
    os.environ["WORK_HAS_NO_END"] = "1"
    with DagsterInstance.from_config(home) as instance, run_of_this_process(Path(home)) as run_id:
        ready.send(run_id)
        one_step.execute_in_process(instance=instance, run_id=run_id)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text(_INSTANCE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def running(home: Path) -> Iterator[tuple[str, int]]:
    """A run in a process of its own that holds the slot: its id, and the process."""
    processes = get_context("spawn")
    here, there = processes.Pipe()
    process = processes.Process(target=_run_without_end, args=(str(home), there), daemon=True)
    process.start()
    try:
        run_id = here.recv()
        with DagsterInstance.from_config(str(home)) as instance:
            while run_id not in instance.event_log_storage.get_concurrency_info("mavera").active_run_ids:
                assert process.is_alive()
        yield run_id, int(process.pid or 0)
    finally:
        process.kill()
        process.join()


def test_a_killed_run_is_failed_and_its_slot_is_free_for_the_next(home: Path, running: tuple[str, int]) -> None:
    run_id, pid = running
    with DagsterInstance.from_config(str(home)) as instance:
        assert end_abandoned_runs(instance, home) == [], "it is alive"
        os.kill(pid, signal.SIGKILL)
        while not (ended := end_abandoned_runs(instance, home)):
            pass  # the kernel gives the lock back in a moment
        assert ended == [run_id]
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status is DagsterRunStatus.FAILURE
    _run(home)
    assert list((home / "running").iterdir()) == []
