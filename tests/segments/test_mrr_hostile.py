"""Ten thousand malformed and hostile objects: none raises, each is unknown with a reason or has a sound figure,
and the figures of the good ones among them stay as they were."""

import copy
import json
import pickle
import random
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from segments.mrr import SubscriptionMrr, subscription_mrr
from segments.reasons import NOTES, REASONS
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
from tests.segments.mrr_rows import compute, raw

OBJECTS = 10_000
PLAN = {"id": "plan_1", "amount": 500, "currency": "usd", "interval": "month", "interval_count": 1}
OPTIONS = amount_off(5, currency="eur", currency_options={"usd": {"amount_off": 6}})
SEEDS = [
    subscription(),
    subscription(item("price_1"), item(tiered("graduated", FEES), quantity=7)),
    subscription(
        item(tiered("volume", TIERS), discounts=[discount(amount_off(500))]),
        item(price(120000, interval="year", product={"id": "prod_b"})),
        discounts=[
            discount(percent_off(33.3, applies_to={"products": ["prod_b"]})),
            discount("co_p", end=AS_OF + DAY),
        ],
        default_tax_rates=[{"inclusive": True, "percentage": 19}],
    ),
    subscription(
        item(price(transform_quantity={"divide_by": 5, "round": "up"}, tax_behavior="inclusive")),
        item(price(None, unit_amount_decimal="0.5", currency_options={"eur": {"unit_amount": 1}})),
        trial_end=AS_OF - DAY,
        pause_collection={"behavior": "void", "resumes_at": AS_OF - DAY},
        cancel_at=AS_OF + DAY,
        cancellation_details={"reason": None},
        customer={
            "id": "cus_1",
            "discount": discount(amount_off(5, currency="eur", currency_options={"usd": {"amount_off": 6}})),
        },
        latest_invoice={"lines": {"data": [{"subscription_item": "si_1", "amount": 100, "tax_amounts": []}]}},
    ),
    subscription(
        item(
            price=None,
            plan={"id": "plan_1", "amount": 500, "currency": "usd", "interval": "month", "interval_count": 1},
        ),
        item(current_trial={"start_date": AS_OF - DAY, "end_date": AS_OF + DAY}),
        discounts=["di_1"],
        discount=discount(percent_off(10), source=False),
    ),
]
HOSTILE = [
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    -(2**63),
    10**40,
    1e308,
    -0.0,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    " ",
    "0",
    "NaN",
    "1e999999999",
    "9" * 5000,
    "\ud800",
    "\x00",
    "inf",
    "zzz",
    "usd",
    "2026-06-15",
    "'; DROP TABLE subscriptions; --",
    [],
    {},
    [[]],
    [None],
    {"id": None},
    {"id": []},
    {"data": {}},
    {"has_more": True, "data": []},
    [1] * 1000,
    {str(n): n for n in range(100)},
]
NOT_JSON = [
    b"\xff",
    Decimal("NaN"),
    Decimal("Infinity"),
    Decimal("1e100000"),
    {1, 2},
    object(),
    1j,
    (),
    datetime(2026, 1, 1, tzinfo=UTC),
]


_PICKLED = [pickle.dumps(seed) for seed in SEEDS]


def _broken(dice: random.Random, values: list[Any]) -> Any:
    """A seed with one to four places replaced, removed, repeated or wrapped."""
    made = pickle.loads(dice.choice(_PICKLED))
    for _ in range(dice.randint(1, 4)):
        place = _place(dice, made)
        if place is None:
            return dice.choice(values)
        holder, key = place
        match dice.randrange(10):
            case 0:
                del holder[key]
            case 1:
                holder[key] = [holder[key]] * 2
            case 2:
                holder[key] = {"object": "list", "data": holder[key]}
            case _:
                holder[key] = copy.copy(dice.choice(values))
    return made


def _place(dice: random.Random, value: Any) -> tuple[Any, Any] | None:
    """A key inside an object, at any depth; None when there is nothing inside."""
    place = None
    while isinstance(value, dict | list) and value and (place is None or dice.random() < 0.85):
        key = dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
        place, value = (value, key), value[key]
    return place


def _assert_sound(result: SubscriptionMrr) -> None:
    codes = {*result.reasons, *result.notes}
    assert codes <= {*REASONS, *NOTES}
    assert all(text.isprintable() for text in result.texts)
    assert result.complete or result.reasons
    for value in (result.minor, result.committed, result.list_price):
        assert value is None or (isinstance(value, Fraction) and 0 <= value < 2**63)
    if result.minor is None:
        assert result.committed is None
    elif result.list_price is not None:
        assert result.minor <= result.list_price
    if result.committed is not None:
        assert result.committed in (0, result.minor)


def test_no_object_raises_and_each_is_known_or_says_why_not() -> None:
    dice = random.Random(20260615)
    values = HOSTILE + NOT_JSON
    unknown = 0
    for _ in range(OBJECTS):
        sides = {"price_1": _broken(dice, values)}, {"co_p": _broken(dice, values)}
        prices, coupons = sides if dice.random() < 0.5 else ({"price_1": price()}, {"co_p": percent_off(50)})
        result = subscription_mrr(_broken(dice, values), as_of=AS_OF, prices=prices, coupons=coupons)
        _assert_sound(result)
        unknown += not result.complete

    assert OBJECTS // 4 < unknown < OBJECTS  # the generator breaks much, and not everything


def _json(value: Any) -> str | None:
    """JSON as a careless writer leaves it: NaN bare, lone surrogates as escapes."""
    return None if value is None else json.dumps(value)


def test_good_rows_among_hostile_ones_keep_their_figures() -> None:
    dice = random.Random(7)
    good = [subscription(item(price(100 + number), quantity=1 + number % 5)) for number in range(1000)]
    alone = compute(raw(good))
    rows: list[Any] = [_json(_broken(dice, HOSTILE)) for _ in range(OBJECTS)]
    rows += [json.dumps(each) for each in good]
    order = list(range(len(rows)))
    dice.shuffle(order)

    mixed = compute(raw([rows[place] for place in order]))

    figures = dict(zip(order, mixed["mrr"].to_pylist(), strict=True))
    assert [figures[OBJECTS + number] for number in range(len(good))] == alone["mrr"].to_pylist()
    for row in mixed.to_pylist():
        assert row["complete"] is (row["mrr"] is not None)
        assert row["complete"] or row["reasons"]
        assert (row["mrr_minor"] is None) is (row["mrr"] is None)


@pytest.mark.parametrize("column", ["status", "currency", "customer"])
def test_a_null_column_stops_nothing(column: str) -> None:
    table = raw([subscription()] * 2)
    nulls = table.set_column(table.column_names.index(column), column, [[None, table[column][1].as_py()]])

    assert compute(nulls)["mrr"].to_pylist() == ["2900", "2900"]
