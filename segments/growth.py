"""Growth of each customer's MRR, the gates it passed, and whether it could be a case study.

Here: the gates and the verdict. Not here: the gates' own reductions (`segments.growth_gates`), the measurement
(`segments.growth_points`), MRR by month (`segments.mrr_months`) and what may leave (`segments.release`). No source
publishes thresholds that need Stripe alone: the gates are this project's proposal (`segments.thresholds`).
"""

from datetime import datetime
from typing import Any, Final

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segments.frames import DAY, beside, frames, month_of, rows, settled, to_table
from segments.growth_gates import bought, complaints, payments, standing
from segments.growth_points import measured, observed_months, points_of, series_of
from segments.tables import SEGMENT_TABLES
from segments.thresholds import GrowthThresholds

__all__ = ["GATES", "growth"]

GATES: Final = (
    "active",
    "tenure",
    "paid_on_time",
    "no_dispute",
    "no_refund",
    "no_cancel",
    "points",
    "one_currency",
)
"""Codes of the gates, in the order in which they are written.

`one_currency`: MRR that moves from one currency to another looks like growth in the second.
"""

_MONTH: Final = 365 * DAY // 12
_NEXT_YEAR: Final = 300 * DAY
"""Two annual invoices so far apart are of two years, which stands for the tenure."""


def growth(
    customer_mrr_months: Any,
    subscriptions: Any,
    invoices: Any,
    invoice_lines: Any,
    charges: Any,
    disputes: Any,
    refunds: Any,
    customers: Any,
    *,
    as_of: datetime,
    thresholds: GrowthThresholds | None = None,
) -> pa.Table:
    """The table `growth`: a row for each customer who ever subscribed or had MRR.

    Points are the positive months of the window. A customer with annual plans alone has one point a year, back
    from the last month, as the months between repeat it. Growth is that of MRR or of MRR before discounts,
    whichever is less sure to grow, and expansion the smaller of the two: the end of a discount is no growth. The
    slope is measured for active customers with enough points, null for others.

    Reductions are lazy; only customers whose MRR moved give their points to the slope.
    """
    limits = thresholds or GrowthThresholds()
    sources = frames(
        customers=customers,
        subscriptions=subscriptions,
        invoices=invoices,
        invoice_lines=invoice_lines,
        charges=charges,
        disputes=disputes,
        refunds=refunds,
        customer_mrr_months=customer_mrr_months,
    )
    last, now = month_of(as_of) - 1, int(as_of.timestamp())
    plans, products = bought(
        sources["invoice_lines"], sources["invoices"], since=now - limits.window_months * _MONTH
    )
    plans = settled(plans)
    observed = observed_months(sources["customer_mrr_months"], plans, last=last, limits=limits)
    series = series_of(observed)
    column = nw.col
    people = (
        sources["customers"]
        .filter(~column("id").is_null())
        .select(customer="id")
        .unique()
        .join(standing(sources["subscriptions"], as_of=as_of), on="customer", how="left")
        .join(beside(plans, series), on="customer", how="left")
        .filter(~column("active").is_null() | ~column("place").is_null())
        .join(
            payments(sources["invoices"], sources["charges"], as_of=as_of, limits=limits),
            on="customer",
            how="left",
        )
        .join(
            complaints(sources["disputes"], sources["refunds"], sources["charges"], as_of=as_of, limits=limits),
            on="customer",
            how="left",
        )
        .join(plans.select("customer", "annual_span"), on="customer", how="left")
        .join(products, on=["customer", "currency"], how="left")
    )
    found = rows(people)
    points = rows(points_of(observed, beside(plans, series.filter(pc.equal(series["moved"], 1)))))
    return _table(found, series, points, as_of=as_of, limits=limits)


def _table(
    found: pa.Table, series: pa.Table, points: pa.Table, *, as_of: datetime, limits: GrowthThresholds
) -> pa.Table:
    place = _counts(found, "place", absent=-1)
    observed, known = place >= 0, place[place >= 0]
    active = np.zeros(series.num_rows, dtype=bool)
    active[known] = _counts(found, "active")[observed] > 0
    result = measured(series, points, wanted=active, limits=limits)
    # A series more, for customers without one; place -1 finds it.
    count, first, last, gain, expansion, expansions = (
        np.append(values, [0])[place]
        for values in (
            result.points,
            result.first,
            result.last,
            result.gain,
            result.expansion,
            result.expansions,
        )
    )
    slope = np.append(result.slope, [[np.nan] * 3], axis=0)[place]
    gates = _gates(found, count, as_of=as_of, limits=limits)
    mask = sum(gates[name].astype(np.int64) << number for number, name in enumerate(GATES))
    sure = np.nan_to_num(slope[:, 1]) > 0
    grew = (expansion >= limits.expansion) & (gain >= limits.least_gain_minor)
    low, middle, high = (
        pa.array(np.expm1(slope[:, bound]), mask=np.isnan(slope[:, bound])) for bound in (1, 0, 2)
    )
    passed, failed = _texts()
    columns = {
        "customer": found["customer"],
        "months": pa.array(_counts(found, "months")),
        "monthly_growth": middle,
        "growth_low": low,
        "growth_high": high,
        "expansion": pa.array(expansion, mask=~observed),
        "expansions": pa.array(expansions),
        "first_mrr_minor": pa.array(first, mask=~observed),
        "last_mrr_minor": pa.array(last, mask=~observed),
        "currency": found["currency"],
        "product": found["product"],
        "gates_passed": passed.take(pa.array(mask)),
        "gates_failed": failed.take(pa.array(mask)),
        "candidate": pa.array((mask == 2 ** len(GATES) - 1) & sure & grew),
        "as_of": pa.repeat(pa.scalar(int(as_of.timestamp()), pa.int64()), found.num_rows),
    }
    return to_table(pa.table(columns), SEGMENT_TABLES["growth"])


def _gates(
    found: pa.Table, points: npt.NDArray[np.int64], *, as_of: datetime, limits: GrowthThresholds
) -> dict[str, npt.NDArray[np.bool_]]:
    now, last = int(as_of.timestamp()), month_of(as_of) - 1
    least = np.where(_counts(found, "annual") > 0, limits.least_annual_points, limits.least_points)
    return {
        "active": _counts(found, "active") > 0,
        "tenure": (_counts(found, "since", absent=now) <= now - limits.tenure_days * DAY)
        | (_counts(found, "annual_span") >= _NEXT_YEAR),
        "paid_on_time": (_counts(found, "judged") > 0) & (_counts(found, "badly") == 0),
        "no_dispute": _counts(found, "disputes") == 0,
        "no_refund": _counts(found, "refunded_much") == 0,
        "no_cancel": _counts(found, "leaving") == 0,
        # The month just closed may still lack its invoice.
        "points": (points >= least) & (_counts(found, "last_month") >= last - 1),
        "one_currency": _counts(found, "several") == 0,
    }


def _counts(found: pa.Table, name: str, *, absent: int = 0) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = found[name].fill_null(absent).to_numpy().astype(np.int64)
    return numbers


def _texts() -> tuple[pa.Array, pa.Array]:
    """What is passed and failed, as text, for every combination of gates."""
    masks = range(2 ** len(GATES))
    return (
        pa.array(["; ".join(name for place, name in enumerate(GATES) if mask >> place & 1) for mask in masks]),
        pa.array(["; ".join(name for place, name in enumerate(GATES) if not mask >> place & 1) for mask in masks]),
    )
