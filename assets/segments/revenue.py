"""Revenue: exchange rates, MRR by subscription and by month, tiers and movements.

Rules are imported when a step runs, as the code location loads in every run process.
"""

from datetime import timedelta
from typing import Any, Final

import dagster as dg

from assets.metadata import bar_chart, counted, line_chart, waterfall_chart
from assets.step import RATES, Step, segment
from segments.tables import SEGMENT_TABLES

__all__ = ["customer_mrr_months", "fx_rates", "mrr_movements", "mrr_tiers", "subscription_mrr"]

_RATES_DAYS: Final = 400


@segment("fx_rates", reads=("stripe/subscriptions",))
def fx_rates(step: Step) -> dg.MaterializeResult:
    """Daily exchange rates of a year and a month up to the time of the raw tables, and those still in force."""
    import pyarrow as pa

    rows = step.feed.read(since=step.as_of.date() - timedelta(days=_RATES_DAYS))
    table = pa.Table.from_pylist(list(rows), schema=SEGMENT_TABLES["fx_rates"])
    return step.made(table, newest=max(row["date"] for row in rows).isoformat())


@segment(
    "subscription_mrr",
    reads=(
        "stripe/subscriptions",
        "stripe/prices",
        "stripe/coupons",
        "stripe/customers",
        "stripe/invoice_lines",
    ),
)
def subscription_mrr(step: Step) -> dg.MaterializeResult:
    """MRR of each subscription; in one process only those are computed whose figure can have changed."""
    from segments.mrr_parts import COLUMNS_OF_PARTS, subscription_mrr_in_parts
    from segments.mrr_table import ChangedIds
    from segments.mrr_table import subscription_mrr_table as rule

    if parts := step.parts(COLUMNS_OF_PARTS):
        table = subscription_mrr_in_parts(**parts, as_of=step.as_of)
    else:
        tables, changed = step.whole(), step.changed()
        table = rule(
            **tables,
            as_of=step.as_of,
            previous=step.before(),
            changed=None if changed is None else ChangedIds(**changed),
        )
    return step.made(table, incomplete=table.filter(~table["complete"].to_numpy()).num_rows)


@segment(
    "customer_mrr_months",
    reads=(
        "stripe/invoice_lines",
        "stripe/invoices",
        "stripe/subscription_items",
        "stripe/prices",
        "stripe/subscriptions",
    ),
)
def customer_mrr_months(step: Step) -> dg.MaterializeResult:
    """MRR by customer and month, from what invoices charged for."""
    from segments.mrr_months import customer_mrr_months as rule

    return step.made(rule(**step.tables(), as_of=step.as_of))


_BALANCE: Final = dg.AssetCheckSpec(
    "movements_balance",
    asset=["segments", "mrr_tiers"],
    blocking=True,
    description="Opening MRR, movements and the effect of exchange rates give the closing MRR, to the minor unit.",
)


@segment(
    "mrr_tiers",
    reads=("segments/subscription_mrr", "segments/customer_mrr_months", RATES, "stripe/customers"),
    checks=(_BALANCE,),
)
def mrr_tiers(step: Step) -> dg.MaterializeResult:
    """The tier of each customer, and what moved since the last run."""
    from segments.movements import waterfall
    from segments.tiers import mrr_tiers as rule

    table = rule(
        **step.tables(),
        rates=step.rates,
        reporting_currency=step.reporting_currency,
        previous=step.before(),
        as_of=step.as_of,
    )
    moved = waterfall(table)
    balance = dg.AssetCheckResult(
        check_name=_BALANCE.name,
        asset_key=_BALANCE.asset_key,
        passed=moved.balanced,
        metadata={"opening_minor": moved.opening, "closing_minor": moved.closing, "fx_minor": moved.fx},
    )
    return step.made(
        table,
        checks=(balance,),
        chart=bar_chart(counted(table, "tier")),
        mrr_minor=moved.closing,
        reporting_currency=step.reporting_currency,
    )


@segment("mrr_movements", reads=("segments/customer_mrr_months", RATES))
def mrr_movements(step: Step) -> dg.MaterializeResult:
    """New, expansion, contraction, churn, reactivation and exchange effect by customer and month."""
    from segments.movements import mrr_movements as rule
    from segments.movements import unrated
    from segments.rates import rates_by_month
    from segments.tier_months import month_waterfalls, tier_months, tier_series

    currency, as_of = step.reporting_currency, step.as_of
    monthly = rates_by_month(step.published, reporting_currency=currency, as_of=as_of)
    given: dict[str, Any] = {
        **step.tables(),
        "rates": monthly,
        "reporting_currency": currency,
        "as_of": as_of,
    }
    table = rule(**given)
    ends = tier_months(**given)
    falls = list(month_waterfalls(table, ends).values())
    return step.made(
        table,
        chart=bar_chart(counted(table, "movement")),
        mrr_by_tier=line_chart(tier_series(ends)),
        latest_month=waterfall_chart(falls[-1]) if falls else None,
        customers_without_rate=unrated(**given) or None,
    )
