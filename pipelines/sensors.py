"""What starts work, or tells people, when something happens: an export, an event, the end of a run, a bad figure.

Here: the wiring of pure decisions (`ingest.exports.find_deliveries`, `ingest.inbox_tick.decide`) to runs. Cursor
and requests are returned together, so that a tick that dies is repeated as a whole; run keys come from content, so
that nothing is asked for twice. No run that is requested here pays: the last table it makes is the plan. A failed
read is a skip with its reason, never an empty list. Not here: what runs at fixed times (`pipelines.schedules`).
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import dagster as dg

from assets.account import PaidWork
from assets.exports import FILES_ARE_KNOWN, export_source
from assets.mavera import HELD_ALONE
from pipelines.alerts import Alert, conditions, tell_new
from pipelines.causes import root_cause
from pipelines.jobs import ACCOUNT_TAG, reconcile, refresh
from pipelines.notify import Message, NotifierResource
from pipelines.selection import tables_to_make
from resources.redaction import redacting_errors
from resources.wiring import ExportsResource, LakeResource, StateResource

if TYPE_CHECKING:
    from ingest.exports import Delivery
    from ingest.inbox_tick import InboxDecision

__all__ = ["SENSORS", "alerts", "new_exports", "run_failures", "warnings_of_runs", "webhook_inbox"]

# All of them only read and notify, and do nothing before there are exports, events or failures: safe to be on.
_ON: Final = dg.DefaultSensorStatus.RUNNING
_CALLBACKS: Final = "reconciliation"
_ASKED_BY: Final = "inbox"
_ENDED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_NOT_ENDED: Final = [status for status in dg.DagsterRunStatus if status not in _ENDED]
# In a lasting burst an event waits for the run before its own (20 s), a tick (15 s) and its own run (20 s).
_LONGEST_WAIT_SECONDS: Final = 20
# Of a check, over all accounts: enough for two days of two hundred.
_MOST_EVALUATIONS: Final = 500
_EVALUATED: Final = dg.DagsterEventType.ASSET_CHECK_EVALUATION


@dg.sensor(
    jobs=[refresh],
    minimum_interval_seconds=60,
    default_status=_ON,
    description="Loads each complete export once, and makes what follows from its tables, up to the plan.",
)
@redacting_errors
def new_exports(
    context: dg.SensorEvaluationContext,
    exports: ExportsResource,
    lake: LakeResource,
    state: StateResource,
    notifier: NotifierResource,
) -> dg.SensorResult | dg.SkipReason:
    """Look at names, sizes and times of the files; nothing is downloaded."""
    from ingest.exports import find_deliveries, list_files

    source = export_source(exports)
    if source is None:
        return dg.SkipReason("STRIPE_EXPORTS_URI is not set")
    try:
        listing = list_files(source.uri)
    except OSError as error:
        return dg.SkipReason(f"the exports cannot be listed: {error}")
    tick = find_deliveries(listing, context.cursor, layout=source.layout)
    if tick.problems:
        notifier.open().send(
            Message(level="warning", title="Files among the exports that nobody knows", lines=tick.problems)
        )
    new = tick.deliveries and _not_loaded(tick.deliveries, state)
    if not new:
        reason = tick.skip_reason or "the command line has loaded them already"
        return dg.SensorResult(skip_reason=reason, cursor=tick.cursor)
    is_there = lake.open().exists
    return dg.SensorResult(run_requests=[_load(one, is_there) for one in new], cursor=tick.cursor)


def _not_loaded(deliveries: "Iterable[Delivery]", state: StateResource) -> "list[Delivery]":
    from resources.state.exports import loaded_deliveries

    database = state.open()
    loaded = loaded_deliveries(database)
    database.close()
    return [one for one in deliveries if one.id not in loaded]


def _load(delivery: "Delivery", is_there: Callable[[str], bool]) -> dg.RunRequest:
    from ingest.exports import raw_tables

    changed = {f"stripe/{table}" for table in (*raw_tables(delivery), "quarantine")}
    return dg.RunRequest(
        run_key=delivery.run_key,
        job_name=refresh.name,
        asset_selection=_keys(tables_to_make(changed, with_plan=True, is_there=is_there)),
        run_config={"ops": {"stripe_tables": {"config": {"delivery": delivery.id}}}},
        tags={"started_by": f"export ({delivery.kind})"},
    )


@dg.sensor(
    jobs=[refresh, reconcile],
    minimum_interval_seconds=10,
    default_status=_ON,
    description="Works off webhooks: reads the objects they name again and makes what follows, up to the plan.",
)
@redacting_errors
def webhook_inbox(
    context: dg.SensorEvaluationContext, lake: LakeResource, state: StateResource
) -> dg.SensorResult:
    """Wait until a burst is over, then ask for exactly the tables that its events change."""
    from ingest.inbox_tick import decide, waiting

    now = datetime.now(UTC)
    database = state.open()
    found = waiting(database, now=now)
    database.close()
    decision = decide(
        found,
        context.cursor,
        now=now,
        longest_wait_seconds=_LONGEST_WAIT_SECONDS,
        is_under_way=lambda run_key: _is_under_way(context.instance, run_key),
    )
    if decision.run_key is None:
        return dg.SensorResult(skip_reason=decision.skip_reason, cursor=decision.cursor)
    requests = list(_work_off(decision, until=found.newest, is_there=lake.open().exists))
    return dg.SensorResult(run_requests=requests, cursor=decision.cursor)


def _is_under_way(instance: dg.DagsterInstance, run_key: str) -> bool:
    """Whether the run for Stripe's events that was asked for under this key has not ended."""
    asked_for = dg.RunsFilter(tags={_ASKED_BY: run_key}, statuses=_NOT_ENDED)
    return bool(instance.get_run_ids(asked_for, limit=1))


