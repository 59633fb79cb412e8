"""Briefs: the closed form of all that may leave for Mavera. What has no field here cannot be sent.

- `TierBrief`, an MRR tier: tier, currency, customers or fewer_than, median_mrr_minor, mrr_minor, share_percent,
  interval_mix, guidance.
- `MarketBrief`, a market: country or region, currency, customers, paid_minor, method_mix, success_percent,
  guidance.
- `RetentionBrief`, a risk cohort: cohort, tier, period, currency, customers or fewer_than, mrr_at_risk_minor,
  signals, tone, guidance.
- `CaseStudyBrief`, a growth cohort: tier, product, growth_band, period, customers or fewer_than, months,
  expansion_band, guidance.
- `CopyFixBrief`, disputes by reason: reason, product, period, disputes or fewer_than, rate_percent, original_copy,
  audience_tier.
- `BrandVoiceBrief`: label, usage_context, urls.

All are frozen pydantic models that take mappings too (`TierBrief.model_validate(cell)`) and refuse unknown fields.
Counts must be rounded to 5, money to two significant digits of minor units, shares and rates to whole percents;
an exact number is refused. A group under k is given as `fewer_than=k` and then carries no number at all. Text
is operator text from configuration. Not here: where cells come from, and what a prompt says (`templates`).
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from activation.operator_text import OperatorLabel, OperatorText, Slug
from activation.rounding import RoundedCount, RoundedMoney, WholePercent
from activation.vocabulary import (
    Band,
    Cohort,
    DisputeReason,
    Interval,
    MethodFamily,
    Signal,
    Tier,
    Tone,
    method_family,
)

__all__ = [
    "Band",
    "BrandVoiceBrief",
    "Brief",
    "CaseStudyBrief",
    "Cohort",
    "CopyFixBrief",
    "DisputeReason",
    "Interval",
    "MarketBrief",
    "MethodFamily",
    "RetentionBrief",
    "Signal",
    "Suppressed",
    "Tier",
    "TierBrief",
    "Tone",
    "method_family",
]


def _methods(value: Any) -> Any:
    """Shares by Stripe's type become shares by family."""
    if not isinstance(value, dict):
        return value
    shares: dict[str, int] = {}
    for name, share in value.items():
        known = name in MethodFamily._value2member_map_
        family = MethodFamily(name) if known else method_family(str(name))
        shares[family] = shares.get(family, 0) + share
    return shares


def _signals(value: Any) -> Any:
    """Known signals in their order, once each; unknown ones become `other`, as their text is not ours to send."""
    if not isinstance(value, list | tuple):
        return value
    known = [item if item in Signal._value2member_map_ else Signal.OTHER for item in value]
    return tuple(dict.fromkeys(known))


