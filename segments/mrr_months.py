"""MRR of each customer at each past month's end, from the service periods of invoice lines.

Here: which lines count, what a line is worth a month, which month ends it covers. Not here: today's MRR
(`segments.mrr` reads subscriptions) and growth (`segments.growth`). Invoice totals would not do: they hold annual
lumps, prorations, credit and tax. ChartMogul reads invoices too
(https://help.chartmogul.com/hc/en-us/articles/360003422980); as there, an open invoice counts like a paid one.
"""

import json
from datetime import datetime
from typing import Any, Final

import narwhals as nw
import pyarrow as pa

from segments.frames import (
    DAY,
    beside,
    divide_half_up,
    frames,
    month_of,
    next_of,
    rows,
    to_table,
    whole,
    with_months,
)
from segments.shares import with_share
from segments.tables import SEGMENT_TABLES

__all__ = ["customer_mrr_months"]

_LONGEST_MONTHS: Final = 60
"""Longest service period that is spread; Stripe's longest interval is three years."""


def customer_mrr_months(
    invoice_lines: Any,
    invoices: Any,
    *,
    subscription_items: Any = None,
    prices: Any = None,
    subscriptions: Any = None,
    as_of: datetime,
) -> pa.Table:
    """The table `customer_mrr_months`, up to the last month end before `as_of`.

    Lines of paid and open invoices count when they belong to a subscription, are no proration and cover a
    period. `subscription_items` and `prices` say which prices are metered or one-off; those are left out. A line
    ends early where the next one of its item begins, or with its subscription, which `subscriptions` tells.
    A line is rounded once, to the nearest minor unit of its monthly value. Lazy on every engine.
    """
    sources = frames(
        invoice_lines=invoice_lines,
        invoices=invoices,
        subscription_items=subscription_items,
        prices=prices,
        subscriptions=subscriptions,
    )
    lines = _monthly(_recurring(sources))
    covered = _spread(lines, last=month_of(as_of) - 1)
    months = covered.group_by("customer", "month", "currency").agg(
        nw.col("mrr_minor").sum(), nw.col("mrr_list_minor").sum()
    )
    return to_table(months, SEGMENT_TABLES["customer_mrr_months"], months=("month",))


