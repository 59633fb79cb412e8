"""The summary of the whole job: what the tables say, in a page that a person reads and an object a program reads.

Here: small questions to the segment and Mavera tables, and their drawing. Not here: any rule; every number is
read from a table that an asset wrote. Customers are counted, never named.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from pipelines.questions import Questions
from pipelines.report.revenue import CohortLine, cohorts
from resources.lake import Lake
from segments.money import format_minor

_OPEN_ENDS = ("held", "skipped", "failed")

__all__ = ["Summary", "render", "summarise"]


class TierLine(BaseModel):
    """Customers and MRR of a tier, minor units of the reporting currency."""

    tier: str
    customers: int
    mrr_minor: int


class RiskLine(BaseModel):
    """Customers of a churn cohort and the MRR at risk, minor units of the reporting currency."""

    state: str
    kind: str
    customers: int
    mrr_at_risk_minor: int


class MarketLine(BaseModel):
    """A country: customers and paid volume, minor units of the reporting currency."""

    country: str
    customers: int
    paid_minor: int | None
    success_rate: float | None


class DisputeLine(BaseModel):
    """Disputes of a reason."""

    reason: str
    disputes: int
    won: int
    lost: int
    copy_fixable: bool


class ActionLine(BaseModel):
    """Planned operations of a kind by how they ended, with their worst price."""

    kind: str
    action: str
    ending: str
    count: int
    credits_at_worst: int


class Summary(BaseModel):
    """The whole page."""

    reporting_currency: str
    tiers: list[TierLine]
    incomplete_customers: int
    risk: list[RiskLine]
    expected_to_go: list[CohortLine]
    markets: list[MarketLine]
    unknown_market_share: float
    case_study_candidates: int
    disputes: list[DisputeLine]
    actions: list[ActionLine]
    credits_charged: int
    waiting: int
    failed: int
    lake: str


def summarise(lake: Lake, *, reporting_currency: str, run_id: str, top: int = 8) -> Summary:
    """Read the page from the tables. Raises: TableMissingError when a part has not been made yet."""
    ask = Questions(lake)
    unknown, everyone = ask.one(
        "segments/customer_markets", "SELECT count(*) FILTER (country = 'unknown'), count(*) FROM t"
    )
    return Summary(
        reporting_currency=reporting_currency,
        tiers=ask.rows(
            TierLine,
            "segments/mrr_tiers",
            """SELECT tier, count(*) AS customers, coalesce(sum(mrr_minor), 0)::BIGINT AS mrr_minor FROM t
            GROUP BY 1 ORDER BY array_position(['enterprise', 'mid_market', 'smb', 'none', 'unknown'], tier)""",
        ),
        incomplete_customers=ask.one("segments/mrr_tiers", "SELECT count(*) FROM t WHERE NOT complete")[0],
        risk=ask.rows(
            RiskLine,
            "segments/churn_risk",
            """SELECT state, kind, count(*) AS customers,
            coalesce(sum(mrr_at_risk_minor), 0)::BIGINT AS mrr_at_risk_minor
            FROM t WHERE state <> 'healthy' GROUP BY ALL ORDER BY 4 DESC, 1, 2""",
        ),
        expected_to_go=cohorts(ask),
        markets=ask.rows(
            MarketLine,
            "segments/markets",
            f"""SELECT country, sum(customers)::BIGINT AS customers,
            sum(paid_reporting_minor)::BIGINT AS paid_minor,
            sum(succeeded) / nullif(sum(attempted), 0) AS success_rate
            FROM t GROUP BY 1 ORDER BY 3 DESC NULLS LAST, 1 LIMIT {top:d}""",
        ),
        unknown_market_share=unknown / everyone if everyone else 0.0,
        case_study_candidates=ask.one("segments/growth", "SELECT count(*) FROM t WHERE candidate")[0],
        disputes=ask.rows(
            DisputeLine,
            "segments/disputes_by_reason",
            """SELECT reason, sum(disputes)::BIGINT AS disputes, sum(won)::BIGINT AS won,
            sum(lost)::BIGINT AS lost, bool_or(copy_fixable) AS copy_fixable
            FROM t GROUP BY 1 HAVING sum(disputes) > 0 ORDER BY 2 DESC, 1""",
        ),
        **_activity(ask, run_id),
        lake=lake.uri,
    )


def _activity(ask: Questions, run_id: str) -> dict[str, Any]:
    """What the Mavera side came to; the credits are those of this run."""
    actions = ask.rows(
        ActionLine,
        "mavera/outcomes",
        """SELECT kind, action, ending, count(*) AS count, sum(credits)::BIGINT AS credits_at_worst FROM t
        GROUP BY ALL ORDER BY min(position)""",
    )
    charged = ask.one("mavera/spend", "SELECT coalesce(sum(credits), 0)::BIGINT FROM t WHERE run_id = ?", run_id)
    ends = {name: sum(line.count for line in actions if line.ending == name) for name in _OPEN_ENDS}
    return {
        "actions": actions,
        "credits_charged": charged[0],
        "waiting": ends["held"] + ends["skipped"],
        "failed": ends["failed"],
    }


def render(summary: Summary, console: Console) -> None:
    """Draw the page."""
    currency = summary.reporting_currency

    def money(minor: int | None) -> str:
        return "–" if minor is None else format_minor(minor, currency)

    _table(
        console,
        f"Customers and MRR by tier ({currency.upper()})",
        ("tier", "customers", "MRR"),
        [(line.tier, f"{line.customers:,}", money(line.mrr_minor)) for line in summary.tiers],
    )
    _table(
        console,
        "MRR at risk by cohort",
        ("state", "kind", "customers", "MRR at risk"),
        [(line.state, line.kind, f"{line.customers:,}", money(line.mrr_at_risk_minor)) for line in summary.risk],
    )
    _table(
        console,
        "MRR expected to go, by the churn forecast",
        ("cohort", "customers", "in 30 days", "in 90 days", "left already"),
        [
            (
                line.cohort,
                f"{line.customers:,}",
                money(line.expected_30d_minor),
                money(line.expected_90d_minor),
                money(line.lost_minor),
            )
            for line in summary.expected_to_go
        ],
    )
    _table(
        console,
        "Top markets by paid volume",
        ("country", "customers", "paid", "success"),
        [
            (
                line.country,
                f"{line.customers:,}",
                money(line.paid_minor),
                "–" if line.success_rate is None else f"{line.success_rate:.1%}",
            )
            for line in summary.markets
        ],
    )
    _table(
        console,
        "Disputes by reason",
        ("reason", "disputes", "won", "lost", "copy can help"),
        [
            (
                line.reason,
                f"{line.disputes:,}",
                f"{line.won:,}",
                f"{line.lost:,}",
                "yes" if line.copy_fixable else "",
            )
            for line in summary.disputes
        ],
    )
    _table(
        console,
        "Mavera",
        ("kind", "action", "ended as", "count", "credits at worst"),
        [
            (line.kind, line.action, line.ending, f"{line.count:,}", f"{line.credits_at_worst:,}")
            for line in summary.actions
        ],
    )
    console.print(f"Case-study candidates: {summary.case_study_candidates:,}")
    console.print(f"Customers whose MRR is incomplete: {summary.incomplete_customers:,}")
    console.print(f"Customers without a known country: {summary.unknown_market_share:.1%}")
    console.print(f"Credits charged in this run: {summary.credits_charged:,}", highlight=False)
    console.print(f"Tables: {summary.lake}", highlight=False, soft_wrap=True)


def _table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for i, name in enumerate(columns):
        numeric = bool(rows) and rows[0][i][:1].isdigit()
        table.add_column(name, justify="right" if numeric else "left")
    for row in rows or [("nothing", *[""] * (len(columns) - 1))]:
        table.add_row(*row)
    console.print(table)
