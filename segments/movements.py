"""What changed in MRR between two times, so that opening, movements and exchange effect always give closing.

Here: the classification of a change, the totals of a waterfall, and movements by month. Not here: the MRR
itself. A rate change is never expansion: the opening amounts are valued at the new rates first, the difference
that this makes is `fx`, and only the rest is a movement. The kinds are those of Stripe's own report
(https://docs.stripe.com/billing/subscriptions/analytics), FX adjustment as the sixth.
"""

from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc

from segments.frames import beside, divide_half_up, frames, month_of, to_table
from segments.rates import MonthlyRates
from segments.tables import SEGMENT_TABLES

__all__ = ["KINDS", "Waterfall", "movement_kind", "mrr_movements", "valued", "waterfall"]

_LARGEST_DENOMINATOR: Final = 1_000_000
"""Rates are cut to fractions that cannot overflow 64 bits; the error is below a millionth of a millionth."""

_NOTHING: Final = nw.lit(0, nw.Int64)

KINDS: Final = ("new", "reactivation", "expansion", "contraction", "churn", "fx", "none")


def movement_kind(*, opening: nw.Expr, revalued: nw.Expr, closing: nw.Expr, returns: nw.Expr) -> nw.Expr:
    """The kind of the change from `opening` to `closing`, all in minor units of the reporting currency.

    `revalued` is the opening amount at the closing rates; `returns` says that there was revenue before the
    opening. The movement is closing - revalued and the exchange effect revalued - opening, so they always add
    up. Where an end is unknown no movement is claimed.
    """
    unknown = opening.is_null() | revalued.is_null() | closing.is_null()
    begins = (opening <= 0) & (closing > 0)
    return (
        nw.when(unknown)
        .then(nw.lit("none"))
        .when(begins & returns)
        .then(nw.lit("reactivation"))
        .when(begins)
        .then(nw.lit("new"))
        .when((opening > 0) & (closing <= 0))
        .then(nw.lit("churn"))
        .when(closing > revalued)
        .then(nw.lit("expansion"))
        .when(closing < revalued)
        .then(nw.lit("contraction"))
        .when(revalued != opening)
        .then(nw.lit("fx"))
        .otherwise(nw.lit("none"))
    )


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Sums over customers in minor units: `opening` + all `movements` + `fx` + `first_measured` = `closing`.

    `first_measured` is MRR of customers whose opening was never known: all of them on a first run. A customer
    whose MRR is unknown now stands with the amount last known.
    """

    opening: int
    movements: dict[str, int]
    fx: int
    first_measured: int
    closing: int

    @property
    def balanced(self) -> bool:
        """Whether the parts give the closing amount."""
        return self.opening + sum(self.movements.values()) + self.fx + self.first_measured == self.closing


def waterfall(tiers: pa.Table) -> Waterfall:
    """The totals of an `mrr_tiers` table."""

    def total(values: Any) -> int:
        return pc.sum(values).as_py() or 0

    opening, closing = tiers.column("opening_minor"), tiers.column("mrr_minor")
    movements = {
        kind: total(tiers.column("movement_minor").filter(pc.equal(tiers.column("movement"), kind)))
        for kind in KINDS
        if kind not in ("fx", "none")
    }
    return Waterfall(
        opening=total(opening),
        movements=movements,
        fx=total(tiers.column("fx_minor")),
        first_measured=total(closing.filter(pc.is_null(opening))),
        closing=total(pc.coalesce(closing, opening)),
    )


def mrr_movements(
    customer_mrr_months: Any,
    *,
    rates: MonthlyRates,
    reporting_currency: str,
    as_of: datetime,
) -> pa.Table:
    """The table `mrr_movements`: a row for each customer and month in which MRR or its value changed.

    It covers the months of `rates` (`segments.rates.rates_by_month`) after the first, which only opens. A currency
    that lacks a rate in one of them is left out. Lazy on every engine.
    """
    months = sorted(rates)
    column = nw.col
    amounts = frames(customer_mrr_months=customer_mrr_months)["customer_mrr_months"]
    first, last = _month(months[0]), min(_month(months[-1]), month_of(as_of) - 1)
    began = amounts.filter(column("mrr_minor") > 0).group_by("customer").agg(column("month").min().alias("began"))
    amounts = amounts.filter(column("month") >= first, column("month") <= last)
    closing = amounts.select("customer", "currency", "month", opening=_NOTHING, closing=column("mrr_minor"))
    opening = amounts.select(
        "customer", "currency", month=column("month") + 1, opening=column("mrr_minor"), closing=_NOTHING
    )
    both = (
        nw.concat([closing, opening], how="vertical")
        .filter(column("month") > first, column("month") <= last)
        .group_by("customer", "currency", "month")
        .agg(column("opening").sum(), column("closing").sum())
    )
    worth = valued(both, rates, reporting_currency)
    changes = worth.group_by("customer", "month").agg(
        column("opening_minor").sum(), column("revalued").sum(), column("closing_minor").sum()
    )
    named = changes.join(began, on="customer", how="left").with_columns(
        movement_minor=column("closing_minor") - column("revalued"),
        fx_minor=column("revalued") - column("opening_minor"),
        reporting_currency=nw.lit(reporting_currency),
    )
    kind = movement_kind(
        opening=column("opening_minor"),
        revalued=column("revalued"),
        closing=column("closing_minor"),
        returns=column("began") < column("month"),
    )
    moved = named.with_columns(movement=kind).filter(column("movement") != "none")
    return to_table(moved, SEGMENT_TABLES["mrr_movements"], months=("month",))


def _month(day: date) -> int:
    """The month of a day as frames count months."""
    return day.year * 12 + day.month - 1


def valued(amounts: nw.LazyFrame[Any], rates: MonthlyRates, reporting_currency: str) -> nw.LazyFrame[Any]:
    """Opening at its own rates and at those of the close, and closing, in reporting minor units.

    `amounts` has `currency`, `month`, `opening` and `closing`; rows of the first month of `rates`, and of a
    currency that lacks a rate in one of them, are left out.
    """
    months = sorted(rates)
    shared = set.intersection(*(set(rates[month]) for month in months)) | {reporting_currency}

    def rate(day: date, currency: str) -> Fraction:
        exact = Fraction(1) if currency == reporting_currency else rates[day][currency][0]
        return exact.limit_denominator(_LARGEST_DENOMINATOR)

    pairs = [(before, month, currency) for before, month in pairwise(months) for currency in sorted(shared)]
    old = [rate(before, currency) for before, _, currency in pairs]
    new = [rate(month, currency) for _, month, currency in pairs]
    table = pa.table(
        {
            "currency": pa.array([currency for _, _, currency in pairs], pa.string()),
            "month": pa.array([_month(month) for _, month, _ in pairs], pa.int64()),
            "old_numerator": pa.array([each.numerator for each in old], pa.int64()),
            "old_denominator": pa.array([each.denominator for each in old], pa.int64()),
            "new_numerator": pa.array([each.numerator for each in new], pa.int64()),
            "new_denominator": pa.array([each.denominator for each in new], pa.int64()),
        }
    )
    rated = amounts.join(beside(amounts, table), on=["currency", "month"], how="inner")
    for target, amount, which in (
        ("opening_minor", "opening", "old"),
        ("revalued", "opening", "new"),
        ("closing_minor", "closing", "new"),
    ):
        rated = _times(rated, target, amount, which)
    return rated


def _times(frame: nw.LazyFrame[Any], target: str, amount: str, rate: str) -> nw.LazyFrame[Any]:
    """`target` = `amount` times `rate`, rounded once; whole multiples of the denominator apart from the rest."""
    column = nw.col
    numerator, denominator = column(f"{rate}_numerator"), column(f"{rate}_denominator")
    frame = frame.with_columns(_whole=column(amount) // denominator)
    frame = frame.with_columns(_rest=(column(amount) - column("_whole") * denominator) * numerator)
    frame = frame.with_columns(_part=divide_half_up(column("_rest"), denominator))
    return frame.with_columns((column("_whole") * numerator + column("_part")).alias(target)).drop(
        "_whole", "_rest", "_part"
    )
