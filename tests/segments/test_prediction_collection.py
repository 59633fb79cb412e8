"""Changes of the collection schedule: followed at once where they are beyond doubt, and not imagined."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from segments.prediction.collection import RenewalDays, by_renewal, collection_days, latest_schedule
from segments.prediction.histories import Observed, as_histories, day_number


def _day(*ends: int, newest: int = 100, rate: float = 10.0) -> RenewalDays:
    """The ends of the newest of 28 renewal days, the days before like the first of them."""
    seen = np.array([ends[0]] * (28 - len(ends)) + list(ends), dtype=np.float64)
    return RenewalDays(newest, seen, np.full(28, rate))


def _factors(**phases: RenewalDays) -> tuple[dict[str, float], dict[str, tuple[int, float]]]:
    recent, over = latest_schedule(phases, days=14, weight=5.0)
    return dict(recent), {name: (since, factor) for name, since, factor in over}


@pytest.mark.parametrize(
    ("ends", "factor"),
    [
        pytest.param((10, 10), 1.0, id="as ever"),
        pytest.param((5, 5), 75 / 145, id="half of it, for long"),
        pytest.param((0, 0, 0, 12), 17 / 15, id="begun a day ago"),
        pytest.param((10, 0, 0), 5 / 25, id="over for two days"),
        pytest.param((10, 6, 4), 135 / 145, id="a poor day is no change"),
        pytest.param((1, 1, 1, 4), 22 / 145, id="a few more are no change"),
    ],
)
def test_the_factor_follows_a_change_beyond_doubt(ends: tuple[int, ...], factor: float) -> None:
    recent, over = _factors(a=_day(*ends))
    assert recent["a"] == pytest.approx(factor, abs=1e-6)
    assert over == {}


def test_the_schedule_before_is_over_for_renewals_since_the_new_one_began() -> None:
    recent, over = _factors(late=_day(10, newest=94), early=_day(0, 0, 12, newest=100))
    assert recent == {"late": 1.0, "early": pytest.approx(17 / 15, abs=1e-6)}
    assert over == {"late": (100, pytest.approx(5 / 145, abs=1e-6))}


def test_a_schedule_that_was_seen_since_goes_on() -> None:
    assert _factors(late=_day(0, 12, newest=94), early=_day(10, newest=100))[1] == {}


def test_a_day_of_the_same_schedule_is_over_only_for_renewals_it_has_not_seen() -> None:
    recent, over = _factors(one=_day(0, 12, 12, newest=95), other=_day(0, 12, 12, newest=95))
    assert over == {}
    assert recent["one"] == recent["other"] > 1


def test_sums_are_by_renewal_day_within_four_weeks() -> None:
    of = by_renewal(
        np.array([100, 100, 99, 72, 101]),
        np.array([True, False, True, True, True]),
        np.array([0.5, 0.25, 0.5, 9.0, 9.0]),
        newest=100,
    )
    assert (of.seen.sum(), of.foreseen.sum()) == (2, 1.25)
    assert (of.seen[-1], of.foreseen[-1], of.seen[-2]) == (1, 0.75, 1)


def test_collection_days_are_those_of_many_ends_and_no_end_in_a_trial_is_one() -> None:
    """Thirty monthly subscriptions given up nine days after a renewal, and thirty left in a trial of two weeks."""
    rows = [("2026-01-01", "2026-01-01", "2026-03-10")] * 30 + [("2026-03-01", "2026-03-15", "2026-03-05")] * 30
    frame = pd.DataFrame(rows, columns=["created", "anchor", "canceled_at"]).assign(
        row=range(len(rows)), interval="month"
    )
    until = day_number(date(2026, 3, 31))
    assert collection_days(as_histories(frame), Observed(first=until - 60, last=until)) == (9,)
