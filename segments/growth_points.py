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
    """One entry a series. `slope` has three columns, the slope of log MRR and its bounds; NaN is not measured.

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
    """One row for each customer, numbered by `place`: the series in the currency it has last.

    `moved` is 1 when its points are needed, `several` when the customer has series in other currencies too.
    """
    column = nw.col
    shape = observed.group_by("customer", "currency", "annual").agg(
        nw.len().alias("months"),
        column("month").max().alias("last_month"),
        column("mrr_minor").min().alias("lowest"),
        column("mrr_minor").max().alias("highest"),
        column("mrr_list_minor").min().alias("list_lowest"),
        column("mrr_list_minor").max().alias("list_highest"),
    )
    found = rows(shape)
    codes = found["customer"].combine_chunks().dictionary_encode().indices.to_numpy()
    several = np.bincount(codes)[codes] > 1
    moved = pc.or_(
        pc.or_(
            pc.not_equal(found["lowest"], found["highest"]),
            pc.not_equal(found["list_lowest"], found["list_highest"]),
        ),
        pc.equal(found["annual"], 1),
    )
    found = found.append_column("moved", pc.cast(moved, pa.int64()))
    found = found.append_column("several", pa.array(several.astype(np.int64)))
    found = pa.concat_tables([found.filter(pa.array(~several)), _latest(found.filter(pa.array(several)))])
    names = ["customer", "currency", "annual", "months", "last_month", "lowest", "moved", "several"]
    return found.select(names).append_column("place", pa.array(np.arange(found.num_rows)))


def _latest(series: pa.Table) -> pa.Table:
    """For each customer the series that ends last, then the highest, then the first by currency."""
    latest = [("last_month", "descending"), ("highest", "descending"), ("currency", "ascending")]
    ordered = series.sort_by([("customer", "ascending"), *latest])
    codes = ordered["customer"].combine_chunks().dictionary_encode().indices.to_numpy()
    return ordered.filter(pa.array(np.diff(codes, prepend=-1) != 0))


def points_of(observed: Frame, series: Frame) -> Frame:
    """The points of series by `place`, and how many steps before the last one they are (`ago`).

    A step is a month, or a year for annual plans, whose other months are left out.
    """
    column = nw.col
    months = column("last_month") - column("month")
    annual = column("annual") == 1
    return (
        observed.join(series.select("customer", "currency", "place", "last_month"), on=["customer", "currency"])
        .with_columns(months=months, years=whole(months, 12))
        .filter(~annual | (column("years") * 12 == column("months")))
        .select(
            "place",
            "mrr_minor",
            "mrr_list_minor",
            ago=nw.when(annual).then(column("years")).otherwise(column("months")),
        )
    )


def measured(
    series: pa.Table, points: pa.Table, *, wanted: npt.NDArray[np.bool_], limits: GrowthThresholds
) -> Measured:
    """What the points say about each series; one without points is flat.

    The slope is measured for `wanted` series with enough points.
    """
    months, lowest, annual = (series[name].to_numpy().astype(np.int64) for name in ("months", "lowest", "annual"))
    size = series.num_rows
    result = Measured(
        points=months.copy(),
        first=lowest.copy(),
        last=lowest.copy(),
        gain=np.zeros(size, dtype=np.int64),
        expansion=np.zeros(size),
        expansions=np.zeros(size, dtype=np.int64),
        slope=np.zeros((size, 3)),
    )
    enough = np.where(annual == 1, limits.least_annual_points, limits.least_points)
    step = np.where(annual == 1, 12, 1)
    place, ago, mrr, listed = _grids(points)
    there = mrr > 0
    counts = there.sum(axis=1)
    for count in np.unique(counts):
        chosen = np.flatnonzero(counts == count)
        owners = place[chosen]
        inside = there[chosen]
        # Every row has as many points, so the selection keeps its rows.
        time, own, other = (
            np.broadcast_to(grid, there.shape)[chosen][inside].reshape(-1, count) for grid in (ago, mrr, listed)
        )
        gains = [amounts[:, -1] - amounts[:, 0] for amounts in (own, other)]
        result.points[owners] = count
        result.first[owners], result.last[owners] = own[:, 0], own[:, -1]
        result.gain[owners] = np.minimum(*gains)
        result.expansion[owners] = np.minimum(gains[0] / own[:, 0], gains[1] / other[:, 0])
        result.expansions[owners] = ((np.diff(own) > 0) & (np.diff(other) > 0)).sum(axis=1)
        due = wanted[owners] & (count >= enough[owners]) & (count > 1)
        if due.any():
            month = -time[due] * step[owners[due], None]
            result.slope[owners[due]] = _slopes(month, own[due], other[due], limits.confidence)
    result.slope[~(wanted & (result.points >= enough))] = np.nan
    return result


def _grids(points: pa.Table) -> tuple[Whole, Whole, Whole, Whole]:
    """A row a series and a column a step, the last one last; 0 where there is no point.

    The places of the rows, how long ago each column is, MRR, MRR before discounts.
    """
    place, ago, mrr, listed = (
        points[name].to_numpy().astype(np.int64) for name in ("place", "ago", "mrr_minor", "mrr_list_minor")
    )
    places = np.flatnonzero(np.bincount(place)) if len(place) else place
    row = np.searchsorted(places, place)
    width = int(ago.max(initial=0)) + 1
    grids = []
    for amounts in (mrr, listed):
        grid = np.zeros((len(places), width), dtype=np.int64)
        grid[row, width - 1 - ago] = amounts
        grids.append(grid)
    return places, np.arange(width - 1, -1, -1), grids[0], grids[1]


def _slopes(month: Whole, mrr: Whole, listed: Whole, confidence: float) -> Real:
    """Slope and bounds of MRR or of list MRR, whichever is less sure to grow."""
    slopes = theil_sen(month, np.log(mrr), confidence=confidence)
    differs = (mrr != listed).any(axis=1)
    if differs.any():
        own, other = slopes[differs], theil_sen(month[differs], np.log(listed[differs]), confidence=confidence)
        weaker = (other[:, 1] < own[:, 1]) | ((other[:, 1] == own[:, 1]) & (other[:, 0] < own[:, 0]))
        slopes[differs] = np.where(weaker[:, None], other, own)
    return slopes
