"""The jobs: which assets run together.

Here: selections by group. Not here: when they run (`pipelines.schedules`, `pipelines.sensors`).
"""

import dagster as dg

from pipelines.maintenance import maintain

__all__ = ["JOBS", "activate", "extract", "maintain", "reconcile", "refresh", "segment"]

# Approving is a person's act; it is never part of a job that runs by itself.
_APPROVAL = dg.AssetSelection.assets(["mavera", "approval"])
_RECONCILIATION = dg.AssetSelection.assets(["stripe", "reconciliation"], ["mavera", "reconciliation"])
_APART = _APPROVAL | _RECONCILIATION

extract = dg.define_asset_job(
    "extract",
    selection=dg.AssetSelection.groups("stripe") - _APART,
    description="Bring the raw tables up to date with Stripe.",
)
segment = dg.define_asset_job(
    "segment",
    selection=dg.AssetSelection.groups("segments"),
    description="Derive the segment tables from the raw tables.",
)
activate = dg.define_asset_job(
    "activate",
    selection=dg.AssetSelection.groups("mavera") - _APART,
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
    description="Compare tables with Stripe and the ledger with Mavera; repair what reading can repair.",
)

JOBS = (refresh, extract, segment, activate, reconcile, maintain)