def _recurring(sources: dict[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
    """Lines that carry recurring revenue, with their net and list amounts."""
    column = nw.col
    counted = sources["invoices"].filter(column("status").is_in(["paid", "open"])).select("id", "customer")
    excluded = rows(
        sources["subscription_items"].filter(column("usage_type") == "metered").select("price").unique()
    )
    priced = rows(sources["prices"].select("id", "type", "billing"))
    uncounted = {name for name in excluded.column("price").to_pylist() if name is not None} | _uncounted(priced)
    ended = sources["subscriptions"].filter(~column("ended_at").is_null()).select("ended_at", ended="id")
    lines = sources["invoice_lines"].filter(
        ~column("subscription").is_null(),
        ~column("proration").fill_null(False),
        ~column("currency").is_null(),
        column("period_end") > column("period_start"),
    )
    if uncounted:
        lines = lines.filter(~column("price").fill_null("").is_in(sorted(uncounted)))
    return (
        lines.rename({"customer": "line_customer"})
        .join(counted, left_on="invoice", right_on="id", how="inner")
        .join(ended, left_on="subscription", right_on="ended", how="left")
        .select(
            "currency",
            "ended_at",
            "period_start",
            "period_end",
            item=nw.coalesce(column("subscription_item"), column("id")),
            customer=nw.coalesce(column("customer"), column("line_customer")),
            amount=column("amount").fill_null(0),
            discount=column("discount_amount").fill_null(0),
            tax=column("inclusive_tax_amount").fill_null(0),
        )
        .filter(~column("customer").is_null())
    )


def _uncounted(priced: pa.Table) -> set[str]:
    """Prices that are one-off or metered."""
    found: set[str] = set()
    for price, kind, billing in zip(
        *(priced.column(name).to_pylist() for name in priced.column_names), strict=True
    ):
        if price is not None and (
            kind == "one_time" or (billing and "metered" in billing and _is_metered(billing))
        ):
            found.add(price)
    return found


def _is_metered(billing: str) -> bool:
    try:
        price = json.loads(billing)
    except (ValueError, RecursionError):
        return False
    recurring = price.get("recurring") if isinstance(price, dict) else None
    return isinstance(recurring, dict) and recurring.get("usage_type") == "metered"


def _monthly(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The value of a line a month, by the length of its period.

    From four weeks on a period is the nearest number of months; shorter ones are whole weeks (52 a year) or days
    (365 a year), the factors of the revenue rules.
    """
    column = nw.col
    days = whole(column("period_end") - column("period_start") + DAY // 2, DAY)
    lines = with_months(_without_tax(_with_end(lines)), first="period_start", until="end")
    lines = lines.with_columns(days=nw.when(days < 1).then(1).otherwise(days)).with_columns(
        months=whole(column("days") * 12 + 182, 365)
    )
    days_a_year = nw.when(whole(column("days"), 7) * 7 == column("days")).then(364).otherwise(365)
    lines = lines.with_columns(
        numerator=nw.when(column("days") >= 28).then(1).otherwise(days_a_year),
        denominator=nw.when(column("days") >= 28).then(column("months")).otherwise(column("days") * 12),
    )
    return lines.select(
        "customer",
        "currency",
        "first",
        count=column("until") - column("first"),
        mrr_minor=divide_half_up(column("net") * column("numerator"), column("denominator")),
        mrr_list_minor=divide_half_up(column("list") * column("numerator"), column("denominator")),
    )


def _with_end(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Adds `end`: that of a line's period, or of its subscription, or where a later line of its item begins.

    Then the plan was changed or its anchor moved; what was paid for the rest came back as a proration.
    """
    lines = next_of(lines, "period_start", within="item", name="later")
    return lines.with_columns(end=nw.min_horizontal("period_end", "later", "ended_at"))


def _without_tax(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """What a line billed and what its list amount is, both without inclusive tax: `net` and `list`.

    The list amount loses the share of tax in what was billed, rounded down. A tax that is not within what was
    billed says nothing, as in today's MRR.
    """
    column = nw.col
    lines = lines.with_columns(billed=column("amount") - column("discount"))
    sign = nw.when(column("billed") < 0).then(-1).otherwise(1)
    # Nothing is divided by it where nothing was billed: there the list amount is its own.
    size = nw.when(column("billed") == 0).then(1).otherwise(column("billed") * sign)
    lines = lines.with_columns(sign=sign, size=size, tax=column("tax") * sign)
    taxed = (column("tax") > 0) & (column("tax") < column("size"))
    lines = lines.with_columns(kept=nw.when(taxed).then(column("size") - column("tax")).otherwise(column("size")))
    return with_share(lines, "list", of="amount", part="kept", whole="size").with_columns(
        net=nw.when(column("billed") == 0).then(0).otherwise(column("kept") * column("sign"))
    )


def _spread(lines: nw.LazyFrame[Any], *, last: int) -> nw.LazyFrame[Any]:
    """A row for each month end that a line's period reaches.

    A period that ends where the next one starts covers the month end before, so renewals never count twice.
    """
    steps = [(count, step) for count in range(1, _LONGEST_MONTHS + 1) for step in range(count)]
    table = pa.table(
        {
            "count": pa.array([count for count, _ in steps], pa.int64()),
            "step": pa.array([step for _, step in steps], pa.int64()),
        }
    )
    return (
        lines.filter(nw.col("mrr_list_minor") != 0)
        .join(beside(lines, table), on="count", how="inner")
        .with_columns(month=nw.col("first") + nw.col("step"))
        .filter(nw.col("month") <= last)
    )
