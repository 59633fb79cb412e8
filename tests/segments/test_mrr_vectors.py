"""The worked cases of the revenue rules, one test each: exact figures, or unknown with a reason."""

import json
from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from segments.money import to_major, to_minor
from segments.mrr import SubscriptionMrr, subscription_mrr

DATA = Path(__file__).parents[1] / "data" / "metrics"
CASES: list[dict[str, Any]] = json.loads((DATA / "mrr_vectors.json").read_text())
PORTFOLIOS: list[dict[str, Any]] = json.loads((DATA / "mrr_portfolio_vectors.json").read_text())
BY_NAME = {case["name"]: case for case in CASES}


def figure(case: dict[str, Any], **options: Any) -> SubscriptionMrr:
    context = case.get("context", {})
    return subscription_mrr(
        case["subscription"],
        as_of=options.pop("as_of", case["as_of"]),
        prices=context.get("prices", {}),
        coupons=context.get("coupons", {}),
        customer=context.get("customer"),
        **options,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_worked_case_is_exact(case: dict[str, Any]) -> None:
    expected = case["expected_mrr_minor"]

    result = figure(case)

    assert result.minor == (None if expected is None else Fraction(expected)), case["hand"]
    assert result.currency == case["subscription"]["currency"]
    assert result.profile == case["profile"]
    assert bool(result.reasons) is (expected is None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_an_aware_datetime_serves_as_well_as_unix_seconds(case: dict[str, Any]) -> None:
    at = datetime.fromtimestamp(case["as_of"], UTC)

    assert figure(case, as_of=at) == figure(case)


@pytest.mark.parametrize("portfolio", PORTFOLIOS, ids=lambda portfolio: portfolio["name"])
def test_the_portfolio_sums_by_currency_and_converts_once(portfolio: dict[str, Any]) -> None:
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for entry in portfolio["subscriptions"]:
        result = subscription_mrr(entry["subscription"], as_of=portfolio["as_of"])
        assert result.minor is not None
        assert result.currency is not None
        sums[result.currency] += result.minor * entry["count"]

    assert sums == {code: Fraction(value) for code, value in portfolio["expected_by_currency_minor"].items()}
    if "fx" in portfolio:
        reporting = portfolio["fx"]["reporting_currency"]
        rates = portfolio["fx"]["major_unit_rates"]
        total = sum(
            to_minor(to_major(minor, code) * Fraction(rates.get(code, 1)), reporting)
            for code, minor in sums.items()
        )
        assert total == Fraction(portfolio["expected_reporting_minor"])


@pytest.mark.parametrize(
    ("name", "profile", "alternative"),
    [
        ("weekly_10", "paddle-old", "paddle_4.33"),
        ("biweekly_10", "paddle-old", "paddle_4.33"),
        ("daily_1", "paddle-old", "recurly_paddle_30"),
        ("daily_1", "recurly", "recurly_paddle_30"),
        ("every_30_days_30", "recurly", "recurly_paddle_30"),
        ("cancel_at_period_end", "stripe-churn-at-request", "stripe_churn_at_cancellation"),
        ("pause_void", "chartmogul", "chartmogul_counts_paused"),
        ("pause_mark_uncollectible", "chartmogul", "chartmogul_counts_paused"),
        ("repeating_50pct_expired", "profitwell", "profitwell"),
        ("repeating_50pct_expired", "stripe-recurring-discounts", "stripe_subtract_recurring_on"),
        ("stack_forever_and_repeating", "stripe-recurring-discounts", "stripe_subtract_recurring_on"),
    ],
)
def test_another_published_rule_set_gives_its_own_figure(name: str, profile: str, alternative: str) -> None:
    case = BY_NAME[name]

    result = figure(case, profile=profile)

    assert result.minor == Fraction(case["alternatives"][alternative])
    assert result.profile == profile


@pytest.mark.parametrize(
    ("name", "committed"),
    [
        ("cancel_at_period_end", "0"),
        ("cancel_at_fixed_term_end", "2900"),
        ("monthly_flat_29", "2900"),
        ("status_past_due", "2900"),
        ("status_canceled", "0"),
    ],
)
def test_committed_revenue_leaves_out_what_is_scheduled_to_end(name: str, committed: str) -> None:
    assert figure(BY_NAME[name]).committed == Fraction(committed)
