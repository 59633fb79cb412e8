"""One row for each segment and day: how many customers it had and what they were worth.

Here: the rows of a day from the other segment tables, put in place of rows that the same day already had. Not
here: what a chart makes of them. Rows of earlier days are never touched, so a threshold that changes later does
not rewrite history.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc

from segments.disputed import NOT_DISPUTES, disputed_charges
from segments.frames import frames, rows, settled, to_table
from segments.tables import SEGMENT_TABLES

__all__ = ["DISPUTE_DAYS", "segment_history"]

DISPUTE_DAYS: Final = 365
"""Customers count to a dispute reason for a year."""


def segment_history(
    mrr_tiers: Any,
    churn_risk: Any,
    customer_markets: Any,
    growth: Any = None,
    disputes: Any = None,
    charges: Any = None,
    *,
    previous: pa.Table | None = None,
    reporting_currency: str,
    as_of: datetime,
) -> pa.Table:
    """The table `segment_history`: the rows of `previous` for other days, and those of today.

    Segments: the tier; the risk state; the country; `candidate` or `other` by growth; the dispute reason of the
    last year, where a customer may be in several. MRR that is unknown adds nothing.
    """
    sources = frames(
        mrr_tiers=mrr_tiers,
        churn_risk=churn_risk,
        customer_markets=customer_markets,
        growth=growth,
        disputes=disputes,
        charges=charges,
    )
    column = nw.col
    worth = settled(sources["mrr_tiers"].select("customer", "tier", mrr=column("mrr_minor").fill_null(0)))
    families = {
        "tier": worth.select("customer", segment="tier"),
        "risk": sources["churn_risk"].select("customer", segment="state"),
        "market": sources["customer_markets"].select("customer", segment="country"),
        "growth": sources["growth"].select(
            "customer",
            segment=nw.when(column("candidate")).then(nw.lit("candidate")).otherwise(nw.lit("other")),
        ),
        "dispute": _disputers(sources, as_of),
    }
    parts = []
    for family, members in families.items():
        counted = rows(
            members.join(worth.select("customer", "mrr"), on="customer", how="left")
            .with_columns(mrr=column("mrr").fill_null(0))
            .group_by("segment")
            .agg(nw.len().alias("customers"), column("mrr").sum().alias("mrr_minor"))
        )
        parts.append(counted.append_column("family", pa.repeat(family, counted.num_rows).cast(pa.string())))
    schema = SEGMENT_TABLES["segment_history"]
    today = pa.concat_tables([part.select(["family", "segment", "customers", "mrr_minor"]) for part in parts])
    day = pa.scalar(as_of.date(), pa.date32())
    fresh = today.append_column("day", pa.repeat(day, today.num_rows)).append_column(
        "reporting_currency", pa.repeat(reporting_currency, today.num_rows)
    )
    fresh = to_table(fresh, schema)
    if previous is None:
        return fresh
    kept = previous.select(schema.names).cast(schema).filter(pc.not_equal(previous.column("day"), day))
    return to_table(pa.concat_tables([kept, fresh]), schema)


def _disputers(sources: dict[str, nw.LazyFrame[Any]], as_of: datetime) -> nw.LazyFrame[Any]:
    """Each customer once for each reason of a dispute in the window."""
    column = nw.col
    since = int((as_of - timedelta(days=DISPUTE_DAYS)).timestamp())
    recent = (
        sources["disputes"]
        .filter(~column("status").fill_null("").is_in(list(NOT_DISPUTES)), column("created") > since)
        .select("charge", "payment_intent", segment=column("reason").fill_null("unknown"))
    )
    found = disputed_charges(recent, sources["charges"]).filter(~column("customer").is_null())
    return found.select("customer", "segment").unique()
