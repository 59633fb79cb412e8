"""What follows by declaration from raw tables that were renewed alone: once, up to the plan; and the backfill."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster import DagsterInstance

from ingest.tables import RAW_TABLES
from pipelines.conditions import with_condition
from pipelines.definitions import build_definitions
from pipelines.jobs import RAW_TABLES_ALONE
from pipelines.runner import run_job
from pipelines.settings import Settings
from resources.lake import Lake
from resources.progress import Silent
from sandbox.launch import Sandbox

RAW, OTHER, SEGMENT, CELLS, PLAN, PAID = (
    "stripe/charges",
    "stripe/coupons",
    "segments/markets",
    "segments/released_cells",
    "mavera/plan",
    "mavera/personas",
)
SWEEP = "stripe/reconciliation"


class Account:
    """A graph of the product's shape, whose raw tables have a version that a test sets."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.version = 1
        self.instance = instance
        self._cursor: Any = None
        versions = self

        @dg.multi_asset(specs=[dg.AssetSpec(one.split("/")) for one in (RAW, OTHER)], can_subset=True)
        def raw(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
            for key in sorted(context.selected_asset_keys):
                yield dg.MaterializeResult(asset_key=key, data_version=dg.DataVersion(str(versions.version)))

        def table(name: str, source: str) -> dg.AssetsDefinition:
            @dg.multi_asset(
                name=name.replace("/", "__"),
                specs=[with_condition(dg.AssetSpec(name.split("/"), deps=[source.split("/")]))],
            )
            def made() -> dg.MaterializeResult:
                return dg.MaterializeResult()

            return made

        @dg.asset(key=SWEEP.split("/"))
        def sweep() -> None:
            return None

        follow = ((SEGMENT, RAW), (CELLS, SEGMENT), (PLAN, CELLS), (PAID, PLAN))
        self.definitions = dg.Definitions(assets=[raw, sweep, *(table(*pair) for pair in follow)])
        self.tick()
        self.run(*(RAW, OTHER, SEGMENT, CELLS, PLAN, PAID))
        assert self.tick() == set()

    def run(self, *tables: str, alone: bool = False) -> None:
        """Materialise tables; `alone` as the jobs do that renew raw tables and nothing else."""
        result = self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(table.split("/")) for table in tables],
            tags=dict(RAW_TABLES_ALONE) if alone else {},
        )
        assert result.success

    def sweep_under_way(self) -> dg.DagsterRun:
        """A run of the sweep that has not come to it yet."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        chosen = job.get_subset(asset_selection={dg.AssetKey(SWEEP.split("/"))})
        return self.instance.create_run_for_job(chosen, status=dg.DagsterRunStatus.STARTED)

    def tick(self) -> set[str]:
        """What the sensor asks for now."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self._cursor)
        self._cursor = result.cursor
        keys = self.definitions.resolve_asset_graph().get_all_asset_keys()
        return {"/".join(key.path) for key in keys if result.get_num_requested(key)}


@pytest.fixture
def account() -> Iterator[Account]:
    with DagsterInstance.ephemeral() as instance:
        yield Account(instance)


def test_what_is_made_from_a_table_that_was_renewed_alone_follows_once_up_to_the_plan(account: Account) -> None:
    account.version = 2
    account.run(RAW, alone=True)
    assert account.tick() == {SEGMENT, CELLS, PLAN}
    account.run(SEGMENT, CELLS, PLAN)
    assert account.tick() == set()


def test_what_follows_waits_for_the_last_month_of_a_backfill(account: Account) -> None:
    account.version = 2
    account.run(RAW, alone=True)
    month = account.sweep_under_way()
    assert account.tick() == set()
    account.instance.report_run_failed(month)
    assert account.tick() == {SEGMENT, CELLS, PLAN}


def test_a_table_that_was_read_and_found_unchanged_starts_nothing(account: Account) -> None:
    account.run(RAW, OTHER, alone=True)
    assert account.tick() == set()


def test_a_table_that_nothing_is_made_from_starts_nothing(account: Account) -> None:
    account.version = 2
    account.run(OTHER, alone=True)
    assert account.tick() == set()


def test_runs_that_make_what_follows_themselves_start_nothing(account: Account) -> None:
    """As those of the sensors do: only what they selected is due."""
    account.version = 2
    account.run(RAW, SEGMENT)
    assert account.tick() == set()


def test_a_backfill_takes_a_month_and_the_job_accepts_it(settings_for: Callable[..., Settings]) -> None:
    job = build_definitions(settings_for()).resolve_job_def("backfill")
    config = job.partitioned_config.get_run_config_for_partition_key("2026-10-01")
    assert config == {
        "ops": {
            "stripe__reconciliation": {
                "config": {
                    "created_from": "2026-10-01T00:00:00+00:00",
                    "created_to": "2026-11-01T00:00:00+00:00",
                }
            }
        }
    }
    assert dg.validate_run_config(job, config) is not None
    assert job.partitions_def.get_first_partition_key() == "2011-09-01"


def test_a_backfill_brings_back_what_is_missing_of_its_month_and_says_which_tables_it_renewed(
    settings_for: Callable[..., Settings],
) -> None:
    with Sandbox(customers=20, seed=7) as sandbox:
        settings = settings_for(sandbox)
        assert run_job(settings, "extract", progress=Silent()).success
        lake = Lake(settings.lake)
        rows = lake.read("stripe/customers").to_pylist()
        lost = {(row["id"], f"{row['created']:%Y-%m-01}") for row in rows}
        month = min(month for _, month in lost)
        kept = [row for row in rows if f"{row['created']:%Y-%m-01}" != month][1:]
        schema = RAW_TABLES["customers"]
        lake.replace("stripe/customers", pa.Table.from_pylist(kept, schema=schema), schema)

        job = build_definitions(settings, progress=Silent()).resolve_job_def("backfill")
        result = job.execute_in_process(partition_key=month, instance=DagsterInstance.ephemeral())
    assert result.success
    found = {row["id"] for row in lake.read("stripe/customers").to_pylist()}
    assert found == {row["id"] for row in kept} | {one for one, created in lost if created == month}
    renewed = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert {"stripe/customers", "stripe/reconciliation"} <= renewed
