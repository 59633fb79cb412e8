"""The one assembly of the code location: assets, jobs, schedules, sensors and resources for given settings.

Nothing is implemented here and nothing is opened: no file, no socket. `defs` is the only line that acts when the
module is imported; tests and the command line call `build_definitions` with settings of their own.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import SecretStr

from activation.policy import Caps, Policy
from assets.account import PaidWork
from assets.mavera import MAVERA_ASSETS
from assets.segments import SEGMENT_ASSETS
from assets.stripe import STRIPE_ASSETS
from pipelines.alerts import THRESHOLDS
from pipelines.conditions import FOLLOW_UP, with_condition
from pipelines.jobs import JOBS
from pipelines.logs import set_up_logs
from pipelines.notify import NotifierResource
from pipelines.partitions import (
    ACCOUNTS,
    doors_by_account,
    jobs_by_account,
    schedules_by_account,
    sensors_by_account,
)
from pipelines.report import Edition
from pipelines.report.asset import report
from pipelines.run_log import in_process_executor
from pipelines.schedules import SCHEDULES
from pipelines.sensors import SENSORS
from pipelines.settings import Settings
from resources.progress import Logged, Progress
from resources.redaction import install_redaction, register_secrets
from resources.spark import SparkChoices
from resources.wiring import (
    ExportsResource,
    LakeResource,
    MaveraResource,
    RatesResource,
    SegmentChoices,
    StateResource,
    StripeResource,
)

if TYPE_CHECKING:
    from resources.state import State

__all__ = ["build_definitions", "defs", "resources_of"]

# Against a stand-in nothing is charged and nothing lags: minutes of waiting for an unclear outcome prove nothing.
_STAND_IN_WAITS: dict[str, float] = {
    "deadline_seconds": 20,
    "mave_deadline_seconds": 20,
    "settle_seconds": 25,
    "mave_settle_seconds": 25,
    "await_results_seconds": 30,
    "poll_seconds": 0.2,
}
# The daily schedule refreshes everything. A table older than a day is late (warn), older than a day and a half it
# missed a run (fail). Mavera's tables wait for a person's approval first, the sweep is weekly. (warn, fail) each.
_FRESH_WITHIN = {
    "stripe": (timedelta(hours=26), timedelta(hours=36)),
    "segments": (timedelta(hours=26), THRESHOLDS.segments_stale_after),
    "report": (timedelta(hours=26), THRESHOLDS.segments_stale_after),
    "mavera": (timedelta(days=2), timedelta(days=4)),
}
_SWEPT_WITHIN = (timedelta(days=7, hours=12), timedelta(days=9))
# What several accounts share.
_COMMON = ("notifier", "progress")


def build_definitions(settings: Settings, *, progress: Progress | None = None) -> dg.Definitions:
    """The whole code location for `settings`; `progress` listens to long work (default: the log)."""
    # Here, as each process of Dagster that runs or serves anything comes by.
    register_secrets(*settings.secrets)
    install_redaction(handlers=())
    set_up_logs(settings)
    several = settings.stripe_accounts_file is not None

    def doors(of: Settings) -> dict[str, Any]:
        return resources_of(of, progress or Logged())

    definitions = dg.Definitions(
        assets=[*STRIPE_ASSETS, *SEGMENT_ASSETS, *MAVERA_ASSETS, report],
        # One process for a run: parallel work is inside the steps, and a process per step costs seconds each.
        executor=in_process_executor,
        **(_of_accounts(settings, doors) if several else _of_one(doors(settings))),
    )

    def described(spec: dg.AssetSpec) -> dg.AssetSpec:
        spec = with_condition(_with_freshness(spec))
        return spec.replace_attributes(partitions_def=ACCOUNTS) if several else spec

    return definitions.permissive_map_resolved_asset_specs(func=described, selection=None)


def _of_one(resources: dict[str, Any]) -> dict[str, Any]:
    return {"jobs": JOBS, "schedules": SCHEDULES, "sensors": [*SENSORS, FOLLOW_UP], "resources": resources}


def _of_accounts(settings: Settings, doors: Callable[[Settings], dict[str, Any]]) -> dict[str, Any]:
    """A run of the command line is about one account, whose settings it has; Dagster's find them by partition."""
    jobs = jobs_by_account(JOBS)
    return {
        "jobs": jobs,
        "schedules": schedules_by_account(settings, SCHEDULES, jobs),
        "sensors": [*sensors_by_account(settings, doors, SENSORS), FOLLOW_UP],
        "resources": doors(settings) if settings.account else doors_by_account(settings, doors, common=_COMMON),
    }


def resources_of(settings: Settings, progress: Progress) -> dict[str, Any]:
    """The doors and choices by the names that assets ask for."""
    return {
        "stripe": StripeResource(
            api_key=settings.stripe_key,
            base_url=settings.stripe_base,
            account=settings.stripe_account,
            requests_per_second=settings.account_requests_per_second,
            request_budget=settings.stripe_request_budget,
            staging=str(settings.home / "staging"),
        ),
        "mavera": MaveraResource(
            api_key=settings.mavera_key,
            base_url=settings.mavera_base,
            sandbox=settings.mavera_sandbox,
            workspace=settings.mavera_workspace,
        ),
        "exports": ExportsResource(
            uri=settings.stripe_exports_uri,
            livemode=settings.livemode,
            lag_hours=settings.stripe_exports_lag_hours,
            csv_without_discounts=settings.stripe_exports_without_discounts,
        ),
        "lake": LakeResource(uri=settings.lake),
        "state": StateResource(url=SecretStr(settings.state_url), schema_name=settings.state_schema),
        "rates": RatesResource(source=settings.fx_source),
        "choices": SegmentChoices(
            reporting_currency=settings.reporting_currency,
            engine=settings.segment_engine,
            spark=SparkChoices(master=settings.spark_master, options=settings.spark_options),
        ),
        "paid_work": _paid_work(settings),
        "edition": Edition.of(settings),
        "notifier": NotifierResource(
            ui_url=settings.dagster_ui_url,
            slack_webhook_url=settings.notify_slack_webhook_url,
            smtp_url=settings.notify_smtp_url,
            email_from=settings.notify_email_from or "",
            email_to=list(settings.notify_email_to),
            account=settings.account,
        ),
        "progress": progress,
    }


def _paid_work(settings: Settings) -> PaidWork:
    """What the operator allows, from the settings."""
    waits = _STAND_IN_WAITS if settings.mavera_is_stand_in else {}
    targets = settings.targets
    return PaidWork(
        environment=settings.environment,
        policy=Policy(
            caps=Caps(per_month=settings.mavera_credit_budget),
            auto_approve_credits=settings.auto_approve_credits,
            **waits,
        ),
        operator_file=settings.operator_path,
        callback_url=settings.mavera_callback_url,
        refusal=None if targets.may_apply else targets.warning,
        compare_usage=targets.compare_usage,
        shared_pace=None if settings.pace_url is None else partial(_open_state, settings.pace_url),
    )


def _open_state(url: str) -> "State":
    from resources.state import open_state

    return open_state(url)


def _with_freshness(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Every table made by the schedule is expected within its period; approvals come when a person gives them."""
    if spec.key.path == ["mavera", "approval"]:
        return spec
    room, table = spec.key.path
    warn, fail = _SWEPT_WITHIN if table == "reconciliation" else _FRESH_WITHIN[room]
    return spec.replace_attributes(
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn)
    )


defs = build_definitions(Settings())
