"""Reading histories, cutting them at a snapshot, and the bridge from the raw Stripe tables."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from segments.prediction import HistoriesError, from_stripe
from segments.prediction.cycles import next_renewal
from segments.prediction.histories import OPEN_END, Observed, as_histories, day_number, known_at, observed_days
from tests.segments.raw import at, raw

PLAIN = {"row": 1, "created": "2024-01-31", "canceled_at": None, "plan_id": "p", "interval": "month"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param({"interval": "fortnight"}, "interval 'fortnight' is none of", id="an unknown interval"),
        pytest.param({"created": None}, "`created` is empty in 1 line", id="no beginning"),
        pytest.param({"created": "yesterday"}, "`created` holds something", id="a day that isn't one"),
        pytest.param({"row": None}, "`row` must be present and unique", id="no identifier"),
    ],
)
def test_unreadable_histories_name_column_and_value(change: dict[str, Any], text: str) -> None:
    with pytest.raises(HistoriesError, match=text):
        as_histories(pd.DataFrame([{**PLAIN, **change}]))


def test_a_missing_column_and_a_repeated_row_are_named() -> None:
    with pytest.raises(HistoriesError, match=r"lack the column\(s\) canceled_at"):
        as_histories(pd.DataFrame([PLAIN]).drop(columns="canceled_at"))
    with pytest.raises(HistoriesError, match="unique"):
        as_histories(pd.DataFrame([PLAIN, PLAIN]))


def test_what_may_be_absent_has_a_plain_default() -> None:
    one = as_histories(
        pa.Table.from_pylist([{**PLAIN, "interval": "YEAR", "canceled_at": "2024-01-05T09:00:00Z"}])
    )
    assert (one.seats.tolist(), one.country.tolist(), one.step_months.tolist()) == ([1], [""], [12])
    assert one.canceled.tolist() == one.created.tolist(), "an end before the beginning is on the first day"


def test_what_happens_after_the_snapshot_is_not_known_at_it() -> None:
    rows = [
        {**PLAIN, "row": 1, "canceled_at": "2024-03-01", "reason": "voluntary"},
        {**PLAIN, "row": 2, "canceled_at": "2024-03-02", "reason": "voluntary"},
        {**PLAIN, "row": 3, "created": "2024-03-02"},
    ]
    snapshot = day_number(date(2024, 3, 1))
    known = known_at(as_histories(pd.DataFrame(rows)), snapshot)
    assert known.row.tolist() == [1, 2]
    assert known.canceled.tolist() == [snapshot, OPEN_END]
    assert known.reason.tolist() == ["voluntary", ""]
    assert known.live_at(snapshot).tolist() == [False, True]


@pytest.mark.parametrize(
    ("ends", "snapshot", "window", "expected"),
    [
        pytest.param([], 100, 365, None, id="no end known"),
        pytest.param([10, 40, 70], 80, 365, (10, 80), id="a quiet end that chance explains"),
        pytest.param([*range(10, 70)], 100, 365, (10, 69), id="withheld outcomes close the window"),
        pytest.param([*range(10, 100)], 100, 30, (71, 100), id="only the window is read"),
    ],
)
def test_observed_days(ends: list[int], snapshot: int, window: int, expected: tuple[int, int] | None) -> None:
    days = pd.to_datetime(np.array([*ends, 0]), unit="D").strftime("%Y-%m-%d").to_list()
    rows = [{**PLAIN, "row": at_, "created": "1970-01-01", "canceled_at": day} for at_, day in enumerate(days)]
    rows[-1]["canceled_at"] = None
    seen = observed_days(as_histories(pd.DataFrame(rows)), snapshot, window_days=window)
    assert seen == (Observed(*expected) if expected else None)


def subscription(name: str, **values: Any) -> dict[str, Any]:
    return {"id": name, "customer": "cus_1", "status": "active", "start_date": at("2025-01-10"), **values}


STRIPE = [
    pytest.param({}, {"canceled_at": None, "reason": "", "anchor": date(2025, 1, 10)}, id="active"),
    pytest.param(
        {
            "canceled_at": at("2025-03-05"),
            "current_period_end": at("2025-04-10"),
            "cancel_at_period_end": True,
            "cancellation_reason": "cancellation_requested",
        },
        {"canceled_at": date(2025, 3, 5), "reason": "voluntary", "ends_on": date(2025, 4, 10)},
        id="an end that is decided counts from the request",
    ),
    pytest.param(
        {"status": "canceled", "ended_at": at("2025-03-05"), "cancellation_reason": "payment_failed"},
        {"canceled_at": date(2025, 3, 5), "reason": "involuntary", "ends_on": None},
        id="an end without a request counts from the end",
    ),
    pytest.param(
        {"status": "unpaid", "current_period_start": at("2025-03-10")},
        {"canceled_at": date(2025, 3, 10), "reason": "involuntary"},
        id="unpaid is churn by failed payment",
    ),
    pytest.param(
        {"status": "canceled", "canceled_at": at("2025-03-05"), "cancellation_reason": "payment_disputed"},
        {"canceled_at": date(2025, 3, 5), "reason": ""},
        id="a dispute is neither",
    ),
    pytest.param(
        {"status": "canceled", "canceled_at": at("2025-06-02"), "cancellation_reason": "payment_failed"},
        {"canceled_at": None, "reason": ""},
        id="what comes after the day is not read",
    ),
    pytest.param(
        {"trial_end": at("2025-01-24")}, {"created": date(2025, 1, 10), "anchor": date(2025, 1, 24)}, id="trial"
    ),
    pytest.param({"trial_end": at("2025-06-24")}, None, id="still in its trial"),
    pytest.param({"trial_end": at("2025-01-24"), "ended_at": at("2025-01-24")}, None, id="left with its trial"),
    pytest.param({"status": "incomplete_expired"}, None, id="never paid"),
    pytest.param({"deleted": True}, None, id="gone"),
]


@pytest.mark.parametrize(("values", "expected"), STRIPE)
def test_history_of_a_stripe_subscription(values: dict[str, Any], expected: dict[str, Any] | None) -> None:
    item = {"subscription": "sub_1", "interval": "month", "interval_count": 1}
    frame = from_stripe(
        raw("subscriptions", subscription("sub_1", **values)),
        raw(
            "subscription_items",
            {**item, "price": "price_seat", "quantity": 3, "unit_amount": 900},
            {**item, "price": "price_base", "quantity": 1, "unit_amount": 4900},
        ),
        raw("customers", {"id": "cus_1", "country": "FR"}),
        as_of=at("2025-06-01"),
    )
    if expected is None:
        assert frame.empty
        return
    row = frame.iloc[0].to_dict()
    assert {name: None if pd.isna(row[name]) else row[name] for name in expected} == expected
    assert (row["plan_id"], row["quantity"], row["country"]) == ("price_base", 4, "FR")
    assert len(as_histories(frame)) == 1


BILLED = [
    pytest.param(
        {"start_date": at("2024-03-10"), "period": ("2026-01-20", "2027-01-20")},
        "year",
        [date(2025, 1, 20), date(2027, 1, 20), date(2028, 1, 20)],
        id="monthly before, annual since",
    ),
    pytest.param(
        {"start_date": at("2025-02-18"), "period": ("2026-05-01", "2026-06-01")},
        "month",
        [date(2025, 3, 1), date(2026, 6, 1), date(2026, 7, 1)],
        id="billed on the 1st, begun on the 18th",
    ),
    pytest.param(
        {"start_date": at("2026-04-18"), "period": ("2026-04-18", "2026-06-01")},
        "month",
        [date(2026, 5, 1), date(2026, 6, 1), date(2026, 7, 1)],
        id="more than a month before the next billing day",
    ),
    pytest.param(
        {"start_date": at("2026-05-08"), "period": ("2026-05-08", "2026-06-01")},
        "month",
        [date(2026, 6, 1), date(2026, 6, 1), date(2026, 7, 1)],
        id="in its first, short period",
    ),
    pytest.param(
        {"start_date": at("2025-12-10"), "trial_end": at("2025-12-24"), "period": ("2026-04-24", "2026-05-24")},
        "month",
        [date(2025, 12, 24), date(2026, 5, 24), date(2026, 6, 24)],
        id="since its trial",
    ),
    pytest.param(
        {"start_date": at("2026-01-31"), "period": ("2026-04-30", "2026-05-31")},
        "month",
        [date(2026, 1, 31), date(2026, 5, 31), date(2026, 6, 30)],
        id="of the 31st",
    ),
    pytest.param(
        {"start_date": at("2025-08-31"), "period": ("2026-02-28", "2026-08-31"), "interval_count": 6},
        "month",
        [date(2025, 8, 31), date(2026, 8, 31), date(2027, 2, 28)],
        id="of the 31st, twice a year",
    ),
    pytest.param(
        {"start_date": at("2026-02-10"), "period": ("2026-04-30", "2026-05-31")},
        "month",
        [date(2026, 2, 28), date(2026, 5, 31), date(2026, 6, 30)],
        id="billed on the 31st since a February",
    ),
    pytest.param(
        {"start_date": at("2026-02-10"), "period": ("2026-04-28", "2026-05-28")},
        "month",
        [date(2026, 2, 28), date(2026, 5, 28), date(2026, 6, 28)],
        id="billed on the 28th since a February",
    ),
    pytest.param(
        {"start_date": at("2026-04-01"), "period": ("2026-05-11", "2026-05-18")},
        "week",
        [date(2026, 4, 6), date(2026, 5, 18), date(2026, 5, 25)],
        id="weekly, on another day",
    ),
    pytest.param(
        {"start_date": at("2026-04-18"), "period": ("2026-05-01", None)},
        "month",
        [date(2026, 5, 1), date(2026, 6, 1), date(2026, 7, 1)],
        id="the end of the period unknown",
    ),
    pytest.param(
        {"start_date": at("2026-01-31"), "period": (None, None)},
        "month",
        [date(2026, 1, 31), date(2026, 5, 31), date(2026, 6, 30)],
        id="no period known",
    ),
    pytest.param(
        {"start_date": at("2026-01-31"), "period": ("2025-10-31", "2025-11-30")},
        "month",
        [date(2026, 1, 31), date(2026, 5, 31), date(2026, 6, 30)],
        id="a period before the start tells nothing",
    ),
]


@pytest.mark.parametrize(("values", "interval", "expected"), BILLED)
def test_renewals_follow_the_current_period(values: dict[str, Any], interval: str, expected: list[date]) -> None:
    begin, end = (None if day is None else at(day) for day in values.pop("period"))
    count = values.pop("interval_count", 1)
    frame = from_stripe(
        raw("subscriptions", subscription("sub_1", current_period_start=begin, current_period_end=end, **values)),
        raw("subscription_items", {"subscription": "sub_1", "interval": interval, "interval_count": count}),
        raw("customers", {"id": "cus_1"}),
        as_of=at("2026-05-14"),
    )
    histories, today = as_histories(frame), day_number(date(2026, 5, 14))
    renewal = next_renewal(histories, today)
    following = next_renewal(histories, int(renewal[0]))
    assert [int(days[0]) for days in (histories.anchor, renewal, following)] == [
        day_number(day) for day in expected
    ]