def _work_off(
    decision: "InboxDecision", *, until: datetime | None, is_there: Callable[[str], bool]
) -> Iterator[dg.RunRequest]:
    """A run for Stripe's events, one for Mavera's callbacks."""
    due = decision.due
    if due.tables:
        changed = {f"stripe/{name}" for name in due.tables}
        pages = due.surfaces - {_CALLBACKS}
        tables = tables_to_make(changed, with_plan=bool(pages), is_there=is_there)
        # A later event may ask for other tables: it waits for the run that makes them.
        limit = {} if until is None else {"events_until": until.isoformat()}
        yield dg.RunRequest(
            run_key=decision.run_key,
            job_name=refresh.name,
            asset_selection=_keys(tables),
            run_config={"ops": {"stripe_tables": {"config": limit}}},
            tags={"started_by": "webhooks", _ASKED_BY: str(decision.run_key)},
        )
    if _CALLBACKS in due.surfaces:
        yield dg.RunRequest(
            run_key=f"{decision.run_key}:mavera",
            job_name=reconcile.name,
            asset_selection=_keys(["mavera/reconciliation"]),
            tags={"started_by": "callbacks of Mavera"},
        )


def _keys(tables: Iterable[str]) -> list[dg.AssetKey]:
    return [dg.AssetKey(table.split("/")) for table in sorted(tables)]


@dg.run_failure_sensor(
    default_status=_ON, description="Tells the channels of the settings which run failed, where and why."
)
@redacting_errors
def run_failures(context: dg.RunFailureSensorContext, notifier: NotifierResource) -> None:
    """Job, step, cause in one line, and a link."""
    run = context.dagster_run
    lines = [
        f"{event.step_key}: {root_cause(event.step_failure_data.error)}"
        for event in context.get_step_failure_events()
    ]
    told = lines or [context.failure_event.message or "it gave no reason"]
    cause = run.tags.get("started_by") or run.tags.get("dagster/schedule_name") or "hand"
    notifier.open().send(
        Message(
            level="error",
            title=f"{_job_of(run)} failed (started by {cause})",
            lines=tuple(told),
            link=notifier.run_link(run.run_id),
        )
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    default_status=_ON,
    description="Tells what a run left for a person: rows that wait, plans to approve, rows in quarantine.",
)
@redacting_errors
def warnings_of_runs(context: dg.RunStatusSensorContext, notifier: NotifierResource) -> None:
    """Checks that failed as warnings, once: what stays as it was the last time is not told again.

    Files that nobody knows are told by `new_exports` and held rows by `alerts`, which see them without a run.
    """
    run_id = context.dagster_run.run_id
    records = context.instance.get_records_for_run(run_id, of_type=_EVALUATED).records
    evaluations = [_evaluation(record.event_log_entry) for record in records]
    failed = [one for one in evaluations if one and not one.passed and not _told_elsewhere(one)]
    new = [one for one in failed if _is_news(context.instance, one, context.dagster_run)]
    if new:
        notifier.open().send(
            Message(
                level="warning",
                title=f"{_job_of(context.dagster_run)} left something for a person",
                lines=tuple(
                    f"{'/'.join(one.asset_key.path)}, {one.check_name}: {one.description or 'failed'}"
                    for one in new
                ),
                link=notifier.run_link(run_id),
            )
        )


