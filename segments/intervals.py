"""Confidence intervals for shares, that hold at small numbers.

Here: Wilson's score interval (E. B. Wilson, 1927;
https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval). Not here: the interval of a slope
(`segments.growth`).
"""

from statistics import NormalDist

__all__ = ["wilson"]


def wilson(part: int, of: int, *, confidence: float = 0.95) -> tuple[float, float] | None:
    """Lower and upper bound of the share `part / of`; None without cases. A larger part counts as the whole."""
    if of <= 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = min(max(part, 0), of) / of
    centre = share + z * z / (2 * of)
    width = z * (share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5
    scale = 1 + z * z / of
    return max(0.0, (centre - width) / scale), min(1.0, (centre + width) / scale)
