"""What holds for every subscription, whatever its prices and discounts."""

from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from segments.mrr import SubscriptionMrr, subscription_mrr
from segments.profiles import PROFILES
from tests.segments.billing import AS_OF, amount_off, discount, item, percent_off, price, subscription, tiered

_INTERVALS = st.sampled_from(["day", "week", "month", "year"])
_AMOUNTS = st.integers(0, 10**7)
_PRODUCTS = st.sampled_from("abc")
_PROFILES = st.sampled_from(sorted(PROFILES))
_QUANTITIES = st.integers(0, 5000)


@st.composite
def tiers(draw: st.DrawFn) -> list[tuple[int | None, int, int]]:
    """Ascending tiers; the last has no end."""
    bounds = sorted(draw(st.sets(st.integers(1, 1000), max_size=4)))
    return [(bound, draw(st.integers(0, 5000)), draw(st.integers(0, 5000))) for bound in [*bounds, None]]


@st.composite
def items(draw: st.DrawFn, interval: st.SearchStrategy[str] = _INTERVALS) -> dict[str, Any]:
    """A licensed item, per unit or tiered."""
    shape = {
        "interval": draw(interval),
        "count": draw(st.integers(1, 12)),
        "product": draw(st.sampled_from("abc")),
    }
    if draw(st.booleans()):
        made = price(draw(_AMOUNTS), **shape)
    else:
        made = tiered(draw(st.sampled_from(["volume", "graduated"])), draw(tiers()), **shape)
    return item(made, quantity=draw(_QUANTITIES))


@st.composite
def discounts(draw: st.DrawFn) -> dict[str, Any]:
    """A permanent discount of any kind."""
    limits = draw(
        st.none() | st.sets(st.sampled_from("abc"), min_size=1).map(lambda ids: {"products": sorted(ids)})
    )
    if draw(st.booleans()):
        return discount(percent_off(draw(st.decimals(0, 100, places=2)), applies_to=limits))
    return discount(amount_off(draw(st.integers(0, 10**6)), applies_to=limits))


def figure(given_: dict[str, Any], **options: Any) -> SubscriptionMrr:
    return subscription_mrr(given_, as_of=AS_OF, **options)


def minor(given_: dict[str, Any], **options: Any) -> Fraction:
    result = figure(given_, **options)
    assert result.minor is not None, result.texts
    return result.minor


@settings(max_examples=100, deadline=None)
@given(st.lists(items(), min_size=1, max_size=5))
def test_a_subscription_is_worth_the_sum_of_its_items(parts: list[dict[str, Any]]) -> None:
    assert minor(subscription(*parts)) == sum(minor(subscription(part)) for part in parts)


@settings(max_examples=100, deadline=None)
@given(_AMOUNTS, st.integers(1, 36), _QUANTITIES)
def test_twelve_months_are_a_year(amount: int, count: int, quantity: int) -> None:
    yearly = subscription(item(price(amount, interval="year", count=count), quantity=quantity))
    monthly = subscription(item(price(amount, count=12 * count), quantity=quantity))

    assert minor(yearly) == minor(monthly) == Fraction(amount * quantity, 12 * count)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(items(), min_size=1, max_size=4), st.lists(discounts(), max_size=4), st.sampled_from(sorted(PROFILES))
)
def test_discounts_never_add_and_never_go_below_nothing(
    parts: list[dict[str, Any]], off: list[dict[str, Any]], profile: str
) -> None:
    result = figure(subscription(*parts, discounts=off), profile=profile)

    assert result.list_price == minor(subscription(*parts), profile=profile)
    if result.minor is None:
        assert set(result.reasons) >= {"amount_off_mixed_intervals"}
    else:
        assert 0 <= result.minor <= result.list_price
        assert result.committed == result.minor


@settings(max_examples=100, deadline=None)
@given(st.lists(items(), min_size=1, max_size=4), st.lists(st.decimals(0, 100, places=2), max_size=5))
def test_percentages_compound_in_any_order_and_on_any_intervals(
    parts: list[dict[str, Any]], percents: list[Any]
) -> None:
    off = [discount(percent_off(str(percent))) for percent in percents]
    left = Fraction(1)
    for percent in percents:
        left *= 1 - Fraction(percent) / 100

    expected = minor(subscription(*parts)) * left
    assert minor(subscription(*parts, discounts=off)) == expected
    assert minor(subscription(*parts, discounts=off[::-1])) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(_AMOUNTS, min_size=1, max_size=5), st.integers(0, 10**8), st.integers(1, 12))
def test_an_amount_is_cut_once_per_billing_period(amounts: list[int], cut: int, count: int) -> None:
    parts = [item(price(amount, count=count)) for amount in amounts]

    left = max(0, sum(amounts) - cut)
    assert minor(subscription(*parts, discounts=[discount(amount_off(cut))])) == Fraction(left, count)


@settings(max_examples=100, deadline=None)
@given(st.lists(items(), min_size=1, max_size=4), st.decimals(0, 50, places=3))
def test_tax_inside_a_price_comes_off_and_tax_on_top_does_not(parts: list[dict[str, Any]], percent: Any) -> None:
    inside = subscription(*parts, default_tax_rates=[{"inclusive": True, "percentage": str(percent)}])
    on_top = subscription(*parts, default_tax_rates=[{"inclusive": False, "percentage": str(percent)}])

    assert minor(inside) * (1 + Fraction(percent) / 100) == minor(subscription(*parts))
    assert minor(on_top) == minor(subscription(*parts))


@settings(max_examples=100, deadline=None)
@given(tiers(), st.sampled_from(["volume", "graduated"]), st.integers(1, 3000))
def test_tiers_are_those_of_a_unit_by_unit_count(shape: Any, mode: str, quantity: int) -> None:
    def tier_of(unit: int) -> int:
        return next(n for n, (up_to, _, _) in enumerate(shape) if up_to is None or unit <= up_to)

    if mode == "volume":
        _, unit_amount, flat = shape[tier_of(quantity)]
        expected = quantity * unit_amount + flat
    else:
        entered = [tier_of(unit) for unit in range(1, quantity + 1)]
        expected = sum(shape[n][1] for n in entered) + sum(shape[n][2] for n in set(entered))

    assert minor(subscription(item(tiered(mode, shape), quantity=quantity))) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(items(), min_size=1, max_size=3), st.lists(discounts(), max_size=3))
def test_side_tables_and_inline_objects_give_one_figure(
    parts: list[dict[str, Any]], off: list[dict[str, Any]]
) -> None:
    inline = figure(subscription(*parts, discounts=off))

    prices = {f"price_{n}": {**part["price"], "id": f"price_{n}"} for n, part in enumerate(parts)}
    coupons = {f"co_{n}": {**each["source"]["coupon"], "id": f"co_{n}"} for n, each in enumerate(off)}
    by_id = subscription(
        *({**part, "price": f"price_{n}"} for n, part in enumerate(parts)),
        discounts=[discount(f"co_{n}", source=n % 2 == 0) for n in range(len(off))],
    )

    assert figure(by_id, prices=prices, coupons=coupons) == inline
