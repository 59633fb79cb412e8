"""The segment tables: each is one function of the raw tables, written whole at each run.

Here: which tables a segment reads, the call, and its metadata. Not here: any rule (`segments`). Heavy modules are
imported when a step runs, as the code location loads in every run process.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from assets.account import PaidWork
from assets.metadata import bar_chart, counted, line_chart, summed, waterfall_chart
from assets.sources import Sources
from assets.tables import key_check_spec, stored, table_asset, table_spec
from resources.wiring import LakeResource, RatesResource, SegmentChoices, StateResource
from segments.tables import SEGMENT_TABLES

if TYPE_CHECKING:
    import pyarrow as pa

    from resources.lake import Lake
    from segments.rates import Rates

__all__ = ["SEGMENT_ASSETS"]

_RATES_DAYS: Final = 400
_RAW: Final = ("subscriptions", "prices", "coupons", "customers", "invoice_lines")


def _segment(name: str, *deps: str, checks: tuple[dg.AssetCheckSpec, ...] = ()) -> Callable[..., Any]:
    return table_asset(f"segments/{name}", SEGMENT_TABLES[name], deps=deps, kinds={"python"}, checks=checks)


def _stored(
    lake: "Lake",
    sources: Sources,
    name: str,
    table: "pa.Table",
    *,
    checks: tuple[dg.AssetCheckResult, ...] = (),
    **metadata: Any,
) -> dg.MaterializeResult:
    return stored(
        lake,
        f"segments/{name}",
        table,
        SEGMENT_TABLES[name],
        read=sources.versions,
        metadata=metadata,
        checks=checks,
    )


def _rates(sources: Sources, reporting_currency: str) -> "Rates":
    """The exchange rates in force at the time of the raw tables."""
    from segments.fx import FxRates
    from segments.rates import rates_at

    published = FxRates(sources.whole("segments/fx_rates").to_pylist())
    return rates_at(published, reporting_currency=reporting_currency, on=sources.position.as_of)


@_segment("fx_rates", "stripe/subscriptions")
def fx_rates(lake: LakeResource, state: StateResource, rates: RatesResource) -> dg.MaterializeResult:
    """Daily exchange rates of a year and a month up to the time of the raw tables."""
    import pyarrow as pa

    sources = Sources(lake.open(), state.open())
    rows = rates.read(since=sources.position.as_of.date() - timedelta(days=_RATES_DAYS))
    table = pa.Table.from_pylist(list(rows), schema=SEGMENT_TABLES["fx_rates"])
    return _stored(lake.open(), sources, "fx_rates", table, newest=max(row["date"] for row in rows).isoformat())


@_segment("subscription_mrr", *(f"stripe/{name}" for name in _RAW))
def subscription_mrr(lake: LakeResource, state: StateResource) -> dg.MaterializeResult:
    """MRR of each subscription; only those are computed whose figure can have changed."""
    from segments.mrr_table import ChangedIds, subscription_mrr_table

    sources = Sources(lake.open(), state.open())
    raw = {name: sources.whole(f"stripe/{name}") for name in _RAW}
    previous = sources.before("segments/subscription_mrr")
    changed = ChangedIds(**{name: sources.changed_since(f"stripe/{name}", previous) for name in raw})
    table = subscription_mrr_table(
        raw.pop("subscriptions"), **raw, as_of=sources.position.as_of, previous=previous, changed=changed
    )
    incomplete = table.filter(~table["complete"].to_numpy()).num_rows
    return _stored(lake.open(), sources, "subscription_mrr", table, incomplete=incomplete)


_BALANCE = dg.AssetCheckSpec(
    "movements_balance",
    asset=["segments", "mrr_tiers"],
    blocking=True,
    description="Opening MRR, movements and the effect of exchange rates give the closing MRR, to the minor unit.",
)


@_segment(
    "mrr_tiers",
    "segments/subscription_mrr",
    "segments/customer_mrr_months",
    "segments/fx_rates",
    "stripe/customers",
    checks=(_BALANCE,),
)
def mrr_tiers(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """The tier of each customer, and what moved since the last run."""
    from segments.movements import waterfall
    from segments.tiers import mrr_tiers as tiers

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    table = tiers(
        sources("segments/subscription_mrr"),
        sources("stripe/customers"),
        rates=_rates(sources, choices.reporting_currency),
        reporting_currency=choices.reporting_currency,
        previous=sources.before("segments/mrr_tiers"),
        customer_mrr_months=sources("segments/customer_mrr_months"),
        as_of=sources.position.as_of,
    )
    moved = waterfall(table)
    return _stored(
        lake.open(),
        sources,
        "mrr_tiers",
        table,
        checks=(
            dg.AssetCheckResult(
                check_name="movements_balance",
                asset_key=["segments", "mrr_tiers"],
                passed=moved.balanced,
                metadata={"opening_minor": moved.opening, "closing_minor": moved.closing, "fx_minor": moved.fx},
            ),
        ),
        chart=bar_chart(counted(table, "tier")),
        mrr_minor=moved.closing,
        reporting_currency=choices.reporting_currency,
    )


@_segment(
    "customer_mrr_months",
    "stripe/invoice_lines",
    "stripe/invoices",
    "stripe/subscription_items",
    "stripe/prices",
)
def customer_mrr_months(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """MRR by customer and month, from what invoices charged for."""
    from segments.mrr_months import customer_mrr_months as months

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    table = months(
        sources("stripe/invoice_lines"),
        sources("stripe/invoices"),
        subscription_items=sources("stripe/subscription_items"),
        prices=sources("stripe/prices"),
        as_of=sources.position.as_of,
    )
    return _stored(lake.open(), sources, "customer_mrr_months", table)


@_segment(
    "churn_risk",
    "stripe/subscriptions",
    "segments/mrr_tiers",
    "stripe/invoices",
    "stripe/charges",
    "stripe/payment_methods",
    "stripe/customers",
    "stripe/disputes",
    "segments/customer_mrr_months",
)
def churn_risk(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """State, kind and score of each customer, with the signals that fired."""
    from segments.churn import churn_risk as risk

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    table = risk(
        sources("stripe/subscriptions"),
        sources("segments/mrr_tiers"),
        sources("stripe/invoices"),
        sources("stripe/charges"),
        sources("stripe/payment_methods"),
        sources("stripe/customers"),
        sources("stripe/disputes"),
        customer_mrr_months=sources("segments/customer_mrr_months"),
        previous=sources.before("segments/churn_risk"),
        reporting_currency=choices.reporting_currency,
        as_of=sources.position.as_of,
    )
    return _stored(
        lake.open(),
        sources,
        "churn_risk",
        table,
        chart=bar_chart(counted(table, "state")),
        mrr_at_risk=bar_chart(summed(table, "state", "mrr_at_risk_minor")),
    )


@_segment("customer_markets", "stripe/customers", "stripe/charges", "stripe/payment_methods")
def customer_markets(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """The country of each customer, its evidence and its confidence."""
    from segments.evidence import customer_markets as places

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    table = places(sources("stripe/customers"), sources("stripe/charges"), sources("stripe/payment_methods"))
    return _stored(lake.open(), sources, "customer_markets", table, chart=bar_chart(counted(table, "confidence")))


@_segment("markets", "stripe/charges", "stripe/disputes", "segments/customer_markets", "segments/fx_rates")
def markets(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """Markets by country and currency over the last year."""
    from segments.markets import markets as by_country

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    table = by_country(
        sources("stripe/charges"),
        sources("stripe/disputes"),
        sources("segments/customer_markets"),
        rates=_rates(sources, choices.reporting_currency),
        reporting_currency=choices.reporting_currency,
        as_of=sources.position.as_of,
    )
    return _stored(lake.open(), sources, "markets", table, chart=bar_chart(summed(table, "country", "customers")))


@_segment("disputes_by_reason", "stripe/disputes", "stripe/charges", "stripe/invoice_lines")
def disputes_by_reason(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """Disputes by reason, product, month and currency."""
    from segments.disputes import disputes_by_reason as disputes

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    table = disputes(
        sources("stripe/disputes"),
        sources("stripe/charges"),
        sources("stripe/invoice_lines"),
        as_of=sources.position.as_of,
    )
    return _stored(
        lake.open(), sources, "disputes_by_reason", table, chart=bar_chart(summed(table, "reason", "disputes"))
    )


@_segment("mrr_movements", "segments/customer_mrr_months", "segments/fx_rates")
def mrr_movements(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """New, expansion, contraction, churn, reactivation and exchange effect by customer and month."""
    from segments.fx import FxRates
    from segments.movements import mrr_movements as movements
    from segments.rates import rates_by_month
    from segments.tier_months import month_waterfalls, tier_months, tier_series

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    as_of = sources.position.as_of
    published = FxRates(sources.whole("segments/fx_rates").to_pylist())
    months = sources("segments/customer_mrr_months")
    how: dict[str, Any] = {
        "rates": rates_by_month(published, reporting_currency=choices.reporting_currency, as_of=as_of),
        "reporting_currency": choices.reporting_currency,
        "as_of": as_of,
    }
    table = movements(months, **how)
    ends = tier_months(months, **how)
    falls = list(month_waterfalls(table, ends).values())
    return _stored(
        lake.open(),
        sources,
        "mrr_movements",
        table,
        chart=bar_chart(counted(table, "movement")),
        mrr_by_tier=line_chart(tier_series(ends)),
        latest_month=waterfall_chart(falls[-1]) if falls else None,
    )


@_segment(
    "growth",
    "segments/customer_mrr_months",
    "stripe/subscriptions",
    "stripe/invoices",
    "stripe/invoice_lines",
    "stripe/charges",
    "stripe/disputes",
    "stripe/refunds",
    "stripe/customers",
)
def growth(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """Growth of each customer and the gates it passed."""
    from segments.growth import growth as grown

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    table = grown(
        sources("segments/customer_mrr_months"),
        sources("stripe/subscriptions"),
        sources("stripe/invoices"),
        sources("stripe/invoice_lines"),
        sources("stripe/charges"),
        sources("stripe/disputes"),
        sources("stripe/refunds"),
        sources("stripe/customers"),
        as_of=sources.position.as_of,
    )
    candidates = counted(table, "candidate").get("True", 0)
    return _stored(lake.open(), sources, "growth", table, candidates=candidates)


@_segment(
    "segment_history",
    "segments/mrr_tiers",
    "segments/churn_risk",
    "segments/customer_markets",
    "segments/growth",
    "stripe/disputes",
    "stripe/charges",
)
def segment_history(lake: LakeResource, state: StateResource, choices: SegmentChoices) -> dg.MaterializeResult:
    """Customers and MRR of each segment today, added to the days before."""
    from segments.history import segment_history as history

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    table = history(
        sources("segments/mrr_tiers"),
        sources("segments/churn_risk"),
        sources("segments/customer_markets"),
        growth=sources("segments/growth"),
        disputes=sources("stripe/disputes"),
        charges=sources("stripe/charges"),
        previous=sources.before("segments/segment_history"),
        reporting_currency=choices.reporting_currency,
        as_of=sources.position.as_of,
    )
    return _stored(lake.open(), sources, "segment_history", table)


_RELEASED = {name: SEGMENT_TABLES[name] for name in ("released_cells", "released_members")}
_DISPUTED_IN = ("subscription_items", "disputes", "charges", "invoice_lines")
_RELEASED_FROM = (
    "mrr_tiers",
    "subscription_mrr",
    "markets",
    "customer_markets",
    "churn_risk",
    "growth",
    "disputes_by_reason",
)


@dg.multi_asset(
    name="release",
    specs=[
        table_spec(
            f"segments/{name}",
            schema,
            deps=[f"segments/{table}" for table in _RELEASED_FROM] + [f"stripe/{table}" for table in _DISPUTED_IN],
            kinds={"python"},
        )
        for name, schema in _RELEASED.items()
    ],
    check_specs=[key_check_spec(f"segments/{name}") for name in _RELEASED],
)
def release(
    lake: LakeResource, state: StateResource, choices: SegmentChoices, paid_work: dg.ResourceParam[PaidWork]
) -> Iterator[dg.MaterializeResult]:
    """What may leave about each group: nothing under k, dominated by one, or told by a difference."""
    from segments.disputes import disputers
    from segments.release import release_cells
    from segments.thresholds import Thresholds

    sources = Sources(lake.open(), state.open(), engine=choices.engine)
    thresholds = Thresholds()
    operator = paid_work.operator()
    released = release_cells(
        **{name: sources.whole(f"segments/{name}") for name in _RELEASED_FROM},
        subscription_items=sources.whole("stripe/subscription_items"),
        disputers=disputers(
            sources("stripe/disputes"),
            sources("stripe/charges"),
            sources("stripe/invoice_lines"),
            as_of=sources.position.as_of,
            months=thresholds.release.dispute_months,
        ),
        thresholds=thresholds,
        last_cells=sources.before("segments/released_cells"),
        last_members=sources.before("segments/released_members"),
        as_of=sources.position.as_of,
        reporting_currency=choices.reporting_currency,
        products=operator.products,
        consented=operator.case_studies.consented,
    )
    yield _stored(lake.open(), sources, "released_cells", released.released_cells, counts=dict(released.counts))
    yield _stored(lake.open(), sources, "released_members", released.released_members)


SEGMENT_ASSETS = (
    fx_rates,
    subscription_mrr,
    mrr_tiers,
    customer_mrr_months,
    mrr_movements,
    churn_risk,
    customer_markets,
    markets,
    growth,
    disputes_by_reason,
    segment_history,
    release,
)
