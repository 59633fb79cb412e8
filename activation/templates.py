"""What Mavera is told: request texts built from briefs alone, by fixed wording with a version.

Here: wording, and how a number of a brief is put into words. Not here: numbers that no brief carries, customer
text (no brief has any), tokens (`surfaces` place them). A change of wording is a new version in `VERSIONS`; it is
shown in the plan as the reason of the update it causes. Fields of personas are those that Mavera documents; of
`buying_stage` and `decision_role` only the two values used here are confirmed.
"""

from typing import Any

from activation.briefs import (
    CaseStudyBrief,
    Cohort,
    CopyFixBrief,
    Interval,
    MarketBrief,
    RetentionBrief,
    Signal,
    Tier,
    TierBrief,
)
from activation.locales import LOCALES, country_name
from activation.rounding import money_text, percent_text

__all__ = [
    "TIER_NAMES",
    "VERSIONS",
    "case_study_message",
    "copy_fix_input",
    "copy_fix_instructions",
    "market_persona",
    "retention_text",
    "tier_persona",
]

VERSIONS = {
    "tier": "tier-1",
    "market": "market-1",
    "retention": "retention-1",
    "case_study": "case-study-1",
    "copy_fix": "copy-fix-1",
    "brand_voice": "brand-voice-1",
}
"""Version of the wording, by kind of brief."""

TIER_NAMES = {Tier.ENTERPRISE: "Enterprise", Tier.MID_MARKET: "Mid-market", Tier.SMB: "Small business"}

_TIER_TRAITS: dict[Tier, dict[str, Any]] = {
    Tier.ENTERPRISE: {
        "role_segment": ["Finance leadership", "Procurement", "IT operations"],
        "primary_objectives": ["Predictable spend across departments", "Contract terms that pass review"],
        "mcda_weights": {"price": 2, "timeToValue": 3, "risk": 5, "proof": 4, "support": 5},
        "goals": ["One contract for all teams", "Invoices that match the purchase order"],
        "pains": ["Price changes in the middle of a budget year", "Approvals that delay every expansion"],
        "triggers": ["Annual renewal", "Budget planning"],
        "channels": ["account review", "email"],
        "proof_types": ["Reference customers", "Security documentation"],
        "alternatives": ["A bundle of an existing vendor", "Building it in house"],
        "win_factors": ["A named contact", "Usage reports by team"],
        "objections": ["Seats are paid for but not used", "The contract does not fit our terms"],
    },
    Tier.MID_MARKET: {
        "role_segment": ["Operations", "Finance"],
        "primary_objectives": ["Predictable monthly cost", "Fewer manual invoices"],
        "mcda_weights": {"price": 4, "timeToValue": 3, "risk": 3, "proof": 4, "support": 3},
        "goals": ["Keep cost per seat stable while headcount grows"],
        "pains": ["Price steps arrive in the middle of a budget year", "Systems disagree on active seats"],
        "triggers": ["Renewal within 60 days", "A new team joins"],
        "channels": ["email", "account review"],
        "proof_types": ["Benchmark", "Cost calculation"],
        "alternatives": ["Spreadsheet", "A lower plan"],
        "win_factors": ["Clear invoice lines", "Quick answers to billing questions"],
        "objections": ["Seats are paid for but not used"],
    },
    Tier.SMB: {
        "role_segment": ["Founders", "Office management"],
        "primary_objectives": ["Little effort", "Low fixed cost"],
        "mcda_weights": {"price": 5, "timeToValue": 5, "risk": 2, "proof": 2, "support": 3},
        "goals": ["Start the same day", "Pay only for what is used"],
        "pains": ["Unexpected charges", "No time to learn another tool"],
        "triggers": ["A payment fails", "A free tool reaches its limit"],
        "channels": ["email", "in the product"],
        "proof_types": ["Short demonstration", "Customer quotes"],
        "alternatives": ["A free tool", "Doing it by hand"],
        "win_factors": ["Easy cancellation", "A monthly plan"],
        "objections": ["It costs more than it saves"],
    },
}
_INTERVAL_TEXT = {Interval.MONTH: "monthly", Interval.YEAR: "annual", Interval.OTHER: "other"}
_SIGNAL_TEXT: dict[Signal, str] = {signal: signal.value.replace("_", " ") for signal in Signal} | {
    Signal.PAST_DUE: "an overdue invoice",
    Signal.FAILED_PAYMENT: "failed payments",
    Signal.CARD_EXPIRING: "a card that expires before the renewal",
    Signal.CONTRACTION: "less spend than before",
    Signal.DOWNGRADE: "a recent downgrade",
    Signal.OPEN_DISPUTE: "an open dispute",
    Signal.RENEWAL_DUE: "a renewal that is near",
    Signal.COUPON_ENDING: "a discount that ends",
    Signal.OPEN_INVOICES: "open invoices",
    Signal.TOO_EXPENSIVE: "the price",
    Signal.UNUSED: "little use",
    Signal.OTHER: "other signs",
}
_COHORT_TOPIC = {
    Cohort.PAYMENT_RECOVERY: "A renewal payment failed and the account may lapse although nobody decided so",
    Cohort.WIN_BACK: "The subscription was cancelled and the customer is invited back",
    Cohort.SAVE_OFFER: "The customer shows signs of leaving and is offered help before the renewal",
}
COHORT_NAMES = {
    Cohort.PAYMENT_RECOVERY: "Payment recovery",
    Cohort.WIN_BACK: "Win-back",
    Cohort.SAVE_OFFER: "Save offer",
}


