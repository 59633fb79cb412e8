"""What stands beside a revenue figure: committed, list price, doubts, notes, the next time it may change."""

from fractions import Fraction
from typing import Any

import pytest

from segments.mrr import subscription_mrr
from segments.reasons import NOTES
from tests.segments.billing import (
    AS_OF,
    DAY,
    FEES,
    discount,
    item,
    percent_off,
    price,
    subscription,
    tiered,
)


@pytest.mark.parametrize(
    ("changes", "committed"),
    [
        pytest.param({"cancel_at_period_end": True}, 0, id="asked for, in classic billing"),
        pytest.param({"cancel_at": AS_OF + 20 * DAY}, 0, id="at the period's end, in flexible billing"),
        pytest.param({"cancel_at": AS_OF + 300 * DAY, "canceled_at": AS_OF - DAY}, 0, id="asked for, later"),
        pytest.param(
            {"cancel_at": AS_OF + 300 * DAY, "cancellation_details": {"reason": "cancellation_requested"}},
            0,
            id="asked for, as its details say",
        ),
        pytest.param({"cancel_at": AS_OF + 30 * DAY}, 0, id="a fixed term that ends within 30 days"),
        pytest.param({"cancel_at": AS_OF + 31 * DAY}, 2900, id="a fixed term that goes on"),
        pytest.param(
            {"cancel_at": None, "canceled_at": AS_OF - DAY}, 2900, id="a cancellation that was taken back"
        ),
    ],
)
def test_what_is_scheduled_to_end_stays_in_revenue_and_leaves_what_is_committed(
    changes: dict[str, Any], committed: int
) -> None:
    result = subscription_mrr(subscription(**changes), as_of=AS_OF)

    assert result.minor == 2900
    assert result.committed == committed
    assert ("cancellation_requested" in result.notes) is (committed == 0)


def test_an_annual_plan_that_leaves_at_its_renewal_is_not_committed() -> None:
    leaving = subscription(
        item(price(120000, interval="year"), current_period_end=AS_OF + 300 * DAY), cancel_at=AS_OF + 300 * DAY
    )

    assert subscription_mrr(leaving, as_of=AS_OF).committed == 0


def test_an_unreadable_flag_leaves_only_the_committed_figure_unknown() -> None:
    result = subscription_mrr(subscription(cancel_at_period_end="yes"), as_of=AS_OF)

    assert (result.minor, result.committed, result.reasons) == (2900, None, ("cancellation_invalid",))


@pytest.mark.parametrize(
    ("given", "list_price"),
    [
        pytest.param(subscription(discounts=[discount(percent_off(50))]), "2900", id="before discounts"),
        pytest.param(subscription(discounts=["di_1"]), "2900", id="known although the discount is not"),
        pytest.param(
            subscription(
                item(tax_rates=[{"inclusive": True, "percentage": 16}]), discounts=[discount(percent_off(50))]
            ),
            "2500",
            id="net of contained tax",
        ),
        pytest.param(subscription(trial_end=AS_OF + DAY), "0", id="nothing in a trial"),
        pytest.param(subscription(item("price_9")), None, id="unknown with the price"),
    ],
)
def test_the_list_price_is_the_figure_before_discounts(given: dict[str, Any], list_price: str | None) -> None:
    result = subscription_mrr(given, as_of=AS_OF)

    assert result.list_price == (None if list_price is None else Fraction(list_price))


INVOICED = {
    "lines": {
        "data": [
            {"subscription_item": "si_1", "proration": True, "amount": 500, "tax_amounts": []},
            {
                "parent": {"subscription_item_details": {"subscription_item": "si_1", "proration": False}},
                "amount": 3400,
                "discount_amounts": [{"amount": 500}],
                "taxes": [
                    {"amount": 400, "tax_behavior": "inclusive"},
                    {"amount": 99, "tax_behavior": "exclusive"},
                ],
            },
        ]
    }
}


