"""What a run says of itself in the log: its begin, its end with counts, its id and step on every line between.

Here: reading them off Dagster's events, for runs that Dagster starts (by their executor) and for those of the
command line. Not here: how a line is written (`pipelines.logs`), what is told to people (`pipelines.sensors`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg
from structlog.contextvars import bind_contextvars, bound_contextvars

from pipelines.logs import LogsToStderr
from resources.loggers import get_logger

__all__ = ["RunLog", "in_process_executor", "logged_run"]

_log = get_logger("stripe_mavera.run")
_COUNTED = {
    dg.DagsterEventType.STEP_SUCCESS: "steps",
    dg.DagsterEventType.STEP_FAILURE: "steps_failed",
    dg.DagsterEventType.ASSET_MATERIALIZATION: "materialized",
}


class RunLog:
    """Counts what a run comes to."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._counts: Counter[str] = Counter()
        self._monotonic = monotonic
        self._began = monotonic()

    def see(self, event: dg.DagsterEvent) -> None:
        """Take an event in."""
        if event.event_type in _COUNTED:
            self._counts[_COUNTED[event.event_type]] += 1
        check = event.event_specific_data
        if isinstance(check, dg.AssetCheckEvaluation) and not check.passed:
            self._counts["checks_failed"] += 1

    def end(self) -> None:
        """Say how it ended."""
        say = _log.error if self._counts["steps_failed"] else _log.info
        counts = {name: self._counts[name] for name in (*_COUNTED.values(), "checks_failed")}
        say("run ended", **counts, seconds=round(self._monotonic() - self._began, 1))


@contextmanager
def logged_run(run_id: str, job: str) -> Iterator[RunLog]:
    """Begin and end of a run, and its id on every line between."""
    with bound_contextvars(run_id=run_id, job=job):
        log = RunLog()
        _log.info("run started")
        try:
            yield log
        except BaseException as error:
            _log.error("run broke off", error=type(error).__name__)
            raise
        log.end()


class _Logged(dg.Executor):
    """Another executor, listened to."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        """Those of the other one."""
        return self._inner.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Carry the plan out; what is logged after an event belongs to the event's step."""
        run = plan_context.dagster_run
        with logged_run(run.run_id, run.job_name) as log, bound_contextvars(step=""), _told_by_dagster():
            for event in self._inner.execute(plan_context, execution_plan):
                log.see(event)
                bind_contextvars(step=event.step_key or "")
                yield event


@contextmanager
def _told_by_dagster() -> Iterator[None]:
    """While steps run, Dagster writes our lines to stderr among its own."""
    LogsToStderr.told_by_dagster = True
    try:
        yield
    finally:
        LogsToStderr.told_by_dagster = False


_PLAIN: Any = dg.in_process_executor

in_process_executor: Final = dg.ExecutorDefinition(
    name=_PLAIN.name,
    config_schema=_PLAIN.config_schema,
    executor_creation_fn=lambda context: _Logged(_PLAIN.executor_creation_fn(context)),
    description="All steps in the process of the run, which says in the log when it begins and ends.",
)
