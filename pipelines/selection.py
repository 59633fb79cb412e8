"""Which tables have to be made again when raw tables change: read off the graph, nothing listed by hand.

Here: pure questions to the assets' own declarations. Not here: what has changed (`ingest`), when a run starts
(`pipelines.sensors`).
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache

from assets.segments import SEGMENT_ASSETS

__all__ = ["PLAN", "RELEASED", "tables_to_make"]

PLAN = "mavera/plan"
RELEASED = "segments/released_cells"


@cache
def _made_from() -> Mapping[str, frozenset[str]]:
    """Every segment table with the tables it is made from."""
    return {
        "/".join(spec.key.path): frozenset("/".join(dep.asset_key.path) for dep in spec.deps)
        for asset in SEGMENT_ASSETS
        for spec in asset.specs
    }


@cache
def _made_together() -> tuple[frozenset[str], ...]:
    """Tables that one step makes, so that none of them can be made alone."""
    return tuple(frozenset("/".join(key.path) for key in asset.keys) for asset in SEGMENT_ASSETS)


def tables_to_make(
    changed: Collection[str], *, wanted: Collection[str] | None = None, is_there: Callable[[str], bool]
) -> frozenset[str]:
    """The changed raw tables and the segment tables that follow, all of them or those that lead to `wanted`.

    A table that these are made from and that was never made is made as well (`is_there` tells), so that the first
    event after a set-up does not fail.
    """
    graph = _made_from()
    due = {table for table in graph if _ancestors(table) & set(changed)}
    if wanted is not None:
        due &= {*wanted}.union(*map(_ancestors, wanted))
    due |= {table for table in frozenset().union(*map(_ancestors, due)) if not is_there(table)}
    for together in _made_together():
        if due & together:
            due |= together
    return frozenset(due) | frozenset(changed)


@cache
def _ancestors(table: str) -> frozenset[str]:
    parents = _made_from().get(table, frozenset())
    return parents.union(*map(_ancestors, parents))
