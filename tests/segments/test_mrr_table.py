"""The MRR table: the same figures as one by one, on both paths, and only what can have changed on a repeat."""

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments import mrr_table
from segments.money import fraction_text
from segments.mrr import subscription_mrr
from segments.mrr_plain import PlainRows, fraction_arrays
from segments.profiles import PROFILES, UnknownProfileError
from segments.tables import SEGMENT_TABLES
from tests.segments.billing import (
    AS_OF,
    DAY,
    TIERS,
    amount_off,
    discount,
    item,
    percent_off,
    price,
    subscription,
    tiered,
)
from tests.segments.mrr_rows import NOW, TEXT, compute, raw, side


def expected_row(billing: dict[str, Any], **options: Any) -> dict[str, Any]:
    """What the table must say, from the figure of the one subscription."""
    result = subscription_mrr(billing, as_of=AS_OF, **options)
    row: dict[str, Any] = {"currency": result.currency, "complete": result.complete}
    for name, value in (
        ("mrr", result.minor),
        ("mrr_committed", result.committed),
        ("mrr_list", result.list_price),
    ):
        row[name] = None if value is None else fraction_text(value)
        row[f"{name}_minor"] = None if value is None else round(value)
    row["reasons"] = "; ".join((*result.reasons, *result.notes))
    row["next_change"] = None if result.next_change is None else datetime.fromtimestamp(result.next_change, UTC)
    return row


PRICES = {
    "price_by_id": price(4900),
    "price_1": price(tiers_mode=None),
    "price_tiered": tiered("graduated", TIERS),
}
COUPONS = {"co_p": percent_off(50)}

VARIED = [
    subscription(),
    subscription(item(price(10_000, interval="year"), quantity=7)),
    subscription(item("price_by_id", quantity=3)),
    subscription(item(price(None, unit_amount_decimal="0.5"), quantity=3)),
    subscription(item(price(100, interval="day"))),
    subscription(item(price(1000, interval="week", count=2)), status="past_due"),
    subscription(item(price(999, currency="jpy")), currency="jpy"),
    subscription(item(price(500, currency="ugx")), currency="ugx"),
    subscription(item(quantity=0)),
    subscription(item(quantity=2**40)),
    subscription(item(price(10**17))),
    subscription(item(price(10**17), quantity=10**6)),
    subscription(item(tiered("volume", TIERS), quantity=7)),
    subscription(item(), item(price(1000, interval="year"))),
    subscription(discounts=[discount("co_p")]),
    subscription(item(discounts=[discount(amount_off(500))])),
    subscription(item(tax_rates=[{"inclusive": True, "percentage": 19}])),
    subscription(trial_end=AS_OF - DAY),
    subscription(trial_end=AS_OF + DAY),
    subscription(pause_collection={"behavior": "void", "resumes_at": AS_OF + 7}),
    subscription(cancel_at_period_end=True),
    subscription(cancel_at=AS_OF + 90 * DAY),
    subscription(ended_at=AS_OF - 1),
    subscription(item("price_9")),
    subscription(discounts=["di_1"]),
    subscription(items={"data": [item()], "has_more": True}),
    subscription(item(price(tax_behavior="inclusive"))),
    subscription(item(price(usage_type="metered"))),
    subscription(
        item(
            price=None,
            plan={"id": "plan_1", "amount": 500, "currency": "usd", "interval": "month", "interval_count": 1},
        )
    ),
]


def test_every_row_is_the_figure_of_its_subscription() -> None:
    table = compute(raw(VARIED), prices=PRICES, coupons=COUPONS)

    assert table.schema == SEGMENT_TABLES["subscription_mrr"]
    assert table.schema.metadata == SEGMENT_TABLES["subscription_mrr"].metadata
    for number, (row, billing) in enumerate(zip(table.to_pylist(), VARIED, strict=True)):
        expected = expected_row(billing, prices=PRICES, coupons=COUPONS)
        assert {name: row[name] for name in expected} == expected, billing
        assert (row["subscription"], row["customer"], row["status"]) == (
            f"sub_{number}",
            f"cus_{number}",
            billing["status"],
        )
        assert (row["profile"], row["as_of"]) == ("default-v1", NOW)


