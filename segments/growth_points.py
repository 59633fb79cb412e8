"""MRR points of customers, and what they say: growth, its interval, expansions.

Here: which months are points, which series a customer is measured by, the measurement. Not here: gates and verdict
(`segments.growth`). Growth is the Theil-Sen slope of log MRR, the median of all pairwise slopes, so that no single
month decides it (https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.theilslopes.html). Customers
whose MRR never moved are reduced where the data lives; their slope is 0.
"""

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segments.frames import rows, whole
from segments.slopes import theil_sen
from segments.thresholds import GrowthThresholds

__all__ = ["Measured", "measured", "observed_months", "points_of", "series_of"]

Frame = nw.LazyFrame[Any]
Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One entry a customer. `slope` has three columns, the slope of log MRR and its bounds; NaN is not measured.

    `expansion` and `gain` are the smaller of those of MRR and of MRR before discounts.
    """

    points: Whole
    first: Whole
    last: Whole
    gain: Whole
    expansion: Real
    expansions: Whole
    slope: Real


def observed_months(months: Frame, plans: Frame, *, last: int, limits: GrowthThresholds) -> Frame:
    """Positive months in the window, a longer one for customers with annual plans alone."""
    column = nw.col
    positive = months.filter(
        ~column("customer").is_null(),
        ~column("currency").is_null(),
        column("mrr_minor") > 0,
        column("mrr_list_minor") > 0,
        column("month") <= last,
        column("month") > last - limits.annual_window_months,
    )
    annual = plans.filter(column("shorter") == 0).select("customer", annual=nw.lit(1))
    return (
        positive.join(annual, on="customer", how="left")
        .with_columns(annual=column("annual").fill_null(0))
        .filter((column("annual") == 1) | (column("month") > last - limits.window_months))
    )


def series_of(observed: Frame) -> pa.Table:
    """One row for each customer: the series in the currency it has last, and whether there are others."""
    column = nw.col
    shape = observed.group_by("customer", "currency", "annual").agg(
        nw.len().alias("months"),
        column("month").max().alias("last_month"),
        column("mrr_minor").min().alias("lowest"),
        column("mrr_minor").max().alias("highest"),
        column("mrr_list_minor").min().alias("list_lowest"),
        column("mrr_list_minor").max().alias("list_highest"),
    )
    order = [("customer", "ascending"), ("last_month", "descending"), ("highest", "descending")]
    ordered = rows(shape).sort_by([*order, ("currency", "ascending")])
    codes = pc.rank(ordered["customer"], tiebreaker="dense").to_numpy()
    first = np.diff(codes, prepend=0) > 0
    others = np.bincount(codes)[codes] > 1 if len(codes) else np.zeros(0, dtype=bool)
    moved = pc.or_(
        pc.not_equal(ordered["lowest"], ordered["highest"]),
        pc.not_equal(ordered["list_lowest"], ordered["list_highest"]),
    )
    columns = {
        name: ordered[name] for name in ("customer", "currency", "annual", "months", "last_month", "lowest")
    }
    table = pa.table({**columns, "moved": moved, "several": pa.array(others.astype(np.int64))})
    return table.filter(pa.array(first))


def points_of(observed: Frame, wanted: Frame) -> Frame:
    """The points of the wanted series: every month, or every twelfth back from the last for annual plans."""
    column = nw.col
    ago = column("last_month") - column("month")
    return (
        observed.join(wanted, on=["customer", "currency"], how="inner")
        .filter((column("annual") == 0) | (whole(ago, 12) * 12 == ago))
        .select("customer", "month", "mrr_minor", "mrr_list_minor")
    )


def measured(
    found: pa.Table, points: pa.Table, *, wanted: npt.NDArray[np.bool_], limits: GrowthThresholds
) -> Measured:
    """What the points say about each customer of `found`, who has `months`, `lowest` and `annual` of its series.

    The slope is measured for `wanted` customers with enough points.
    """
    months, lowest, annual = (
        found[name].fill_null(0).to_numpy().astype(np.int64) for name in ("months", "lowest", "annual")
    )
    size = found.num_rows
    result = Measured(
        points=months.copy(),
        first=lowest,
        last=lowest.copy(),
        gain=np.zeros(size, dtype=np.int64),
        expansion=np.zeros(size),
        expansions=np.zeros(size, dtype=np.int64),
        slope=np.zeros((size, 3)),
    )
    who, month, mrr, listed = _sorted(found, points)
    if len(who):
        starts = np.flatnonzero(np.diff(who, prepend=-1))
        counts = np.diff(starts, append=len(who))
        ends = starts + counts - 1
        owners = who[starts]
        result.points[owners] = counts
        result.first[owners], result.last[owners] = mrr[starts], mrr[ends]
        gains = [amounts[ends] - amounts[starts] for amounts in (mrr, listed)]
        result.gain[owners] = np.minimum(*gains)
        result.expansion[owners] = np.minimum(gains[0] / mrr[starts], gains[1] / listed[starts])
        rises = (np.diff(mrr) > 0) & (np.diff(listed) > 0) & (np.diff(who) == 0)
        result.expansions[:] = np.bincount(who[1:][rises], minlength=size)
    enough = result.points >= np.where(annual == 1, limits.least_annual_points, limits.least_points)
    result.slope[~(wanted & enough)] = np.nan
    if len(who):
        due = (wanted & enough)[owners]
        for count in np.unique(counts[due & (counts > 1)]):
            chosen = due & (counts == count)
            place = starts[chosen][:, None] + np.arange(count)
            result.slope[owners[chosen]] = _slopes(month[place], mrr[place], listed[place], limits.confidence)
    return result


def _sorted(found: pa.Table, points: pa.Table) -> tuple[Whole, Whole, Whole, Whole]:
    """The points by customer and month, one a month: the customer's place in `found`, month, MRR and list MRR."""
    place = pc.index_in(points["customer"], value_set=found["customer"].combine_chunks())
    points = points.set_column(0, "customer", place).filter(pc.is_valid(place))
    who, month, mrr, listed = (column.to_numpy().astype(np.int64) for column in points.columns)
    order = np.lexsort((listed, mrr, month, who))
    who, month, mrr, listed = (values[order] for values in (who, month, mrr, listed))
    new = (np.diff(who, prepend=-1) != 0) | (np.diff(month, prepend=-1) != 0)
    return who[new], month[new], mrr[new], listed[new]


def _slopes(month: Whole, mrr: Whole, listed: Whole, confidence: float) -> Real:
    """Slope and bounds of MRR or of list MRR, whichever is less sure to grow."""
    slopes = theil_sen(month, np.log(mrr), confidence=confidence)
    differs = (mrr != listed).any(axis=1)
    if differs.any():
        own, other = slopes[differs], theil_sen(month[differs], np.log(listed[differs]), confidence=confidence)
        weaker = (other[:, 1] < own[:, 1]) | ((other[:, 1] == own[:, 1]) & (other[:, 0] < own[:, 0]))
        slopes[differs] = np.where(weaker[:, None], other, own)
    return slopes
