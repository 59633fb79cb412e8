"""What makes a revenue figure unknown, and that the reason says so: never 0, never full price."""

from datetime import UTC, datetime
from typing import Any

import pytest

from segments.mrr import subscription_mrr
from segments.reasons import REASONS
from tests.segments.billing import (
    AS_OF,
    TIERS,
    amount_off,
    discount,
    item,
    percent_off,
    price,
    subscription,
    tiered,
)

AS_OF_NAIVE = datetime.fromisoformat("2026-06-15T00:00:00")


def unknown(code: str, name: str, given: dict[str, Any], **options: Any) -> Any:
    return pytest.param(given, options, code, id=f"{code}: {name}")


UNKNOWN = [
    unknown("status_unknown", "a new status", subscription(status="hibernating")),
    unknown("status_unknown", "none", subscription(status=None)),
    unknown("currency_unknown", "no such code", subscription(currency="zzz")),
    unknown("currency_unknown", "none", subscription(currency=None)),
    unknown("items_missing", "no list", subscription(items=None)),
    unknown("items_missing", "an empty list", subscription(items={"data": []})),
    unknown("items_incomplete", "further pages", subscription(items={"data": [item()], "has_more": True})),
    unknown("item_invalid", "null", subscription(items={"data": [None]})),
    unknown("price_missing", "no price", subscription(item(price=None))),
    unknown("price_missing", "an id that no table has", subscription(item("price_9"))),
    unknown("price_amount_missing", "no amount", subscription(item(price(None)))),
    unknown("price_amount_invalid", "negative", subscription(item(price(-1)))),
    unknown("price_amount_invalid", "not a number", subscription(item(price(float("nan"))))),
    unknown("price_amount_invalid", "beyond all measure", subscription(item(price(10**30)))),
    unknown("price_currency_mismatch", "another currency", subscription(item(price(currency="eur")))),
    unknown("price_currency_mismatch", "no currency", subscription(item(price(currency=None)))),
    unknown("price_scheme_unknown", "a new scheme", subscription(item(price(billing_scheme="auction")))),
    unknown("price_scheme_unknown", "a new tiers mode", subscription(item(tiered("spiral", TIERS)))),
    unknown("price_scheme_unknown", "a new type", subscription(item(price(type="subscription")))),
    unknown("usage_type_unknown", "neither", subscription(item(price(usage_type="rented")))),
    unknown("interval_unknown", "a new interval", subscription(item(price(interval="fortnight")))),
    unknown("interval_unknown", "no count", subscription(item(price(count=None)))),
    unknown("interval_unknown", "a count of zero", subscription(item(price(count=0)))),
    unknown("interval_unknown", "no recurrence", subscription(item(price(recurring=None)))),
    unknown("quantity_invalid", "negative", subscription(item(quantity=-1))),
    unknown("quantity_invalid", "a half", subscription(item(quantity=1.5))),
    unknown("quantity_invalid", "a flag", subscription(item(quantity=True))),
    unknown(
        "tiers_missing",
        "not expanded",
        subscription(item(price(None, billing_scheme="tiered", tiers_mode="volume"))),
    ),
    unknown("tiers_invalid", "none", subscription(item(tiered("volume", [])))),
    unknown(
        "tiers_invalid",
        "out of order",
        subscription(item(tiered("volume", [(10, 1, None), (5, 2, None), (None, 3, None)]))),
    ),
    unknown(
        "tiers_invalid",
        "behind an endless one",
        subscription(item(tiered("graduated", [(None, 1, None), (5, 2, None)]))),
    ),
    unknown("tiers_invalid", "no amount at all", subscription(item(tiered("graduated", [(None, None, None)])))),
    unknown(
        "tiers_invalid",
        "graduated, too short",
        subscription(item(tiered("graduated", [(5, 1, None)]), quantity=6)),
    ),
    unknown(
        "tiers_invalid", "volume, too short", subscription(item(tiered("volume", [(5, 1, None)]), quantity=6))
    ),
    unknown(
        "package_invalid",
        "of nothing",
        subscription(item(price(transform_quantity={"divide_by": 0, "round": "up"}))),
    ),
    unknown(
        "package_invalid",
        "rounded sideways",
        subscription(item(price(transform_quantity={"divide_by": 5, "round": "half"}))),
    ),
    unknown(
        "package_invalid",
        "with tiers",
        subscription(item(tiered("volume", TIERS, transform_quantity={"divide_by": 5, "round": "up"}))),
    ),
    unknown("trial_invalid", "of a subscription", subscription(trial_end="soon")),
    unknown("trial_invalid", "in milliseconds", subscription(trial_end=AS_OF * 1000)),
    unknown("trial_invalid", "of an item", subscription(item(current_trial=True))),
    unknown("pause_invalid", "a new behavior", subscription(pause_collection={"behavior": "skip"})),
    unknown("pause_invalid", "empty", subscription(pause_collection={})),
    unknown("cancellation_invalid", "no time", subscription(cancel_at="later")),
    unknown("discount_not_expanded", "of a subscription", subscription(discounts=["di_1"])),
    unknown("discount_not_expanded", "of an item", subscription(item(discounts=["di_1"]))),
    unknown("discount_not_expanded", "of the customer", subscription(), customer={"discount": "di_1"}),
    unknown("discount_invalid", "null", subscription(discounts=[None])),
    unknown("discount_invalid", "not a list", subscription(discounts=7)),
    unknown("discount_invalid", "no time", subscription(discounts=[discount(percent_off(5), end="never")])),
    unknown("discount_invalid", "a thousand", subscription(discounts=[discount(percent_off(5))] * 1000)),
    unknown("customer_invalid", "a number", subscription(), customer=7),
    unknown("coupon_missing", "an id that no table has", subscription(discounts=[discount("co_9")])),
    unknown("coupon_missing", "none", subscription(discounts=[discount(None)])),
    unknown(
        "coupon_invalid",
        "deleted, nothing left",
        subscription(discounts=[discount({"id": "co_9", "deleted": True})]),
    ),
    unknown("coupon_invalid", "neither percent nor amount", subscription(discounts=[discount(percent_off(None))])),
    unknown(
        "coupon_invalid",
        "both",
        subscription(discounts=[discount(percent_off(5, amount_off=100, currency="usd"))]),
    ),
    unknown("coupon_invalid", "more than all", subscription(discounts=[discount(percent_off(101))])),
    unknown("coupon_invalid", "a surcharge", subscription(discounts=[discount(amount_off(-100))])),
    unknown(
        "coupon_invalid", "a new duration", subscription(discounts=[discount(percent_off(5, duration="weekly"))])
    ),
    unknown(
        "coupon_invalid",
        "for no products",
        subscription(discounts=[discount(percent_off(5, applies_to={"products": []}))]),
    ),
    unknown(
        "coupon_currency_mismatch",
        "another currency",
        subscription(discounts=[discount(amount_off(500, currency="eur"))]),
    ),
    unknown(
        "product_missing",
        "the item's product",
        subscription(
            item(price(product=None)), discounts=[discount(percent_off(5, applies_to={"products": ["prod_a"]}))]
        ),
    ),
    unknown(
        "amount_off_mixed_intervals",
        "a week and a month",
        subscription(item(), item(price(interval="week")), discounts=[discount(amount_off(500))]),
    ),
    unknown("tax_rate_not_expanded", "an id", subscription(item(tax_rates=["txr_1"]))),
    unknown("tax_rate_invalid", "no percentage", subscription(item(tax_rates=[{"inclusive": True}]))),
    unknown("tax_rate_invalid", "inclusive or not", subscription(default_tax_rates=[{"percentage": 20}])),
    unknown("amount_out_of_range", "more than 64 bits", subscription(item(price(10**17), quantity=1000))),
]


