"""Upkeep of what grows for ever: tables' files, runs and their events, settled webhooks, leftover folders.

Here: the operations of the job `maintain`. They make no table, so they are no assets. The ledger and the audit
are never touched: they are the evidence of what was paid. Not here: how a table is compacted
(`resources.lake_upkeep`), which folders are left over (`ingest.leftovers`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus
from pydantic import Field

from resources.redaction import redacting_errors
from resources.wiring import LakeResource, StateResource, StripeResource

__all__ = ["maintain", "prune_runs", "tables_to_tidy"]

_ENDED: Final = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
# A run is deleted in one transaction each; what is left over goes with the next week.
_MOST_RUNS: Final = 1_000
_IDLE_BEFORE_REMOVAL: Final = timedelta(days=1)
# A plan, and how long a segment has been empty, are told by the version of this table: it gets none from upkeep.
_LEFT_ALONE: Final = frozenset({"segments/released_cells"})


class TableUpkeep(dg.Config):
    """How long old versions of tables stay readable."""

    keep_days: int = Field(7, ge=7, description="Days for which older versions of a table can still be read.")


class HistoryUpkeep(dg.Config):
    """How long history is kept."""

    run_days: int = Field(90, ge=1, description="Days for which runs and Dagster's events are kept.")
    inbox_days: int = Field(90, ge=31, description="Days for which settled webhooks are kept.")


def tables_to_tidy() -> tuple[str, ...]:
    """Every table that is kept in order, by its place in the lake."""
    from activation.tables import MAVERA_TABLES
    from ingest.tables import RAW_TABLES
    from segments.tables import SEGMENT_TABLES

    rooms: Mapping[str, Mapping[str, object]] = {
        "stripe": {**RAW_TABLES, "quarantine": None},
        "segments": SEGMENT_TABLES,
        "mavera": MAVERA_TABLES,
    }
    return tuple(
        f"{room}/{name}"
        for room, tables in rooms.items()
        for name in tables
        if f"{room}/{name}" not in _LEFT_ALONE
    )


# The pool of extraction: a compaction beside a merge would only make one of them begin again.
@dg.op(pool="stripe", out=dg.Out(dg.Nothing))
@redacting_errors
def tidy_tables(context: dg.OpExecutionContext, config: TableUpkeep, lake: LakeResource) -> None:
    """Compact every table and remove files that only old versions need."""
    from resources.lake import LakeConflictError, TableMissingError
    from resources.lake_upkeep import tidy

    door, tables, files, removed = lake.open(), 0, 0, 0
    for table in tables_to_tidy():
        try:
            done = tidy(door, table, keep=timedelta(days=config.keep_days))
        except TableMissingError:
            continue
        except LakeConflictError as error:
            context.log.warning(str(error))
            continue
        tables, files, removed = tables + 1, files + done.files_after, removed + done.removed
        context.log.info(f"{table}: {done.files_before} files, now {done.files_after}; {done.removed} removed")
    context.add_output_metadata({"tables": tables, "files": files, "files_removed": removed})


@dg.op(ins={"after": dg.In(dg.Nothing)})
@redacting_errors
def prune_history(
    context: dg.OpExecutionContext, config: HistoryUpkeep, state: StateResource, stripe: StripeResource
) -> None:
    """Forget old runs with their events and logs, settled webhooks and staging folders that nothing needs."""
    from ingest.inbox import prune
    from ingest.leftovers import clear_leftovers
    from resources.state.extraction import ExtractionState

    now = datetime.now(UTC)
    old = now - timedelta(days=config.run_days)
    runs = prune_runs(context.instance, before=old)
    database = state.open()
    readings = ExtractionState(database, lambda: now).forget_runs(before=old)
    webhooks = prune(database, before=now - timedelta(days=config.inbox_days))
    folders = clear_leftovers(Path(stripe.staging), database, before=now - _IDLE_BEFORE_REMOVAL)
    database.close()
    counts = {"runs": runs, "readings": readings, "webhooks": webhooks, "staging_folders": len(folders)}
    context.log.info(f"forgotten: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    context.add_output_metadata(counts)


def prune_runs(instance: DagsterInstance, *, before: datetime, most: int = _MOST_RUNS) -> int:
    """Delete ended runs created before `before`, oldest first, but none that made the newest version of an asset.

    Without those runs the UI would call their assets never materialized.
    """
    newest = {
        record.asset_entry.last_materialization_record.run_id
        for record in instance.get_asset_records(instance.all_asset_keys())
        if record.asset_entry.last_materialization_record is not None
    }
    old = instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED, created_before=before), limit=most + len(newest), ascending=True
    )
    gone = [record.dagster_run.run_id for record in old if record.dagster_run.run_id not in newest][:most]
    for run_id in gone:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    return len(gone)


@dg.job(description="Compact tables, remove old versions, and forget old runs, webhooks and staging folders.")
def maintain() -> None:
    """Upkeep, once a week."""
    prune_history(after=tidy_tables())
