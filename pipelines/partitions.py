"""Several Stripe accounts in Dagster: each is a partition, and a run belongs to one of them.

Here: the partitions, doors that open for the account of a run, and jobs, schedules and sensors for all accounts.
Not here: who the accounts are (`pipelines.accounts`), what is decided for one (`pipelines.sensors`,
`pipelines.schedules`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import BaseModel
from sqlalchemy.engine import make_url

from pipelines.accounts import AccountsError, load_accounts
from pipelines.jobs import ACCOUNT_TAG, backfill, maintain, refresh
from pipelines.selection import tables_to_make
from pipelines.settings import Settings
from resources.redaction import redact, redacting_errors, register_secrets

__all__ = ["ACCOUNTS", "doors_by_account", "jobs_by_account", "schedules_by_account", "sensors_by_account"]

ACCOUNTS: Final = dg.DynamicPartitionsDefinition(name="stripe_account")
# Dagster gives a tick a minute.
_LONGEST_TICK_SECONDS: Final = 30

Doors = Callable[[Settings], dict[str, Any]]


def doors_by_account(settings: Settings, doors: Doors, *, common: Iterable[str]) -> dict[str, Any]:
    """The doors by their names, each opened with the settings of the account that a run is about.

    Nothing of an account is known before its run: neither Dagster's configuration nor another account's run holds
    its key. Those named in `common` are the same for all.
    """

    def door(name: str) -> dg.ResourceDefinition:
        def opened(context: dg.InitResourceContext) -> Any:
            account = None if context.run is None else context.run.tags.get(ACCOUNT_TAG)
            if account is None:
                raise AccountsError(f"this run names no account: choose a partition of {ACCOUNTS.name}")
            accounts = load_accounts(settings)
            register_secrets(*accounts.secrets)
            return doors(accounts.settings(account))[name]

        return dg.ResourceDefinition(opened, description="Opened for the account of the run.")

    every = doors(settings)
    return {name: every[name] if name in set(common) else door(name) for name in every}


def jobs_by_account(jobs: Sequence[Any]) -> tuple[Any, ...]:
    """The jobs. Those made of assets take the partitions of their assets.

    A run has one partition: the months of `backfill` are given to `reconcile` as its configuration instead.
    """
    upkeep = maintain.graph.to_job(name=maintain.name, description=maintain.description, partitions_def=ACCOUNTS)
    return (*(job for job in jobs if job not in (maintain, backfill)), upkeep)


def schedules_by_account(
    settings: Settings, schedules: Sequence[dg.ScheduleDefinition], jobs: Sequence[Any]
) -> list[dg.ScheduleDefinition]:
    """Each schedule asks for one run of each account."""
    by_name = {job.name: job for job in jobs}
    return [_schedule(settings, one, by_name[one.job_name]) for one in schedules]


def _schedule(settings: Settings, single: dg.ScheduleDefinition, job: Any) -> dg.ScheduleDefinition:
    def due(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        known = context.instance.get_dynamic_partitions(str(ACCOUNTS.name))
        names = [name for name in load_accounts(settings).names if name in known]
        moment = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        for name in names:
            yield dg.RunRequest(run_key=f"{name}:{moment}", partition_key=name)
        if not names:
            yield dg.SkipReason("there is no account yet: is the sensor stripe_accounts on?")

    return dg.ScheduleDefinition(
        name=single.name,
        job=job,
        cron_schedule=single.cron_schedule,
        execution_timezone=single.execution_timezone,
        description=f"{single.description} One run for each account.",
        execution_fn=due,
    )


def sensors_by_account(settings: Settings, doors: Doors, sensors: Sequence[dg.SensorDefinition]) -> list[Any]:
    """The sensors: what looks into tables or state does so for each account; what follows runs is as it was."""
    asked = set(doors(settings))
    return [
        _partitions_follow_the_file(settings, doors),
        *(
            _each_account(settings, doors, one)
            if type(one) is dg.SensorDefinition and one.required_resource_keys & asked
            else one
            for one in sensors
        ),
    ]


def _partitions_follow_the_file(settings: Settings, doors: Doors) -> dg.SensorDefinition:
    @dg.sensor(
        name="stripe_accounts",
        job=refresh,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes a partition of each account in the file and reads a new one once, up to the plan.",
    )
    @redacting_errors
    def stripe_accounts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """An account that has left the file loses its partition and keeps its tables."""
        wanted = load_accounts(settings).names
        there = set(context.instance.get_dynamic_partitions(str(ACCOUNTS.name)))
        new = [name for name in wanted if name not in there]
        gone = sorted(there - set(wanted))
        changes: list[Any] = [ACCOUNTS.build_add_request(new)] if new else []
        changes += [ACCOUNTS.build_delete_request(gone)] if gone else []
        return dg.SensorResult(
            run_requests=[_first_run(name) for name in new],
            dynamic_partitions_requests=changes,
            skip_reason=None if new else f"{len(wanted)} accounts, none of them new; {len(gone)} gone",
        )

    return stripe_accounts


def _first_run(name: str) -> dg.RunRequest:
    from ingest.tables import RAW_TABLES

    raw = {f"stripe/{table}" for table in (*RAW_TABLES, "quarantine")}
    tables = tables_to_make(raw, with_plan=True, is_there=lambda _table: False)
    return dg.RunRequest(
        run_key=f"{name}:first",
        job_name=refresh.name,
        partition_key=name,
        asset_selection=[dg.AssetKey(table.split("/")) for table in sorted(tables)],
        tags={"started_by": "a new account"},
    )


def _each_account(settings: Settings, doors: Doors, single: dg.SensorDefinition) -> dg.SensorDefinition:
    made: dict[str, tuple[Settings, dict[str, Any]]] = {}

    def doors_of(name: str, own: Settings) -> dict[str, Any]:
        """Made once, as long as the settings are the same: it takes longer than most looks."""
        if name not in made or made[name][0] is not own:
            made[name] = own, doors(own)
        return made[name][1]

    @dg.sensor(
        name=single.name,
        jobs=single.jobs if single.has_jobs else None,
        minimum_interval_seconds=single.minimum_interval_seconds,
        default_status=single.default_status,
        description=f"{single.description} For each account.",
    )
    @redacting_errors
    def each(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """One cursor for each account; an account whose look fails is told and stops no other."""
        accounts = load_accounts(settings)
        register_secrets(*accounts.secrets)
        kept = _Cursors.model_validate_json(context.cursor or "{}")
        known = set(context.instance.get_dynamic_partitions(str(ACCOUNTS.name)))
        due = kept.in_turn([name for name in accounts.names if name in known])
        until = time.monotonic() + _LONGEST_TICK_SECONDS
        requests: list[dg.RunRequest] = []
        failed: list[str] = []
        for name in due:
            try:
                own = accounts.settings(name)
                if _has_run(own):
                    seen = _look(single, doors_of(name, own), instance=context.instance, cursor=kept.of.get(name))
                    kept.of[name] = seen.cursor or kept.of.get(name)
                    requests += [_of_account(name, request) for request in seen.run_requests or ()]
            except Exception as error:  # noqa: BLE001 - whatever one account meets, the others are looked at
                context.log.error(f"{name}: {redact(str(error))}")
                failed.append(name)
            kept.last = name
            if time.monotonic() > until:
                break
        said = f"nothing to do for {len(due)} accounts" + "".join(f"; {name} failed" for name in failed)
        cursor = kept.model_dump_json()
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else said, cursor=cursor)

    return each


class _Cursors(BaseModel):
    """The cursor of each account, and the one looked at last: a tick that took too long goes on behind it."""

    of: dict[str, str | None] = {}
    last: str | None = None

    def in_turn(self, names: list[str]) -> list[str]:
        """The accounts, beginning after the last one; what has left is forgotten."""
        self.of = {name: cursor for name, cursor in self.of.items() if name in set(names)}
        begin = names.index(self.last) + 1 if self.last in names else 0
        return names[begin:] + names[:begin]


def _has_run(settings: Settings) -> bool:
    """Whether there is a state to look into; looking would make it, and two hundred take a while."""
    url = make_url(settings.state_url)
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).exists()


def _look(
    single: dg.SensorDefinition, doors: Mapping[str, Any], *, instance: dg.DagsterInstance, cursor: str | None
) -> dg.SensorResult:
    """What the sensor of one account says, with the doors of this account."""
    given = {key: dg.ResourceDefinition.hardcoded_resource(doors[key]) for key in single.required_resource_keys}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=given) as context:
        said = single(context)
    return said if isinstance(said, dg.SensorResult) else dg.SensorResult()


def _of_account(name: str, request: dg.RunRequest) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{name}:{request.run_key}",
        run_config=request.run_config,
        tags=request.tags,
        job_name=request.job_name,
        asset_selection=request.asset_selection,
        partition_key=name,
    )