def _told_elsewhere(evaluation: dg.AssetCheckEvaluation) -> bool:
    held_alone = evaluation.metadata.get(HELD_ALONE)
    return evaluation.check_name == FILES_ARE_KNOWN or (held_alone is not None and held_alone.value is True)


def _job_of(run: dg.DagsterRun) -> str:
    """The job of a run, with its account where there are several."""
    account = run.tags.get(ACCOUNT_TAG)
    return run.job_name if account is None else f"{account}: {run.job_name}"


def _is_news(instance: dg.DagsterInstance, evaluation: dg.AssetCheckEvaluation, run: dg.DagsterRun) -> bool:
    """Whether the evaluation before this one of the same check and account passed or said something else."""
    key = dg.AssetCheckKey(evaluation.asset_key, evaluation.check_name)
    account = run.tags.get(ACCOUNT_TAG)
    limit = 2 if account is None else _MOST_EVALUATIONS
    earlier = instance.event_log_storage.get_asset_check_execution_history(key, limit=limit)[1:]
    if account is not None and earlier:
        runs = dg.RunsFilter(run_ids=[one.run_id for one in earlier], tags={ACCOUNT_TAG: account})
        same = {record.dagster_run.run_id for record in instance.get_run_records(runs)} - {run.run_id}
        earlier = [one for one in earlier if one.run_id in same]
    before = _evaluation(earlier[0].event) if earlier else None
    return before is None or before.passed or before.description != evaluation.description


def _evaluation(entry: dg.EventLogEntry | None) -> dg.AssetCheckEvaluation | None:
    """What a check said, out of its event."""
    data = entry.dagster_event.event_specific_data if entry and entry.dagster_event else None
    return data if isinstance(data, dg.AssetCheckEvaluation) else None


@dg.sensor(
    minimum_interval_seconds=300,
    default_status=_ON,
    description="Tells stale segments, held rows, 50, 75 and 90 percent of the budget, and objects in quarantine.",
)
@redacting_errors
def alerts(
    context: dg.SensorEvaluationContext,
    lake: LakeResource,
    state: StateResource,
    paid_work: dg.ResourceParam[PaidWork],
    notifier: NotifierResource,
) -> dg.SensorResult:
    """Each condition once until it has cleared or grown; the cursor keeps what was told."""
    from pipelines.figures import Instruments

    database = state.open()
    instruments = Instruments(
        state=database,
        lake=lake.open(),
        instance=lambda: context.instance,
        environment=paid_work.environment,
        month_cap=paid_work.policy.caps.per_month,
        account=notifier.account,
    )
    figures = instruments.figures(now=datetime.now(UTC))
    database.close()

    def tell(alert: Alert) -> bool:
        link = notifier.asset_link(alert.table)
        message = Message(level="warning", title=alert.title, lines=alert.lines, link=link)
        return notifier.open().send(message)

    holding = conditions(figures)
    new, cursor = tell_new(figures, holding, context.cursor, tell=tell)
    said = f"{len(holding)} conditions hold, {new} of them were told now"
    return dg.SensorResult(skip_reason=said, cursor=cursor)


SENSORS = (new_exports, webhook_inbox, run_failures, warnings_of_runs, alerts)
