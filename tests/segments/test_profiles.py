"""Rule sets: each published switch moves the figure as its source says, and gaps are named, not claimed."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from segments.mrr import subscription_mrr
from segments.profiles import DEFAULT_PROFILE, PROFILES, UnknownProfileError, resolve_profile, stripe_profile
from tests.segments.billing import AS_OF, DAY, TIERS, discount, item, percent_off, price, subscription, tiered

DAILY = subscription(item(price(100, interval="day")))
WEEKLY = subscription(item(price(100, interval="week")))
PAST_DUE = subscription(status="past_due")
DRAFT_PAUSE = subscription(pause_collection={"behavior": "keep_as_draft", "resumes_at": None})
VOID_PAUSE = subscription(pause_collection={"behavior": "void", "resumes_at": None})
FOREVER = subscription(discounts=[discount(percent_off(50))])
REPEATING = subscription(discounts=[discount(percent_off(50, duration="repeating"), end=AS_OF + DAY)])
ONCE = subscription(discounts=[discount(percent_off(50, duration="once"))])
LEAVING = subscription(cancel_at_period_end=True)
TAXED = subscription(item(tax_rates=[{"inclusive": True, "percentage": 16}]))
TIERED = subscription(item(tiered("graduated", TIERS), quantity=5))
PACKAGED = subscription(item(price(transform_quantity={"divide_by": 5, "round": "up"})))


@pytest.mark.parametrize(
    ("profile", "given", "expected", "gap"),
    [
        ("default-v1", DAILY, "36500/12", None),
        ("default-v1", LEAVING, "2900", None),
        ("stripe", FOREVER, "1450", None),
        ("stripe", REPEATING, "2900", None),
        ("stripe", ONCE, "2900", None),
        ("stripe-recurring-discounts", REPEATING, "1450", None),
        ("stripe-recurring-discounts", ONCE, "2900", None),
        ("stripe-one-time-discounts", ONCE, "1450", None),
        ("stripe-recurring-discounts-one-time-discounts", REPEATING, "1450", None),
        ("stripe", PAST_DUE, "2900", None),
        ("stripe", DAILY, "36500/12", "day_factor"),
        ("stripe", WEEKLY, "5200/12", "week_factor"),
        ("stripe", TIERED, "3500", "tiers"),
        ("stripe", PACKAGED, "2900", "package"),
        ("stripe", TAXED, "2500", "inclusive_tax"),
        ("stripe", VOID_PAUSE, "0", "pause"),
        ("stripe", LEAVING, "2900", "cancellation"),
        ("stripe-churn-at-request", LEAVING, "0", "cancellation"),
        ("chartmogul", VOID_PAUSE, "2900", None),
        ("chartmogul", PAST_DUE, "2900", None),
        ("chartmogul", REPEATING, "1450", None),
        ("chartmogul", ONCE, "1450", None),
        ("chartmogul", LEAVING, "2900", None),
        ("chartmogul", TIERED, "3500", None),
        ("chartmogul", WEEKLY, "5200/12", "week_factor"),
        ("profitwell", VOID_PAUSE, "0", None),
        ("profitwell", DRAFT_PAUSE, "0", None),
        ("profitwell", REPEATING, "1450", None),
        ("profitwell", ONCE, "1450", None),
        ("profitwell", LEAVING, "2900", None),
        ("profitwell", DAILY, "36500/12", "day_factor"),
        ("paddle-old", DAILY, "3000", None),
        ("paddle-old", WEEKLY, "433", None),
        ("paddle-old", FOREVER, "2900", None),
        ("paddle-old", LEAVING, "0", None),
        ("paddle-old", PAST_DUE, "2900", "past_due"),
        ("paddle-old", TAXED, "2500", "inclusive_tax"),
        ("recurly", DAILY, "3000", None),
        ("recurly", WEEKLY, "5200/12", "week_factor"),
        ("recurly", ONCE, "1450", None),
        ("recurly", PAST_DUE, "2900", None),
        ("recurly-without-failed-charges", PAST_DUE, "0", None),
        ("recurly-before-discounts", FOREVER, "2900", None),
        ("recurly", subscription(trial_end=AS_OF + 1), "0", "trial"),
    ],
)
def test_a_rule_set_counts_as_its_source_says_and_names_its_gaps(
    profile: str, given: dict[str, Any], expected: str, gap: str | None
) -> None:
    result = subscription_mrr(given, as_of=AS_OF, profile=profile)

    assert result.minor == Fraction(expected)
    assert result.profile == profile
    assert result.reasons == (() if gap is None else (f"not_established_{gap}",))
    assert gap is None or f"no rule for: {gap.replace('_', ' ')}" in result.texts[0]


def test_default_v1_has_no_gaps() -> None:
    assert PROFILES["default-v1"] is DEFAULT_PROFILE
    assert not DEFAULT_PROFILE.not_established


def test_a_set_of_ones_own_is_used_under_its_own_name() -> None:
    mine = replace(DEFAULT_PROFILE, name="house-rules", week_factor=Fraction(4), exclude_inclusive_tax=False)

    weekly, taxed = (subscription_mrr(given, as_of=AS_OF, profile=mine) for given in (WEEKLY, TAXED))

    assert (weekly.minor, weekly.profile, taxed.minor) == (400, "house-rules", 2900)


def test_names_of_stripes_settings_follow_the_settings() -> None:
    every = stripe_profile(subtract_recurring_discounts=True, subtract_one_time_discounts=True, churn_at="request")

    assert every.name == "stripe-recurring-discounts-one-time-discounts-churn-at-request"
    assert resolve_profile(every.name) == every


@pytest.mark.parametrize("name", ["baremetrics", "", None, ["default-v1"]], ids=ascii)
def test_an_unknown_name_lists_those_that_exist(name: Any) -> None:
    with pytest.raises(UnknownProfileError) as caught:
        subscription_mrr(subscription(), as_of=AS_OF, profile=name)

    assert all(known in str(caught.value) for known in PROFILES)
