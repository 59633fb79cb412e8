"""The segment tables: each is one function of the raw tables, written whole at each run.

Here: which tables a segment reads, the call, and its metadata. Not here: any rule (`segments`). Heavy modules are
imported when a step runs, as the code location loads in every run process.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from assets.metadata import bar_chart
from assets.sources import Sources
from assets.tables import key_check_spec, stored, table_spec
from resources.wiring import LakeResource, RatesResource, SegmentResource, StateResource
from segments.tables import SEGMENT_TABLES

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SEGMENT_ASSETS"]

_RATES_DAYS: Final = 400


def _segment(name: str, *deps: str, checks: tuple[dg.AssetCheckSpec, ...] = ()) -> Any:
    """The decorator of a segment table: spec from the declared schema, key check, one-step asset."""
    table = f"segments/{name}"
    return dg.multi_asset(
        name=name,
        specs=[table_spec(table, SEGMENT_TABLES[name], deps=deps, kinds={"python"})],
        check_specs=[key_check_spec(table), *checks],
    )


@_segment("fx_rates", "stripe/subscriptions")
def fx_rates(lake: LakeResource, state: StateResource, rates: RatesResource) -> dg.MaterializeResult[Any]:
    """Daily exchange rates of a year and a month up to the time of the raw tables."""
    import pyarrow as pa

    sources = Sources(lake.open(), state.open())
    rows = rates.read(since=sources.position.as_of.date() - timedelta(days=_RATES_DAYS))
    return _stored(
        lake.open(),
        sources,
        "fx_rates",
        pa.Table.from_pylist(list(rows), schema=SEGMENT_TABLES["fx_rates"]),
        newest=max(row["date"] for row in rows).isoformat(),
    )


@_segment("subscription_mrr", "stripe/subscriptions", "stripe/prices", "stripe/coupons", "stripe/customers")
def subscription_mrr(lake: LakeResource, state: StateResource) -> dg.MaterializeResult[Any]:
    """MRR of each subscription; only those are computed whose figure can have changed."""
    from segments.mrr_table import ChangedIds, subscription_mrr_table

    sources = Sources(lake.open(), state.open())
    raw = {name: sources.whole(f"stripe/{name}") for name in ("subscriptions", "prices", "coupons", "customers")}
    previous = sources.before("segments/subscription_mrr")
    changed = None
    if previous is not None and previous.num_rows:
        since = previous["as_of"][0].as_py()
        changed = ChangedIds(**{name: sources.fetched_since(f"stripe/{name}", since) for name in raw})
    table = subscription_mrr_table(
        raw.pop("subscriptions"), **raw, as_of=sources.position.as_of, previous=previous, changed=changed
    )
    return _stored(
        lake.open(),
        sources,
        "subscription_mrr",
        table,
        incomplete=table.num_rows - (pc.sum(table["complete"]).as_py() or 0),
    )


def _stored(
    lake: "Lake", sources: Sources, name: str, table: "pa.Table", **metadata: Any
) -> dg.MaterializeResult[Any]:
    return stored(
        lake, f"segments/{name}", table, SEGMENT_TABLES[name], read=sources.versions, metadata=metadata
    )
