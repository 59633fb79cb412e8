"""MRR and customers by tier at past month ends, for the picture of a year.

Here: each month end's customers in the tier that their MRR of that day falls in, at that day's exchange rates. Not
here: the tier of today with its hysteresis (`segments.tiers`), and the days since the first run
(`segments.history`). The amounts are those of `mrr_movements`, so the total of one month end plus the next month's
movements and exchange effect is the total of the next.
"""

from datetime import datetime
from typing import Any, Final

import narwhals as nw
import pyarrow as pa

from segments.frames import frames, month_of, to_table
from segments.movements import valued
from segments.rates import MonthlyRates
from segments.thresholds import TierThresholds
from segments.tiers import bounds_of, tier_of

__all__ = ["TIER_MONTHS", "tier_months"]

TIER_MONTHS: Final = pa.schema(
    [
        pa.field("month", pa.date32(), nullable=False),
        pa.field("tier", pa.string(), nullable=False),
        pa.field("customers", pa.int64(), nullable=False),
        pa.field("mrr_minor", pa.int64(), nullable=False),
    ],
    metadata={"key": "month,tier"},
)
"""Months by their first day; minor units of the reporting currency."""


def tier_months(
    customer_mrr_months: Any,
    *,
    rates: MonthlyRates,
    reporting_currency: str,
    as_of: datetime,
    thresholds: TierThresholds | None = None,
) -> pa.Table:
    """A row for each month end of `rates` after the first, and tier with revenue. Lazy on every engine."""
    column = nw.col
    amounts = frames(customer_mrr_months=customer_mrr_months)["customer_mrr_months"]
    ended = amounts.filter(column("month") < month_of(as_of)).select(
        "customer", "currency", "month", opening=nw.lit(0, nw.Int64), closing=column("mrr_minor")
    )
    customers = (
        valued(ended, rates, reporting_currency)
        .group_by("customer", "month")
        .agg(column("closing_minor").sum().alias("mrr_minor"))
        .filter(column("mrr_minor") > 0)
    )
    bounds = bounds_of(thresholds or TierThresholds(), reporting_currency)
    tiers = (
        customers.with_columns(was=nw.lit(""))
        .with_columns(tier=tier_of(column("mrr_minor"), column("was"), bounds))
        .group_by("month", "tier")
        .agg(nw.len().alias("customers"), column("mrr_minor").sum())
    )
    return to_table(tiers, TIER_MONTHS, months=("month",))
