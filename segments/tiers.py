"""Each customer's MRR in the reporting currency, the tier it falls in, and what changed since the last run.

Here: conversion, tiers with hysteresis, the movement. Not here: the MRR of a subscription (`segments.mrr`) and
exchange rates (`segments.fx`). Amounts are exact until they are rounded once, half to even, per customer. A
customer with one unknown subscription or rate has no MRR and the tier `unknown`: neither zero nor a part of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, Final, NamedTuple

import narwhals as nw
import pyarrow as pa

from segments.frames import frames, rows, to_table
from segments.money import exponent, round_half_even
from segments.movements import movement
from segments.rates import Rates
from segments.tables import SEGMENT_TABLES
from segments.thresholds import TierThresholds

__all__ = ["mrr_tiers", "tier_of"]

_ORDER: Final = ("none", "smb", "mid_market", "enterprise")


class _Bounds(NamedTuple):
    """Tier thresholds in minor units of the reporting currency."""

    enterprise_enter: int
    enterprise_leave: int
    mid_market_enter: int
    mid_market_leave: int


def _bounds(thresholds: TierThresholds, currency: str) -> _Bounds:
    unit = 10 ** exponent(currency)
    return _Bounds(*(getattr(thresholds, name) * unit for name in _Bounds._fields))


def tier_of(
    mrr_minor: int | None,
    *,
    reporting_currency: str,
    previous: str | None = None,
    thresholds: TierThresholds | None = None,
) -> str:
    """The tier of an MRR; a customer who was in a tier stays until its lower bound is crossed."""
    return _tier(mrr_minor, previous, _bounds(thresholds or TierThresholds(), reporting_currency))


def _tier(mrr_minor: int | None, previous: str | None, bounds: _Bounds) -> str:
    if mrr_minor is None:
        return "unknown"
    if mrr_minor <= 0:
        return "none"
    if mrr_minor >= (bounds.enterprise_leave if previous == "enterprise" else bounds.enterprise_enter):
        return "enterprise"
    stays = previous in ("mid_market", "enterprise")
    if mrr_minor >= (bounds.mid_market_leave if stays else bounds.mid_market_enter):
        return "mid_market"
    return "smb"


@dataclass(slots=True)
class _Revenue:
    """What a customer's subscriptions add up to, by currency; None once a part is unknown."""

    mrr: dict[str, Fraction | int]
    committed: dict[str, Fraction | int]
    subscriptions: int = 0
    complete: bool = True


class _Before(NamedTuple):
    """A customer's row of the last run."""

    tier: str
    previous_tier: str | None
    since: int
    opening: int | None
    amounts: str
    reporting_currency: str


def mrr_tiers(
    subscription_mrr: Any,
    customers: Any,
    *,
    rates: Rates,
    reporting_currency: str,
    previous: Any = None,
    as_of: datetime,
    thresholds: TierThresholds | None = None,
) -> pa.Table:
    """The table `mrr_tiers`. `previous` is the table of the last run, None on a first run.

    The exact sums are made in Python over two reduced columns, as no engine adds fractions.
    """
    bounds = _bounds(thresholds or TierThresholds(), reporting_currency)
    sources = frames(subscription_mrr=subscription_mrr, customers=customers, mrr_tiers_before=previous)
    revenue = _revenue(rows(sources["subscription_mrr"]))
    before = _before(rows(sources["mrr_tiers_before"]))
    listed = rows(sources["customers"].select("id").filter(~nw.col("id").is_null())).column("id").to_pylist()
    now = int(as_of.timestamp())
    first_run = previous is None
    nothing = _Revenue({}, {})
    output: list[tuple[Any, ...]] = []
    for customer in sorted({*listed, *revenue, *(name for name, row in before.items() if row.opening)}):
        carried = revenue.get(customer, nothing)
        output.append(
            (
                customer,
                *_row(
                    carried,
                    before.get(customer),
                    rates=rates,
                    reporting_currency=reporting_currency,
                    bounds=bounds,
                    now=now,
                    first_run=first_run,
                ),
            )
        )
    return _table(output, reporting_currency, now)


