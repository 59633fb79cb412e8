"""The raw tables: one extraction that brings any of them up to date.

Here: one multi-asset for all Stripe tables, as Stripe's limits are the account's and separate steps would each
think that they own them; whatever is read (exports, webhooks, the API) is written by this step. Not here: reading
and rows (`ingest`), what is told about exports (`assets.exports`).
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from assets.completeness import completeness_results, completeness_specs
from assets.exports import export_results, export_specs, load_new_exports
from assets.tables import OWNERS, table_spec
from ingest.streams import STREAMS
from ingest.tables import QUARANTINE, RAW_TABLES
from resources.progress import Progress
from resources.redaction import redacting_errors
from resources.wiring import ExportsResource, LakeResource, StateResource, StripeResource

if TYPE_CHECKING:
    from ingest.exports import LoadedExports
    from ingest.report import ExtractReport, StreamProgress, StreamReport, TableReport
    from ingest.windows import Window
    from resources.lake import Lake

__all__ = ["STRIPE_ASSETS", "stripe_tables"]

_CHECK: Final = "nothing_quarantined"
_TABLES: Final = {**RAW_TABLES, "quarantine": QUARANTINE}


class Extraction(dg.Config):
    """What to read."""

    full: bool = Field(False, description="Read everything again instead of what has changed.")
    delivery: str | None = Field(
        None,
        description="Id of an export delivery: load this one and read nothing else. Loading it again is safe.",
    )
    events_until: str | None = Field(
        None, description="Work off only webhook events that had arrived by this time (ISO 8601). Default: all."
    )


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
    check_specs=[*(_quarantine_check(name) for name in STREAMS), *completeness_specs(), *export_specs()],
    can_subset=True,
    pool="stripe",
)
@redacting_errors
def stripe_tables(
    context: dg.AssetExecutionContext,
    config: Extraction,
    stripe: StripeResource,
    lake: LakeResource,
    state: StateResource,
    exports: ExportsResource,
    progress: dg.ResourceParam[Progress],
) -> Iterator[Any]:
    """Load new exports, and read what has changed at Stripe since the last run, or everything on the first."""
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
                until=None if config.events_until is None else _moment(config.events_until),
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

    chosen = {key.path[-1] for key in context.selected_asset_keys}
    loaded = load_new_exports(
        exports,
        stripe,
        lake.open(),
        state.open(),
        now=_now,
        delivery=config.delivery,
        again=config.full,
        progress=progress,
    )
    yield from export_results(loaded, chosen)
    report: ExtractReport | None = None
    failure: ExtractionFailed | None = None
    if not stripe.has_key or config.delivery is not None:
        yield from _exported(lake.open(), loaded, chosen)
        return
    try:
        report = asyncio.run(read())
    except ExtractionFailed as error:
        report, failure = error.report, error
    if report is not None:
        for table in report.tables:
            if table.version is not None and table.table in chosen:
                yield _materialized(report, table)
                if table.table in RAW_TABLES:
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


def _exported(lake: "Lake", loaded: "LoadedExports", chosen: set[str]) -> Iterator[dg.MaterializeResult]:
    """The tables of a run that loaded exports and nothing else; those that got nothing stand as they were."""
    written: Mapping[str, str] = {
        table.table: report.delivery
        for report in loaded.reports
        for table in report.tables
        if table.version is not None
    }
    for table in sorted(chosen):
        version = lake.version(f"stripe/{table}")
        if version is not None:
            yield dg.MaterializeResult(
                asset_key=["stripe", table],
                metadata={
                    "dagster/row_count": lake.row_count(f"stripe/{table}"),
                    "mode": "export" if table in written else "unchanged",
                    "delivery": written.get(table, "none"),
                    "delta_version": version,
                },
                data_version=dg.DataVersion(f"delta:{version}"),
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
            "pages": stream.pages,
            "requests": stream.requests,
            "rate_limited": stream.limited,
            "retried": stream.retried,
            **_pace(stream),
            "requests_of_run": report.requests,
            "request_budget": report.request_budget or "none",
            "seconds_of_run": round(report.seconds, 1),
        },
        data_version=dg.DataVersion(f"delta:{table.version}"),
    )


def _pace(stream: "StreamReport") -> dict[str, float]:
    """How fast the stream's list was read, if it was."""
    if stream.requests_per_second is None or stream.share is None:
        return {}
    return {"requests_per_second": round(stream.requests_per_second, 1), "share_of_limit": round(stream.share, 3)}


