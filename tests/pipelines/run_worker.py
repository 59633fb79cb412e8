"""A run worker for tests: `activate` of the assembled definitions, with every retry of Dagster switched on.

The product asks for none of these retries; a deployment's defaults may bring them all. It is started as a process
of its own, reads its settings from the environment as any run worker does, and is killed by whoever started it.
"""

import dataclasses
import os
import sys
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess

import dagster as dg
from dagster import DagsterInstance

from assets.account import PaidWork
from pipelines.definitions import build_definitions
from pipelines.jobs import activate
from pipelines.settings import Settings

__all__ = ["RETRIES", "WAITS", "activate_with_retries", "activate_with_retries_in_processes", "start_worker"]

RETRIES = 3
# A stand-in that answers within two seconds: its calls are given up and looked for accordingly.
WAITS = {
    "deadline_seconds": 2.5,
    "mave_deadline_seconds": 2.5,
    "settle_seconds": 3,
    "mave_settle_seconds": 3,
    "claim_seconds": 1,
    "await_results_seconds": 5,
    "poll_seconds": 0.1,
}
_PRELOADED = ["tests.pipelines.run_worker", "activation.apply", "activation.plan", "deltalake", "resources.state"]
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload(_PRELOADED)


def _definitions(executor: dg.ExecutorDefinition) -> dg.Definitions:
    assembled = build_definitions(Settings(_env_file=None))
    resources = dict(assembled.resources or {})
    work: PaidWork = resources["paid_work"]
    resources["paid_work"] = dataclasses.replace(work, policy=work.policy.model_copy(update=WAITS))
    job = dg.define_asset_job(
        "activate",
        selection=activate.selection,
        op_retry_policy=dg.RetryPolicy(max_retries=RETRIES),
        tags={"dagster/max_retries": str(RETRIES), "dagster/retry_on_asset_or_op_failure": "true"},
    )
    return dg.Definitions(assets=assembled.assets, jobs=[job], resources=resources, executor=executor)


def activate_with_retries() -> dg.JobDefinition:
    """The job in one process, as the product runs it."""
    return _definitions(dg.in_process_executor).resolve_job_def("activate")


def activate_with_retries_in_processes() -> dg.JobDefinition:
    """The job with a process for each step, so that a step can be killed alone."""
    forked = {"start_method": {"forkserver": {"preload_modules": _PRELOADED}}}
    executor = dg.multiprocess_executor.configured(forked)
    return _definitions(executor).resolve_job_def("activate")


def start_worker(
    environment: Mapping[str, str], *, retry_of: str | None, process_per_step: bool
) -> ForkServerProcess:
    """Start a run, or the retry of a failed one, as Dagster's run retries would; exit code 0 when it succeeded."""
    process = _PROCESSES.Process(target=_work, args=(dict(environment), retry_of, process_per_step))
    process.start()
    return process


def _work(environment: dict[str, str], retry_of: str | None, process_per_step: bool) -> None:
    os.environ.update(environment)
    job = activate_with_retries_in_processes if process_per_step else activate_with_retries
    with DagsterInstance.get() as instance:
        again = None if retry_of is None else dg.ReexecutionOptions.from_failure(retry_of, instance)
        result = dg.execute_job(
            dg.reconstructable(job), instance=instance, reexecution_options=again, raise_on_error=False
        )
        sys.exit(0 if result.success else 1)