@pytest.mark.parametrize(
    ("changes", "expected", "reasons"),
    [
        pytest.param({}, "2900", ("gross_of_inclusive_tax",), id="nothing states the tax: gross, and flagged"),
        pytest.param({"automatic_tax": {"enabled": False}}, "2900", (), id="no tax is levied"),
        pytest.param({"latest_invoice": INVOICED}, "2500", (), id="the latest invoice's line states it"),
        pytest.param(
            {"latest_invoice": "in_1"}, "2900", ("gross_of_inclusive_tax",), id="an invoice id says nothing"
        ),
        pytest.param(
            {"default_tax_rates": [{"inclusive": True, "percentage": 16}], "latest_invoice": INVOICED},
            "2500",
            (),
            id="a rate comes before the invoice",
        ),
    ],
)
def test_tax_that_the_price_contains_comes_off_where_it_is_stated(
    changes: dict[str, Any], expected: str, reasons: tuple[str, ...]
) -> None:
    result = subscription_mrr(subscription(item(price(tax_behavior="inclusive")), **changes), as_of=AS_OF)

    assert result.minor == Fraction(expected)
    assert result.reasons == reasons


def test_ugx_is_flagged_as_its_decimals_are_disputed() -> None:
    result = subscription_mrr(subscription(item(price(500000, currency="ugx")), currency="ugx"), as_of=AS_OF)

    assert (result.minor, result.reasons) == (500000, ("currency_exponent_disputed",))


@pytest.mark.parametrize("mode", ["graduated", "volume"])
def test_a_flat_fee_at_quantity_zero_counts_nothing_and_is_flagged(mode: str) -> None:
    result = subscription_mrr(subscription(item(tiered(mode, FEES), quantity=0)), as_of=AS_OF)

    assert (result.minor, result.reasons) == (0, ("zero_quantity_flat_fee",))


@pytest.mark.parametrize(
    ("given", "note"),
    [
        (subscription(status="trialing"), "status_not_counted"),
        (subscription(ended_at=AS_OF), "ended"),
        (subscription(trial_end=AS_OF + 1), "trial"),
        (subscription(pause_collection={"behavior": "void"}), "paused"),
        (subscription(item(price(5, usage_type="metered"))), "metered"),
        (subscription(item(price(5, type="one_time"))), "item_not_recurring"),
        (subscription(item(current_trial={"end_date": AS_OF + 1})), "item_in_trial"),
        (subscription(item(), discounts=[discount(percent_off(5, duration="once"))]), "discount_not_counted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_note_says_which_rule_made_the_figure(given: dict[str, Any], note: str) -> None:
    result = subscription_mrr(given, as_of=AS_OF)

    assert result.notes == (note,)
    assert any(NOTES[note] in text for text in result.texts)


@pytest.mark.parametrize(
    ("given", "changes_at"),
    [
        pytest.param(subscription(), None, id="never by itself"),
        pytest.param(subscription(trial_end=AS_OF + 5), AS_OF + 5, id="when a trial ends"),
        pytest.param(
            subscription(item(current_trial={"end_date": AS_OF + 6})), AS_OF + 6, id="when an item's does"
        ),
        pytest.param(
            subscription(pause_collection={"behavior": "void", "resumes_at": AS_OF + 7}),
            AS_OF + 7,
            id="when a pause ends",
        ),
        pytest.param(subscription(cancel_at=AS_OF + DAY), AS_OF + DAY, id="when it ends"),
        pytest.param(
            subscription(cancel_at=AS_OF + 90 * DAY), AS_OF + 60 * DAY, id="when a fixed term is about to end"
        ),
        pytest.param(
            subscription(
                discounts=[discount(percent_off(5), end=AS_OF + 9), discount(percent_off(5), start=AS_OF + 8)]
            ),
            AS_OF + 8,
            id="when the first of two discounts moves",
        ),
        pytest.param(subscription(), AS_OF + 3, id="when a customer's discount ends"),
    ],
)
def test_the_next_change_is_the_first_time_that_could_move_the_figure(
    given: dict[str, Any], changes_at: int | None
) -> None:
    customer = {"discount": discount(percent_off(5), end=AS_OF + 3)} if changes_at == AS_OF + 3 else None

    assert subscription_mrr(given, as_of=AS_OF, customer=customer).next_change == changes_at