def _row(
    revenue: _Revenue,
    before: _Before | None,
    *,
    rates: Rates,
    reporting_currency: str,
    bounds: _Bounds,
    now: int,
    first_run: bool,
) -> tuple[Any, ...]:
    known = {None, reporting_currency, *rates}
    complete = revenue.complete and known.issuperset(revenue.mrr) and known.issuperset(revenue.committed)
    closing = _value(revenue.mrr, rates, reporting_currency) if complete else None
    committed = _value(revenue.committed, rates, reporting_currency) if complete else None
    last_tier = None
    opening: int | None = None if first_run else 0
    revalued = opening
    amounts = _text(revenue.mrr) if complete else ""
    since = now
    if before is not None:
        last_tier = before.previous_tier if before.tier == "unknown" else before.tier
        opening = before.opening
        revalued = opening
        if (opening and before.amounts != amounts) or before.reporting_currency != reporting_currency:
            revalued = _value(_amounts(before.amounts), rates, reporting_currency)
        elif opening:
            revalued = closing
        if before.reporting_currency != reporting_currency:
            opening = revalued
    tier = _tier(closing, last_tier, bounds)
    previous_tier = last_tier
    if before is not None and tier == before.tier:
        since, previous_tier = before.since, before.previous_tier
    returns = before is not None and before.previous_tier not in (None, "none", "unknown")
    change = movement(opening=opening, revalued=revalued, closing=closing, returns=returns)
    dates = [rates[currency][1] for currency in revenue.mrr if currency != reporting_currency and complete]
    return (
        tier,
        closing,
        committed,
        min((day for day in dates if day is not None), default=None),
        revenue.subscriptions,
        complete,
        previous_tier,
        since,
        opening,
        change.kind,
        change.minor,
        change.fx_minor,
        amounts if complete else (before.amounts if before else ""),
    )


def _revenue(table: pa.Table) -> dict[str, _Revenue]:
    found: dict[str, _Revenue] = {}
    columns = ("customer", "currency", "mrr", "mrr_committed", "complete")
    for customer, currency, mrr, committed, complete in zip(
        *(table.column(name).to_pylist() for name in columns), strict=True
    ):
        if customer is None:
            continue
        entry = found.get(customer)
        if entry is None:
            entry = found[customer] = _Revenue({}, {})
        if not complete or mrr is None or committed is None:
            entry.complete = False
            entry.subscriptions += 1
            continue
        amount = _exact(mrr)
        if amount:
            entry.subscriptions += 1
            entry.mrr[currency] = entry.mrr.get(currency, 0) + amount
        kept = _exact(committed)
        if kept:
            entry.committed[currency] = entry.committed.get(currency, 0) + kept
    return found


def _exact(text: str) -> Fraction | int:
    return Fraction(text) if "/" in text else int(text)


def _value(amounts: Mapping[str, Fraction | int], rates: Rates, reporting_currency: str) -> int | None:
    """The sum in the reporting currency, rounded once; None when a rate is missing."""
    total: Fraction | int = 0
    for currency, amount in amounts.items():
        if currency == reporting_currency:
            total += amount
        elif currency in rates:
            total += amount * rates[currency][0]
        else:
            return None
    return round_half_even(total)


def _text(amounts: Mapping[str, Fraction | int]) -> str:
    """Exact amounts as text, "eur 9900; usd 12500/3"."""
    return "; ".join(f"{currency} {amounts[currency]}" for currency in sorted(amounts))


def _amounts(text: str) -> dict[str, Fraction | int]:
    pairs: Iterable[list[str]] = (part.split(" ") for part in text.split("; ") if part)
    return {currency: _exact(amount) for currency, amount in pairs}


def _before(table: pa.Table) -> dict[str, _Before]:
    columns = ("customer", "tier", "previous_tier", "since", "mrr_minor", "opening_minor", "amounts")
    found: dict[str, _Before] = {}
    for customer, tier, earlier, since, mrr, opening, amounts, currency in zip(
        *(table.column(name).to_pylist() for name in (*columns, "reporting_currency")), strict=True
    ):
        last_known = opening if mrr is None else mrr
        found[customer] = _Before(tier, earlier, since, last_known, amounts, currency)
    return found


def _table(output: list[tuple[Any, ...]], reporting_currency: str, now: int) -> pa.Table:
    names = (
        "customer",
        "tier",
        "mrr_minor",
        "mrr_committed_minor",
        "rate_date",
        "subscriptions",
        "complete",
        "previous_tier",
        "since",
        "opening_minor",
        "movement",
        "movement_minor",
        "fx_minor",
        "amounts",
    )
    schema = SEGMENT_TABLES["mrr_tiers"]
    types = {name: pa.int64() if name == "since" else schema.field(name).type for name in names}
    columns = list(zip(*output, strict=True)) if output else [()] * len(names)
    arrays = {name: pa.array(values, types[name]) for name, values in zip(names, columns, strict=True)}
    size = len(output)
    arrays["reporting_currency"] = pa.repeat(reporting_currency, size)
    arrays["as_of"] = pa.repeat(pa.scalar(now, pa.int64()), size)
    return to_table(pa.table(arrays), schema)