def test_plain_subscriptions_take_the_fast_path_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    fast: list[bool] = []
    take = PlainRows.take
    monkeypatch.setattr(PlainRows, "take", lambda *args: fast.append(take(*args)) or fast[-1])

    compute(raw(VARIED), prices=PRICES, coupons=COUPONS)

    assert [n for n, plain in enumerate(fast) if plain] == [0, 1, 2, 3, 4, 5, 6, 8, 17]


def test_rows_keep_their_order_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compute(raw(VARIED * 3), prices=PRICES, coupons=COUPONS)

    monkeypatch.setattr(mrr_table, "_BATCH_ROWS", 7)

    assert compute(raw(VARIED * 3), prices=PRICES, coupons=COUPONS).equals(whole)
    assert compute(raw([])).num_rows == 0


_NEARLY_PLAIN_AMOUNTS = st.one_of(
    st.integers(0, 10**6),
    st.none(),
    st.sampled_from([True, 1.0, -1, 2900.5, "12", float("nan"), 2**42, 2**62, [], {}]),
)
_SEEDS = st.one_of(st.none(), st.just([]), st.sampled_from([0, "", {}, False, [None], ["x"]]))


@st.composite
def nearly_plain(draw: st.DrawFn) -> dict[str, Any]:
    """A subscription that is plain, or differs from it in places where the fast path might be fooled."""
    odd = draw(st.integers(0, 4)) == 0
    made = price(
        draw(_NEARLY_PLAIN_AMOUNTS if odd else st.integers(0, 10**6)),
        interval=draw(st.sampled_from(["day", "week", "month", "year"])),
        count=draw(st.sampled_from([1, 2, 3, True, 1.0, "1", 0, None]) if odd else st.integers(1, 12)),
        id=draw(st.sampled_from(["price_1", "price_by_id", "price_tiered", "price_x", None, 1, True])),
    )
    row = item(made, quantity=draw(st.integers(0, 10**4)))
    given_ = subscription(row)
    if odd:
        targets = [
            (
                given_,
                [
                    "status",
                    "currency",
                    "discounts",
                    "discount",
                    "default_tax_rates",
                    "cancel_at_period_end",
                    "customer",
                ],
            ),
            (given_, ["cancel_at", "ended_at", "trial_end", "pause_collection", "items"]),
            (row, ["quantity", "discounts", "tax_rates", "current_trial", "deleted", "price", "plan"]),
            (
                made,
                [
                    "currency",
                    "type",
                    "billing_scheme",
                    "transform_quantity",
                    "tiers",
                    "tiers_mode",
                    "tax_behavior",
                ],
            ),
            (made["recurring"], ["usage_type", "meter"]),
        ]
        target, names = draw(st.sampled_from(targets))
        values = st.one_of(
            _SEEDS,
            st.sampled_from(
                [True, 0, 1, 0.0, -1, AS_OF, AS_OF + 1, "usd", "USD", "eur", "past_due", "tiered", "inclusive"]
            ),
            st.just({"id": "cus_1", "discount": discount(percent_off(50))}),
        )
        target[draw(st.sampled_from(names))] = draw(values)
    return given_


@settings(max_examples=150, deadline=None)
@given(st.lists(nearly_plain(), min_size=1, max_size=12), st.sampled_from(sorted(PROFILES)))
def test_both_paths_agree_whatever_the_objects_say(billings: list[dict[str, Any]], profile: str) -> None:
    subscriptions = raw(billings)
    table = compute(subscriptions, prices=PRICES, coupons=COUPONS, profile=profile)

    for row, status, billing in zip(table.to_pylist(), subscriptions["status"].to_pylist(), billings, strict=True):
        if row["reasons"] == "status_not_counted":
            assert status not in PROFILES[profile].statuses
            continue
        parsed = json.loads(json.dumps(billing))
        expected = expected_row(parsed, prices=PRICES, coupons=COUPONS, profile=profile)
        assert {name: row[name] for name in expected} == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(1, 2**31)), min_size=1, max_size=20))
