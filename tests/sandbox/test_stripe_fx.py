"""Made-up reference rates in the central bank's layout."""

from __future__ import annotations

import csv
import io
from datetime import date
from itertools import pairwise

from sandbox.stripe.fx import eurofxref_csv


def rates(first: date, last: date, seed: int = 7) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(eurofxref_csv(seed=seed, first=first, last=last).decode())))


def test_rates_are_daily_newest_first_without_weekends() -> None:
    rows = rates(date(2026, 10, 1), date(2026, 10, 31))
    days = [date.fromisoformat(row["Date"]) for row in rows]
    assert days == sorted(days, reverse=True)
    assert (days[0], days[-1], len(days)) == (date(2026, 10, 30), date(2026, 10, 1), 22)
    assert all(day.weekday() < 5 for day in days)


def test_levels_are_plausible_and_move_a_little_each_day() -> None:
    rows = rates(date(2015, 1, 1), date(2026, 10, 31))
    for name, low, high in (("USD", 0.9, 1.4), ("GBP", 0.7, 1.05), ("JPY", 120, 200)):
        values = [float(row[name]) for row in rows]
        assert low < min(values) < max(values) < high
        assert max(abs(a / b - 1) for a, b in pairwise(values)) < 0.04
        assert len(set(values)) > len(values) / 10


def test_a_day_s_rate_does_not_depend_on_how_much_is_asked_for() -> None:
    assert rates(date(2026, 10, 1), date(2026, 10, 31))[5:8] == rates(date(2020, 1, 1), date(2026, 10, 31))[5:8]
    assert rates(date(2026, 10, 1), date(2026, 10, 5)) != rates(date(2026, 10, 1), date(2026, 10, 5), seed=8)