def _size(customers: int | None, fewer_than: int | None) -> str:
    return (
        f"about {customers:,} paying customers" if customers is not None else f"fewer than {fewer_than} customers"
    )


def _mix(shares: dict[Any, int], names: dict[Any, str]) -> str:
    ranked = sorted(shares.items(), key=lambda item: (-item[1], str(item[0])))
    return ", ".join(
        f"{percent_text(share)} {names.get(name, str(name).replace('_', ' '))}" for name, share in ranked
    )


def tier_persona(brief: TierBrief) -> dict[str, Any]:
    """Typed persona fields of a revenue tier, without its name."""
    facts = [f"A group of {_size(brief.customers, brief.fewer_than)} in the {TIER_NAMES[brief.tier].lower()} tier"]
    if brief.median_mrr_minor is not None:
        facts.append(f"typical spend {money_text(brief.median_mrr_minor, brief.currency)} a month")
    if brief.mrr_minor is not None:
        facts.append(f"together about {money_text(brief.mrr_minor, brief.currency)} a month")
    if brief.share_percent is not None:
        facts.append(f"{percent_text(brief.share_percent)} of recurring revenue")
    if brief.interval_mix:
        facts.append(f"billing: {_mix(brief.interval_mix, _INTERVAL_TEXT)}")
    return {
        "pipeline_type": "intermediate",
        "type": "B2B",
        "description": _sentences("; ".join(facts), brief.guidance),
        "buying_stage": "SOLUTION_AWARE",
        "decision_role": "ECONOMIC_BUYER",
        **_TIER_TRAITS[brief.tier],
    }


