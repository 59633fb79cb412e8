"""Disputes by reason, product, month and currency: how many, how they end, how they compare with payments.

Here: counting, win rate, dispute activity with its interval, which reasons better copy can help. Not here: open
disputes as a sign of risk (`segments.signals`) and what may leave (`segments.release`). Activity is disputes by
the month of the dispute over payments of that month, the measure of the card networks; a rate by charge date is
in `markets` (https://docs.stripe.com/disputes/measuring). Inquiries and prevented disputes are no disputes.
"""

from datetime import datetime
from typing import Any, Final

import narwhals as nw
import pyarrow as pa

from segments.disputed import INQUIRIES, NOT_DISPUTES, disputed_charges
from segments.frames import first_of, frames, month_of, rows, settled, to_table, with_months
from segments.intervals import wilson
from segments.tables import SEGMENT_TABLES
from segments.thresholds import DisputeThresholds

__all__ = ["COPY_FIXABLE", "COUNTERFEIT_CODES", "disputers", "disputes_by_reason"]

COPY_FIXABLE: Final = frozenset(
    {
        "product_unacceptable",
        "subscription_canceled",
        "unrecognized",
        "credit_not_processed",
        "product_not_received",
        "duplicate",
    }
)
"""Reasons that clearer copy can prevent; the others are fraud, network or bank matters
(https://docs.stripe.com/disputes/categories)."""

COUNTERFEIT_CODES: Final = ("13.4",)
"""Visa's counterfeit goods are also `product_unacceptable`; no copy helps there."""

_KEY: Final = ("reason", "product", "month", "currency")
_UNKNOWN: Final = "unknown"


def disputes_by_reason(
    disputes: Any,
    charges: Any,
    invoice_lines: Any,
    *,
    as_of: datetime,
    thresholds: DisputeThresholds | None = None,
) -> pa.Table:
    """The table `disputes_by_reason`.

    The product of a payment is that of the invoice's largest line; without an invoice it is `unknown`. Reductions
    are lazy; rates and intervals are added in Python to the few rows that remain.
    """
    limits = thresholds or DisputeThresholds()
    sources = frames(disputes=disputes, charges=charges, invoice_lines=invoice_lines)
    products = settled(_products(sources["invoice_lines"]))
    counted = rows(_counts(_behind(sources, products)))
    months = counted.column("month").unique().to_pylist()
    payments = _payments(sources["charges"], products, months) if months else {}
    output = []
    for row in counted.to_pylist():
        number, decided = row["disputes"], row["won"] + row["lost"]
        paid = payments.get((row["product"], row["month"], row["currency"]), 0)
        bounds = wilson(number, paid, confidence=limits.confidence) or (None, None)
        output.append(
            {
                **row,
                "win_rate": row["won"] / decided if decided else None,
                "payments": paid,
                "activity": number / paid if paid else None,
                "activity_low": bounds[0],
                "activity_high": bounds[1],
                "small_number": number < limits.small_number,
                "copy_fixable": row["copy_fixable_disputes"] > 0,
            }
        )
    return _table(output, as_of)


def disputers(disputes: Any, charges: Any, invoice_lines: Any, *, as_of: datetime, months: int) -> pa.Table:
    """Customers behind the disputes that copy can help with: reason, product, customer, each once.

    Of the last `months` months, that of `as_of` among them. Lazy on every engine.
    """
    sources = frames(disputes=disputes, charges=charges, invoice_lines=invoice_lines)
    column = nw.col
    found = _behind(sources, settled(_products(sources["invoice_lines"]))).filter(
        column("month") > month_of(as_of) - months,
        ~column("status").fill_null("").is_in(list(NOT_DISPUTES)),
        _fixable(),
        ~column("customer").is_null(),
    )
    return rows(found.select("reason", "product", "customer").unique())


def _behind(sources: dict[str, nw.LazyFrame[Any]], products: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Disputes with their month and the customer and product behind them."""
    column = nw.col
    happened = sources["disputes"].filter(~column("created").is_null(), ~column("currency").is_null())
    behind = disputed_charges(happened, sources["charges"]).join(
        products, left_on="invoice", right_on="product_invoice", how="left"
    )
    return with_months(behind, month="created").with_columns(
        reason=column("reason").fill_null(_UNKNOWN), product=column("product").fill_null(_UNKNOWN)
    )


def _fixable() -> nw.Expr:
    counterfeit = nw.col("network_reason_code").fill_null("").is_in(list(COUNTERFEIT_CODES))
    return nw.col("reason").is_in(sorted(COPY_FIXABLE)) & ~counterfeit


def _products(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The product of each invoice: that of its largest line, the first by name among equals."""
    column = nw.col
    named = lines.filter(~column("invoice").is_null(), ~column("product").is_null()).with_columns(
        # Descending by amount, then ascending by name: the first in one ascending order.
        below=-column("amount").fill_null(0)
    )
    largest = first_of(named, "product", order=["below", "product"])
    return named.group_by("invoice").agg(largest).rename({"invoice": "product_invoice"})


def _counts(disputes: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    column = nw.col
    status = column("status").fill_null("")
    counts = ~status.is_in(list(NOT_DISPUTES))
    evidence = column("has_evidence").fill_null(False) | (column("submission_count").fill_null(0) > 0)
    flags = {
        "disputes": counts,
        "inquiries": status.is_in(list(INQUIRIES)),
        "won": status == "won",
        "lost": status == "lost",
        "uncontested": (status == "lost") & ~evidence,
        "open": counts & ~status.is_in(["won", "lost"]),
        "copy_fixable_disputes": counts & _fixable(),
    }
    flagged = disputes.with_columns(
        counted_amount=nw.when(counts).then(column("amount").fill_null(0)).otherwise(0),
        disputer=nw.when(counts).then(column("customer")),
        **{name: flag.cast(nw.Int64) for name, flag in flags.items()},
    )
    by_customer = flagged.group_by(*_KEY, "disputer").agg(
        *(column(name).sum() for name in flags), column("counted_amount").sum()
    )
    return (
        by_customer.with_columns(known=(~column("disputer").is_null()).cast(nw.Int64))
        .group_by(*_KEY)
        .agg(
            *(column(name).sum() for name in flags),
            column("known").sum().alias("customers"),
            column("counted_amount").sum().alias("amount_minor"),
        )
    )


def _payments(
    charges: nw.LazyFrame[Any], products: nw.LazyFrame[Any], months: list[int]
) -> dict[tuple[str, int, str], int]:
    """Paid charges by product, month and currency, in the months that have disputes."""
    column = nw.col
    paid = with_months(
        charges.filter(column("paid").fill_null(False), ~column("created").is_null()), month="created"
    ).filter(column("month").is_in(months))
    named = paid.join(products, left_on="invoice", right_on="product_invoice", how="left").with_columns(
        product=column("product").fill_null(_UNKNOWN)
    )
    found = rows(named.group_by("product", "month", "currency").agg(nw.len().alias("payments")))
    return {(row["product"], row["month"], row["currency"]): row["payments"] for row in found.to_pylist()}


def _table(output: list[dict[str, Any]], as_of: datetime) -> pa.Table:
    schema = SEGMENT_TABLES["disputes_by_reason"]
    names = [name for name in schema.names if name != "as_of"]
    types = {name: pa.int64() if name == "month" else schema.field(name).type for name in names}
    arrays = {name: pa.array([row[name] for row in output], types[name]) for name in names}
    arrays["as_of"] = pa.repeat(pa.scalar(as_of, schema.field("as_of").type), len(output))
    return to_table(pa.table(arrays), schema, months=("month",))
