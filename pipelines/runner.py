"""Running a job from the command line, in this process, and telling in one line why it failed.

Here: the hand-over to Dagster and back. Not here: which assets a job has (`pipelines.jobs`) or what is printed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import DagsterInstance

from pipelines.abandoned import end_abandoned_runs, run_of_this_process
from pipelines.causes import root_cause
from pipelines.dagster_home import prepare_dagster_home
from pipelines.definitions import build_definitions
from pipelines.partitions import ACCOUNTS
from pipelines.run_log import logged_run
from pipelines.settings import Settings
from resources.engines import check_engine
from resources.progress import Progress
from resources.redaction import redact
from resources.spark import SparkChoices

__all__ = ["RunOutcome", "run_job"]

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What a run came to. `failures` are one line each; `seconds` is wall time by step."""

    run_id: str
    success: bool
    failures: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]


def run_job(
    settings: Settings,
    job: str,
    *,
    progress: Progress,
    selection: Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> RunOutcome:
    """Run a job, or the named tables of it, in this process, recorded in Dagster's storage like any other run.

    Raises: EngineError.
    """
    check_engine(
        settings.segment_engine, spark=SparkChoices(master=settings.spark_master, options=settings.spark_options)
    )
    home = prepare_dagster_home(settings)
    definitions = build_definitions(settings, progress=progress)
    with (
        DagsterInstance.get() as instance,
        run_of_this_process(home) as run_id,
        logged_run(run_id, job) as log,
    ):
        end_abandoned_runs(instance, home)
        if settings.account is not None:
            instance.add_dynamic_partitions(str(ACCOUNTS.name), [settings.account])
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_config={**_QUIET, **(config or {})},
            asset_selection=None if selection is None else [dg.AssetKey(name.split("/")) for name in selection],
            partition_key=settings.account,
            raise_on_error=False,
            tags={"launched_by": "command line"},
            run_id=run_id,
        )
        for event in result.all_events:
            log.see(event)
    return RunOutcome(
        run_id=result.run_id,
        success=result.success,
        failures=tuple(_failures(result)),
        warnings=tuple(_warnings(result)),
        seconds=_seconds(result),
    )


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """One line for each step that failed by itself, and for each check that stopped the run."""
    lines = []
    for event in result.all_events:
        if event.is_step_failure:
            lines.append(redact(root_cause(event.step_failure_data.error)))
    lines.extend(
        f"{'/'.join(check.asset_key.path)}: check {check.check_name} failed"
        + (f" ({check.description})" if check.description else "")
        for check in _failed_checks(result, dg.AssetCheckSeverity.ERROR)
    )
    return lines


def _warnings(result: dg.ExecuteInProcessResult) -> list[str]:
    return [
        f"{'/'.join(check.asset_key.path)}: {check.check_name}"
        + (f": {check.description}" if check.description else "")
        for check in _failed_checks(result, dg.AssetCheckSeverity.WARN)
    ]


def _failed_checks(result: dg.ExecuteInProcessResult, severity: dg.AssetCheckSeverity) -> list[Any]:
    return [
        check for check in result.get_asset_check_evaluations() if not check.passed and check.severity == severity
    ]


def _seconds(result: dg.ExecuteInProcessResult) -> dict[str, float]:
    return {
        event.step_key: event.step_success_data.duration_ms / 1000
        for event in result.all_events
        if event.is_step_success and event.step_key is not None
    }
