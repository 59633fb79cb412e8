"""Each customer's MRR in the reporting currency, the tier it falls in, and what changed since the last run.

Here: conversion, tiers with hysteresis, the movement. Not here: the MRR of a subscription (`segments.mrr`) and
exchange rates (`segments.fx`). Amounts are exact until they are rounded once, half to even, per customer. A
customer with one unknown subscription or rate has no MRR and the tier `unknown`: neither zero nor a part of it.
"""

from datetime import datetime
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segments.exact_sums import Sums, read_amounts, sums_by_group, value
from segments.frames import beside, frames, rows, to_table
from segments.money import exponent
from segments.movements import movement_kind
from segments.rates import Rates
from segments.tables import SEGMENT_TABLES
from segments.thresholds import TierThresholds

__all__ = ["bounds_of", "mrr_tiers", "tier_of"]


class _Bounds(NamedTuple):
    """Tier thresholds in minor units of the reporting currency."""

    enterprise_enter: int
    enterprise_leave: int
    mid_market_enter: int
    mid_market_leave: int


def bounds_of(thresholds: TierThresholds, currency: str) -> _Bounds:
    """The thresholds for amounts in a reporting currency."""
    unit = 10 ** exponent(currency)
    return _Bounds(*(getattr(thresholds, name) * unit for name in _Bounds._fields))


def tier_of(mrr_minor: nw.Expr, previous: nw.Expr, bounds: _Bounds) -> nw.Expr:
    """The tier of an MRR; a customer who was in a tier stays until its lower bound is crossed."""
    was = previous.fill_null("")
    enterprise = nw.when(was == "enterprise").then(bounds.enterprise_leave).otherwise(bounds.enterprise_enter)
    stays = was.is_in(["mid_market", "enterprise"])
    mid_market = nw.when(stays).then(bounds.mid_market_leave).otherwise(bounds.mid_market_enter)
    return (
        nw.when(mrr_minor.is_null())
        .then(nw.lit("unknown"))
        .when(mrr_minor <= 0)
        .then(nw.lit("none"))
        .when(mrr_minor >= enterprise)
        .then(nw.lit("enterprise"))
        .when(mrr_minor >= mid_market)
        .then(nw.lit("mid_market"))
        .otherwise(nw.lit("smb"))
    )


def mrr_tiers(
    subscription_mrr: Any,
    customers: Any,
    *,
    rates: Rates,
    reporting_currency: str,
    previous: Any = None,
    customer_mrr_months: Any = None,
    as_of: datetime,
    thresholds: TierThresholds | None = None,
) -> pa.Table:
    """The table `mrr_tiers`. `previous` is the table of the last run, None on a first run.

    Of a customer without revenue whom no earlier run has seen, the tier before comes from the last month with MRR
    in `customer_mrr_months`; without that table it is not known.

    A row for each customer that is listed, has a subscription or had MRR at the last run. No engine adds
    fractions: the exact sums are made over the reduced columns in memory, whatever the engine of the sources.
    """
    sources = frames(subscription_mrr=subscription_mrr, customers=customers, mrr_tiers_before=previous)
    listed = rows(sources["customers"].select("id"))["id"]
    owned = rows(sources["subscription_mrr"].filter(~nw.col("customer").is_null()))
    before = rows(sources["mrr_tiers_before"])
    had_revenue = before.filter(pc.not_equal(_last_known(before), 0))["customer"]
    names = pa.chunked_array([*listed.chunks, *owned["customer"].chunks, *had_revenue.chunks], pa.string())
    people = names.drop_null().unique()
    measured = _measured(people, owned, rates, reporting_currency)
    measured = _with_before(measured, before, rates, reporting_currency, first_run=previous is None)
    bounds = bounds_of(thresholds or TierThresholds(), reporting_currency)
    if customer_mrr_months is not None:
        months = frames(customer_mrr_months=customer_mrr_months)["customer_mrr_months"]
        measured = _with_history(measured, _last_months(months), rates, reporting_currency, bounds)
    return _rows(measured, bounds, reporting_currency, now=int(as_of.timestamp()))


def _measured(people: pa.Array, owned: pa.Table, rates: Rates, reporting_currency: str) -> pa.Table:
    """Of each customer: MRR, committed MRR, their exact amounts, the oldest rate's day."""
    size = len(people)
    groups = pc.index_in(owned["customer"], people).to_numpy().astype(np.int64)
    absent = pc.or_(pc.is_null(owned["mrr"]), pc.is_null(owned["mrr_committed"]))
    known = pc.and_(pc.fill_null(owned["complete"], False), pc.invert(absent)).to_numpy()

    def summed(name: str) -> Sums:
        given = owned.filter(known).combine_chunks()
        currencies, amounts = (
            pa.concat_arrays(given[column].chunks) if given.num_rows else pa.array([], pa.string())
            for column in ("currency", name)
        )
        return sums_by_group(
            groups[known], size, currencies, amounts, rates=rates, reporting_currency=reporting_currency
        )

    mrr, committed = summed("mrr"), summed("mrr_committed")
    complete = mrr.known & committed.known
    complete[groups[~known]] = False
    incomplete = np.bincount(groups[~known], minlength=size)
    return pa.table(
        {
            "customer": people,
            "mrr_minor": pa.array(mrr.minor, mask=~complete),
            "mrr_committed_minor": pa.array(committed.minor, mask=~complete),
            "complete": complete,
            "subscriptions": mrr.count + incomplete,
            "amounts": mrr.text,
            "rate_date": pc.if_else(complete, _rate_dates(mrr.text, rates, reporting_currency), None),
        }
    )


