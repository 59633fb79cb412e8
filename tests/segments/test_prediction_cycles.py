"""Renewal days, and person-time that covers every day at risk once."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segments.prediction.cycles import current_cycle, exposure, phases, renewal_day
from segments.prediction.histories import Histories, as_histories, day_number


def history(**values: Any) -> Histories:
    row = {"row": 1, "created": "2024-01-31", "canceled_at": None, "plan_id": "p", "interval": "month", **values}
    return as_histories(pd.DataFrame([row]))


@pytest.mark.parametrize(
    ("values", "cycle", "expected"),
    [
        pytest.param({}, 1, "2024-02-29", id="a 31st renews on the last day of February"),
        pytest.param({}, 2, "2024-03-31", id="and on the 31st again in March"),
        pytest.param({"interval": "year", "created": "2024-02-29"}, 1, "2025-02-28", id="a leap day has no twin"),
        pytest.param({"interval_count": 3}, 1, "2024-04-30", id="a quarter is three months"),
        pytest.param({"interval": "week", "interval_count": 2}, 1, "2024-02-14", id="two weeks are 14 days"),
        pytest.param({"interval": "day"}, 1, "2024-02-07", id="daily plans get a weekly cycle"),
        pytest.param({"anchor": "2024-02-14"}, 1, "2024-03-14", id="after a trial the first payment counts"),
    ],
)
def test_renewal_day(values: dict[str, Any], cycle: int, expected: str) -> None:
    one = history(**values)
    day = day_number(date.fromisoformat(expected))
    assert renewal_day(one, np.array([cycle])).tolist() == [day]
    assert current_cycle(one, day).tolist() == [cycle]
    assert current_cycle(one, day - 1).tolist() == [cycle - 1]


@settings(max_examples=80, deadline=None)
@given(
    created=st.dates(date(2020, 1, 1), date(2024, 6, 1)),
    trial=st.integers(0, 40),
    lives=st.one_of(st.none(), st.integers(0, 900)),
    interval=st.sampled_from(["day", "week", "month", "year"]),
    count=st.integers(1, 6),
    first=st.dates(date(2021, 1, 1), date(2024, 1, 1)),
    length=st.integers(0, 500),
    collection=st.lists(st.integers(5, 60), max_size=3),
)
def test_every_day_at_risk_lies_in_exactly_one_phase(
    created: date,
    trial: int,
    lives: int | None,
    interval: str,
    count: int,
    first: date,
    length: int,
    collection: list[int],
) -> None:
    canceled = None if lives is None else (created + timedelta(days=lives)).isoformat()
    one = history(
        created=created.isoformat(),
        anchor=(created + timedelta(days=trial)).isoformat(),
        canceled_at=canceled,
        interval=interval,
        interval_count=count,
    )
    last = first + timedelta(days=length)
    time = exposure(one, phases(collection), first=day_number(first), last=day_number(last))
    days = [day for low, many in zip(time.first, time.days, strict=True) for day in range(low, low + many)]
    begin, end = max(day_number(created), day_number(first)), min(int(one.canceled[0]), day_number(last))
    assert days == list(range(begin, end + 1))
    assert time.event.sum() == (day_number(first) <= one.canceled[0] <= day_number(last) and begin <= end)


def test_phases_of_a_month_are_told_apart() -> None:
    parts = phases([15])
    time = exposure(
        history(created="2024-01-10", canceled_at="2024-03-25"),
        parts,
        first=day_number(date(2024, 3, 1)),
        last=day_number(date(2024, 4, 30)),
    )
    seen = [
        (parts[phase].name, cycle, days, event)
        for phase, cycle, days, event in zip(time.phase, time.cycle, time.days, time.event, strict=True)
    ]
    assert seen == [
        ("after+16", 1, 2, False),
        ("after+22", 1, 6, False),
        ("before-1", 1, 1, False),
        ("renewal", 2, 1, False),
        ("after+1", 2, 3, False),
        ("after+4", 2, 4, False),
        ("after+8", 2, 7, False),
        ("collection+15", 2, 1, True),
    ]


def test_sign_up_is_not_a_renewal() -> None:
    parts = phases([])
    start = day_number(date(2024, 1, 31))
    time = exposure(history(anchor="2024-02-14"), parts, first=start, last=start + 20)
    assert [(parts[phase].name, int(days)) for phase, days in zip(time.phase, time.days, strict=True)] == [
        ("begin", 15),
        ("after+1", 3),
        ("after+4", 3),
    ]
