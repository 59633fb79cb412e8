"""What changed in MRR between two times, so that opening, movements and exchange effect always give closing.

Here: the classification of a change, the totals of a waterfall, and movements by month. Not here: the MRR
itself. A rate change is never expansion: the opening amounts are valued at the new rates first, the difference
that this makes is `fx`, and only the rest is a movement. The kinds are those of Stripe's own report
(https://docs.stripe.com/billing/subscriptions/analytics), FX adjustment as the sixth.
"""

from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc

from segments.frames import beside, divide_half_up, frames, month_of, rows, to_table
from segments.rates import MonthlyRates
from segments.tables import SEGMENT_TABLES

__all__ = ["KINDS", "Waterfall", "movement_kind", "mrr_movements", "unrated", "valued", "waterfall"]

_LARGEST_DENOMINATOR: Final = 1_000_000
"""Rates are cut to fractions that cannot overflow 64 bits; the error is below a millionth of a millionth."""

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
    that lacks a rate in one of them is left out (`unrated` tells which). Lazy on every engine.
    """
    months = sorted(rates)
    column = nw.col
    amounts = frames(customer_mrr_months=customer_mrr_months)["customer_mrr_months"]
    first, last = month_of(months[0]), min(month_of(months[-1]), month_of(as_of) - 1)
    began = amounts.filter(column("mrr_minor") > 0).group_by("customer").agg(column("month").min().alias("began"))
    ends = valued(
        amounts.filter(column("month") >= first, column("month") <= last).rename({"mrr_minor": "amount"}),
        rates,
        reporting_currency,
    )
    # Each end closes its month and opens the next.
    steps = beside(ends, pa.table({"opens": pa.array([0, 1], pa.int64())}))
    opens = column("opens") == 1
    changes = (
        ends.join(steps, how="cross")
        .select(
            "customer",
            month=column("month") + column("opens"),
            opening_minor=nw.when(opens).then(column("minor")).otherwise(0),
            revalued=nw.when(opens).then(column("next_minor")).otherwise(0),
            closing_minor=nw.when(opens).then(0).otherwise(column("minor")),
        )
        .filter(column("month") > first, column("month") <= last)
        .group_by("customer", "month")
        .agg(column("opening_minor").sum(), column("revalued").sum(), column("closing_minor").sum())
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


def valued(amounts: nw.LazyFrame[Any], rates: MonthlyRates, reporting_currency: str) -> nw.LazyFrame[Any]:
    """Adds `minor`, the `amount` of a month's end in reporting minor units, and `next_minor`, the same at the
    rates of the next month's end (of the last month: at its own).

    Rows of other months, and of a currency that lacks a rate in one of them, are left out.
    """
    months, shared = sorted(rates), _shared(rates, reporting_currency)

    def rate(day: date, currency: str) -> Fraction:
        exact = Fraction(1) if currency == reporting_currency else rates[day][currency][0]
        return exact.limit_denominator(_LARGEST_DENOMINATOR)

    pairs = [
        (month, currency, rate(month, currency), rate(following, currency))
        for month, following in zip(months, [*months[1:], months[-1]], strict=True)
        for currency in sorted(shared)
    ]
    table = pa.table(
        {
            "currency": pa.array([currency for _, currency, _, _ in pairs], pa.string()),
            "month": pa.array([month_of(month) for month, _, _, _ in pairs], pa.int64()),
            "numerator": pa.array([now.numerator for _, _, now, _ in pairs], pa.int64()),
            "denominator": pa.array([now.denominator for _, _, now, _ in pairs], pa.int64()),
            "next_numerator": pa.array([later.numerator for _, _, _, later in pairs], pa.int64()),
            "next_denominator": pa.array([later.denominator for _, _, _, later in pairs], pa.int64()),
        }
    )
    rated = amounts.join(beside(amounts, table), on=["currency", "month"], how="inner")
    return _times(_times(rated, "minor", "numerator", "denominator"), "next_minor", *table.column_names[-2:])


def unrated(
    customer_mrr_months: Any, *, rates: MonthlyRates, reporting_currency: str, as_of: datetime
) -> dict[str, int]:
    """Currencies whose amounts are left out of the months of `rates`, and how many customers have some in each."""
    column = nw.col
    amounts = frames(customer_mrr_months=customer_mrr_months)["customer_mrr_months"]
    last = min(month_of(max(rates)), month_of(as_of) - 1)
    left_out = amounts.filter(
        column("month").is_between(month_of(min(rates)), last),
        ~column("currency").is_in(sorted(_shared(rates, reporting_currency))),
    )
    counts = rows(left_out.group_by("currency").agg(column("customer").n_unique())).to_pylist()
    return {row["currency"]: row["customer"] for row in sorted(counts, key=lambda row: str(row["currency"]))}


def _shared(rates: MonthlyRates, reporting_currency: str) -> set[str]:
    """Currencies with a rate at every month's end."""
    return set.intersection(*(set(of_month) for of_month in rates.values())) | {reporting_currency}


def _times(frame: nw.LazyFrame[Any], target: str, top: str, bottom: str) -> nw.LazyFrame[Any]:
    """`target` = `amount` times the rate, rounded once; whole multiples of the denominator apart from the rest.

    The multiples need not be exact, as the rest makes up for them; so a quick quotient will do.
    """
    column = nw.col
    numerator, denominator = column(top), column(bottom)
    frame = frame.with_columns(_whole=(column("amount") / denominator).floor().cast(nw.Int64))
    frame = frame.with_columns(_rest=(column("amount") - column("_whole") * denominator) * numerator)
    frame = frame.with_columns(_part=divide_half_up(column("_rest"), denominator))
    return frame.with_columns((column("_whole") * numerator + column("_part")).alias(target)).drop(
        "_whole", "_rest", "_part"
    )
