"""Real run workers and step processes, killed with SIGKILL while paid calls are under way, and retried by Dagster.

A `RetryPolicy` on the paid step and run retries are on, as a deployment's defaults could have them. Whatever dies
and is run again, nothing is made twice, no row stays open, and no credit over the cap is spent.
"""

import json
import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal, TypeVar

import dagster as dg
import httpx
import pytest
import sqlalchemy as sa
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus

from activation.tables import MAVERA_TABLES
from pipelines.definitions import build_definitions
from pipelines.runner import run_job
from pipelines.settings import Settings
from resources.lake import Lake
from resources.progress import Silent
from resources.state.ledger import intents
from sandbox.launch import Sandbox
from tests.pipelines.run_worker import RETRIES, start_worker

_Found = TypeVar("_Found")
Victim = Literal["worker", "step"]
_FINAL = {"done", "failed", "held"}
_TOKEN = re.compile(r"\[[a-z2-7]{8}\]")
_RUN_RETRIES = f"\nrun_retries:\n  enabled: true\n  max_retries: {RETRIES}\n"
# Slow enough to be killed in the middle; two things with one name show that one was made twice.
_MAVERA = {
    "duplicate_name": "allow_second",
    "list_lag_seconds": 0.2,
    "latency_scale": 1,
    "latency": {
        "personas": {"low": 0.4, "high": 1.2},
        "generations": {"low": 0.4, "high": 1.2},
        "mave": {"low": 0.5, "high": 1.5},
        "responses": {"low": 0.3, "high": 1.2},
        "brand_voices": {"low": 0.2, "high": 0.5},
    },
    "brand_voices": {"seconds": 0.2},
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    """A business with its tables and its plan made, and nothing paid so far."""
    folder = tmp_path_factory.mktemp("prepared")
    with (
        pytest.MonkeyPatch.context() as patch,
        Sandbox(customers=200, seed=7, mavera_options=json.dumps(_MAVERA)) as sandbox,
    ):
        patch.setenv("DAGSTER_HOME", "")
        settings = _settings(sandbox, folder)
        outcome = run_job(settings, "refresh", progress=Silent(), selection=_tables(settings))
        assert outcome.success, outcome.failures
        yield sandbox, folder


@dataclass
class Account:
    """A copy of the prepared account: its folder, the pretend Mavera, and what Dagster has recorded."""

    sandbox: Sandbox
    folder: Path
    instance: DagsterInstance
    cap: int
    chance: random.Random
    runs: list[str] = field(default_factory=list)
    processes: list[ForkServerProcess] = field(default_factory=list)
    kills: int = 0
    under_way: int = 0

    # ---- runs ---------------------------------------------------------------------------------------------------
    def environment(self) -> dict[str, str]:
        """What a run worker of this account reads."""
        return {
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DATA_DIR": str(self.folder),
            "STRIPE_API_BASE": self.sandbox.stripe,
            "MAVERA_API_BASE": self.sandbox.mavera,
            "MAVERA_CREDIT_BUDGET": str(self.cap),
        }

    def kill_workers(self, times: int) -> None:
        """Start a run, kill its process, and kill each retry of it as well."""
        for number in range(times):
            process = self._start()
            _until(lambda: self._started(DagsterEventType.STEP_START))
            self._kill(process.pid, at_once=number > 0)
            process.join(60)
            assert process.exitcode == -signal.SIGKILL
            # What Dagster's daemon does when it finds that a run's process is gone.
            run = self._last_run()
            self.instance.report_run_failed(run)
            self.instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)

    def kill_steps(self, times: int) -> None:
        """Start a run with a process for each step, kill that of the paid step, and its successors as well."""
        process = self._start(process_per_step=True)
        for number in range(times):
            ask = partial(self._started, DagsterEventType.STEP_WORKER_STARTED, more_than=number)
            workers = _until(ask)
            self._kill(int(str(workers[-1].engine_event_data.metadata["pid"].value)), at_once=number > 0)
        process.join(60)
        assert process.exitcode == 0
        assert len(self._started(DagsterEventType.STEP_WORKER_STARTED)) == times + 1

    def _kill(self, pid: int | None, *, at_once: bool) -> None:
        assert pid is not None
        if not at_once:
            _until(lambda: self.states()["sent"])
        time.sleep(self.chance.uniform(0.0, 0.8))
        os.kill(pid, signal.SIGKILL)
        self.kills += 1
        self.under_way += bool(self.states()["sent"])

    def finish(self) -> int:
        """Retry until no row is open, as often as run retries would; how often that was."""
        for number in range(RETRIES + 1):
            if self._last_run().status == DagsterRunStatus.SUCCESS and self.states().keys() <= _FINAL:
                return number
            process = self._start()
            process.join(60)
            assert process.exitcode == 0
        raise AssertionError(f"rows are open after {RETRIES} retries: {self.states()}")

    def _start(self, *, process_per_step: bool = False) -> ForkServerProcess:
        """A first run, or the retry of the last one."""
        retry_of = self.runs[-1] if self.runs else None
        process = start_worker(self.environment(), retry_of=retry_of, process_per_step=process_per_step)
        self.processes.append(process)
        self.runs.append(_until(self._new_run))
        return process

    def _new_run(self) -> str | None:
        newest = next(iter(self.instance.get_runs(limit=1)))
        return None if newest.run_id in self.runs or newest.job_name != "activate" else newest.run_id

    def _last_run(self) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(self.runs[-1])
        assert run is not None
        return run

    def _started(self, kind: DagsterEventType, *, more_than: int = 0) -> list[dg.DagsterEvent]:
        """Events of the paid step, if there are more than so many."""
        records = self.instance.get_records_for_run(self.runs[-1], of_type=kind).records
        events = [event for one in records if (event := one.event_log_entry.dagster_event) is not None]
        mine = [event for event in events if event.step_key == "carry_out"]
        return mine if len(mine) > more_than else []

    # ---- what is left -------------------------------------------------------------------------------------------
    def states(self) -> Counter[str]:
        """Rows of the ledger by state."""
        engine = sa.create_engine(f"sqlite:///{self.folder / 'sandbox' / 'state.db'}")
        with engine.connect() as connection:
            found = Counter(connection.scalars(sa.select(intents.c.state)))
        engine.dispose()
        return found

    def ledger(self) -> dict[str, Any]:
        """What the pretend Mavera made and charged."""
        found: dict[str, Any] = _panel(self.sandbox, "ledger")
        return found


