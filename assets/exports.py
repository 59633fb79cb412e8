"""The exports in the raw tables' step: loading what is new, and what is told about it.

Here: the hand-over to `ingest.exports` and its asset checks. Not here: how files are read, which are complete.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg

from ingest.tables import RAW_TABLES
from resources.progress import Progress
from resources.wiring import ExportsResource, StripeResource
from segments.money import exponent, known_currencies

if TYPE_CHECKING:
    from ingest.exports import ExportReport, ExportSource, LoadedExports
    from resources.lake import Lake
    from resources.state import State

__all__ = ["FILES_ARE_KNOWN", "export_results", "export_source", "export_specs", "load_new_exports"]

_READ: Final = "export_is_readable"
FILES_ARE_KNOWN: Final = "export_files_are_known"
_FROM_EXPORTS: Final = tuple(name for name in RAW_TABLES if name != "events")


def export_source(exports: ExportsResource) -> "ExportSource | None":
    """Where exports lie and how they are laid out; None where there are none."""
    from ingest.exports import ExportSource, Layout

    if exports.uri is None:
        return None
    layout = Layout(livemode=exports.livemode, pipeline_lag=timedelta(hours=exports.lag_hours))
    return ExportSource(exports.uri, layout, exports.csv_without_discounts)


def load_new_exports(
    exports: ExportsResource,
    stripe: StripeResource,
    lake: "Lake",
    state: "State",
    *,
    now: Callable[[], datetime],
    delivery: str | None,
    again: bool,
    progress: Progress,
) -> "LoadedExports":
    """Load the delivery that is named, all that are new, or all `again`. Raises: dg.Failure if there is none."""
    from ingest.exports import DeliveryMissingError, LoadedExports, load_exports
    from resources.state.exports import loaded_deliveries

    source = export_source(exports)
    if source is None:
        if delivery is not None:
            raise dg.Failure(f"{delivery} cannot be loaded: STRIPE_EXPORTS_URI is not set", allow_retries=False)
        return LoadedExports()
    exponents = {currency: exponent(currency) for currency in known_currencies()}
    try:
        loaded = load_exports(
            source,
            lake,
            state,
            now=now,
            exponents=exponents,
            delivery=delivery,
            again=again,
            progress=progress,
        )
    except (DeliveryMissingError, OSError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if not stripe.has_key:
        if not loaded_deliveries(state):
            tree = "livemode" if exports.livemode else "testmode"
            raise dg.Failure(f"{exports.uri} holds no complete export yet ({tree}/, CSV)", allow_retries=False)
        _fill_up(lake)
    return loaded


def _fill_up(lake: "Lake") -> None:
    """Where exports are all there is, a table that none of them has is empty, and what is made from it is too."""
    for name, schema in RAW_TABLES.items():
        if not lake.exists(f"stripe/{name}"):
            lake.replace(f"stripe/{name}", schema.empty_table(), schema)


def export_specs() -> list[dg.AssetCheckSpec]:
    """One check for each table that exports fill, and one for files that are no export."""
    return [
        *(
            dg.AssetCheckSpec(
                _READ,
                asset=["stripe", name],
                description="Every file and row of the export could be read; the others lie in stripe/quarantine.",
            )
            for name in _FROM_EXPORTS
        ),
        dg.AssetCheckSpec(
            FILES_ARE_KNOWN,
            asset=["stripe", "quarantine"],
            description="Every file among the exports is one that is known, in a tree that tells its mode.",
        ),
    ]


def export_results(loaded: "LoadedExports", chosen: set[str]) -> Iterator[dg.AssetCheckResult]:
    """What came of each table of the deliveries, and the files that nobody knows."""
    if "quarantine" in chosen and (loaded.reports or loaded.problems):
        yield dg.AssetCheckResult(
            check_name=FILES_ARE_KNOWN,
            asset_key=["stripe", "quarantine"],
            passed=not loaded.problems,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(loaded.problems) or "every file is known",
        )
    for name in _FROM_EXPORTS:
        reports = [report for report in loaded.reports if any(one.table == name for one in report.tables)]
        if name in chosen and reports:
            yield _table_result(name, reports)


def _table_result(name: str, reports: "list[ExportReport]") -> dg.AssetCheckResult:
    """The check of a table over all deliveries of the run."""
    tables = [one for report in reports for one in report.tables if one.table == name]
    refused = [one.refused for one in tables if one.refused is not None]
    quarantined = sum(one.quarantined for one in tables)
    rows = sum(one.rows for one in tables)
    read = [f"{quarantined} of {rows} rows are in stripe/quarantine"] if rows or not refused else []
    return dg.AssetCheckResult(
        check_name=_READ,
        asset_key=["stripe", name],
        passed=not refused and not quarantined,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join([*refused, *read]),
        metadata={
            "deliveries": [report.delivery for report in reports],
            "rows": rows,
            "quarantined": quarantined,
            "skipped": sum(one.skipped for one in tables),
        },
    )
