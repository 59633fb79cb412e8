"""Growth of each customer's MRR, the gates it passed, and whether it could be a case study.

Here: the gates, the slope with its interval, expansions, the product with the most revenue. Not here: MRR by month
(`segments.mrr_months`) and what may leave about a candidate (`segments.release`). Growth is the Theil-Sen slope of
log MRR, the median of all pairwise slopes, so that no single month decides it
(https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.theilslopes.html). No source publishes thresholds
that need Stripe alone: the gates are this project's proposal (`segments.thresholds`).
"""

from typing import Final

__all__ = ["GATES"]

GATES: Final = ("active", "tenure", "paid_on_time", "no_dispute", "no_refund", "no_cancel", "points")
"""Codes of the gates, in the order in which they are written."""
