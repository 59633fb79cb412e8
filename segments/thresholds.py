"""Every threshold of the segments in one typed place, with its reason.

Here: bounds, windows and points, grouped by the segment that uses them, each overridable by a caller. Not here:
the rules themselves. Where no source publishes a figure the comment says that it is this project's choice.
"""

from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "LEAST_K",
    "ChurnThresholds",
    "DisclosureThresholds",
    "DisputeThresholds",
    "GrowthThresholds",
    "MarketThresholds",
    "ReleaseThresholds",
    "RiskPoints",
    "Thresholds",
    "TierThresholds",
]

LEAST_K: Final = 11
"""The US CMS rule allows no cell of 1 to 10, nor anything it can be derived from
(https://resdac.org/node/1506)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TierThresholds:
    """MRR a month at which a tier is entered and left, in whole units of the reporting currency.

    The gap between the two is the hysteresis: no vendor publishes figures, a tenth is this project's choice.
    """

    enterprise_enter: int = 10_000
    enterprise_leave: int = 9_000
    mid_market_enter: int = 1_000
    mid_market_leave: int = 900

    def __post_init__(self) -> None:
        if not (
            0 < self.mid_market_leave <= self.mid_market_enter < self.enterprise_leave <= self.enterprise_enter
        ):
            raise ValueError("tiers need 0 < mid_market_leave <= _enter < enterprise_leave <= _enter")


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskPoints:
    """Published points of each signal; a signal without published points scores nothing.

    K: Kustiq (https://kustiq.com/docs/stripe). S: SaaS Churn Predictor
    (https://saas-churn-predictor.vercel.app/blog/how-our-churn-scoring-engine-works). C: chargebee_mapper.
    Kustiq's points for `canceled` are left out, as that is the outcome; its 45 days without a charge are
    counted against the plan's own cycle, as they fire for every annual customer otherwise. Chargebee's points
    for low value and a single subscription are left out: they name a segment, not a change.
    """

    past_due: int = 10  # K
    failed_invoices_many: int = 12  # K, three or more in 30 days
    failed_invoices_few: int = 6  # K, one or two in 30 days
    dunning: int = 5  # C, an open invoice with attempts behind it
    downgrade: int = 10  # K, list MRR fell within a month
    contraction: int = 10  # K, MRR fell by over a tenth in three months
    expansion: int = -8  # K, MRR rose by over a tenth in three months
    overdue_charge: int = 8  # K, days since a charge, scaled by the plan's cycle
    card_expiring: int = 10  # S, expires before the next invoice, no replacement
    new_customer: int = 10  # C, under 90 days


@dataclass(frozen=True, kw_only=True, slots=True)
class ChurnThresholds:
    """Windows in days, shares, and the score at which a customer counts as at risk."""

    points: RiskPoints = field(default_factory=RiskPoints)
    at_risk_enter: int = 20
    at_risk_leave: int = 10
    # Minimum stay of common practice; hard events (a cancellation, a failed payment) ignore it.
    minimum_stay_days: int = 28
    recent_days: int = 30
    window_days: int = 90
    many_failed_invoices: int = 3
    change_share: float = 0.10
    new_customer_days: int = 90
    # How far ahead an invoice is near enough for a card's expiry or a coupon's end to matter.
    horizon_days: int = 60
    renewal_days: int = 30
    # A charge is overdue when the last one is older than this share of the plan's cycle, and a grace of days.
    overdue_cycles: float = 1.25
    overdue_grace_days: int = 7

    def __post_init__(self) -> None:
        if not 0 <= self.at_risk_leave <= self.at_risk_enter <= 100:
            raise ValueError("at_risk needs 0 <= leave <= enter <= 100")


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketThresholds:
    """Window of the payments that describe a market."""

    window_days: int = 365


@dataclass(frozen=True, kw_only=True, slots=True)
class GrowthThresholds:
    """Gates of a case-study candidate. No source publishes Stripe-only figures: these are a proposal."""

    window_months: int = 24
    least_points: int = 6
    # Customers with annual plans alone have one point a year, over a longer window.
    annual_window_months: int = 60
    least_annual_points: int = 3
    # Or two annual invoices.
    tenure_days: int = 365
    invoices: int = 6
    refund_share: float = 0.20
    refund_days: int = 365
    expansion: float = 0.20
    # Absolute gain a month, minor units of the customer's currency: growth from next to nothing is no story.
    least_gain_minor: int = 1_000
    confidence: float = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class DisputeThresholds:
    """When a number of disputes is too small to alarm, and the confidence of the interval."""

    small_number: int = 5
    confidence: float = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class DisclosureThresholds:
    """What may leave: the smallest group, dominance, and how numbers are rounded."""

    k: int = 25
    dominance_share: float = 0.5
    # The largest member may not be estimated within this share of its value by the second largest.
    p_percent: float = 0.15
    count_step: int = 5
    significant_digits: int = 2

    def __post_init__(self) -> None:
        if self.k < LEAST_K:
            raise ValueError(f"k is {self.k}; below {LEAST_K} nothing may be released")
        if not 0 < self.dominance_share < 1 or not 0 < self.p_percent < 1:
            raise ValueError("dominance_share and p_percent are shares between 0 and 1")
        if self.count_step < 5 or self.significant_digits not in (1, 2):
            raise ValueError("counts are rounded to 5 or more, amounts to 1 or 2 significant digits")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseThresholds:
    """How many cells of a family are worth describing, and over which time."""

    markets: int = 12
    case_studies: int = 5
    # A draft about unnamed customers describes at least so many of them together.
    least_candidates: int = 3
    dispute_months: int = 12
    signals: int = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """All thresholds of a run."""

    tiers: TierThresholds = field(default_factory=TierThresholds)
    churn: ChurnThresholds = field(default_factory=ChurnThresholds)
    markets: MarketThresholds = field(default_factory=MarketThresholds)
    growth: GrowthThresholds = field(default_factory=GrowthThresholds)
    disputes: DisputeThresholds = field(default_factory=DisputeThresholds)
    disclosure: DisclosureThresholds = field(default_factory=DisclosureThresholds)
    release: ReleaseThresholds = field(default_factory=ReleaseThresholds)
