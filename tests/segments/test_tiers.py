"""Tiers and movements of customers."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.exact_sums import read_amounts, sums_by_group
from segments.movements import waterfall
from segments.tiers import mrr_tiers
from tests.segments.raw import AS_OF, ENGINES, by_key, on, raw, segment

RATES = {"eur": (Fraction(11, 10), date(2026, 5, 14)), "jpy": (Fraction(2, 3), date(2026, 5, 12))}
LATER = AS_OF + timedelta(days=1)


def _mrr(*rows: tuple[str, str, str | None]) -> pa.Table:
    return segment(
        "subscription_mrr",
        *(
            {
                "subscription": f"sub_{number}",
                "customer": customer,
                "currency": currency,
                "mrr": mrr,
                "mrr_committed": mrr,
                "complete": mrr is not None,
            }
            for number, (customer, currency, mrr) in enumerate(rows)
        ),
    )


def _tiers(*rows: tuple[str, str, str | None], engine: str = "pandas", **options: Any) -> pa.Table:
    customers = sorted({customer for customer, _, _ in rows} | set(options.pop("customers", ())))
    sources = on(
        engine, mrr=_mrr(*rows), customers=raw("customers", *({"id": customer} for customer in customers))
    )
    settings = {"rates": RATES, "reporting_currency": "usd", "as_of": AS_OF, **options}
    return mrr_tiers(sources["mrr"], sources["customers"], **settings)


@pytest.mark.parametrize(
    ("minor", "tier"),
    [
        (None, "unknown"),
        (-1, "none"),
        (0, "none"),
        (1, "smb"),
        (99_999, "smb"),
        (100_000, "mid_market"),
        (999_999, "mid_market"),
        (1_000_000, "enterprise"),
    ],
)
def test_a_new_customer_enters_at_the_published_bounds(minor: int | None, tier: str) -> None:
    (found,) = _tiers(("cus_1", "usd", None if minor is None else str(minor))).to_pylist()
    assert found["tier"] == tier


@pytest.mark.parametrize(
    ("minor", "previous", "tier"),
    [
        (950_000, "enterprise", "enterprise"),
        (950_000, "mid_market", "mid_market"),
        (899_999, "enterprise", "mid_market"),
        (95_000, "mid_market", "mid_market"),
        (95_000, "enterprise", "mid_market"),
        (95_000, "smb", "smb"),
        (89_999, "enterprise", "smb"),
        (0, "enterprise", "none"),
    ],
)
def test_a_customer_stays_until_the_lower_bound_is_crossed(minor: int, previous: str, tier: str) -> None:
    before = segment(
        "mrr_tiers",
        {"customer": "cus_1", "tier": previous, "since": AS_OF, "mrr_minor": 1, "amounts": "usd 1"},
    )
    (found,) = _tiers(("cus_1", "usd", str(minor)), previous=before).to_pylist()
    assert found["tier"] == tier


@pytest.mark.parametrize("engine", ENGINES)
def test_currencies_add_up_exactly_and_are_rounded_once(engine: str) -> None:
    row = _tiers(("cus_1", "usd", "100/3"), ("cus_1", "eur", "20/3"), ("cus_1", "usd", "1"), engine=engine)
    (found,) = row.to_pylist()
    assert found["mrr_minor"] == round(Fraction(100, 3) + Fraction(20, 3) * Fraction(11, 10) + 1) == 42
    assert found["rate_date"] == date(2026, 5, 14)
    assert found["subscriptions"] == 3
    assert found["amounts"] == "eur 20/3; usd 103/3"


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([("cus_1", "usd", "500"), ("cus_1", "usd", None)], id="one subscription is incomplete"),
        pytest.param([("cus_1", "usd", "500"), ("cus_1", "xaf", "9")], id="one currency has no rate"),
    ],
)
def test_an_unknown_part_makes_the_whole_unknown(rows: list[tuple[str, str, str | None]]) -> None:
    (found,) = _tiers(*rows).to_pylist()
    assert (found["tier"], found["mrr_minor"], found["complete"]) == ("unknown", None, False)


def test_nothing_in_a_currency_without_rate_is_still_nothing() -> None:
    (found,) = _tiers(("cus_1", "xaf", "0")).to_pylist()
    assert (found["tier"], found["mrr_minor"], found["complete"]) == ("none", 0, True)


def test_a_first_run_measures_and_calls_nobody_new() -> None:
    (found,) = _tiers(("cus_1", "usd", "500")).to_pylist()
    assert (found["movement"], found["opening_minor"], found["movement_minor"]) == ("none", None, None)


@pytest.mark.parametrize(
    ("before", "after", "rates", "movement", "minor", "fx"),
    [
        pytest.param([], [("usd", "500")], RATES, "new", 500, 0, id="revenue for the first time"),
        pytest.param([("usd", "500")], [("usd", "700")], RATES, "expansion", 200, 0, id="more"),
        pytest.param([("usd", "500")], [("usd", "300")], RATES, "contraction", -200, 0, id="less"),
        pytest.param([("usd", "500")], [("usd", "0")], RATES, "churn", -500, 0, id="nothing any more"),
        pytest.param([("usd", "500")], [("usd", "500")], RATES, "none", 0, 0, id="the same"),
        pytest.param(
            [("eur", "1000")],
            [("eur", "1000")],
            {"eur": (Fraction(6, 5), None)},
            "fx",
            0,
            100,
            id="only the rate changed: not expansion",
        ),
        pytest.param(
            [("eur", "1000")],
            [("eur", "1500")],
            {"eur": (Fraction(6, 5), None)},
            "expansion",
            600,
            100,
            id="both changed: each part apart",
        ),
        pytest.param(
            [("eur", "1000")],
            [("eur", "0")],
            {"eur": (Fraction(6, 5), None)},
            "churn",
            -1200,
            100,
            id="churn at present rates",
        ),
        pytest.param(
            [("eur", "1000")], [("eur", None)], RATES, "none", None, None, id="unknown: no movement is claimed"
        ),
    ],
)
def test_movements(
    before: list[tuple[str, str | None]],
    after: list[tuple[str, str | None]],
    rates: dict[str, tuple[Fraction, None]],
    movement: str,
    minor: int | None,
    fx: int | None,
) -> None:
    previous = _tiers(*(("cus_1", *row) for row in before), customers=["cus_1"])
    (found,) = _tiers(*(("cus_1", *row) for row in after), rates=rates, previous=previous, as_of=LATER).to_pylist()
    assert (found["movement"], found["movement_minor"], found["fx_minor"]) == (movement, minor, fx)


def test_revenue_that_returns_is_reactivation_and_not_new() -> None:
    runs = [[("cus_1", "usd", "500")], [("cus_1", "usd", "0")], [("cus_1", "usd", "0")], [("cus_1", "usd", "9")]]
    previous = None
    movements = []
    for day, rows in enumerate(runs):
        previous = _tiers(*rows, previous=previous, as_of=AS_OF + timedelta(days=day))
        movements.append(previous.column("movement")[0].as_py())
    assert movements == ["none", "churn", "none", "reactivation"]


def test_an_unknown_day_neither_moves_the_tier_nor_loses_the_opening() -> None:
    first = _tiers(("cus_1", "usd", "950000"), previous=_tiers(("cus_1", "usd", "1000000")), as_of=LATER)
    unknown = _tiers(("cus_1", "usd", None), previous=first, as_of=LATER)
    (found,) = _tiers(("cus_1", "usd", "960000"), previous=unknown, as_of=LATER).to_pylist()
    assert (found["tier"], found["movement"], found["movement_minor"]) == ("enterprise", "expansion", 10_000)


def test_since_and_previous_tier_change_with_the_tier_alone() -> None:
    first = _tiers(("cus_1", "usd", "5000"))
    second = _tiers(("cus_1", "usd", "6000"), previous=first, as_of=LATER)
    third = _tiers(("cus_1", "usd", "100000"), previous=second, as_of=LATER + timedelta(days=1))
    kept, moved = second.to_pylist()[0], third.to_pylist()[0]
    assert (kept["since"], kept["previous_tier"]) == (AS_OF, None)
    assert (moved["since"], moved["previous_tier"]) == (LATER + timedelta(days=1), "smb")


def test_a_customer_who_vanished_leaves_a_churn_row() -> None:
    previous = _tiers(("cus_1", "usd", "500"), ("cus_2", "usd", "700"))
    found = by_key(_tiers(("cus_1", "usd", "500"), previous=previous, as_of=LATER), "customer")
    assert found["cus_2"]["movement"] == "churn"
    assert found["cus_2"]["movement_minor"] == -700


def test_another_reporting_currency_is_no_movement() -> None:
    previous = _tiers(("cus_1", "eur", "1000"))
    (found,) = _tiers(
        ("cus_1", "eur", "1000"), previous=previous, rates={}, reporting_currency="eur", as_of=LATER
    ).to_pylist()
    assert (found["opening_minor"], found["mrr_minor"], found["movement"]) == (1000, 1000, "none")


_AMOUNT = st.one_of(st.none(), st.fractions(0, 2_000_000, max_denominator=400).map(str))
_CUSTOMER = st.integers(0, 9).map("cus_{}".format)
_RUN = st.lists(
    st.tuples(_CUSTOMER, st.sampled_from(["usd", "eur", "jpy", "xaf"]), _AMOUNT), min_size=5, max_size=25
)
_RATE = st.fractions(Fraction(1, 100), 100, max_denominator=1000)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(_RUN, _RATE, _RATE), min_size=2, max_size=3))
def test_opening_and_movements_always_give_closing(runs: list[tuple[list[Any], Fraction, Fraction]]) -> None:
    previous = None
    closing = None
    for day, (rows, eur, jpy) in enumerate(runs):
        previous = _tiers(
            *rows,
            rates={"eur": (eur, None), "jpy": (jpy, None)},
            previous=previous,
            as_of=AS_OF + timedelta(days=day),
        )
        for row in previous.to_pylist():
            if row["movement_minor"] is not None:
                assert row["opening_minor"] + row["movement_minor"] + row["fx_minor"] == row["mrr_minor"]
        sums = waterfall(previous)
        assert sums.balanced
        if closing is not None:
            assert sums.opening == closing
        closing = sums.closing


_HUGE = st.fractions(0, 10**18, max_denominator=10**6)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["usd", "eur"]), _HUGE), max_size=8), _RATE)
def test_sums_are_those_of_fractions_at_any_size(rows: list[tuple[int, str, Fraction]], eur: Fraction) -> None:
    sums = sums_by_group(
        np.array([group for group, _, _ in rows], np.int64),
        4,
        pa.array([currency for _, currency, _ in rows], pa.string()),
        pa.array([str(amount) for _, _, amount in rows], pa.string()),
        rates={"eur": (eur, None)},
        reporting_currency="usd",
    )
    for group in range(4):
        mine = [(currency, amount) for each, currency, amount in rows if each == group]
        total = round(sum((amount * (eur if currency == "eur" else 1) for currency, amount in mine), Fraction(0)))
        assert (not sums.known[group] and total >= 2**61) or sums.minor[group] == total
        held = read_amounts(sums.text[group].as_py())
        assert sum(held.values()) == sum(amount for _, amount in mine)


def _months(*rows: tuple[str, date, str, int]) -> pa.Table:
    names = ("customer", "month", "currency", "mrr_minor", "mrr_list_minor")
    return segment("customer_mrr_months", *(dict(zip(names, (*row, row[-1]), strict=True)) for row in rows))


@pytest.mark.parametrize(
    ("months", "before"),
    [
        pytest.param([("a", date(2026, 1, 1), "usd", 250_000)], "mid_market", id="the tier of its last revenue"),
        pytest.param(
            [("a", date(2025, 1, 1), "usd", 250_000), ("a", date(2026, 2, 1), "usd", 5_000)],
            "smb",
            id="the last month counts, not the largest",
        ),
        pytest.param([("a", date(2026, 1, 1), "eur", 950_000)], "enterprise", id="at the present rate"),
        pytest.param(
            [("a", date(2026, 1, 1), "usd", 60_000), ("a", date(2026, 1, 1), "eur", 60_000)],
            "mid_market",
            id="currencies of a month together",
        ),
        pytest.param([("a", date(2026, 1, 1), "chf", 60_000)], None, id="unknown without a rate"),
        pytest.param([("b", date(2026, 1, 1), "usd", 60_000)], None, id="unknown without a history"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_first_run_takes_the_tier_of_those_who_left_from_their_history(
    engine: str, months: list[tuple[str, date, str, int]], before: str | None
) -> None:
    history = on(engine, months=_months(*months))["months"]
    row = by_key(_tiers(("a", "usd", "0"), engine=engine, customer_mrr_months=history), "customer")["a"]
    assert (row["tier"], row["previous_tier"], row["movement"]) == ("none", before, "none")


def test_history_never_overrides_what_a_run_has_seen() -> None:
    months = _months(("a", date(2026, 1, 1), "usd", 2_000_000))
    first = _tiers(("a", "usd", "5000"), customer_mrr_months=months)
    assert by_key(first, "customer")["a"]["previous_tier"] is None
    second = _tiers(("a", "usd", "0"), previous=first, as_of=LATER, customer_mrr_months=months)
    assert by_key(second, "customer")["a"]["previous_tier"] == "smb"
