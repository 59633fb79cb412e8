"""The revenue rules beyond the worked cases: figures that are known, exactly."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from segments.mrr import subscription_mrr
from tests.segments.billing import (
    AS_OF,
    DAY,
    FEES,
    TIERS,
    amount_off,
    discount,
    item,
    percent_off,
    price,
    subscription,
    tiered,
)


def case(name: str, expected: Any, given: dict[str, Any], **options: Any) -> Any:
    return pytest.param(given, options, None if expected is None else Fraction(expected), id=name)


KNOWN = [
    # Intervals
    case("half a year is a sixth a month", "1000", subscription(item(price(6000, count=6)))),
    case(
        "four weeks bill thirteen times a year",
        "13000/12",
        subscription(item(price(1000, interval="week", count=4))),
    ),
    case("three years", "1000", subscription(item(price(36000, interval="year", count=3)))),
    case("an interval count as text", "3000", subscription(item(price(9000, count="3")))),
    # Quantities and amounts
    case("seats multiply", "14500", subscription(item(quantity=5))),
    case("no quantity is one licence", "2900", subscription(item(quantity=None))),
    case("a quantity as text", "8700", subscription(item(quantity="3"))),
    case("a quantity as a whole float", "8700", subscription(item(quantity=3.0))),
    case(
        "half a cent by decimal text",
        "500",
        subscription(item(price(None, unit_amount_decimal="0.5"), quantity=1000)),
    ),
    case(
        "twelve decimals stay exact",
        "1/1000000000",
        subscription(item(price(None, unit_amount_decimal="0.000000001"))),
    ),
    case("an amount as Decimal", "25/2", subscription(item(price(None, unit_amount_decimal=Decimal("12.5"))))),
    case("an amount as float reads its text", "1/10", subscription(item(price(None, unit_amount_decimal=0.1)))),
    case("the decimal twin wins", "29005/10", subscription(item(price(2900, unit_amount_decimal="2900.5")))),
    case("only the integer is given", "2900", subscription(item(price(2900, unit_amount_decimal=None)))),
    # Packages
    case(
        "packages round up",
        "3000",
        subscription(item(price(1000, transform_quantity={"divide_by": 60, "round": "up"}), quantity=150)),
    ),
    case(
        "a full package is one",
        "1000",
        subscription(item(price(1000, transform_quantity={"divide_by": 60, "round": "up"}), quantity=60)),
    ),
    case(
        "below a package rounds down to none",
        "0",
        subscription(item(price(1000, transform_quantity={"divide_by": 60, "round": "down"}), quantity=59)),
    ),
    case(
        "one licence without a quantity is a package begun",
        "2900",
        subscription(item(price(transform_quantity={"divide_by": 10, "round": "up"}), quantity=None)),
    ),
    case(
        "the package comes from the price table",
        "5800",
        subscription(
            item({name: value for name, value in price().items() if name != "transform_quantity"}, quantity=11)
        ),
        prices={"price_1": price(transform_quantity={"divide_by": 10, "round": "up"})},
    ),
    case(
        "below a cent, though the integer says nothing",
        "1/2",
        subscription(item(price(0, unit_amount_decimal="0.5"))),
    ),
    # Tiers
    case(
        "volume: the whole quantity at its tier",
        "3900",
        subscription(item(tiered("volume", TIERS), quantity=6)),
    ),
    case(
        "volume: the last tier has no end",
        "12000",
        subscription(item(tiered("volume", TIERS), quantity=20)),
    ),
    case("volume: only its tier's flat fee", "1100", subscription(item(tiered("volume", FEES), quantity=6))),
    case("volume: 'inf' is the last tier", "1250", subscription(item(tiered("volume", FEES), quantity=20))),
    case(
        "graduated: the flat fee of every tier entered",
        "1600",
        subscription(item(tiered("graduated", FEES), quantity=6)),
    ),
    case("graduated: all three tiers", "2750", subscription(item(tiered("graduated", FEES), quantity=20))),
    case(
        "graduated: an edge enters no further tier",
        "1000",
        subscription(item(tiered("graduated", FEES), quantity=5)),
    ),
    case(
        "graduated: nothing entered at zero",
        "0",
        subscription(item(tiered("graduated", TIERS), quantity=0)),
    ),
    case(
        "tier amounts below a cent",
        "25/2",
        subscription(
            item(
                tiered(
                    "graduated",
                    [
                        {
                            "up_to": None,
                            "unit_amount": None,
                            "unit_amount_decimal": "0.5",
                            "flat_amount_decimal": "2.5",
                        }
                    ],
                ),
                quantity=20,
            )
        ),
    ),
    case("a flat fee alone", "1500", subscription(item(tiered("volume", [(None, None, 1500)]), quantity=7))),
    case(
        "one tier without end for all",
        "4200",
        subscription(item(tiered("graduated", [(None, 600, None)]), quantity=7)),
    ),
    case(
        "a tiered year",
        "325",
        subscription(item(tiered("volume", TIERS, interval="year"), quantity=6)),
    ),
    # Prices by id and old plans
    case("a bare price id", "2900", subscription(item("price_1")), prices={"price_1": price()}),
    case(
        "tiers by id",
        "4150",
        subscription(item(tiered("graduated", []), quantity=6)),
        prices={"price_1": tiered("graduated", TIERS)},
    ),
    case(
        "an old plan",
        "2500",
        subscription(
            item(
                price=None,
                quantity=5,
                plan={
                    "id": "plan_1",
                    "amount": 500,
                    "currency": "usd",
                    "interval": "month",
                    "interval_count": 1,
                    "product": "prod_a",
                    "usage_type": "licensed",
                },
            )
        ),
    ),
    case(
        "an old tiered plan with its amounts in decimals",
        "1000/12",
        subscription(
            item(
                price=None,
                quantity=2,
                plan={
                    "id": "plan_1",
                    "amount": None,
                    "amount_decimal": None,
                    "billing_scheme": "tiered",
                    "tiers_mode": "graduated",
                    "tiers": [{"up_to": None, "unit_amount_decimal": "500"}],
                    "currency": "usd",
                    "interval": "year",
                    "interval_count": 1,
                },
            )
        ),
    ),
    case(
        "an old plan by packages",
        "1500",
        subscription(
            item(
                price=None,
                quantity=150,
                plan={
                    "id": "plan_1",
                    "amount": 500,
                    "currency": "usd",
                    "interval": "month",
                    "interval_count": 1,
                    "transform_usage": {"divide_by": 60, "round": "up"},
                },
            )
        ),
    ),
    case(
        "a plan that is only an id is found among the prices",
        "2900",
        subscription(item(price=None, plan="price_1")),
        prices={"price_1": price()},
    ),
    case(
        "a price id whose entry is an old plan",
        "500",
        subscription(item("plan_1")),
        prices={
            "plan_1": {
                "id": "plan_1",
                "object": "plan",
                "amount": 500,
                "currency": "usd",
                "interval": "month",
                "interval_count": 1,
                "usage_type": "licensed",
            }
        },
    ),
    case(
        "the price wins over the plan beside it",
        "2900",
        subscription(item(plan={"id": "price_1", "amount": 1, "currency": "usd", "interval": "year"})),
    ),
    # Currencies
    case(
        "a price in another currency by its option",
        "2700",
        subscription(item(price(2900, currency_options={"eur": {"unit_amount": 2700}})), currency="eur"),
    ),
    case(
        "the option comes from the price table",
        "2700",
        subscription(item(price()), currency="eur"),
        prices={"price_1": price(currency_options={"eur": {"unit_amount": 2700, "unit_amount_decimal": "2700"}})},
    ),
    case(
        "tiers of a currency option",
        "3600",
        subscription(
            item(
                tiered(
                    "volume",
                    TIERS,
                    currency_options={"eur": {"tiers": [{"up_to": None, "unit_amount": 600}]}},
                ),
                quantity=6,
            ),
            currency="eur",
        ),
    ),
    case("a currency in capitals", "2900", subscription(currency="USD")),
    # What is out
    case("metered alone", "0", subscription(item(price(5, usage_type="metered"), quantity=None))),
    case("metered by its meter", "0", subscription(item(price(5, usage_type=None, meter="mtr_1"), quantity=None))),
    case(
        "metered tiers need no tiers",
        "2900",
        subscription(item(), item(price(None, usage_type="metered", billing_scheme="tiered"))),
    ),
    case("a one-off price", "2900", subscription(item(), item(price(90000, type="one_time", recurring=None)))),
    case("a removed item", "2900", subscription(item(), item(deleted=True))),
    # Item trials
    case(
        "an item in its trial",
        "2900",
        subscription(item(), item(current_trial={"start_date": AS_OF - DAY, "end_date": AS_OF + DAY})),
    ),
    case("an item's trial that is over", "2900", subscription(item(current_trial={"end_date": AS_OF}))),
    case("an item's trial without an end", "0", subscription(item(current_trial={"trial_offer": "to_1"}))),
    # Lifecycle
    *(
        case(f"{status} carries nothing", "0", subscription(status=status))
        for status in ("trialing", "unpaid", "incomplete", "incomplete_expired", "paused", "canceled")
    ),
    case("a trial that ends now is over", "2900", subscription(trial_end=AS_OF)),
    case("an end that has passed", "0", subscription(ended_at=AS_OF - 1)),
    case("an end that is now", "0", subscription(cancel_at=AS_OF)),
    case("a pause until later", "0", subscription(pause_collection={"behavior": "void", "resumes_at": AS_OF + 1})),
    case(
        "a pause that ends now", "2900", subscription(pause_collection={"behavior": "void", "resumes_at": AS_OF})
    ),
    case(
        "a draft pause until later",
        "2900",
        subscription(pause_collection={"behavior": "keep_as_draft", "resumes_at": AS_OF + 1}),
    ),
    case("a dead status needs nothing else", "0", {"status": "canceled"}),
    # Discounts
    case("half off for ever", "1450", subscription(discounts=[discount(percent_off(50))])),
    case("all off", "0", subscription(discounts=[discount(percent_off(100))])),
    case("a third of a percent as text", "578550/200", subscription(discounts=[discount(percent_off("0.25"))])),
    case("an amount over the price leaves nothing", "0", subscription(discounts=[discount(amount_off(5000))])),
    case(
        "amount first, then percent",
        "7600",
        subscription(item(price(10000)), discounts=[discount(amount_off(500)), discount(percent_off(20))]),
    ),
    case(
        "a repeating coupon leaves it alone",
        "2900",
        subscription(discounts=[discount(percent_off(50, duration="repeating"), end=AS_OF + DAY)]),
    ),
    case(
        "a one-time coupon leaves it alone",
        "2900",
        subscription(discounts=[discount(percent_off(50, duration="once"))]),
    ),
    case(
        "a coupon that can't be redeemed any more still works",
        "1450",
        subscription(discounts=[discount(percent_off(50, valid=False))]),
    ),
    case(
        "a discount that begins later",
        "2900",
        subscription(discounts=[discount(percent_off(50), start=AS_OF + 1)]),
    ),
    case("a discount that begins now", "1450", subscription(discounts=[discount(percent_off(50), start=AS_OF)])),
    case("a discount that ends now", "2900", subscription(discounts=[discount(percent_off(50), end=AS_OF)])),
    case(
        "an ended discount needs no coupon", "2900", subscription(discounts=[discount("co_gone", end=AS_OF - 1)])
    ),
    case("the old coupon place", "1450", subscription(discounts=[discount(percent_off(50), source=False)])),
    case(
        "an old single discount",
        "1450",
        subscription(discounts=None, discount=discount(percent_off(50), source=False)),
    ),
    case(
        "an id in the list, the object beside it",
        "1450",
        subscription(discounts=["di_1"], discount=discount(percent_off(50), source=False)),
    ),
    case(
        "a coupon by id",
        "1450",
        subscription(discounts=[discount("co_p", source=False)]),
        coupons={"co_p": percent_off(50)},
    ),
    case("an item's discount", "4350", subscription(item(discounts=[discount(percent_off(50))]), item())),
    case(
        "the item's first, then the subscription's",
        "7200",
        subscription(
            item(price(10000), discounts=[discount(amount_off(1000))]), discounts=[discount(percent_off(20))]
        ),
    ),
    case(
        "an item's amount is off its own interval, whatever the others bill by",
        "9000",
        subscription(
            item(price(120000, interval="year"), discounts=[discount(amount_off(24000))]), item(price(1000))
        ),
    ),
    case(
        "an amount on products of one interval among several",
        "9000",
        subscription(
            item(price(120000, interval="year")),
            item(price(1000, product="prod_b")),
            discounts=[discount(amount_off(24000, applies_to={"products": ["prod_a"]}))],
        ),
    ),
    case(
        "twelve months and a year are one billing period",
        "19000",
        subscription(
            item(price(120000, interval="year")),
            item(price(120000, count=12)),
            discounts=[discount(amount_off(12000))],
        ),
    ),
    case(
        "an amount is cut once from all items",
        "5300",
        subscription(item(), item(), discounts=[discount(amount_off(500))]),
    ),
    case(
        "an amount is shared in proportion, so tax comes off fairly",
        "212500/99",
        subscription(
            item(price(2000), tax_rates=[{"inclusive": True, "percentage": 20}]),
            item(price(1000), tax_rates=[{"inclusive": True, "percentage": 10}]),
            discounts=[discount(amount_off(500))],
        ),
    ),
    case(
        "a percentage on one product",
        "4350",
        subscription(
            item(),
            item(price(product="prod_b")),
            discounts=[discount(percent_off(50, applies_to={"products": ["prod_b", "prod_c"]}))],
        ),
    ),
    case(
        "applies_to comes from the coupon table",
        "4350",
        subscription(item(), item(price(product={"id": "prod_b"})), discounts=[discount(percent_off(50))]),
        coupons={"co_p": percent_off(50, applies_to={"products": ["prod_b"]})},
    ),
    case(
        "a product that no item has",
        "2900",
        subscription(discounts=[discount(percent_off(50, applies_to={"products": ["prod_z"]}))]),
    ),
    case(
        "an amount in the subscription's currency by its option",
        "2450",
        subscription(
            item(price(currency="eur")),
            currency="eur",
            discounts=[discount(amount_off(500, currency_options={"eur": {"amount_off": 450}}))],
        ),
    ),
    case(
        "an amount per quarter is a third a month",
        "2500",
        subscription(item(price(9000, count=3)), discounts=[discount(amount_off(1500))]),
    ),
    case(
        "metered items take no part of an amount",
        "2400",
        subscription(
            item(),
            item(price(5, usage_type="metered", interval="year"), quantity=None),
            discounts=[discount(amount_off(500))],
        ),
    ),
    case("nothing to discount needs no coupon", "0", subscription(item(price(0)), discounts=["di_unexpanded"])),
    case(
        "seven days and a week share an amount, each by its own factor",
        "54675/7",
        subscription(
            item(price(1000, interval="day", count=7)),
            item(price(1000, interval="week")),
            discounts=[discount(amount_off(200))],
        ),
    ),
    case(
        "an item in its trial takes no part of an amount, nor does its interval",
        "2700",
        subscription(
            item(),
            item(price(50000, interval="year"), current_trial={"start_date": AS_OF - 1, "end_date": AS_OF + 1}),
            discounts=[discount(amount_off(200))],
        ),
    ),
    case(
        "an amount shared in proportion, then a percentage on one product",
        "3600",
        subscription(
            item(price(4000, product="prod_b")),
            item(price(2000)),
            discounts=[
                discount(amount_off(600)),
                discount(percent_off(50, applies_to={"products": ["prod_b"]})),
            ],
        ),
    ),
    case(
        "an amount over one product's price leaves the other whole",
        "2900",
        subscription(
            item(price(500, product="prod_b")),
            item(),
            discounts=[discount(amount_off(1000, applies_to={"products": ["prod_b"]}))],
        ),
    ),
    case(
        "the coupon's own amount goes before its option in the same currency",
        "2400",
        subscription(discounts=[discount(amount_off(500, currency_options={"usd": {"amount_off": 900}}))]),
    ),
    case(
        "an option in a currency without decimals",
        "900",
        subscription(
            item(price(1000, currency="jpy")),
            currency="jpy",
            discounts=[discount(amount_off(5, currency_options={"jpy": {"amount_off": 100}}))],
        ),
    ),
    case(
        "an item free by its own discount needs no other coupon",
        "0",
        subscription(item(discounts=[discount(percent_off(100))]), discounts=["di_unexpanded"]),
    ),
    # The customer's discount
    case("the customer's discount", "1450", subscription(), customer={"discount": discount(percent_off(50))}),
    case(
        "an expanded customer serves too",
        "1450",
        subscription(customer={"id": "cus_1", "discount": discount(percent_off(50))}),
    ),
    case(
        "an item's own discount does not push the customer's out",
        "5220/10",
        subscription(item(discounts=[discount(percent_off(80))])),
        customer={"discount": discount(percent_off(10))},
    ),
    case(
        "a subscription's ended discount does not push it out either",
        "1450",
        subscription(discounts=[discount(percent_off(10), end=AS_OF - 1)]),
        customer={"discount": discount(percent_off(50))},
    ),
    case(
        "a finite one in force does",
        "2900",
        subscription(discounts=[discount(percent_off(10, duration="repeating"), end=AS_OF + 1)]),
        customer={"discount": discount(percent_off(50))},
    ),
    case("an ended customer discount", "2900", subscription(), customer={"discount": discount("co_x", end=AS_OF)}),
    # Tax
    case("tax inside the price", "14500/6", subscription(item(tax_rates=[{"inclusive": True, "percentage": 20}]))),
    case(
        "a rate of the subscription",
        "14500/6",
        subscription(default_tax_rates=[{"inclusive": True, "percentage": 20.0}]),
    ),
    case(
        "the item's rates replace the subscription's",
        "2900",
        subscription(
            item(tax_rates=[{"inclusive": False, "percentage": 20}]),
            default_tax_rates=[{"inclusive": True, "percentage": 20}],
        ),
    ),
    case(
        "inclusive rates add up",
        "2900000/1225",
        subscription(
            item(
                tax_rates=[
                    {"inclusive": True, "percentage": "20.5"},
                    {"inclusive": True, "percentage": 2},
                    {"inclusive": False, "percentage": 9},
                ]
            )
        ),
    ),
    case(
        "tax comes off after the discount",
        "1000",
        subscription(
            item(price(2400), tax_rates=[{"inclusive": True, "percentage": 20}]),
            discounts=[discount(percent_off(50))],
        ),
    ),
]


@pytest.mark.parametrize(("given", "options", "expected"), KNOWN)
def test_a_known_figure_is_exact(given: dict[str, Any], options: dict[str, Any], expected: Fraction) -> None:
    result = subscription_mrr(given, as_of=AS_OF, **options)

    assert result.minor == expected, result.texts
    assert result.reasons == ()
    assert result.complete
