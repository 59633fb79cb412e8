"""What may leave about each group: the cells that briefs are made of, and who is in them.

Rules are imported when a step runs, as the code location loads in every run process.
"""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from assets.step import Step, segment

__all__ = ["release"]

_COUNTED: Final = (
    "segments/mrr_tiers",
    "segments/subscription_mrr",
    "segments/markets",
    "segments/customer_markets",
    "segments/churn_risk",
    "segments/growth",
    "segments/disputes_by_reason",
    "stripe/subscription_items",
)
_DISPUTED: Final = ("stripe/disputes", "stripe/charges", "stripe/invoice_lines")


@segment("released_cells", "released_members", reads=(*_COUNTED, *_DISPUTED))
def release(step: Step) -> Iterator[dg.MaterializeResult]:
    """What may leave about each group: nothing under k, dominated by one, or told by a difference."""
    from segments.disputes import disputers
    from segments.release import release_cells as rule
    from segments.thresholds import Thresholds

    thresholds, operator = Thresholds(), step.operator
    released = rule(
        **step.whole(*_COUNTED),
        disputers=disputers(**step.tables(*_DISPUTED), as_of=step.as_of, months=thresholds.release.dispute_months),
        thresholds=thresholds,
        last_cells=step.before("released_cells"),
        last_members=step.before("released_members"),
        as_of=step.as_of,
        reporting_currency=step.reporting_currency,
        products=operator.products,
        consented=operator.case_studies.consented,
    )
    # First who is in it: what left and is not remembered could be taken from what leaves later.
    yield step.made(released.released_members, name="released_members")
    yield step.made(released.released_cells, name="released_cells", counts=dict(released.counts))
