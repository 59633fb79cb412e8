"""Rule sets for recurring revenue: what each published tool counts, as switches over one calculation.

Here: the switches and the published sets. Not here: the calculation (`segments.mrr`). A set covers what its source
publishes; where it is silent, the rule of `default-v1` is used, the gap is named in `not_established`, and a
figure that rests on it carries the reason `not_established_<gap>`. So no set claims to reproduce a vendor's
dashboard: ChartMogul and Recurly read invoices, Stripe sums change events, this package reads subscriptions.

Sources:
- default-v1: this project; week 52/12, day 365/12, permanent discounts only, cancellation when it takes effect.
- stripe*: https://docs.stripe.com/billing/subscriptions/analytics and
  https://support.stripe.com/questions/metric-configurations (settings for recurring and one-time discounts).
  Day and week factors, tiers, packages, inclusive tax and paused collection are not published. The time of
  churn was a setting; the setting "from the first payment" needs invoices and is not offered.
- chartmogul: https://help.chartmogul.com/hc/en-us/articles/203231962 (paused stays in), …/209161549,
  …/4465296662812; discounts as invoiced, that is, while in force. Day and week factors are not established.
- profitwell: https://www.paddle.com/help/profitwell-metrics/measure/subscription-metrics/discounts and
  https://learn.profitwell.com/article/gf9qqkyplu-profitwell-vs-stripe. Day and week factors and tiers are not
  established.
- paddle-old: https://www.paddle.com/help/manage/reporting/how-is-monthly-recurring-revenue-calculated: week 4.33,
  day 30, list price, churn at the request. Past due, paused, tiers and tax (ambiguous there) are not established.
- recurly*: https://docs.recurly.com/docs/monthly-recurring-revenue, day 30
  (https://support.recurly.com/hc/en-us/articles/360027350412); settings for failed charges and discounts. Week
  factor, trials, cancellation, pauses and tiers are not established.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

__all__ = ["DEFAULT_PROFILE", "PROFILES", "Profile", "UnknownProfileError", "resolve_profile", "stripe_profile"]

_ACTIVE = frozenset({"active", "past_due"})
_FOREVER, _FINITE = frozenset({"forever"}), frozenset({"repeating", "once"})
_VOIDING = frozenset({"void", "mark_uncollectible"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The switches of one rule set.

    Attributes:
        name: stored beside every number.
        day_factor, week_factor: days and weeks of a month.
        statuses: subscription statuses that carry revenue.
        discount_durations: coupon durations that reduce the figure while in force.
        cancellation: whether revenue leaves when the cancellation takes effect or when it is asked for.
        zero_pauses: `pause_collection.behavior` values that take revenue out.
        exclude_inclusive_tax: take tax out of prices that contain it.
        not_established: gaps of the source that the rule of `default-v1` fills.
    """

    name: str
    day_factor: Fraction = Fraction(365, 12)
    week_factor: Fraction = Fraction(52, 12)
    statuses: frozenset[str] = _ACTIVE
    discount_durations: frozenset[str] = _FOREVER
    cancellation: Literal["period_end", "request"] = "period_end"
    zero_pauses: frozenset[str] = _VOIDING
    exclude_inclusive_tax: bool = True
    not_established: frozenset[str] = frozenset()


class UnknownProfileError(ValueError):
    """The name of a rule set that does not exist."""

    def __init__(self, name: object) -> None:
        super().__init__(f"no MRR profile {ascii(name)[:60]}; there are: {', '.join(sorted(PROFILES))}")


def stripe_profile(
    *,
    subtract_recurring_discounts: bool = False,
    subtract_one_time_discounts: bool = False,
    churn_at: Literal["period_end", "request"] = "period_end",
) -> Profile:
    """Stripe's rules with its account settings; permanent discounts are always subtracted."""
    durations = set(_FOREVER)
    name = "stripe"
    if subtract_recurring_discounts:
        durations.add("repeating")
        name += "-recurring-discounts"
    if subtract_one_time_discounts:
        durations.add("once")
        name += "-one-time-discounts"
    if churn_at == "request":
        name += "-churn-at-request"
    return Profile(
        name=name,
        discount_durations=frozenset(durations),
        cancellation=churn_at,
        not_established=frozenset(
            {"day_factor", "week_factor", "tiers", "package", "inclusive_tax", "pause", "cancellation"}
        ),
    )


DEFAULT_PROFILE = Profile(name="default-v1")

_RECURLY = Profile(
    name="recurly",
    day_factor=Fraction(30),
    discount_durations=_FOREVER | _FINITE,
    not_established=frozenset({"week_factor", "trial", "cancellation", "pause", "tiers"}),
)

PROFILES = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            DEFAULT_PROFILE,
            *(
                stripe_profile(
                    subtract_recurring_discounts=recurring, subtract_one_time_discounts=once, churn_at=churn_at
                )
                for recurring in (False, True)
                for once in (False, True)
                for churn_at in ("period_end", "request")
            ),
            Profile(
                name="chartmogul",
                discount_durations=_FOREVER | _FINITE,
                zero_pauses=frozenset(),
                not_established=frozenset({"day_factor", "week_factor"}),
            ),
            Profile(
                name="profitwell",
                discount_durations=_FOREVER | _FINITE,
                zero_pauses=_VOIDING | {"keep_as_draft"},
                not_established=frozenset({"day_factor", "week_factor", "tiers"}),
            ),
            Profile(
                name="paddle-old",
                day_factor=Fraction(30),
                week_factor=Fraction(433, 100),
                discount_durations=frozenset(),
                cancellation="request",
                not_established=frozenset({"past_due", "pause", "tiers", "inclusive_tax"}),
            ),
            _RECURLY,
            replace(_RECURLY, name="recurly-without-failed-charges", statuses=frozenset({"active"})),
            replace(_RECURLY, name="recurly-before-discounts", discount_durations=frozenset()),
        )
    }
)
"""The published rule sets by name."""


def resolve_profile(profile: str | Profile) -> Profile:
    """The rule set of that name, or the given one.

    Raises:
        UnknownProfileError: no rule set has this name; the message lists those that exist.
    """
    if isinstance(profile, Profile):
        return profile
    try:
        return PROFILES[profile]
    except (KeyError, TypeError):
        raise UnknownProfileError(profile) from None