Currency = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")]
Period = Annotated[str, StringConstraints(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Region = Literal[
    "Australia and New Zealand",
    "Caribbean",
    "Central America",
    "Central Asia",
    "Eastern Africa",
    "Eastern Asia",
    "Eastern Europe",
    "Latin America and the Caribbean",
    "Melanesia",
    "Micronesia",
    "Middle Africa",
    "Northern Africa",
    "Northern America",
    "Northern Europe",
    "Polynesia",
    "South America",
    "South-eastern Asia",
    "Southern Africa",
    "Southern Asia",
    "Southern Europe",
    "Sub-Saharan Africa",
    "Western Africa",
    "Western Asia",
    "Western Europe",
    "other",
]
"""UN M49 sub-regions, and `other` for what is folded together."""
IntervalMix = dict[Interval, WholePercent]
MethodMix = Annotated[dict[MethodFamily, WholePercent], BeforeValidator(_methods)]
Signals = Annotated[tuple[Signal, ...], BeforeValidator(_signals), Field(max_length=5)]
_K_LEAST = 11


class _Brief(BaseModel):
    """What all briefs share: frozen, closed, and a key that says which segment it is about."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False)

    def content(self) -> dict[str, Any]:
        """All that was filled in, as JSON values, without the period: a new month alone is no news."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"period"})


class _Group(_Brief):
    """A group of customers: its rounded size, or only that it is smaller than k."""

    customers: RoundedCount | None = None
    fewer_than: Annotated[int, Field(ge=_K_LEAST, strict=True)] | None = None

    @model_validator(mode="after")
    def _size(self) -> Self:
        if (self.customers is None) == (self.fewer_than is None):
            raise ValueError("give either `customers`, rounded, or `fewer_than`")
        if self.fewer_than is None:
            return self
        for name in self._numbers:
            if getattr(self, name):
                raise ValueError(f"a group of fewer than {self.fewer_than} may not carry `{name}`")
        return self

    @property
    def _numbers(self) -> tuple[str, ...]:
        """Fields that say something about the group's customers."""
        return ()


class TierBrief(_Group):
    """A revenue tier, for its persona."""

    kind: Literal["tier"] = "tier"
    tier: Tier
    currency: Currency
    median_mrr_minor: RoundedMoney | None = None
    mrr_minor: RoundedMoney | None = None
    share_percent: WholePercent | None = None
    interval_mix: IntervalMix = Field(default_factory=dict)
    guidance: OperatorText | None = None

    @property
    def segment_key(self) -> str:
        """`tier:mid_market`."""
        return f"tier:{self.tier}"

    @property
    def _numbers(self) -> tuple[str, ...]:
        return ("median_mrr_minor", "mrr_minor", "share_percent", "interval_mix")


class MarketBrief(_Brief):
    """A market by payment geography, for its persona; a market under k has no brief at all."""

    kind: Literal["market"] = "market"
    country: Country | None = None
    region: Region | None = None
    currency: Currency
    customers: RoundedCount
    paid_minor: RoundedMoney | None = None
    method_mix: MethodMix = Field(default_factory=dict)
    success_percent: WholePercent | None = None
    guidance: OperatorText | None = None

    @model_validator(mode="after")
    def _place(self) -> Self:
        if (self.country is None) == (self.region is None):
            raise ValueError("give either `country` or `region`")
        return self

    @property
    def segment_key(self) -> str:
        """`market:country:DE:eur` or `market:region:western-europe:eur`."""
        if self.country is not None:
            return f"market:country:{self.country}:{self.currency}"
        return f"market:region:{str(self.region).lower().replace(' ', '-')}:{self.currency}"


class RetentionBrief(_Group):
    """A risk cohort inside a tier, for one retention message that targets the tier's persona."""

    kind: Literal["retention"] = "retention"
    cohort: Cohort
    tier: Tier
    period: Period
    currency: Currency
    mrr_at_risk_minor: RoundedMoney | None = None
    signals: Signals = ()
    tone: Tone = Tone.PLAIN
    guidance: OperatorText | None = None

    @property
    def segment_key(self) -> str:
        """`retention:win_back:smb`."""
        return f"retention:{self.cohort}:{self.tier}"

    @property
    def _numbers(self) -> tuple[str, ...]:
        return ("mrr_at_risk_minor",)


class CaseStudyBrief(_Group):
    """An unnamed group of grown customers, for one draft in a Mave thread of its own."""

    kind: Literal["case_study"] = "case_study"
    tier: Tier
    product: Slug
    growth_band: Band
    expansion_band: Band | None = None
    months: Annotated[int, Field(ge=1, le=120, strict=True)] | None = None
    period: Period
    guidance: OperatorText | None = None

    @property
    def segment_key(self) -> str:
        """`case_study:smb:team-plan:TO_50`."""
        return f"case_study:{self.tier}:{self.product}:{self.growth_band.name}"

    @property
    def _numbers(self) -> tuple[str, ...]:
        return ("months", "expansion_band")


class CopyFixBrief(_Brief):
    """Disputes about a product for a reason that copy can help with, and the copy to rewrite."""

    kind: Literal["copy_fix"] = "copy_fix"
    reason: DisputeReason
    product: Slug
    period: Period
    disputes: RoundedCount | None = None
    fewer_than: Annotated[int, Field(ge=_K_LEAST, strict=True)] | None = None
    rate_percent: WholePercent | None = None
    original_copy: OperatorText
    audience_tier: Tier = Tier.SMB

    @model_validator(mode="after")
    def _size(self) -> Self:
        if (self.disputes is None) == (self.fewer_than is None):
            raise ValueError("give either `disputes`, rounded, or `fewer_than`")
        if self.fewer_than is not None and self.rate_percent is not None:
            raise ValueError(f"a group of fewer than {self.fewer_than} may not carry `rate_percent`")
        return self

    @property
    def segment_key(self) -> str:
        """`copy_fix:subscription_canceled:team-plan`."""
        return f"copy_fix:{self.reason}:{self.product}"


class BrandVoiceBrief(_Brief):
    """The tone of voice that generations use; created once."""

    kind: Literal["brand_voice"] = "brand_voice"
    label: OperatorLabel
    usage_context: Annotated[OperatorText, Field(min_length=10)]
    urls: tuple[Annotated[str, StringConstraints(pattern=r"^https://[^\s@]+$", max_length=300)], ...] = ()

    @property
    def segment_key(self) -> str:
        """There is one voice."""
        return "brand_voice:default"


class Suppressed(BaseModel):
    """A cell that did not pass the release rules: shown to the operator in the plan, never sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segment_key: str
    reason: str
    merged_into: str | None = None


Brief = Annotated[
    TierBrief | MarketBrief | RetentionBrief | CaseStudyBrief | CopyFixBrief | BrandVoiceBrief,
    Field(discriminator="kind"),
]
