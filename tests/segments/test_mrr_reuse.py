"""A repeat of the MRR table: only what can have changed is computed, and the result is that of a fresh one."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments import mrr_table
from segments.mrr_table import ChangedIds
from tests.segments.billing import AS_OF, DAY, amount_off, discount, item, percent_off, price, subscription
from tests.segments.mrr_rows import NOW, compute, raw


class Counter:
    """How many subscriptions a call computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[str] = []
        table = mrr_table._Calculation.table
        monkeypatch.setattr(
            mrr_table._Calculation,
            "table",
            lambda calculation, rows: self.rows.extend(rows["id"].to_pylist()) or table(calculation, rows),
        )


LATER = NOW + timedelta(days=2)
REPEATED = {
    "plain": subscription(),
    "changed": subscription(item(price(1000))),
    "trial": subscription(trial_end=AS_OF + DAY),
    "long trial": subscription(trial_end=AS_OF + 30 * DAY),
    "unknown": subscription(discounts=["di_1"]),
    "by price": subscription(item("price_by_id")),
    "by coupon": subscription(discounts=[discount("co_p")]),
    "discounted customer": subscription(),
    "ending": subscription(cancel_at=AS_OF + DAY, canceled_at=AS_OF),
}


@pytest.mark.parametrize(
    ("changed", "recomputed"),
    [
        pytest.param(ChangedIds(), [], id="nothing changed"),
        pytest.param(ChangedIds(subscriptions=frozenset({"sub_1", "sub_new"})), ["changed"], id="a subscription"),
        pytest.param(ChangedIds(customers=frozenset({"cus_0"})), ["plain"], id="a customer"),
        pytest.param(ChangedIds(prices=frozenset({"price_by_id"})), ["by price"], id="a price"),
        pytest.param(ChangedIds(prices=frozenset({"price_by"})), [], id="a price whose id begins another"),
        pytest.param(
            ChangedIds(coupons=frozenset({"co_p"})),
            ["by coupon", "discounted customer"],
            id="a coupon, of customers too",
        ),
        pytest.param(
            ChangedIds(prices=frozenset(f"p{n}" for n in range(500))), list(REPEATED), id="too many to look for"
        ),
    ],
)
def test_a_repeat_computes_what_changed_what_was_unknown_and_what_time_moved(
    monkeypatch: pytest.MonkeyPatch, changed: ChangedIds, recomputed: list[str]
) -> None:
    names = list(REPEATED)
    options: dict[str, Any] = {
        "prices": {"price_by_id": price(4900)},
        "coupons": {"co_p": percent_off(50)},
        "customers": {
            f"cus_{n}": discount("co_p") if name == "discounted customer" else None for n, name in enumerate(names)
        },
    }
    before = compute(raw(list(REPEATED.values())), **options)
    counter = Counter(monkeypatch)

    repeat = compute(raw(list(REPEATED.values())), as_of=LATER, previous=before, changed=changed, **options)

    always = {"trial", "unknown", "ending"}
    assert {names[int(each.removeprefix("sub_"))] for each in counter.rows} == always | set(recomputed)
    assert repeat.equals(compute(raw(list(REPEATED.values())), as_of=LATER, **options))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"profile": "chartmogul"}, id="another rule set"),
        pytest.param({"as_of": NOW - timedelta(days=1)}, id="an earlier time"),
        pytest.param({"without": "next_change"}, id="an earlier result of an older shape"),
        pytest.param({"changed": None}, id="nobody says what changed"),
        pytest.param({"rules": "those of an earlier version"}, id="a correction of the rules"),
    ],
)
def test_nothing_of_an_earlier_result_is_kept(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    before = compute(raw([subscription(), subscription()]))
    without, others = options.pop("without", None), options.pop("rules", None)
    earlier = before if without is None else before.drop_columns([without])
    if others is not None:
        place = before.schema.get_field_index("rules")
        earlier = before.set_column(place, "rules", pa.array([others] * before.num_rows))
    counter = Counter(monkeypatch)

    compute(raw([subscription(), subscription()]), previous=earlier, **{"changed": ChangedIds(), **options})

    assert counter.rows == ["sub_0", "sub_1"]


def test_subscriptions_that_left_the_raw_table_leave_the_result() -> None:
    before = compute(raw([subscription(), subscription(item(price(1000)))]))

    repeat = compute(raw([subscription()]), as_of=LATER, previous=before.to_pandas(), changed=ChangedIds())

    assert repeat["subscription"].to_pylist() == ["sub_0"]
    assert repeat["as_of"].to_pylist() == [LATER]


_TIMES = st.integers(AS_OF - 40 * DAY, AS_OF + 40 * DAY)


@st.composite
def timed_subscription(draw: st.DrawFn) -> dict[str, Any]:
    """A subscription whose figure moves with time alone."""
    coupon = draw(st.sampled_from([percent_off(50), percent_off(10, duration="repeating"), amount_off(500)]))
    start, end = draw(st.none() | _TIMES), draw(st.none() | _TIMES)
    return subscription(
        item(current_trial=draw(st.none() | st.builds(lambda end: {"end_date": end}, _TIMES))),
        trial_end=draw(st.none() | _TIMES),
        cancel_at=draw(st.none() | _TIMES),
        canceled_at=draw(st.none() | st.just(AS_OF)),
        discounts=[discount(coupon, start=start, end=end)],
        pause_collection=draw(
            st.none() | st.builds(lambda at: {"behavior": "void", "resumes_at": at}, st.none() | _TIMES)
        ),
    )


@settings(max_examples=60, deadline=None)
@given(
    billings=st.lists(timed_subscription(), min_size=1, max_size=8),
    steps=st.lists(st.integers(1, 30 * DAY), min_size=1, max_size=4),
    customer_end=st.none() | _TIMES,
    profile=st.sampled_from(["default-v1", "chartmogul", "stripe-churn-at-request"]),
)
def test_repeats_over_time_equal_a_fresh_computation(
    billings: list[dict[str, Any]], steps: list[int], customer_end: int | None, profile: str
) -> None:
    customers = {f"cus_{n}": discount(percent_off(20), end=customer_end) for n in range(len(billings))}
    options: dict[str, Any] = {"customers": customers, "profile": profile}
    at = NOW
    table = compute(raw(billings), as_of=at, **options)
    for step in steps:
        at += timedelta(seconds=step)
        table = compute(raw(billings), as_of=at, previous=table, changed=ChangedIds(), **options)
        fresh = compute(raw(billings), as_of=at, **options)
        assert table.to_pylist() == fresh.to_pylist()