def _rate_dates(texts: pa.Array, rates: Rates, reporting_currency: str) -> pa.Array:
    """The oldest day of the rates that the amounts were converted with."""
    days = pa.nulls(len(texts), pa.date32())
    used = [(rate[1], currency) for currency, rate in rates.items() if rate[1] and currency != reporting_currency]
    for day, currency in sorted(used, reverse=True):
        in_it = pc.match_substring(texts, f"{currency} ")
        days = pc.if_else(in_it, pa.scalar(day, pa.date32()), days)
    return days


def _last_known(before: pa.Table) -> pa.ChunkedArray:
    return pc.coalesce(before["mrr_minor"], before["opening_minor"])


def _with_before(
    measured: pa.Table, before: pa.Table, rates: Rates, reporting_currency: str, *, first_run: bool
) -> pa.Table:
    """Adds the last run's tier, its opening, and the opening at present rates.

    The opening of a customer who was not there is nothing; on a first run it is not known.
    """
    place = pc.index_in(measured["customer"], before["customer"].combine_chunks())
    was_there = pc.is_valid(place)
    old = {name: before[name].take(place) for name in before.column_names if name != "customer"}
    old_known = _last_known(before).take(place)
    opening = pc.if_else(was_there, old_known, None if first_run else 0)
    moved_currency = pc.fill_null(pc.not_equal(old["reporting_currency"], reporting_currency), False)
    changed = pc.fill_null(pc.not_equal(old["amounts"], measured["amounts"]), False)
    some = pc.fill_null(pc.not_equal(opening, 0), False)
    again = pc.or_(pc.and_(some, pc.or_(changed, pc.invert(measured["complete"]))), moved_currency).to_numpy()
    revalued = pc.if_else(some, measured["mrr_minor"], opening)
    if again.any():
        anew = [
            value(read_amounts(text), rates, reporting_currency)
            for text in old["amounts"].filter(again).to_pylist()
        ]
        revalued = pc.replace_with_mask(revalued.combine_chunks(), again, pa.array(anew, pa.int64()))
    opening = pc.if_else(moved_currency, revalued, opening)
    unknown = pc.fill_null(pc.equal(old["tier"], "unknown"), False)
    return (
        measured.append_column("opening_minor", opening)
        .append_column("revalued", revalued)
        .append_column("old_tier", old["tier"])
        .append_column("old_previous", old["previous_tier"])
        .append_column("old_since", old["since"])
        .append_column("last_tier", pc.if_else(unknown, old["previous_tier"], old["tier"]))
        .append_column("old_amounts", old["amounts"])
    )


def _last_months(months: nw.LazyFrame[Any]) -> pa.Table:
    """The MRR of each customer in the last month that had any, by currency."""
    column = nw.col
    some = months.filter(column("mrr_minor") > 0).select("customer", "month", "currency", "mrr_minor")
    latest = some.group_by("customer").agg(column("month").max().alias("last"))
    return rows(some.join(latest, on="customer", how="left").filter(column("month") == column("last")))


def _with_history(
    measured: pa.Table, months: pa.Table, rates: Rates, reporting_currency: str, bounds: _Bounds
) -> pa.Table:
    """Fills `last_tier` of those without revenue whom no run has seen, at present rates."""
    places = pc.index_in(months["customer"], measured["customer"].combine_chunks())
    months = months.filter(pc.is_valid(places))
    sums = sums_by_group(
        places.drop_null().to_numpy().astype(np.int64),
        measured.num_rows,
        months["currency"].combine_chunks(),
        months["mrr_minor"].cast(pa.string()).combine_chunks(),
        rates=rates,
        reporting_currency=reporting_currency,
    )
    mrr = pa.array(sums.minor, mask=~(sums.known & (sums.count > 0)))
    was = beside(None, pa.table({"mrr": mrr})).select(tier=tier_of(nw.col("mrr"), nw.lit(""), bounds))
    tier = rows(was)["tier"]
    fresh = pc.and_(pc.is_null(measured["old_tier"]), pc.equal(measured["mrr_minor"], 0))
    known = pc.and_(pc.fill_null(fresh, False), pc.is_valid(mrr))
    column = pc.if_else(known, tier, measured["last_tier"])
    return measured.set_column(measured.column_names.index("last_tier"), "last_tier", column)


def _rows(measured: pa.Table, bounds: _Bounds, reporting_currency: str, *, now: int) -> pa.Table:
    column = nw.col
    frame = beside(None, measured).with_columns(tier=tier_of(column("mrr_minor"), column("last_tier"), bounds))
    stays = (column("tier") == column("old_tier")).fill_null(False)
    returns = ~column("old_previous").fill_null("none").is_in(["none", "unknown"])
    frame = frame.with_columns(
        movement=movement_kind(
            opening=column("opening_minor"),
            revalued=column("revalued"),
            closing=column("mrr_minor"),
            returns=returns,
        ),
        movement_minor=column("mrr_minor") - column("revalued"),
        fx_minor=nw.when(~column("mrr_minor").is_null()).then(column("revalued") - column("opening_minor")),
        since=nw.when(stays).then(column("old_since")).otherwise(nw.lit(now)),
        previous_tier=nw.when(stays).then(column("old_previous")).otherwise(column("last_tier")),
        amounts=nw.when(column("complete")).then(column("amounts")).otherwise(column("old_amounts").fill_null("")),
        reporting_currency=nw.lit(reporting_currency),
        as_of=nw.lit(now),
    )
    return to_table(frame, SEGMENT_TABLES["mrr_tiers"])
