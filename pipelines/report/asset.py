"""The report in the graph: written anew after each job, with a link that opens it.

Here: the asset. A browser opens no file by a link of a web page, so the link leads to the monitor, which serves
the same page (`pipelines.monitor`). Not here: what is in the report.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from assets.tables import OWNERS
from pipelines.report.edition import Edition
from resources.redaction import redacting_errors
from resources.wiring import LakeResource

if TYPE_CHECKING:
    from pipelines.report.facts import Facts

__all__ = ["REPORT", "report"]

REPORT = "report/page"
_TABLES = {
    "segments": (
        "mrr_tiers",
        "mrr_movements",
        "segment_history",
        "churn_risk",
        "churn_cohorts",
        "markets",
        "growth",
        "disputes_by_reason",
    ),
    "mavera": ("outcomes", "spend", "personas", "generations", "case_studies", "copy_fixes"),
}


@dg.asset(
    key=REPORT.split("/"),
    group_name="report",
    kinds={"html"},
    owners=OWNERS,
    deps=[[room, name] for room, names in _TABLES.items() for name in names],
    description="What the tables say, as one page for people: open it by the link in the metadata.",
)
@redacting_errors
def report(lake: LakeResource, edition: dg.ResourceParam[Edition]) -> dg.MaterializeResult:
    """Write the page beside the tables' folder."""
    facts = edition.written(lake.open(), now=datetime.now(UTC))
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.url(edition.link),
            "file": dg.MetadataValue.path(str(edition.file)),
            **_figures(facts),
        }
    )


def _figures(facts: "Facts") -> dict[str, int]:
    """Numbers of the page that are worth a chart over time."""
    figures = {"parts_missing": len(facts.missing)}
    if facts.headline is not None:
        figures["mrr_minor"] = facts.headline.mrr_minor
        figures["customers_paying"] = facts.headline.paying
        figures["customers_incomplete"] = facts.headline.incomplete
    if facts.spend is not None:
        figures["credits_of_month"] = facts.spend.counted
    return figures
