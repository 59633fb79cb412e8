"""What follows by declaration: segments, and the plan, from raw tables that a run has renewed alone.

Here: the condition on these tables and the sensor that evaluates it. Runs that renew raw tables alone have a tag.
The sensors for exports and webhooks ask for what follows in the same run, so their runs have no such tag and start
nothing twice. Not here: what starts on events outside (`pipelines.sensors`) or at fixed times
(`pipelines.schedules`). The plan is the last table: nothing that is started here pays.
"""

from typing import Final

import dagster as dg

from pipelines.jobs import RAW_TABLES_ALONE

__all__ = ["FOLLOW_UP", "with_condition"]

_FOLLOWING: Final = dg.AssetSelection.groups("segments") | dg.AssetSelection.assets(["mavera", "plan"])

_renewed_alone = (
    dg.AutomationCondition.newly_updated()
    & dg.AutomationCondition.any_new_update_has_run_tags(tag_values=RAW_TABLES_ALONE)
    # A table that was read and found unchanged is no reason.
    & dg.AutomationCondition.data_version_changed()
)
_follows: Final = (
    dg.AutomationCondition.any_deps_match(_renewed_alone | dg.AutomationCondition.will_be_requested())
    .since_last_handled()
    .with_label("made from what was renewed")
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
    # The months of a backfill are runs of their own: what follows waits for the last of them.
    & ~dg.AutomationCondition.asset_matches(
        dg.AssetKey(["stripe", "reconciliation"]), dg.AutomationCondition.in_progress()
    )
)

FOLLOW_UP: Final = dg.AutomationConditionSensorDefinition(
    "follow_up",
    target=_FOLLOWING,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    run_tags={"started_by": "renewed raw tables"},
    description="Makes segments and the plan anew when `extract`, `reconcile` or `backfill` changed raw tables.",
)


def with_condition(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The table with the condition, if it is one that follows."""
    room, table = spec.key.path[0], spec.key.path[-1]
    follows = (room == "segments" and bool(spec.deps)) or (room, table) == ("mavera", "plan")
    return spec.replace_attributes(automation_condition=_follows) if follows else spec
