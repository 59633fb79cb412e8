"""The raw tables: one extraction that brings any of them up to date.

Here: one multi-asset for all Stripe tables, as Stripe's limits are the account's and separate steps would each
think that they own them. Not here: reading and rows (`ingest`).
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from assets.completeness import completeness_results, completeness_specs
from assets.tables import OWNERS, table_spec
from ingest.streams import STREAMS
from ingest.tables import QUARANTINE, RAW_TABLES
from resources.progress import Progress
from resources.wiring import LakeResource, StateResource, StripeResource

if TYPE_CHECKING:
    from ingest.report import ExtractReport, StreamProgress, StreamReport, TableReport

__all__ = ["STRIPE_ASSETS", "stripe_tables"]

_CHECK: Final = "nothing_quarantined"
_TABLES: Final = {**RAW_TABLES, "quarantine": QUARANTINE}


class Extraction(dg.Config):
    """What to read."""

    full: bool = Field(False, description="Read everything again instead of what has changed.")


def _quarantine_check(table: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        _CHECK,
        asset=["stripe", table],
        description="Every object of the run could be read; those that could not lie in stripe/quarantine.",
    )


@dg.multi_asset(
    name="stripe_tables",
    specs=[
        table_spec(f"stripe/{name}", schema, kinds={"stripe"}, skippable=True) for name, schema in _TABLES.items()
    ],
    check_specs=[*(_quarantine_check(name) for name in STREAMS), *completeness_specs()],
    can_subset=True,
    pool="stripe",
)
def stripe_tables(
    context: dg.AssetExecutionContext,
    config: Extraction,
    stripe: StripeResource,
    lake: LakeResource,
    state: StateResource,
    progress: dg.ResourceParam[Progress],
) -> Iterator[Any]:
    """Read what has changed at Stripe since the last run, or everything on the first."""
    from ingest.drain import drain
    from ingest.extract import extract
    from ingest.report import ExtractionFailed, ExtractReport

    async def read() -> ExtractReport:
        async with stripe.open() as api:
            drained = await drain(
                api,
                lake.open(),
                state.open(),
                now=_now,
                staging=Path(stripe.staging),
                worker=context.run.run_id,
            )
            if drained.events or drained.put_back:
                context.log.info(f"webhook inbox: {drained}")
            return await extract(
                api,
                lake.open(),
                state.open(),
                now=_now,
                staging=Path(stripe.staging),
                tables=[key.path[-1] for key in context.selected_asset_keys if key.path[-1] in RAW_TABLES],
                full=config.full,
                progress=lambda streams: _tell(progress, streams),
            )

    report: ExtractReport | None
    failure: ExtractionFailed | None = None
    try:
        report = asyncio.run(read())
    except ExtractionFailed as error:
        report, failure = error.report, error
    if report is not None:
        for table in report.tables:
            if table.version is not None and dg.AssetKey(["stripe", table.table]) in context.selected_asset_keys:
                yield _materialized(report, table)
                if table.mode in ("backfill", "incremental") and table.table in RAW_TABLES:
                    yield from completeness_results(lake.open(), report, table.table)
        for stream in report.streams:
            if (
                dg.AssetCheckKey(dg.AssetKey(["stripe", stream.stream]), _CHECK)
                in context.selected_asset_check_keys
            ):
                yield _quarantine_result(stream)
    if failure is not None:
        # What was got is kept, and the next run does the rest; running the step again at once would not help.
        raise dg.Failure(str(failure), allow_retries=False) from failure


def _now() -> datetime:
    return datetime.now(UTC)


def _tell(progress: Progress, streams: "tuple[StreamProgress, ...]") -> None:
    for one in streams:
        eta = "" if one.eta_seconds is None or one.state != "reading" else f", {one.eta_seconds:.0f} s left"
        note = f"{one.pages} pages, {one.requests_per_second:.0f}/s ({one.share:.0%} of the limit){eta}"
        ended = one.state in ("done", "failed")
        progress.report(
            f"stripe/{one.stream}", one.rows, one.rows if ended else None, one.state if ended else note
        )


def _materialized(report: "ExtractReport", table: "TableReport") -> dg.MaterializeResult:
    stream = next(one for one in report.streams if one.stream == table.stream)
    return dg.MaterializeResult(
        asset_key=["stripe", table.table],
        metadata={
            "dagster/row_count": table.rows,
            "mode": table.mode,
            "upserted": table.upserted,
            "delta_version": table.version,
            "requests": stream.requests,
            "rate_limited": stream.limited,
            "retried": stream.retried,
            "requests_of_run": report.requests,
            "request_budget": report.request_budget or "none",
        },
        data_version=dg.DataVersion(f"delta:{table.version}"),
    )


def _quarantine_result(stream: "StreamReport") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=_CHECK,
        asset_key=["stripe", stream.stream],
        passed=stream.quarantined == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{stream.quarantined} of {stream.seen} objects of this run are in stripe/quarantine",
        metadata={"quarantined": stream.quarantined, "seen": stream.seen},
    )


@dg.asset(
    key=["stripe", "reconciliation"],
    group_name="stripe",
    kinds={"stripe"},
    owners=OWNERS,
    deps=[["stripe", name] for name in STREAMS],
    description="The sweep: what is stored against what Stripe lists, by window, repaired where they differ.",
    pool="stripe",
)
def stripe_reconciliation(
    stripe: StripeResource, lake: LakeResource, state: StateResource
) -> dg.MaterializeResult:
    """Find what events and webhooks have missed, and repair it."""
    from ingest.sweep import SweepReport, sweep

    async def compare() -> SweepReport:
        async with stripe.open() as api:
            return await sweep(api, lake.open(), state.open(), now=_now, staging=Path(stripe.staging))

    report = asyncio.run(compare())
    return dg.MaterializeResult(
        metadata={
            "windows": sum(stream.windows for stream in report.streams),
            "differing_windows": sum(stream.differing for stream in report.streams),
            "unlisted": sum(stream.unlisted for stream in report.streams),
            "repaired": dict(report.repaired),
            "requests": report.requests,
            "complete": report.complete,
        }
    )


STRIPE_ASSETS = (stripe_tables, stripe_reconciliation)
