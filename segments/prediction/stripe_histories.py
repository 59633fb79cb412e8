"""Subscription histories from the raw Stripe tables: the bridge from any account to the churn model.

Here: which subscriptions have begun, their billing days, when and why each one's end was decided. Not here: what
the model makes of it. Rules: `canceled_at` is the time of the request, `ended_at` that of the end, and
`cancellation_details.reason` says who decided (https://docs.stripe.com/api/subscriptions/object); `unpaid` is
churn (https://docs.stripe.com/billing/subscriptions/analytics).
"""

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from segments.prediction.cycles import month_day, month_number
from segments.prediction.histories import INTERVALS, Days, cycle_steps, day_of_month, to_pandas

__all__ = ["from_stripe"]

_TIMES = (
    *("created", "start_date", "trial_end", "current_period_start", "current_period_end"),
    *("canceled_at", "cancel_at", "ended_at"),
)
_VOLUNTARY = ("cancellation_requested", "canceled_by_retention_policy")


def from_stripe(subscriptions: Any, items: Any, customers: Any, *, as_of: datetime) -> pd.DataFrame:
    """Histories from `stripe/subscriptions`, `stripe/subscription_items` and `stripe/customers`.

    The end is when the decision fell: `canceled_at` or, where that is empty, `ended_at`; an `unpaid`
    subscription ended, unpaid, with its current period's start. Nothing after `as_of` is read. Trials that
    did not end in a subscription and first invoices that were never paid are left out: they did not begin.
    The billing days of one that runs on are those of its current period: a change of the interval moves them, and
    they need not be the day of the start.
    `reason` is voluntary for a request or a retention policy, involuntary for a failed payment, else empty.
    Beside the columns of a history: `customer`, and `ends_on`, the day of an end that is decided but not
    reached (such a subscription is no longer at risk: it is on its way out).
    """
    subs, lines, people = to_pandas(subscriptions), to_pandas(items), to_pandas(customers)
    # Some engines hand out times without their zone; all of them are UTC.
    subs = subs.assign(**{name: pd.to_datetime(subs[name], utc=True) for name in _TIMES})
    now = pd.Timestamp(as_of)
    status = subs["status"].fillna("")
    begun = subs["start_date"].fillna(subs["created"])
    paid_from = subs["trial_end"].fillna(begun)
    never = status.isin(["incomplete", "incomplete_expired"]) | subs["deleted"].fillna(False).astype(bool)
    never |= (paid_from > now) | (subs["trial_end"].notna() & (subs["ended_at"] <= paid_from))
    left = subs["canceled_at"].fillna(subs["ended_at"])
    left = left.fillna(subs["current_period_start"].where(status == "unpaid"))
    left = left.where(left <= now)
    reason = subs["cancellation_reason"].where(left.notna())
    failed = (reason == "payment_failed") | ((status == "unpaid") & left.notna() & reason.isna())
    due = subs["cancel_at"].fillna(subs["current_period_end"].where(subs["cancel_at_period_end"].eq(True)))
    # The item with the highest price stands for the subscription.
    main = lines.sort_values(["subscription", "unit_amount", "id"], ascending=[True, False, True])
    main = main.drop_duplicates("subscription").set_index("subscription")
    seats = lines.groupby("subscription")["quantity"].sum(min_count=1)
    frame = pd.DataFrame(
        {
            "row": subs["id"],
            "customer": subs["customer"],
            "created": begun.dt.date,
            "canceled_at": left.dt.date,
            "paid_from": paid_from,
            "period_start": subs["current_period_start"],
            "period_end": subs["current_period_end"],
            "plan_id": subs["id"].map(main["price"]),
            "interval": subs["id"].map(main["interval"]),
            "interval_count": subs["id"].map(main["interval_count"]),
            "quantity": subs["id"].map(seats),
            "country": subs["customer"].map(people.drop_duplicates("id").set_index("id")["country"]),
            "reason": np.select([reason.isin(_VOLUNTARY), failed], ["voluntary", "involuntary"], ""),
            "ends_on": due.where(left.notna() & ~(subs["ended_at"] <= now)).dt.date,
        }
    )
    frame = frame[~never & frame["interval"].isin(INTERVALS)]
    return _with_billing_days(frame).sort_values("row").reset_index(drop=True)


def _with_billing_days(frame: pd.DataFrame) -> pd.DataFrame:
    """`anchor` and `billing_day` in place of the times they come from.

    Whole cycles are taken back from the end of the current period to the first day that is paid for. Its start may
    lie between two billing days: a first period can be shorter than a cycle.
    """
    times = ("paid_from", "period_start", "period_end")
    end = frame["period_end"].fillna(frame["period_start"])
    known = (frame["canceled_at"].isna() & (end >= frame["paid_from"])).to_numpy()
    begin = frame["period_start"].fillna(end)
    paid, start, last = (_days(column[known]) for column in (frame["paid_from"], begin, end))
    count = frame["interval_count"][known].fillna(1).clip(lower=1).to_numpy(dtype=np.int64)
    months, days = cycle_steps(frame["interval"][known].to_numpy(), count)
    # A month may be too short for the day, which then is that of the period's other end, or of the beginning.
    short = _ends_month(last)
    of_month = np.where(short, np.maximum(day_of_month(last), day_of_month(start)), day_of_month(last))
    short &= _ends_month(start)
    of_month = np.where(short, np.maximum(of_month, day_of_month(paid)), of_month)

    back = (month_number(last) - month_number(paid)) // np.maximum(months, 1)
    first = month_day(month_number(last) - back * months, of_month)
    first = np.where(first < paid, month_day(month_number(last) - (back - 1) * months, of_month), first)
    first = np.where(months > 0, first, last - (last - paid) // np.maximum(days, 1) * days)
    anchor = _days(frame["paid_from"])
    billing_day = day_of_month(anchor)
    anchor[known], billing_day[known] = first, of_month
    return frame.drop(columns=list(times)).assign(
        anchor=pd.to_datetime(anchor, unit="D").date, billing_day=billing_day
    )


def _days(times: pd.Series) -> Days:
    days: Days = times.dt.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
    return days


def _ends_month(day: Days) -> npt.NDArray[np.bool_]:
    ends: npt.NDArray[np.bool_] = day_of_month(day + 1) == 1
    return ends
