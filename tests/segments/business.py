"""A small business for release tests: customers with tier, market, risk and growth, as segment tables."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from segments.release import Release, release_cells
from segments.thresholds import Thresholds
from tests.segments.raw import AS_OF, raw, segment

PRODUCTS = {"prod_team": "team-plan", "prod_solo": "solo-plan"}


@dataclass(frozen=True, kw_only=True)
class Customer:
    """What the segments found out about one customer; `state` None is a customer without a risk row."""

    id: str
    mrr: int = 10_000
    tier: str = "smb"
    previous_tier: str | None = None
    interval: str = "month"
    country: str = "DE"
    region: str = "Western Europe"
    currency: str = "eur"
    state: str | None = None
    kind: str = "unknown"
    signals: str = ""
    since_days: int = 5
    growth: float | None = None
    product: str = "prod_team"


def customers(prefix: str, count: int, **options: Any) -> list[Customer]:
    """Alike customers."""
    return [Customer(id=f"cus_{prefix}_{number}", **options) for number in range(count)]


def changed(people: list[Customer], **options: Any) -> list[Customer]:
    """The same customers with something changed."""
    return [replace(one, **options) for one in people]


def tables(people: list[Customer], *, market_rows: dict[tuple[str, str], dict[str, Any]] | None = None) -> Any:
    """The segment tables of the business. Each market paid 10,000 a customer by card, unless said otherwise."""
    places: dict[tuple[str, str, str], int] = {}
    for one in people:
        place = (one.country, one.region, one.currency)
        places[place] = places.get(place, 0) + 1
    return {
        "mrr_tiers": segment(
            "mrr_tiers",
            *(
                {
                    "customer": one.id,
                    "tier": one.tier,
                    "previous_tier": one.previous_tier,
                    "mrr_minor": None if one.tier == "unknown" else one.mrr,
                }
                for one in people
            ),
        ),
        "subscription_mrr": segment(
            "subscription_mrr",
            *({"subscription": f"sub_{one.id}", "customer": one.id, "mrr_minor": one.mrr} for one in people),
        ),
        "subscription_items": raw(
            "subscription_items",
            *({"subscription": f"sub_{one.id}", "interval": one.interval, "interval_count": 1} for one in people),
        ),
        "customer_markets": segment(
            "customer_markets",
            *(
                {"customer": one.id, "country": one.country, "region": one.region, "currency": one.currency}
                for one in people
            ),
        ),
        "markets": segment(
            "markets",
            *(
                {
                    "country": country,
                    "region": region,
                    "currency": currency,
                    "customers": count,
                    "paying_customers": count,
                    "paid_charges": count * 10,
                    "paid_minor": count * 10_000,
                    "paid_reporting_minor": count * 10_000,
                    "attempted": count * 10,
                    "succeeded": count * 9,
                    "method_mix": '{"card": 1.0}',
                    "largest_paid_minor": 10_000,
                    "second_paid_minor": 10_000,
                    **(market_rows or {}).get((country, currency), {}),
                }
                for (country, region, currency), count in places.items()
            ),
        ),
        "churn_risk": segment(
            "churn_risk",
            *(
                {
                    "customer": one.id,
                    "state": one.state,
                    "kind": one.kind,
                    "signals": one.signals,
                    "since": AS_OF - timedelta(days=one.since_days),
                    "mrr_at_risk_minor": one.mrr,
                }
                for one in people
                if one.state is not None
            ),
        ),
        "growth": segment(
            "growth",
            *(
                {
                    "customer": one.id,
                    "months": 14,
                    "monthly_growth": one.growth,
                    "expansion": 0.3,
                    "product": one.product,
                    "candidate": True,
                }
                for one in people
                if one.growth is not None
            ),
        ),
        "disputes_by_reason": segment("disputes_by_reason"),
    }


def disputes(**row: Any) -> dict[str, Any]:
    """One row of `disputes_by_reason`."""
    return {
        "reason": "subscription_canceled",
        "product": "prod_team",
        "month": date(2026, 4, 1),
        "currency": "usd",
        "customers": row.get("copy_fixable_disputes", 0),
        "payments": 1_000,
        "copy_fixable": True,
        **row,
    }


def release(
    people: list[Customer],
    *,
    last: Release | None = None,
    days: int = 0,
    market_rows: dict[tuple[str, str], dict[str, Any]] | None = None,
    thresholds: Thresholds | None = None,
    **options: Any,
) -> Release:
    """A release of the business, compared with the last one."""
    sources: dict[str, Any] = {**tables(people, market_rows=market_rows), "products": PRODUCTS, **options}
    return release_cells(
        **sources,
        last_cells=None if last is None else last.released_cells,
        last_members=None if last is None else last.released_members,
        as_of=AS_OF + timedelta(days=days),
        reporting_currency="usd",
        thresholds=thresholds,
    )


def members_of(found: Release) -> dict[str, set[str]]:
    """Customers by key, as the numbers of each group last left."""
    out: dict[str, set[str]] = {}
    for row in found.released_members.to_pylist():
        if row["until"] is None and not row["with_mrr"]:
            out.setdefault(row["segment_key"], set()).add(row["customer"])
    return out


def fields_of(found: Release) -> dict[str, Any]:
    """Fields by key."""
    return {cell.segment_key: dict(cell.fields) for cell in found.cells}


def why(found: Release) -> dict[str, tuple[str, str | None]]:
    """Reason and successor of each group that may not leave."""
    return {one.segment_key: (one.reason, one.merged_into) for one in found.suppressed}
