"""The sensors: called twice, they ask once, for exactly the tables that follow; nothing they ask for pays."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.exports import FILES_ARE_KNOWN
from assets.mavera import HELD_ALONE
from ingest.webhooks.routes import TABLE_OF, due_for
from pipelines.definitions import build_definitions
from pipelines.selection import tables_to_make
from pipelines.sensors import new_exports, run_failures, warnings_of_runs, webhook_inbox
from pipelines.settings import Settings
from resources.lake import Lake
from resources.state import State
from resources.state.exports import remember_delivery
from resources.state.inbox import InboxRow, insert_events

SettingsFor = Callable[..., Settings]
LONG_AGO = datetime(2026, 11, 20, tzinfo=UTC)


class Heard:
    """A channel that keeps what it was told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        """Keep it."""
        self.messages.append(message)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    channel = Heard()
    monkeypatch.setattr("pipelines.notify.NotifierResource.open", lambda _self: channel)
    return channel


def resources(settings: Settings, *names: str) -> dict[str, Any]:
    made = build_definitions(settings).resources or {}
    return {name: made[name] for name in names}


def tick_exports(settings: Settings, cursor: str | None = None) -> Any:
    with dg.build_sensor_context(
        cursor=cursor, resources=resources(settings, "exports", "lake", "state", "notifier")
    ) as context:
        return new_exports(context)


def tick_inbox(
    settings: Settings, cursor: str | None = None, *, instance: dg.DagsterInstance | None = None
) -> Any:
    given = resources(settings, "lake", "state")
    with dg.build_sensor_context(cursor=cursor, resources=given, instance=instance) as context:
        return webhook_inbox(context)


def selected(request: dg.RunRequest) -> set[str]:
    return {"/".join(key.path) for key in request.asset_selection or ()}


def deliver(folder: Path, name: str, tables: Sequence[str]) -> None:
    for table in tables:
        (folder / "livemode" / name / table).mkdir(parents=True)
        (folder / "livemode" / name / table / "part-0.parquet").touch()
    (folder / "livemode" / name / "coreapi_SUCCESS").touch()