def _quarantine_result(stream: "StreamReport") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=_CHECK,
        asset_key=["stripe", stream.stream],
        passed=stream.quarantined == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{stream.quarantined} of {stream.seen} objects of this run are in stripe/quarantine",
        metadata={"quarantined": stream.quarantined, "seen": stream.seen},
    )


class Sweeping(dg.Config):
    """What to compare: everything, or a stretch of time that is read again without comparing."""

    created_from: str | None = Field(
        None, description="Read again what was created from this time on (ISO 8601, UTC) instead of comparing."
    )
    created_to: str | None = Field(None, description="End of that stretch, not included. Default: now.")


@dg.asset(
    key=["stripe", "reconciliation"],
    group_name="stripe",
    kinds={"stripe"},
    owners=OWNERS,
    deps=[["stripe", name] for name in STREAMS],
    description=(
        "The sweep: what is stored against what Stripe lists, by window, repaired where they differ. With "
        "`created_from` it is a backfill: what was created in that stretch of time is read again."
    ),
    output_required=False,
    pool="stripe",
)
@redacting_errors
def stripe_reconciliation(
    context: dg.AssetExecutionContext,
    config: Sweeping,
    stripe: StripeResource,
    lake: LakeResource,
    state: StateResource,
) -> Iterator[dg.MaterializeResult]:
    """Find what events and webhooks have missed, and repair it; or read a stretch of time again."""
    from ingest.sweep import SweepReport, sweep

    window = _window(config)
    if not stripe.has_key:
        context.log.info("exports are full copies: without STRIPE_API_KEY there is nothing to compare them with")
        return

    async def compare() -> SweepReport:
        async with stripe.open() as api:
            return await sweep(
                api, lake.open(), state.open(), now=_now, staging=Path(stripe.staging), created=window
            )

    report = asyncio.run(compare())
    # The account, where there are several; the months of `backfill` are partitions of its runs, not of tables.
    partition = None if context.assets_def.partitions_def is None else context.partition_key
    for table in sorted(report.repaired):
        version = lake.open().version(f"stripe/{table}")
        context.log_event(
            dg.AssetMaterialization(
                ["stripe", table],
                metadata={"mode": "repaired", "upserted": report.repaired[table], "delta_version": version},
                partition=partition,
                tags={"dagster/data_version": f"delta:{version}"},
            )
        )
    yield dg.MaterializeResult(
        metadata={
            "windows": sum(stream.windows for stream in report.streams),
            "differing_windows": sum(stream.differing for stream in report.streams),
            "unlisted": sum(stream.unlisted for stream in report.streams),
            "repaired": dict(report.repaired),
            "requests": report.requests,
            "complete": report.complete,
        }
    )


def _window(config: Sweeping) -> "Window | None":
    """The stretch of creation times that is asked for. Raises: dg.Failure."""
    from ingest.windows import Window

    if config.created_from is None:
        if config.created_to is not None:
            raise dg.Failure("created_to needs created_from", allow_retries=False)
        return None
    start = int(_moment(config.created_from).timestamp())
    end = int(_now().timestamp()) + 1 if config.created_to is None else int(_moment(config.created_to).timestamp())
    if start >= end:
        raise dg.Failure(f"created_from {config.created_from} does not lie before created_to", allow_retries=False)
    return Window(start, end)


def _moment(text: str) -> datetime:
    """A time of the run's configuration. Raises: dg.Failure."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise dg.Failure(f"{text!r} is not a time in ISO 8601, as 2026-01-31", allow_retries=False) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


STRIPE_ASSETS = (stripe_tables, stripe_reconciliation)