def _round(prepared: tuple[Sandbox, Path], folder: Path, victim: Victim, times: int, *, seed: int) -> Account:
    """One account, killed, then retried to its end; all promises are checked."""
    sandbox, source = prepared
    _panel(sandbox, "control", reset=True)
    shutil.copytree(source, folder)
    settings = _settings(sandbox, folder)
    planned = [row for row in Lake(settings.lake).read("mavera/plan").to_pylist() if row["action"] == "create"]
    cap = sum(row["credits"] for row in planned)
    with (folder / "dagster" / "dagster.yaml").open("a", encoding="utf-8") as instance_file:
        instance_file.write(_RUN_RETRIES)
    with DagsterInstance.from_config(str(folder / "dagster")) as instance:
        account = Account(sandbox, folder, instance, cap, random.Random(seed))
        try:
            account.kill_workers(times) if victim == "worker" else account.kill_steps(times)
            assert account.finish() <= RETRIES
        finally:
            for process in account.processes:
                process.kill()
                process.join()

    made = account.ledger()
    assert _made_twice(made) == []
    assert made["credits_charged"] <= cap
    assert set(account.states()) <= _FINAL
    ends = {
        (row["kind"], row["segment_key"]): (row["ending"], row["ending_reason"])
        for row in Lake(settings.lake).read("mavera/outcomes").to_pylist()
    }
    for row in planned:
        ending, reason = ends[row["kind"], row["segment_key"]]
        assert ending in ("done", "unchanged") or (ending in ("held", "skipped", "failed") and reason), row
    return account


def test_runs_and_steps_killed_five_times_make_nothing_twice_and_leave_no_row_open(
    prepared: tuple[Sandbox, Path], tmp_path: Path
) -> None:
    rounds = [
        _round(prepared, tmp_path / "once", "worker", 1, seed=1),
        _round(prepared, tmp_path / "retry", "worker", 2, seed=2),
        _round(prepared, tmp_path / "step", "step", 2, seed=3),
    ]
    assert sum(account.kills for account in rounds) == 5
    assert sum(account.under_way for account in rounds) >= 3


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 110))
def test_runs_and_steps_killed_fifty_times_make_nothing_twice(
    prepared: tuple[Sandbox, Path], tmp_path: Path, seed: int
) -> None:
    """Ten times five kills."""
    _round(prepared, tmp_path / "retry", "worker", 3, seed=seed)
    _round(prepared, tmp_path / "step", "step", 2, seed=seed)


def _made_twice(made: dict[str, Any]) -> list[str]:
    """Requests that made more than one object; a token or, without one, the whole body tells them apart."""
    sent = [
        token.group() if (token := _TOKEN.search(body)) else body
        for body in (json.dumps(one["request"], sort_keys=True) for one in made["objects"] if one["request"])
    ]
    paid = [f"{charge['operation']} {charge['object_id']}" for charge in made["charges"]]
    assert len(paid) == len(sent)
    return [what for what, times in Counter([*sent, *paid]).items() if times > 1]


def _settings(sandbox: Sandbox, folder: Path) -> Settings:
    return Settings(
        _env_file=None, data_dir=folder, stripe_api_base=sandbox.stripe, mavera_api_base=sandbox.mavera
    )


def _panel(sandbox: Sandbox, path: str, **command: Any) -> Any:
    url = f"{sandbox.mavera.removesuffix('/api/v1')}/_sandbox/{path}"
    with httpx.Client(trust_env=False) as http:
        return (http.post(url, json=command) if command else http.get(url)).raise_for_status().json()


def _tables(settings: Settings) -> list[str]:
    """What `refresh` makes, without what is paid for."""
    job = build_definitions(settings).resolve_job_def("refresh")
    paid = {f"mavera/{name}" for name in MAVERA_TABLES if name != "plan"}
    return [name for key in job.asset_layer.selected_asset_keys if (name := "/".join(key.path)) not in paid]


def _until(ask: Callable[[], _Found | None]) -> _Found:
    """The first answer that is something, within a minute."""
    for _ in range(6_000):
        if found := ask():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen within a minute")