@pytest.fixture
def every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake holds every table already."""
    monkeypatch.setattr(Lake, "exists", lambda _self, _table: True)


@pytest.mark.usefixtures("every_table")
def test_a_delivery_asks_for_its_tables_what_follows_and_the_plan_once(
    settings_for: SettingsFor, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    deliver(folder, "r1", ["coupons", "refunds"])
    settings = settings_for(stripe_exports_uri=str(folder))
    first = tick_exports(settings)
    (request,) = first.run_requests
    assert (request.run_key, request.job_name) == ("export:livemode/r1:coreapi", "refresh")
    assert request.run_config == {"ops": {"stripe_tables": {"config": {"delivery": "livemode/r1:coreapi"}}}}
    chosen = selected(request)
    assert {one for one in chosen if one.startswith("stripe/")} == {
        "stripe/coupons",
        "stripe/refunds",
        "stripe/quarantine",
    }
    assert {"segments/subscription_mrr", "segments/growth", "segments/released_cells", "mavera/plan"} <= chosen
    assert not chosen & {"segments/fx_rates", "segments/customer_markets", "segments/mrr_movements"}
    assert {one for one in chosen if one.startswith("mavera/")} == {"mavera/plan"}

    second = tick_exports(settings, first.cursor)
    assert not second.run_requests
    assert "no new delivery" in str(second.skip_reason.skip_message)


@pytest.mark.usefixtures("every_table")
def test_what_the_command_line_has_loaded_is_not_asked_for(settings_for: SettingsFor, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    deliver(folder, "r1", ["coupons"])
    settings = settings_for(stripe_exports_uri=str(folder))
    state = State(settings.state_url)
    state.migrate()
    remember_delivery(state, "livemode/r1:coreapi", livemode=True, version_at=LONG_AGO, loaded_at=LONG_AGO)
    tick = tick_exports(settings)
    assert not tick.run_requests
    assert "loaded them already" in str(tick.skip_reason.skip_message)


def test_exports_that_cannot_be_listed_are_a_skip_with_the_reason(
    settings_for: SettingsFor, tmp_path: Path
) -> None:
    skip = tick_exports(settings_for(stripe_exports_uri=str(tmp_path / "gone")))
    assert isinstance(skip, dg.SkipReason)
    assert "is not a folder" in str(skip.skip_message)
    assert "not set" in str(tick_exports(settings_for()).skip_message)


def test_a_file_that_nobody_knows_is_told_once(settings_for: SettingsFor, tmp_path: Path, heard: Heard) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "notes.csv").write_text("a\n")
    settings = settings_for(stripe_exports_uri=str(folder))
    first = tick_exports(settings)
    tick_exports(settings, first.cursor)
    assert [message.lines for message in heard.messages] == [
        ("notes.csv is not named like an export that is known",)
    ]


def test_an_idle_tick_over_ten_thousand_files_is_quick(settings_for: SettingsFor, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    for run in range(10):
        directory = folder / "livemode" / f"r{run}" / "charges"
        directory.mkdir(parents=True)
        for part in range(1_000):
            (directory / f"part-{part}.parquet").touch()
        (folder / "livemode" / f"r{run}" / "coreapi_SUCCESS").touch()
    settings = settings_for(stripe_exports_uri=str(folder))
    cursor = tick_exports(settings).cursor
    spent = []
    with dg.build_sensor_context(
        cursor=cursor, resources=resources(settings, "exports", "lake", "state", "notifier")
    ) as context:
        for _ in range(3):
            began = time.process_time()
            assert not new_exports(context).run_requests
            spent.append(time.process_time() - began)
    assert min(spent) < 0.2


def event(
    number: int, object_type: str, type_: str, *, origin: str = "stripe", at: datetime = LONG_AGO
) -> InboxRow:
    return InboxRow(
        origin=origin,
        event_id=f"evt_{number}",
        type=type_,
        object_type=object_type,
        object_id=f"{object_type}_{number}",
        account=None,
        api_version=None,
        livemode=False,
        created=at,
        received_at=at,
        status="pending",
    )


def arrived(settings: Settings, *rows: InboxRow) -> State:
    state = State(settings.state_url)
    state.migrate()
    insert_events(state, list(rows))
    return state


@pytest.mark.usefixtures("every_table")
@pytest.mark.parametrize(
    ("object_type", "type_", "tables", "absent"),
    [
        pytest.param(
            "dispute",
            "charge.dispute.created",
            {
                "stripe/disputes",
                "stripe/charges",
                "segments/disputes_by_reason",
                "segments/released_cells",
                "mavera/plan",
            },
            {"segments/subscription_mrr", "segments/mrr_tiers"},
            id="a dispute leads to the copy fix",
        ),
        pytest.param(
            "invoice",
            "invoice.payment_failed",
            {"stripe/invoices", "stripe/invoice_lines", "segments/churn_risk", "mavera/plan"},
            {"segments/markets", "segments/customer_markets"},
            id="a failed payment leads to the retention cohort",
        ),
        pytest.param(
            "price",
            "price.updated",
            {"stripe/prices", "segments/subscription_mrr", "segments/mrr_tiers"},
            {"mavera/plan", "segments/released_cells", "segments/markets"},
            id="a price changes MRR and asks for no job",
        ),
    ],
)
def test_events_ask_for_exactly_what_they_change_once(
    settings_for: SettingsFor, object_type: str, type_: str, tables: set[str], absent: set[str]
) -> None:
    settings = settings_for()
    arrived(settings, event(1, object_type, type_), event(2, object_type, type_))
    first = tick_inbox(settings)
    (request,) = first.run_requests
    chosen = selected(request)
    assert tables <= chosen
    assert not absent & chosen
    assert {one for one in chosen if one.startswith("mavera/")} <= {"mavera/plan"}
    config = request.run_config["ops"]["stripe_tables"]["config"]
    assert config == {"events_until": LONG_AGO.isoformat()}
    second = tick_inbox(settings, first.cursor)
    assert not second.run_requests
    assert json.loads(second.cursor) == json.loads(first.cursor)


@pytest.mark.usefixtures("every_table")
def test_later_events_wait_until_the_run_for_earlier_ones_has_ended(settings_for: SettingsFor) -> None:
    settings = settings_for()
    arrived(settings, event(1, "price", "price.updated"))
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick_inbox(settings, instance=instance)
        (request,) = first.run_requests
        running = instance.create_run_for_job(_broken, tags=request.tags, status=dg.DagsterRunStatus.STARTED)
        arrived(settings, event(2, "price", "price.updated"))
        beside = tick_inbox(settings, first.cursor, instance=instance)
        assert not beside.run_requests
        assert "2 events wait until the run for earlier ones" in str(beside.skip_reason.skip_message)
        instance.report_run_failed(running)
        (after,) = tick_inbox(settings, beside.cursor, instance=instance).run_requests
    assert after.run_key != request.run_key


@pytest.mark.usefixtures("every_table")
def test_a_callback_of_mavera_asks_for_reading_mavera_and_nothing_else(settings_for: SettingsFor) -> None:
    settings = settings_for()
    arrived(settings, event(1, "generation", "generation.completed", origin="mavera"))
    (request,) = tick_inbox(settings).run_requests
    assert (request.job_name, selected(request)) == ("reconcile", {"mavera/reconciliation"})
    assert request.run_key.endswith(":mavera")


@pytest.mark.usefixtures("every_table")
@pytest.mark.parametrize(
    ("object_type", "type_"),
    [
        *((kind, f"{kind}.updated") for kind in TABLE_OF),
        ("subscription", "customer.subscription.updated"),
        ("invoice", "invoice.payment_failed"),
        ("invoice", "invoice.paid"),
        ("charge", "charge.failed"),
        ("dispute", "charge.dispute.created"),
        ("payment_method", "payment_method.automatically_updated"),
    ],
)
def test_everything_that_follows_is_made_and_a_plan_never_from_older_tables(
    settings_for: SettingsFor, object_type: str, type_: str
) -> None:
    settings = settings_for()
    graph = build_definitions(settings).resolve_asset_graph()
    plan = dg.AssetKey(["mavera", "plan"])
    parents = graph.get(plan).parent_keys
    assert len(parents) > 1, "cells and what is at stake"
    arrived(settings, event(1, object_type, type_))
    (request,) = tick_inbox(settings).run_requests
    chosen = set(request.asset_selection or ())
    raw = {key for key in chosen if key.path[0] == "stripe"}
    following = (dg.AssetSelection.assets(*raw).downstream() & dg.AssetSelection.groups("segments")).resolve(graph)
    made_with_it = {one for key in parents for one in graph.get(key).execution_set_asset_keys}
    assert chosen - raw - {plan} == following - (set() if plan in chosen else made_with_it)
    assert (plan in chosen) is bool(due_for(object_type, type_).surfaces)


def test_tables_that_were_never_made_are_made_with_the_first_event() -> None:
    some = tables_to_make({"stripe/coupons"}, with_plan=False, is_there=lambda _table: False)
    assert {"segments/fx_rates", "segments/customer_mrr_months", "stripe/customers", "stripe/invoices"} <= some
    assert not some & {"segments/markets", "segments/released_cells", "mavera/plan"}


def test_every_request_is_a_run_that_the_job_accepts(settings_for: SettingsFor) -> None:
    """Selections and run configuration fit the jobs' graphs."""
    settings = settings_for()
    arrived(
        settings,
        event(1, "subscription", "customer.subscription.updated"),
        event(2, "generation", "generation.completed", origin="mavera"),
    )
    definitions = build_definitions(settings)
    requests = tick_inbox(settings).run_requests
    assert len(requests) == 2
    for request in requests:
        job = definitions.resolve_job_def(request.job_name)
        assert request.asset_selection is not None
        subset = job.get_subset(asset_selection=set(request.asset_selection))
        assert dg.validate_run_config(subset, request.run_config or {}) is not None


