"""The signals of churn risk by their codes: what each means, which way it points, whether it decides alone.

Here: the catalogue, and Stripe's words for why a customer cancelled. Not here: when a signal fires
(`segments.churn`) and its points (`segments.thresholds`). Codes are an interface: briefs and tables use them.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["FEEDBACK", "SIGNALS", "Signal"]


@dataclass(frozen=True, slots=True)
class Signal:
    """A sign of risk: what it means, which way it points, and whether it alone puts a customer at risk."""

    about: str
    kind: str | None = None
    decisive: bool = False
    live: bool = True


SIGNALS: Final = MappingProxyType(
    {
        "past_due": Signal("a running subscription is past due", "involuntary"),
        "failed_payment": Signal("distinct invoices whose payment failed in 30 days", "involuntary"),
        "dunning": Signal("an open invoice with failed attempts behind it", "involuntary"),
        "no_retry_left": Signal("such an invoice without a further attempt", "involuntary", decisive=True),
        "uncollectible": Signal("invoices given up in 90 days", "involuntary", decisive=True),
        "unpaid": Signal("a subscription whose retries all failed", "involuntary", decisive=True, live=False),
        "incomplete": Signal("a first payment that was never completed", "involuntary", decisive=True, live=False),
        "card_expiring": Signal("the card expires before an invoice within 60 days", "involuntary", decisive=True),
        "overdue_charge": Signal("no charge since well over one cycle of the plan", "involuntary"),
        "open_invoices": Signal("sent invoices past their due date", "involuntary"),
        "open_dispute": Signal("a dispute that is not decided", "voluntary", decisive=True, live=False),
        "downgrade": Signal("list MRR fell within a month", "voluntary"),
        "contraction": Signal("MRR fell by over a tenth in three months", "voluntary"),
        "coupon_ending": Signal("a discount ends by an invoice within 60 days", "voluntary"),
        "paused": Signal("payment collection is paused", "voluntary"),
        "renewal_due": Signal("a plan longer than a quarter renews within 30 days"),
        "new_customer": Signal("a customer for under 90 days"),
        "expansion": Signal("MRR rose by over a tenth in three months"),
        "scheduled_cancel": Signal("a cancellation is scheduled"),
        "payment_disputed": Signal("ended because of a dispute", live=False),
        "never_started": Signal("no first payment ever succeeded", live=False),
    }
)
"""Every signal by its code; feedback given with a cancellation is added under Stripe's own word for it."""

FEEDBACK: Final = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
"""Stripe's words for why a customer cancelled."""
