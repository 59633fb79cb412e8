"""Which tables have to be made again when raw tables change: read off the graph, nothing listed by hand.

Here: pure questions to the assets' own declarations, up to the plan. Not here: what has changed (`ingest`), when a
run starts (`pipelines.sensors`).
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache

from assets.mavera import MAVERA_ASSETS
from assets.segments import SEGMENT_ASSETS

__all__ = ["PLAN", "tables_to_make"]

PLAN = "mavera/plan"


@cache
def _made_from() -> Mapping[str, frozenset[str]]:
    """The plan and every segment table with the tables it is made from."""
    return {
        table: frozenset("/".join(dep.asset_key.path) for dep in spec.deps)
        for asset in (*SEGMENT_ASSETS, *MAVERA_ASSETS)
        for spec in asset.specs
        if (table := "/".join(spec.key.path)) == PLAN or asset in SEGMENT_ASSETS
    }


@cache
def _made_together() -> tuple[frozenset[str], ...]:
    """Tables that one step makes, so that none of them can be made alone."""
    return tuple(frozenset("/".join(key.path) for key in asset.keys) for asset in SEGMENT_ASSETS)


@cache
def _made_with_the_plan() -> frozenset[str]:
    """The plan, and what it is made from: cells released without a plan would make an approved one a stale one."""
    parents = _made_from()[PLAN]
    return frozenset({PLAN}).union(*(together for together in _made_together() if together & parents))


def tables_to_make(
    changed: Collection[str], *, with_plan: bool, is_there: Callable[[str], bool]
) -> frozenset[str]:
    """The changed raw tables and everything that follows from them: segment tables, and the plan if it is wanted.

    A table that these are made from and that was never made is made as well (`is_there` tells), so that the first
    event after a set-up does not fail.
    """
    due = {table for table in _made_from() if _ancestors(table) & set(changed)}
    if not with_plan:
        due -= _made_with_the_plan()
    due |= {table for table in frozenset().union(*map(_ancestors, due)) if not is_there(table)}
    for together in _made_together():
        if due & together:
            due |= together
    return frozenset(due) | frozenset(changed)


@cache
def _ancestors(table: str) -> frozenset[str]:
    parents = _made_from().get(table, frozenset())
    return parents.union(*map(_ancestors, parents))
