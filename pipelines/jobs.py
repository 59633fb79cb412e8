"""The jobs: which assets run together.

Here: selections by group. Not here: when they run (`pipelines.schedules`, `pipelines.sensors`,
`pipelines.conditions`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import dagster as dg

from pipelines.maintenance import maintain

__all__ = [
    "ACCOUNT_TAG",
    "JOBS",
    "RAW_TABLES_ALONE",
    "activate",
    "backfill",
    "extract",
    "maintain",
    "reconcile",
    "refresh",
    "segment",
]

ACCOUNT_TAG: Final = "dagster/partition"
"""Tag of a run that says whose it is, where there are several accounts."""
RAW_TABLES_ALONE: Final[Mapping[str, str]] = {"renews": "raw tables alone"}
"""Tag of the runs that leave segments behind."""
# Before this month Stripe had no customers.
_FIRST_MONTH: Final = "2011-09-01"

# Approving is a person's act; it is never part of a job that runs by itself.
_APPROVAL = dg.AssetSelection.assets(["mavera", "approval"])
_RECONCILIATION = dg.AssetSelection.assets(["stripe", "reconciliation"], ["mavera", "reconciliation"])
_APART = _APPROVAL | _RECONCILIATION

extract = dg.define_asset_job(
    "extract",
    selection=dg.AssetSelection.groups("stripe") - _APART,
    tags=RAW_TABLES_ALONE,
    description="Bring the raw tables up to date with Stripe.",
)
segment = dg.define_asset_job(
    "segment",
    selection=dg.AssetSelection.groups("segments", "report"),
    description="Derive the segment tables from the raw tables.",
)
activate = dg.define_asset_job(
    "activate",
    selection=dg.AssetSelection.groups("mavera", "report") - _APART,
    description="Plan the Mavera work and carry out what is approved.",
)
refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all() - _APART,
    description="Everything: extract, segment, plan, and carry out what is approved.",
)

reconcile = dg.define_asset_job(
    "reconcile",
    selection=_RECONCILIATION,
    tags=RAW_TABLES_ALONE,
    description="Compare tables with Stripe and the ledger with Mavera; repair what reading can repair.",
)


@dg.monthly_partitioned_config(start_date=_FIRST_MONTH, end_offset=1)
def _created_in(start: datetime, end: datetime) -> Mapping[str, Any]:
    """The sweep of one month of creation, UTC; the month under way is one too."""
    window = {"created_from": start.isoformat(), "created_to": end.isoformat()}
    return {"ops": {"stripe__reconciliation": {"config": window}}}


backfill = dg.define_asset_job(
    "backfill",
    selection=dg.AssetSelection.assets(["stripe", "reconciliation"]),
    config=_created_in,
    tags=RAW_TABLES_ALONE,
    description="Read again what was created in chosen months, a run for each. Choose them under *Partitions*.",
)

JOBS = (refresh, extract, segment, activate, reconcile, backfill, maintain)