def market_persona(brief: MarketBrief) -> dict[str, Any]:
    """Typed persona fields of a market with its locale fields, without its name."""
    place = country_name(brief.country) if brief.country else str(brief.region)
    facts = [f"A group of {_size(brief.customers, None)} in {place}, paying in {brief.currency.upper()}"]
    if brief.paid_minor is not None:
        facts.append(f"paid volume about {money_text(brief.paid_minor, brief.currency)}")
    if brief.method_mix:
        facts.append(f"payments: {_mix(brief.method_mix, {})}")
    if brief.success_percent is not None:
        facts.append(f"{percent_text(brief.success_percent)} of payments succeed")
    locale = LOCALES.get(brief.country or "")
    ranked = sorted(brief.method_mix.items(), key=lambda item: (-item[1], str(item[0])))
    body: dict[str, Any] = {
        "pipeline_type": "advanced",
        "type": "B2B",
        "description": _sentences("; ".join(facts), brief.guidance),
        "goals": [
            f"Pay in {brief.currency.upper()} with the usual local methods",
            "Invoices that local rules accept",
        ],
        "pains": ["Declined payments", "Checkout pages in a foreign language"],
        "channels": ["email", "in the product"],
        "is_localized": True,
        "locale_scope": "country" if brief.country else "region",
        "locale_value": brief.country or str(brief.region),
        "local_channels": ["email"],
        "local_objections": [
            "The payment method that we use is missing",
            "The invoice lacks what our law asks for",
        ],
    }
    if ranked:
        body["win_factors"] = [f"Payment by {ranked[0][0].value.replace('_', ' ')}"]
    if locale is not None:
        body["local_keywords"] = list(locale.keywords)
    return body


def retention_text(brief: RetentionBrief) -> dict[str, str]:
    """Texts of a retention message by what they are for: topic, audience, tone, points, goal."""
    facts = [_COHORT_TOPIC[brief.cohort], f"group: {_size(brief.customers, brief.fewer_than)}"]
    if brief.mrr_at_risk_minor is not None:
        facts.append(f"about {money_text(brief.mrr_at_risk_minor, brief.currency)} a month at risk")
    if brief.signals:
        facts.append("signs: " + ", ".join(_SIGNAL_TEXT[signal] for signal in brief.signals))
    return {
        "topic": "; ".join(facts),
        "audience": f"{TIER_NAMES[brief.tier]} customers",
        "tone": brief.tone.value,
        "points": _sentences("State the next step, offer help, promise no refund and no discount", brief.guidance),
        "goal": {
            Cohort.PAYMENT_RECOVERY: "Get the payment method updated",
            Cohort.WIN_BACK: "Invite the customer back",
            Cohort.SAVE_OFFER: "Keep the customer",
        }[brief.cohort],
    }


def case_study_message(brief: CaseStudyBrief) -> str:
    """The request for a case study draft about an unnamed group, without its marker."""
    facts = [
        f"{_size(brief.customers, brief.fewer_than)} in the {TIER_NAMES[brief.tier].lower()} tier",
        f"product: {brief.product}",
        f"spend grew by {brief.growth_band.value} a year",
    ]
    if brief.expansion_band is not None:
        facts.append(f"net expansion {brief.expansion_band.value}")
    if brief.months is not None:
        facts.append(f"observed over {brief.months} months")
    return _sentences(
        "Draft a case study of about 600 words on an unnamed group of customers. Facts you may use: "
        f"{'; '.join(facts)}. Name no company and no person, and add no numbers. Do not ask back; where something "
        "is not given, leave it out",
        brief.guidance,
    )


def copy_fix_instructions() -> str:
    """Standing instructions of a copy fix."""
    return (
        "Rewrite product copy so that fewer payments are disputed. Keep every factual claim of the original. "
        "Promise no refund and no discount. Answer in the given JSON schema only."
    )


def copy_fix_input(brief: CopyFixBrief) -> str:
    """What to rewrite and why; the original is operator text, given as a quotation."""
    many = f"about {brief.disputes}" if brief.disputes is not None else f"fewer than {brief.fewer_than}"
    rate = f", {percent_text(brief.rate_percent)} of payments" if brief.rate_percent is not None else ""
    original = brief.original_copy.replace('"', "'")
    return (
        f"Product: {brief.product}. Disputes for the reason {brief.reason.value}: {many}{rate}. "
        f'Rewrite this copy so that such disputes become less likely: "{original}"'
    )


def _sentences(first: str, guidance: str | None) -> str:
    return f"{first}." if guidance is None else f"{first}. {guidance}"
