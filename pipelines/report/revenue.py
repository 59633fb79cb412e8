"""What the report says about revenue: tiers, movements, risk, markets, growth and disputes, read from the lake.

Here: the questions to the segment tables and the shape of their answers. Not here: any rule (`segments`), and
how a number is shown (`pipelines.report.shown`). Customers are counted, never named; amounts are minor units of
the reporting currency.
"""

from datetime import date, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from pipelines.questions import Questions
from segments.fx import FxRates
from segments.intervals import wilson
from segments.movements import KINDS
from segments.rates import rates_by_month
from segments.thresholds import DisputeThresholds
from segments.tier_months import month_waterfalls, tier_months

__all__ = [
    "MOVED",
    "TIERS",
    "CohortLine",
    "DisputeLine",
    "Disputes",
    "Growth",
    "Headline",
    "MarketLine",
    "Markets",
    "Point",
    "RiskLine",
    "Step",
    "TierLine",
    "Tiers",
    "cohorts",
    "disputes",
    "growth",
    "headline",
    "markets",
    "month_ends",
    "movements",
    "risk",
    "rules",
    "tiers",
]

TIERS: Final = ("enterprise", "mid_market", "smb")
MOVED: Final = tuple(kind for kind in KINDS if kind not in ("fx", "none"))
_MARKETS_SHOWN: Final = 12


class Headline(BaseModel):
    """All customers: MRR, how many pay, how many have a part that is unknown, and the time that it holds for."""

    mrr_minor: int
    customers: int
    paying: int
    incomplete: int
    reporting_currency: str
    as_of: datetime


class TierLine(BaseModel):
    """Customers and MRR of a tier."""

    tier: str
    customers: int
    mrr_minor: int


class Point(TierLine):
    """A tier at a month's end, or on a day."""

    at: date


class Tiers(BaseModel):
    """Tiers today, at the last month ends (from invoices), and on the days on which the product ran."""

    today: list[TierLine]
    months: list[Point]
    days: list[Point]


class Step(BaseModel):
    """A month: its opening MRR, what moved, the effect of exchange rates and its closing MRR."""

    month: date
    opening: int
    moved: dict[str, int]
    fx: int
    closing: int
    balanced: bool


class RiskLine(BaseModel):
    """Customers in a state, for a kind of reason, and their MRR at risk."""

    state: str
    kind: str
    customers: int
    mrr_at_risk_minor: int


class CohortLine(BaseModel):
    """Customers of a retention cohort, the MRR that the forecast expects to go, and what has gone already."""

    cohort: str
    customers: int
    expected_30d_minor: int
    expected_90d_minor: int
    lost_minor: int


class MarketLine(BaseModel):
    """A country and currency; `paid_minor` is null without an exchange rate."""

    country: str
    currency: str
    customers: int
    paid_minor: int | None
    success_rate: float | None
    dispute_rate: float | None
    sure_share: float | None


class Markets(BaseModel):
    """The largest markets, what the rest holds together, and how well countries are known."""

    lines: list[MarketLine]
    rest: MarketLine | None
    rest_markets: int
    customers: int
    unknown: int
    confidence: dict[str, int]


class Growth(BaseModel):
    """How many customers could be a case study, and how many failed each gate."""

    measured: int
    candidates: int
    passed_all_gates: int
    failed: dict[str, int]


class DisputeLine(BaseModel):
    """Disputes of a reason. `won` of the decided ones, with its Wilson interval."""

    reason: str
    disputes: int
    won: int
    lost: int
    open: int
    uncontested: int
    copy_fixable: bool
    small_number: bool = False
    win_low: float | None = None
    win_high: float | None = None

    @property
    def win_rate(self) -> float | None:
        """Won by decided."""
        return self.won / (self.won + self.lost) if self.won + self.lost else None


class Disputes(BaseModel):
    """Disputes by reason, and inquiries apart."""

    lines: list[DisputeLine]
    inquiries: int


def headline(ask: Questions) -> Headline | None:
    """All customers; None when the table has no rows."""
    lines = ask.rows(
        Headline,
        "segments/mrr_tiers",
        """SELECT coalesce(sum(mrr_minor), 0)::BIGINT AS mrr_minor, count(*) AS customers,
        count(*) FILTER (mrr_minor > 0) AS paying, count(*) FILTER (NOT complete) AS incomplete,
        max(reporting_currency) AS reporting_currency, max(as_of) AS as_of FROM t HAVING count(*) > 0""",
    )
    return lines[0] if lines else None


def month_ends(ask: Questions, *, reporting_currency: str, as_of: datetime) -> pa.Table:
    """Tiers at the ends of the last twelve months, from what invoices charged for."""
    published = FxRates(ask.table("segments/fx_rates").to_pylist())
    rates = rates_by_month(published, reporting_currency=reporting_currency, as_of=as_of)
    amounts = ask.table("segments/customer_mrr_months")
    return tier_months(
        amounts.filter(pc.greater_equal(amounts["month"], min(rates))),
        rates=rates,
        reporting_currency=reporting_currency,
        as_of=as_of,
    )


def tiers(ask: Questions, *, ends: pa.Table, reporting_currency: str) -> Tiers:
    """Tiers today and over time."""
    today = ask.rows(
        TierLine,
        "segments/mrr_tiers",
        """SELECT tier, count(*) AS customers, coalesce(sum(mrr_minor), 0)::BIGINT AS mrr_minor FROM t
        GROUP BY 1 ORDER BY array_position(['enterprise', 'mid_market', 'smb', 'none', 'unknown'], tier)""",
    )
    months = [Point(at=row.pop("month"), **row) for row in ends.to_pylist()]
    days = ask.rows(
        Point,
        "segments/segment_history",
        """SELECT day AS at, segment AS tier, customers, mrr_minor FROM t
        WHERE family = 'tier' AND reporting_currency = ? ORDER BY 1, 2""",
        reporting_currency,
    )
    return Tiers(today=today, months=months, days=days)


