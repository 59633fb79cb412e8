"""Theil-Sen slopes of many short series at once.

Here: the median of all pairwise slopes and Sen's interval (P. K. Sen, 1968, eq. 2.6), the figures of
`scipy.stats.theilslopes`, which takes half a millisecond a series. Not here: what the series are
(`segments.growth_points`).
"""

from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["theil_sen"]

_BLOCK: Final = 4_000_000
"""Pairwise slopes held at once: 32 MB."""


def theil_sen(
    x: npt.NDArray[np.int64], y: npt.NDArray[np.float64], *, confidence: float
) -> npt.NDArray[np.float64]:
    """Slope, lower and upper bound of each row; `x` rises strictly along a row of at least two points."""
    series, points = y.shape
    before, after = np.triu_indices(points, 1)
    reach = -NormalDist().inv_cdf((1 - confidence) / 2)
    found = np.empty((series, 3))
    rows = max(1, _BLOCK // len(before))
    for start in range(0, series, rows):
        part = slice(start, start + rows)
        slopes = (y[part][:, after] - y[part][:, before]) / (x[part][:, after] - x[part][:, before])
        slopes.sort(axis=1)
        spread = reach * np.sqrt(_variance(y[part]))
        pairs = len(before)
        low = np.maximum(np.round((pairs - spread) / 2).astype(int) - 1, 0)
        high = np.minimum(np.round((pairs + spread) / 2).astype(int), pairs - 1)
        each = np.arange(len(slopes))
        middle = (slopes[:, (pairs - 1) // 2] + slopes[:, pairs // 2]) / 2
        found[part] = np.stack([middle, slopes[each, low], slopes[each, high]], axis=1)
    return found


def _variance(y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Variance of Kendall's score of each row, less the share of its ties.

    A tie of k points takes k (k - 1) (2k + 5); it is summed up point by point along the sorted row.
    """
    points = y.shape[1]
    ordered = np.sort(y, axis=1)
    run = np.ones(len(y), dtype=np.int64)
    ties = np.zeros(len(y), dtype=np.int64)
    for place in range(1, points):
        run = np.where(ordered[:, place] == ordered[:, place - 1], run + 1, 1)
        ties += _weight(run) - _weight(run - 1)
    variance: npt.NDArray[np.float64] = (points * (points - 1) * (2 * points + 5) - ties) / 18
    return variance


def _weight(count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return count * (count - 1) * (2 * count + 5)
