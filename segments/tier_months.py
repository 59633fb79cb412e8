"""MRR and customers by tier at past month ends, and the waterfall of each month between them.

Here: each month end's customers in the tier that their MRR of that day falls in, at that day's exchange rates. Not
here: the tier of today with its hysteresis (`segments.tiers`), and the days since the first run
(`segments.history`). The amounts are those of `mrr_movements`, so the total of one month end plus the next month's
movements and exchange effect is the total of the next.
"""

from datetime import date, datetime, timedelta
from typing import Any, Final

import narwhals as nw
import pyarrow as pa

from segments.frames import frames, month_of, to_table
from segments.movements import KINDS, Waterfall, valued
from segments.rates import MonthlyRates
from segments.thresholds import TierThresholds
from segments.tiers import bounds_of, tier_of

__all__ = ["TIER_MONTHS", "month_waterfalls", "tier_months", "tier_series"]

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
    ended = amounts.filter(column("month") < month_of(as_of), column("month") > month_of(min(rates)))
    customers = (
        valued(ended.rename({"mrr_minor": "amount"}), rates, reporting_currency)
        .group_by("customer", "month")
        .agg(column("minor").sum().alias("mrr_minor"))
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


def tier_series(ends: pa.Table) -> dict[str, list[int]]:
    """MRR at each month end by tier, the highest tier first; 0 where a tier had nobody."""
    months = {month: place for place, month in enumerate(sorted(set(ends["month"].to_pylist())))}
    series = {tier: [0] * len(months) for tier in ("enterprise", "mid_market", "smb")}
    for row in ends.to_pylist():
        series[row["tier"]][months[row["month"]]] = row["mrr_minor"]
    return series


def month_waterfalls(mrr_movements: pa.Table, ends: pa.Table) -> dict[date, Waterfall]:
    """The waterfall of each month, oldest first, from the movements and the month ends of `tier_months`.

    Opening and closing are totals of month ends, so `balanced` compares two tables. The first month's opening is
    not among them: it is what its movements leave of its closing.
    """
    closings = {
        row["month"]: row["mrr_minor_sum"]
        for row in ends.group_by("month").aggregate([("mrr_minor", "sum")]).to_pylist()
    }
    sums = mrr_movements.group_by(["month", "movement"]).aggregate(
        [("movement_minor", "sum"), ("fx_minor", "sum")]
    )
    moved: dict[date, dict[str, int]] = {}
    effects: dict[date, int] = {}
    for row in sums.to_pylist():
        moved.setdefault(row["month"], {})[row["movement"]] = row["movement_minor_sum"]
        effects[row["month"]] = effects.get(row["month"], 0) + row["fx_minor_sum"]
    found = {}
    for month in sorted(closings.keys() | moved.keys()):
        movements = {kind: moved.get(month, {}).get(kind, 0) for kind in KINDS if kind not in ("fx", "none")}
        fx, closing = effects.get(month, 0), closings.get(month, 0)
        before = (month - timedelta(days=1)).replace(day=1)
        opening = closings.get(before, closing - sum(movements.values()) - fx)
        found[month] = Waterfall(opening=opening, movements=movements, fx=fx, first_measured=0, closing=closing)
    return found