@dg.op
def _breaks() -> None:
    raise ValueError("no route to sk_live_abcdefgh1234\n from here")


@dg.job
def _broken() -> None:
    _breaks()


def test_a_failed_run_is_told_with_job_step_cause_and_link(settings_for: SettingsFor, heard: Heard) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = _broken.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failures",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
            resources=resources(settings_for(), "notifier"),
        )
        with context, context.for_run_failure() as failed:
            run_failures(failed)
    (message,) = heard.messages
    assert message.title == "_broken failed (started by hand)"
    assert message.lines == ("_breaks: no route to sk_live_abcdefgh1234 from here",)
    assert message.body.splitlines() == [
        "_breaks: no route to sk_live_[redacted] from here",
        f"http://127.0.0.1:3000/runs/{result.run_id}",
    ]


def test_what_waits_for_a_person_is_told_once(settings_for: SettingsFor, heard: Heard) -> None:
    said = ["3 held", "3 held", "2 held"]

    # The sensor for exports tells the second itself, and the one for alerts held rows, the third.
    names = ("nothing_waits", FILES_ARE_KNOWN, "nothing_unknown")

    @dg.asset(check_specs=[dg.AssetCheckSpec(name, asset="outcomes") for name in names])
    def outcomes() -> dg.MaterializeResult:
        return dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(
                    passed=False,
                    check_name=name,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=said[0],
                    metadata={HELD_ALONE: name == "nothing_unknown"},
                )
                for name in names
            ]
        )

    with dg.DagsterInstance.ephemeral() as instance:
        told = []
        while said:
            result = dg.materialize([outcomes], instance=instance)
            context = dg.build_run_status_sensor_context(
                sensor_name="warnings_of_runs",
                dagster_instance=instance,
                dagster_run=result.dagster_run,
                dagster_event=result.get_run_success_event(),
                resources=resources(settings_for(), "notifier"),
            )
            with context:
                warnings_of_runs(context)
            told.append(len(heard.messages))
            said.pop(0)
    assert told == [1, 1, 2]
    assert heard.messages[-1].lines == ("outcomes, nothing_waits: 2 held",)