@pytest.mark.parametrize(("given", "options", "code"), UNKNOWN)
def test_an_unknown_part_makes_the_figure_none_with_its_reason(
    given: dict[str, Any], options: dict[str, Any], code: str
) -> None:
    result = subscription_mrr(given, as_of=AS_OF, **options)

    assert result.minor is None
    assert result.committed is None
    assert not result.complete
    assert result.reasons == (code,)
    assert any(REASONS[code] in text for text in result.texts)


@pytest.mark.parametrize("given", [None, 7, "sub_1", [], [subscription()]], ids=ascii)
def test_what_is_no_object_is_unknown(given: Any) -> None:
    result = subscription_mrr(given, as_of=AS_OF)

    assert (result.minor, result.currency, result.reasons) == (None, None, ("subscription_invalid",))


def test_every_unknown_part_is_reported_not_only_the_first() -> None:
    result = subscription_mrr(
        subscription(item("price_8"), item(quantity=-1), item(discounts=["di_1"])), as_of=AS_OF
    )

    assert result.reasons == ("price_missing", "quantity_invalid", "discount_not_expanded")
    assert [finding.where for finding in result.findings] == ["items[0]", "items[1]", "items[2].discounts[0]"]


@pytest.mark.parametrize(
    "as_of",
    [AS_OF_NAIVE, None, "now", True, -1, float("nan"), 10**15],
    ids=ascii,
)
def test_a_time_that_names_no_instant_is_refused(as_of: Any) -> None:
    with pytest.raises(ValueError, match="as_of must be"):
        subscription_mrr(subscription(), as_of=as_of)


def test_side_tables_that_are_no_tables_count_as_empty() -> None:
    given = subscription(discounts=[discount("co_p")])

    result = subscription_mrr(given, as_of=datetime.fromtimestamp(AS_OF, UTC), prices=None, coupons=7)  # type: ignore[arg-type]

    assert result.reasons == ("coupon_missing",)
