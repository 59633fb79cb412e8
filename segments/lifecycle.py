"""Whether a subscription carries revenue at a time, and whether it is about to leave.

Here: status, end, trial, paused collection, scheduled cancellation; and the trace of findings that a calculation
leaves. Not here: what a subscription is worth (`segments.mrr`). Both forms of a scheduled cancellation are read:
classic billing sets `cancel_at_period_end`, flexible billing `cancel_at` alone
(https://docs.stripe.com/billing/subscriptions/billing-mode/compare).
"""

from dataclasses import dataclass, field
from typing import Any

from segments.profiles import Profile
from segments.reading import moment
from segments.reasons import NOT_ESTABLISHED, Finding, UnknownPart

__all__ = ["STATUSES", "Trace", "carries_revenue", "is_leaving"]

STATUSES = frozenset(
    {"active", "past_due", "trialing", "canceled", "unpaid", "incomplete", "incomplete_expired", "paused"}
)
"""Stripe's subscription statuses."""

_NOTICE_SECONDS = 30 * 86_400
"""A fixed term that ends within a month is no longer committed."""


@dataclass(slots=True)
class Trace:
    """What one calculation finds on its way, and the rules and time that it applies.

    `changes` are the later times at which the figure may change without new data.
    """

    profile: Profile
    as_of: float
    reasons: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)

    def reason(self, code: str, where: str = "") -> None:
        """Something is unknown, or doubtful."""
        self.reasons.append(Finding(code, where))

    def note(self, code: str, where: str = "") -> None:
        """A rule made the figure what it is."""
        self.notes.append(Finding(code, where))

    def not_established(self, rule: str) -> None:
        """A rule decided that the profile's source does not publish."""
        if rule in self.profile.not_established:
            self.reason(f"{NOT_ESTABLISHED}{rule}")

    def change_at(self, time: int | None) -> None:
        """The figure may change then."""
        if time is not None and time > self.as_of:
            self.changes.append(time)


def carries_revenue(subscription: dict[str, Any], trace: Trace) -> bool:
    """Whether the subscription counts at all at the trace's time.

    Raises:
        UnknownPart: its state cannot be read.
    """
    profile, as_of = trace.profile, trace.as_of
    status = subscription.get("status")
    if not isinstance(status, str) or status not in STATUSES:
        raise UnknownPart("status_unknown")
    if status not in profile.statuses:
        return _nothing(trace, "status_not_counted")
    if status == "past_due":
        trace.not_established("past_due")
    for name in ("ended_at", "cancel_at"):
        end = moment(subscription.get(name), "cancellation_invalid")
        if end is not None and end <= as_of:
            return _nothing(trace, "ended")
        trace.change_at(end)
    trial_end = moment(subscription.get("trial_end"), "trial_invalid")
    if trial_end is not None and trial_end > as_of:
        trace.not_established("trial")
        trace.change_at(trial_end)
        return _nothing(trace, "trial")
    if _is_paused(subscription.get("pause_collection"), trace):
        return _nothing(trace, "paused")
    if profile.cancellation == "request" and is_leaving(subscription, trace):
        trace.not_established("cancellation")
        return _nothing(trace, "cancellation_requested")
    return True


def _nothing(trace: Trace, note: str) -> bool:
    trace.note(note)
    return False


def _is_paused(pause: object, trace: Trace) -> bool:
    if pause is None:
        return False
    if not isinstance(pause, dict):
        raise UnknownPart("pause_invalid")
    resumes_at = moment(pause.get("resumes_at"), "pause_invalid")
    if resumes_at is not None and resumes_at <= trace.as_of:
        return False
    behavior = pause.get("behavior")
    if behavior not in ("void", "mark_uncollectible", "keep_as_draft"):
        raise UnknownPart("pause_invalid")
    trace.change_at(resumes_at)
    trace.not_established("pause")
    return behavior in trace.profile.zero_pauses


def is_leaving(subscription: dict[str, Any], trace: Trace) -> bool:
    """Whether an end is asked for, or set before the next renewal or within 30 days.

    A later `cancel_at` that nobody asked for is a fixed term, not a cancellation.

    Raises:
        UnknownPart: the scheduled end cannot be read.
    """
    flag = subscription.get("cancel_at_period_end")
    if flag is not None and not isinstance(flag, bool):
        raise UnknownPart("cancellation_invalid")
    if flag:
        return True
    cancel_at = moment(subscription.get("cancel_at"), "cancellation_invalid")
    if cancel_at is None:
        return False
    details = subscription.get("cancellation_details")
    if subscription.get("canceled_at") is not None or (isinstance(details, dict) and details.get("reason")):
        return True
    if cancel_at <= max(_period_end(place) for place in (subscription, *_items(subscription))):
        return True
    trace.change_at(cancel_at - _NOTICE_SECONDS)
    return cancel_at <= trace.as_of + _NOTICE_SECONDS


def _items(subscription: dict[str, Any]) -> list[dict[str, Any]]:
    items = subscription.get("items")
    data = items.get("data") if isinstance(items, dict) else items
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list | tuple) else []


def _period_end(place: dict[str, Any]) -> int:
    """End of the current period of a subscription (old versions) or an item; 0 when it is not there."""
    try:
        return moment(place.get("current_period_end"), "cancellation_invalid") or 0
    except UnknownPart:
        return 0
