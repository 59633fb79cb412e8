"""The rules of disclosure control, one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.disclosure import (
    dominated,
    remainder_is_safe,
    rounded_amount,
    rounded_count,
    safe_mix,
    small_differences,
    whole_percent,
)
from segments.thresholds import DisclosureThresholds

RULES = DisclosureThresholds()


@pytest.mark.parametrize(
    ("k", "count", "rounded"),
    [
        pytest.param(25, 25, 25, id="k itself"),
        pytest.param(25, 27, 25, id="down to k"),
        pytest.param(25, 28, 30, id="up"),
        pytest.param(11, 11, 15, id="never below k, although 10 is nearer"),
        pytest.param(26, 26, 30, id="a k that is no step"),
        pytest.param(25, 1_002, 1_000, id="a large count"),
    ],
)
def test_counts_are_rounded_to_a_step_and_never_below_k(k: int, count: int, rounded: int) -> None:
    assert rounded_count(count, DisclosureThresholds(k=k)) == rounded


def test_a_count_under_k_has_no_rounded_form() -> None:
    with pytest.raises(ValueError, match="under k"):
        rounded_count(24, RULES)


@pytest.mark.parametrize("k", [10, 1, 0, -1])
def test_k_below_eleven_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="below 11 nothing may be released"):
        DisclosureThresholds(k=k)


@pytest.mark.parametrize(
    ("minor", "rounded"),
    [(0, 0), (7, 7), (99, 99), (994, 990), (995, 1_000), (12_345, 12_000), (12_500, 13_000), (10**15 + 1, 10**15)],
)
def test_amounts_keep_two_significant_digits(minor: int, rounded: int) -> None:
    assert rounded_amount(minor, RULES) == rounded


@pytest.mark.parametrize(
    ("part", "of", "percent"),
    [(0, 7, 0), (1, 3, 33), (1, 2, 50), (1, 200, 1), (1, 201, 0), (9, 7, 100), (-1, 5, 0)],
)
def test_shares_are_whole_percents(part: int, of: int, percent: int) -> None:
    assert whole_percent(part, of) == percent


@pytest.mark.parametrize(
    ("total", "largest", "second", "expected"),
    [
        pytest.param(100, 50, 20, False, id="half is not over half"),
        pytest.param(100, 51, 1, True, id="one holds over half"),
        pytest.param(100, 48, 46, True, id="the second knows the first within 15 percent"),
        pytest.param(100, 40, 30, False, id="the others blur the first enough"),
        pytest.param(0, 0, 0, True, id="nothing"),
        pytest.param(-5, 3, 1, True, id="more refunded than paid"),
    ],
)
def test_a_sum_that_says_too_much_of_one_member_is_named(
    total: int, largest: int, second: int, expected: bool
) -> None:
    assert dominated(total, largest, second, RULES) is expected


@pytest.mark.parametrize(
    ("amounts", "safe"),
    [
        pytest.param([], True, id="nothing is hidden"),
        pytest.param([10] * 24, False, id="fewer than k"),
        pytest.param([10] * 25, True, id="k alike"),
        pytest.param([10] * 30 + [500], False, id="one holds over half"),
    ],
)
def test_what_shares_give_back_must_be_a_group_that_could_leave(amounts: list[int], safe: bool) -> None:
    assert remainder_is_safe(np.array(amounts, dtype=np.int64), RULES) is safe


@pytest.mark.parametrize(
    ("members", "shares"),
    [
        pytest.param({}, {}, id="nobody"),
        pytest.param({"month": 40}, {"month": 100}, id="all alike"),
        pytest.param({"month": 60, "year": 30}, {"month": 67, "year": 33}, id="both pass"),
        pytest.param({"month": 40, "year": 3}, {}, id="the rest would be given back"),
        pytest.param({"month": 60, "year": 20, "other": 5}, {"month": 71, "other": 29}, id="small parts together"),
        pytest.param({"a": 100, "b": 100, "c": 100}, {"a": 34, "b": 33, "c": 33}, id="percents add up to 100"),
    ],
)
def test_a_mix_shows_no_part_under_k(members: dict[str, int], shares: dict[str, int]) -> None:
    assert safe_mix(members, RULES) == shares


def _labels(*groups: int) -> np.ndarray:
    """Labels of groups one after the other by size; a negative size is customers outside."""
    parts, number = [], 0
    for size in groups:
        parts.append(np.full(abs(size), number if size > 0 else -1))
        number += size > 0
    return np.concatenate(parts).astype(np.int64)


@pytest.mark.parametrize(
    ("now", "before", "withheld"),
    [
        pytest.param(_labels(30, 40), _labels(30, 40), set(), id="nothing changed"),
        pytest.param(_labels(30, -10), _labels(35, -5), {0}, id="five left"),
        pytest.param(_labels(60, -10), _labels(30, -40), set(), id="thirty joined"),
        pytest.param(_labels(24, -10), _labels(-34), {0}, id="a group under k"),
        pytest.param(_labels(55), _labels(25, 30), set(), id="two groups became one"),
        pytest.param(_labels(60), _labels(27, 28, -5), {0}, id="two became one, and five joined"),
        pytest.param(_labels(30, 35), _labels(60, -5), {0}, id="one became two, and five joined"),
        pytest.param(_labels(40, 60), _labels(70, 30), set(), id="thirty changed sides"),
    ],
)
def test_a_group_is_withheld_when_sums_would_single_out_fewer_than_k(
    now: np.ndarray, before: np.ndarray, withheld: set[int]
) -> None:
    assert small_differences(now, before, k=25) == withheld


def test_groups_that_swap_many_but_lose_one_together_are_not_both_released() -> None:
    now = np.array([0] * 30 + [1] * 30 + [1] * 40 + [0] * 40 + [-1], dtype=np.int64)
    before = np.array([0] * 30 + [0] * 30 + [1] * 40 + [1] * 40 + [1], dtype=np.int64)
    assert small_differences(now, before, k=25) == {0}


def test_groups_released_under_a_smaller_k_hide_no_others() -> None:
    assert small_differences(_labels(30, 30), _labels(12, 18, 30), k=25) == frozenset()


@given(
    seed=st.integers(0, 2**32 - 1),
    groups=st.integers(1, 4),
    earlier=st.integers(0, 4),
    moved=st.sampled_from([0.0, 0.02, 0.1, 0.5]),
)
@settings(max_examples=200, deadline=None)
def test_no_sums_of_released_groups_single_out_fewer_than_k(
    seed: int, groups: int, earlier: int, moved: float
) -> None:
    k, random = 5, np.random.default_rng(seed)
    now = random.integers(-1, groups, 50)
    before = np.where(random.random(50) < moved, random.integers(-1, max(earlier, 1), 50), now)
    before[before >= earlier] = -1
    for label in range(earlier):
        if (before == label).sum() < k:
            before[before == label] = -1
    withheld = small_differences(now, before, k=k)
    released = [label for label in range(groups) if label not in withheld]
    differences = {
        int((np.isin(now, ours) ^ np.isin(before, theirs)).sum())
        for ours in _unions(released)
        for theirs in _unions(list(range(earlier)))
    }
    assert not differences & set(range(1, k))
    if withheld:
        everyone = {
            int((np.isin(now, ours) ^ np.isin(before, theirs)).sum())
            for ours in _unions(list(range(groups)))
            for theirs in _unions(list(range(earlier)))
        }
        assert everyone & set(range(1, k)), "withheld without need"


def _unions(labels: list[int]) -> list[list[int]]:
    return [
        [label for label, chosen in zip(labels, choice, strict=True) if chosen]
        for choice in product((False, True), repeat=len(labels))
    ]