def movements(ask: Questions, *, ends: pa.Table) -> list[Step]:
    """The waterfall of each month, oldest first."""
    falls = month_waterfalls(ask.table("segments/mrr_movements"), ends)
    return [
        Step(
            month=month,
            opening=fall.opening,
            moved=fall.movements,
            fx=fall.fx,
            closing=fall.closing,
            balanced=fall.balanced,
        )
        for month, fall in falls.items()
    ]


def risk(ask: Questions) -> list[RiskLine]:
    """Customers and MRR at risk by state and kind."""
    return ask.rows(
        RiskLine,
        "segments/churn_risk",
        """SELECT state, CASE state WHEN 'healthy' THEN '' ELSE kind END AS kind, count(*) AS customers,
        (CASE WHEN state = 'healthy' THEN 0 ELSE coalesce(sum(mrr_at_risk_minor), 0) END)::BIGINT
        AS mrr_at_risk_minor FROM t GROUP BY 1, 2
        ORDER BY array_position(['past_due', 'scheduled_cancel', 'at_risk', 'canceled', 'healthy'], state), 4 DESC,
        2""",
    )


def cohorts(ask: Questions) -> list[CohortLine]:
    """What is at stake in each retention cohort, all tiers together."""
    return ask.rows(
        CohortLine,
        "segments/churn_cohorts",
        """SELECT cohort, sum(customers)::BIGINT AS customers,
        sum(expected_30d_minor)::BIGINT AS expected_30d_minor,
        sum(expected_90d_minor)::BIGINT AS expected_90d_minor, sum(lost_minor)::BIGINT AS lost_minor FROM t
        GROUP BY 1 ORDER BY sum(at_stake_minor) DESC, 1""",
    )


def markets(ask: Questions) -> Markets:
    """The largest markets by paid volume."""
    lines = ask.rows(
        MarketLine,
        "segments/markets",
        """SELECT country, currency, customers, paid_reporting_minor AS paid_minor, success_rate, dispute_rate,
        high_confidence_share AS sure_share FROM t
        ORDER BY paid_reporting_minor DESC NULLS LAST, customers DESC, country, currency""",
    )
    shown, others = lines[:_MARKETS_SHOWN], lines[_MARKETS_SHOWN:]
    rest = None
    if others:
        rest = MarketLine(
            country="rest",
            currency="",
            customers=sum(line.customers for line in others),
            paid_minor=sum(line.paid_minor or 0 for line in others),
            success_rate=None,
            dispute_rate=None,
            sure_share=None,
        )
    unknown, everyone = ask.one(
        "segments/customer_markets", "SELECT count(*) FILTER (country = 'unknown'), count(*) FROM t"
    )
    levels = ("high", "medium", "low", "none")
    counts = ask.one(
        "segments/customer_markets",
        f"SELECT {', '.join(f'''count(*) FILTER (confidence = '{level}')''' for level in levels)} FROM t",
    )
    return Markets(
        lines=shown,
        rest=rest,
        rest_markets=len(others),
        customers=everyone,
        unknown=unknown,
        confidence=dict(zip(levels, counts, strict=True)),
    )


def growth(ask: Questions) -> Growth:
    """Counts of candidates and of failed gates."""
    measured, candidates, passed = ask.one(
        "segments/growth",
        "SELECT count(*), count(*) FILTER (candidate), count(*) FILTER (gates_failed = '') FROM t",
    )

    class _Gate(BaseModel):
        gate: str
        customers: int

    gates = ask.rows(
        _Gate,
        "segments/growth",
        """SELECT gate, count(*) AS customers FROM (SELECT unnest(string_split(gates_failed, '; ')) AS gate FROM t)
        WHERE gate <> '' GROUP BY 1 ORDER BY 2 DESC, 1""",
    )
    return Growth(
        measured=measured,
        candidates=candidates,
        passed_all_gates=passed,
        failed={gate.gate: gate.customers for gate in gates},
    )


def disputes(ask: Questions, *, thresholds: DisputeThresholds | None = None) -> Disputes:
    """Disputes by reason with the share won and how sure it is."""
    rules = thresholds or DisputeThresholds()
    lines = ask.rows(
        DisputeLine,
        "segments/disputes_by_reason",
        """SELECT reason, sum(disputes)::BIGINT AS disputes, sum(won)::BIGINT AS won, sum(lost)::BIGINT AS lost,
        sum(open)::BIGINT AS open, sum(uncontested)::BIGINT AS uncontested, bool_or(copy_fixable) AS copy_fixable
        FROM t GROUP BY 1 HAVING sum(disputes) > 0 ORDER BY 2 DESC, 1""",
    )
    shown = []
    for line in lines:
        low, high = wilson(line.won, line.won + line.lost, confidence=rules.confidence) or (None, None)
        few = line.disputes < rules.small_number
        shown.append(line.model_copy(update={"win_low": low, "win_high": high, "small_number": few}))
    (inquiries,) = ask.one("segments/disputes_by_reason", "SELECT coalesce(sum(inquiries), 0)::BIGINT FROM t")
    return Disputes(lines=shown, inquiries=inquiries)


def rules(ask: Questions) -> list[str]:
    """The rule sets that the MRR of subscriptions follows."""
    names = ask.table("segments/subscription_mrr")["profile"].unique().to_pylist()
    return sorted(names)
