"""Everything that the report says, gathered from the lake, with the tables that are still missing.

Here: which tables a part needs. Not here: the questions (`revenue`, `activity`, `provenance`) and the page.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import BaseModel

from pipelines.questions import Questions
from pipelines.report import activity, revenue
from pipelines.report.provenance import TableFacts, table_facts
from resources.lake import Lake
from segments.tier_months import TIER_MONTHS

__all__ = ["PARTS", "Facts", "NothingToReportError", "gather"]

PARTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "headline": ("segments/mrr_tiers",),
        "tiers": (
            "segments/mrr_tiers",
            "segments/customer_mrr_months",
            "segments/fx_rates",
            "segments/segment_history",
        ),
        "movements": ("segments/mrr_movements", "segments/customer_mrr_months", "segments/fx_rates"),
        "risk": ("segments/churn_risk",),
        "cohorts": ("segments/churn_cohorts",),
        "markets": ("segments/markets", "segments/customer_markets"),
        "growth": ("segments/growth",),
        "disputes": ("segments/disputes_by_reason",),
        "personas": ("mavera/personas",),
        "generations": ("mavera/generations",),
        "case_studies": ("mavera/case_studies",),
        "copy_fixes": ("mavera/copy_fixes",),
        "plan": ("mavera/plan",),
        "spend": ("mavera/spend",),
        "rules": ("segments/subscription_mrr",),
    }
)
"""The tables that each part is read from. Movements also need the time of the headline's table."""

_PartT = TypeVar("_PartT")


class NothingToReportError(RuntimeError):
    """No table has been made yet."""


class Facts(BaseModel):
    """The whole report; a part is None when a table that it needs is in `missing`, or has no rows."""

    made_at: datetime
    reporting_currency: str
    mode: str
    pretend_credits: bool
    missing: dict[str, list[str]]
    headline: revenue.Headline | None
    tiers: revenue.Tiers | None
    movements: list[revenue.Step] | None
    risk: list[revenue.RiskLine] | None
    cohorts: list[revenue.CohortLine] | None
    markets: revenue.Markets | None
    growth: revenue.Growth | None
    disputes: revenue.Disputes | None
    personas: list[activity.Persona] | None
    generations: list[activity.Text] | None
    case_studies: list[activity.Text] | None
    copy_fixes: list[activity.Text] | None
    plan: activity.Plan | None
    spend: activity.Spend | None
    rules: list[str] | None
    tables: list[TableFacts]


def gather(
    lake: Lake,
    *,
    reporting_currency: str,
    month_cap: int | None,
    mode: str,
    pretend_credits: bool,
    now: datetime,
) -> Facts:
    """Read every part whose tables exist. Raises: NothingToReportError, LakeError."""
    tables = table_facts(lake)
    there = {facts.table for facts in tables if facts.version is not None}
    if not there:
        raise NothingToReportError(f"{lake.uri} has no table yet: run `stripe-mavera run` first")
    missing = {
        part: absent
        for part, needed in PARTS.items()
        if (absent := [name for name in needed if name not in there])
    }
    ask = Questions(lake)

    def part(name: str, read: Callable[[], _PartT]) -> _PartT | None:
        return None if name in missing else read()

    headline = part("headline", lambda: revenue.headline(ask))
    currency = reporting_currency
    as_of = now
    if headline is not None:
        currency, as_of = headline.reporting_currency, headline.as_of
    ends = TIER_MONTHS.empty_table()
    if not {"segments/customer_mrr_months", "segments/fx_rates"} - there:
        ends = revenue.month_ends(ask, reporting_currency=currency, as_of=as_of)
    return Facts(
        made_at=now,
        reporting_currency=currency,
        mode=mode,
        pretend_credits=pretend_credits,
        missing=missing,
        headline=headline,
        tiers=part("tiers", lambda: revenue.tiers(ask, ends=ends, reporting_currency=currency)),
        movements=part("movements", lambda: revenue.movements(ask, ends=ends)),
        risk=part("risk", lambda: revenue.risk(ask)),
        cohorts=part("cohorts", lambda: revenue.cohorts(ask)),
        markets=part("markets", lambda: revenue.markets(ask)),
        growth=part("growth", lambda: revenue.growth(ask)),
        disputes=part("disputes", lambda: revenue.disputes(ask)),
        personas=part("personas", lambda: activity.personas(ask)),
        generations=part("generations", lambda: activity.generations(ask)),
        case_studies=part("case_studies", lambda: activity.case_studies(ask)),
        copy_fixes=part("copy_fixes", lambda: activity.copy_fixes(ask)),
        plan=part("plan", lambda: activity.plan(ask, outcomes="mavera/outcomes" in there)),
        spend=part("spend", lambda: activity.spend(ask, now=now, cap=month_cap)),
        rules=part("rules", lambda: revenue.rules(ask)),
        tables=tables,
    )