def test_arithmetic_on_arrays_is_that_of_fractions(pairs: list[tuple[int, int]]) -> None:
    tops, bottoms = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))

    texts, rounded = fraction_arrays(tops, bottoms)

    values = [Fraction(top, bottom) for top, bottom in pairs]
    assert texts.to_pylist() == [fraction_text(value) for value in values]
    assert rounded.to_pylist() == [round(value) for value in values]


@pytest.mark.parametrize(
    ("billing", "columns", "mrr", "reasons"),
    [
        pytest.param(None, {}, None, "billing_missing", id="no billing object"),
        pytest.param("{not json", {}, None, "billing_unreadable", id="broken JSON"),
        pytest.param("[" * 100_000, {}, None, "billing_unreadable", id="JSON nested beyond measure"),
        pytest.param("[]", {}, None, "subscription_invalid", id="JSON of something else"),
        pytest.param("null", {}, None, "billing_missing", id="JSON null"),
        pytest.param(subscription(note=float("nan")), {}, "2900", "", id="a flaw that no rule reads"),
        pytest.param(subscription(note="\ud800"), {}, "2900", "", id="a lone surrogate that no rule reads"),
        pytest.param(
            subscription(), {"items_complete": [False]}, None, "items_incomplete", id="items not all read"
        ),
        pytest.param(subscription(), {"items_complete": [None]}, "2900", "", id="unknown whether all were read"),
        pytest.param(subscription(), {"deleted": [True]}, "0", "subscription_deleted", id="gone at Stripe"),
        pytest.param(None, {"status": ["canceled"]}, "0", "status_not_counted", id="canceled needs no more"),
        pytest.param("{not json", {"status": ["unpaid"]}, "0", "status_not_counted", id="unpaid needs no more"),
        pytest.param(
            subscription(), {"customer": ["cus_9"]}, "2900", "customer_missing", id="its customer is missing"
        ),
        pytest.param(
            subscription(discounts=[discount(percent_off(50))]),
            {"customer": ["cus_9"]},
            "1450",
            "customer_missing",
            id="the exact path sees it too",
        ),
        pytest.param(subscription(), {"customer": pa.array([None], TEXT)}, "2900", "", id="it has no customer"),
        pytest.param(
            subscription(), {"customer": ["cus_half"]}, "1450", "customer_discount", id="the customer's discount"
        ),
        pytest.param(
            subscription(), {"customer": ["cus_bad"]}, None, "discount_invalid", id="an unreadable discount"
        ),
    ],
)
def test_rows_that_are_not_whole(billing: Any, columns: dict[str, Any], mrr: str | None, reasons: str) -> None:
    customers = {"cus_0": None, "cus_half": discount(percent_off(50)), "cus_bad": "{not json"}

    row = compute(raw([billing], **columns), customers=customers).to_pylist()[0]

    assert (row["mrr"], row["reasons"], row["complete"]) == (mrr, reasons, mrr is not None)


def test_an_unreadable_price_is_a_missing_one() -> None:
    row = compute(raw([subscription(item("price_1"))]), prices={"price_1": "{not json"}).to_pylist()[0]

    assert (row["mrr"], row["reasons"]) == (None, "price_missing")


@pytest.mark.parametrize("engine", ["arrow", "pandas", "duckdb"])
def test_frames_of_every_engine_are_read(engine: str) -> None:
    table = raw(VARIED)
    if engine == "pandas":
        given_: Any = table.to_pandas()
    elif engine == "duckdb":
        given_ = duckdb.connect().from_arrow(table)
    else:
        given_ = table
    customers = side({f"cus_{n}": None for n in range(len(VARIED))}, "discount")

    got = compute(given_, customers=customers, prices=PRICES, coupons=COUPONS)

    assert got.equals(compute(table, prices=PRICES, coupons=COUPONS))


def test_an_unknown_profile_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(UnknownProfileError, match=r"'mine'; there are: chartmogul, default-v1, "):
        compute(raw([subscription()]), profile="mine")


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware datetime"):
        compute(raw([subscription()]), as_of=datetime.fromisoformat("2026-06-15"))
