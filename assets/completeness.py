"""The completeness of each raw table, as Dagster asset checks.

Here: which findings belong to which table, and what they stop. `complete` stops everything that follows, as a
table with lost rows misleads; `plausible` warns a person. Not here: the findings (`ingest.completeness`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from ingest.tables import RAW_TABLES

if TYPE_CHECKING:
    from ingest.completeness import Finding
    from ingest.report import ExtractReport
    from resources.lake import Lake

__all__ = ["completeness_results", "completeness_specs"]

_LISTS = {"subscriptions": "items_complete", "invoices": "lines_complete"}


def completeness_specs() -> list[dg.AssetCheckSpec]:
    """Two checks for each raw table."""
    return [
        spec
        for table in RAW_TABLES
        for spec in (
            dg.AssetCheckSpec(
                "complete",
                asset=["stripe", table],
                blocking=True,
                description="Every object that Stripe listed is a row or in quarantine, once, with whole lists.",
            ),
            dg.AssetCheckSpec(
                "plausible",
                asset=["stripe", table],
                description=(
                    "The list was read to its end, key columns are filled, sums agree, no stretch of time is "
                    "empty without a reason."
                ),
            ),
        )
    ]


def completeness_results(lake: "Lake", report: "ExtractReport", table: str) -> list[dg.AssetCheckResult]:
    """The results of a table after a run; what only a change can have broken is looked at only after a change."""
    from ingest import completeness as look

    flag = _LISTS.get(table)
    rows = lake.read(f"stripe/{table}", columns=["id", "deleted", *([flag] if flag else [])])
    certain = [look.seen_equals_rows(report, table), look.ids_equal_rows(rows)]
    if flag is not None:
        certain.append(look.lists_whole(rows, flag))
    results = [_result("complete", table, certain, dg.AssetCheckSeverity.ERROR)]
    if report.table(table).mode in ("backfill", "incremental"):
        results.append(_result("plausible", table, _plausible(lake, report, table), dg.AssetCheckSeverity.WARN))
    return results


def _plausible(lake: "Lake", report: "ExtractReport", table: str) -> "list[Finding]":
    from ingest import completeness as look

    needed = {"deleted", "created", *look.KEY_COLUMNS[table]}
    if table == "invoices":
        needed |= {"id", "subtotal", "lines_complete"}
    rows = lake.read(f"stripe/{table}", columns=sorted(needed))
    findings = [look.read_to_the_end(report, table), look.null_rates(table, rows), look.largest_gap(rows)]
    if table == "subscriptions":
        findings.append(look.canceled_present(rows))
    if table == "invoices" and lake.exists("stripe/invoice_lines"):
        lines = lake.read("stripe/invoice_lines", columns=["invoice", "amount", "deleted"])
        findings.append(look.lines_sum_to_subtotal(rows, lines))
    listed = [name for stream in report.streams if stream.stream == table for name in stream.fields]
    if listed:
        findings.append(look.unknown_fields(table, listed))
    return findings


def _result(
    name: str, table: str, findings: "Sequence[Finding]", severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    """One result of several findings: what failed is told first; ids stay in the lake."""
    failed = [finding for finding in findings if not finding.passed]
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=["stripe", table],
        passed=not failed,
        severity=severity,
        description="; ".join(finding.text for finding in failed or findings),
        metadata={key: value for finding in findings for key, value in finding.numbers.items()},
    )
