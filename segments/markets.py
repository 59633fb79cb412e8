"""What each market pays, how and how well: by country and currency.

Here: payments, success, disputes, methods and cards of a market. Not here: which country a customer belongs to
(`segments.evidence`) and which markets may be described (`segments.release`). A payment is all charges of one
invoice, so retries count once; the dispute rate is by charge date, while activity is in `segments.disputes`.
"""

import json
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, Final

import narwhals as nw
import pyarrow as pa

from segments.disputed import NOT_DISPUTES
from segments.evidence import cleaned
from segments.frames import frames, rows, settled, to_table
from segments.rates import Rates, converted
from segments.regions import UNKNOWN, regions
from segments.tables import SEGMENT_TABLES
from segments.thresholds import MarketThresholds

__all__ = ["markets"]


def markets(
    charges: Any,
    disputes: Any,
    customer_markets: Any,
    *,
    rates: Rates,
    reporting_currency: str,
    as_of: datetime,
    thresholds: MarketThresholds | None = None,
) -> pa.Table:
    """The table `markets`: a row for each country and currency.

    Payments are those of the window before `as_of`. A charge belongs to its customer's country; one without a
    known customer to the country of its own billing details or card. Customers are counted in their own currency,
    so that each counts once. The reductions are lazy; shares and the reporting currency are added in Python to the
    few rows that remain.
    """
    window = (thresholds or MarketThresholds()).window_days
    sources = frames(charges=charges, disputes=disputes, customer_markets=customer_markets)
    column = nw.col
    now = int(as_of.timestamp())
    since = int((as_of - timedelta(days=window)).timestamp())
    people = sources["customer_markets"]
    recent = sources["charges"].filter(
        column("created") > since, column("created") <= now, ~column("currency").is_null()
    )
    placed = _placed(recent, people)
    disputed = (
        sources["disputes"]
        .filter(~column("status").fill_null("").is_in(list(NOT_DISPUTES)), ~column("charge").is_null())
        .select("charge")
        .unique()
    ).with_columns(disputed=nw.lit(1))
    paid = settled(
        _paid_by(placed.filter(column("paid")).join(disputed, left_on="id", right_on="charge", how="left"))
    )
    parts = [
        _customers(people),
        _attempts(placed),
        _paid(paid),
        _largest(paid),
    ]
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for part in parts:
        for row in rows(part).to_pylist():
            found[row["country"], row["currency"]].update(row)
    mixes = _mixes(paid)
    known = regions()
    output = []
    for (country, currency), row in found.items():
        minor = row.get("paid_minor", 0)
        members = row.get("customers", 0)
        by_method, by_brand = mixes.get((country, currency), ({}, {}))
        output.append(
            {
                "country": country,
                "region": known.get(country, UNKNOWN),
                "currency": currency,
                "customers": members,
                "paying_customers": row.get("paying_customers", 0),
                "paid_charges": row.get("paid_charges", 0),
                "paid_minor": minor,
                "paid_reporting_minor": 0
                if minor == 0
                else converted(minor, currency, rates=rates, reporting_currency=reporting_currency),
                "reporting_currency": reporting_currency,
                "attempted": row.get("attempted", 0),
                "succeeded": row.get("succeeded", 0),
                "success_rate": _share(row.get("succeeded", 0), row.get("attempted", 0)),
                "dispute_rate": _share(row.get("disputed_charges", 0), row.get("paid_charges", 0)),
                "method_mix": _mix(by_method),
                "card_mix": _mix(by_brand),
                "largest_paid_minor": row.get("largest_paid_minor"),
                "second_paid_minor": row.get("second_paid_minor"),
                "high_confidence_share": _share(row.get("sure", 0), members),
                "low_confidence_share": _share(row.get("unsure", 0), members),
                "as_of": as_of,
            }
        )
    schema = SEGMENT_TABLES["markets"]
    return to_table(pa.Table.from_pylist(output, schema=schema), schema)


def _placed(charges: nw.LazyFrame[Any], people: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Charges with their country."""
    column = nw.col
    joined = cleaned(
        charges.join(people.select("customer", customer_country="country"), on="customer", how="left"),
        "billing_country",
        "card_country",
    )
    own = nw.coalesce(column("billing_country"), column("card_country"))
    return joined.select(
        "id",
        "customer",
        "currency",
        "method_type",
        "card_brand",
        country=nw.coalesce(column("customer_country"), own).fill_null(UNKNOWN),
        paid=column("paid").fill_null(False),
        pending=(column("status") == "pending").fill_null(False),
        payment=nw.coalesce(column("invoice"), column("payment_intent"), column("id")),
        kept=nw.coalesce(column("amount_captured"), column("amount")).fill_null(0)
        - column("amount_refunded").fill_null(0),
    )


_MARKET: Final = ("country", "currency")


def _customers(people: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    confidence = nw.col("confidence")
    flagged = people.with_columns(
        sure=(confidence == "high").cast(nw.Int64), unsure=(confidence == "low").cast(nw.Int64)
    )
    return flagged.group_by(*_MARKET).agg(
        nw.len().alias("customers"), nw.col("sure").sum(), nw.col("unsure").sum()
    )


def _attempts(charges: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Payments tried and paid: all charges of one invoice are one payment, so retries count once."""
    column = nw.col
    payments = (
        charges.filter(~column("pending"))
        .with_columns(succeeded=column("paid").cast(nw.Int64))
        .group_by(*_MARKET, "payment")
        .agg(column("succeeded").max())
    )
    return payments.group_by(*_MARKET).agg(nw.len().alias("attempted"), column("succeeded").sum())


def _paid_by(paid: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Paid charges by market, customer and way of paying."""
    return (
        paid.with_columns(disputed=nw.col("disputed").fill_null(0))
        .group_by(*_MARKET, "customer", "method_type", "card_brand")
        .agg(nw.len().alias("charges"), nw.col("kept").sum(), nw.col("disputed").sum())
    )


def _paid(paid: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    column = nw.col
    by_customer = (
        paid.group_by(*_MARKET, "customer")
        .agg(column("charges").sum(), column("kept").sum(), column("disputed").sum())
        .with_columns(known=(~column("customer").is_null()).cast(nw.Int64))
    )
    return by_customer.group_by(*_MARKET).agg(
        column("charges").sum().alias("paid_charges"),
        column("kept").sum().alias("paid_minor"),
        column("disputed").sum().alias("disputed_charges"),
        column("known").sum().alias("paying_customers"),
    )


def _largest(paid: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """What the two customers of a market paid who paid most; charges without a customer count as one."""
    column = nw.col
    ranked = settled(paid.group_by(*_MARKET, "customer").agg(column("kept").sum())).with_columns(
        place=column("kept").rank("ordinal", descending=True).over(*_MARKET)
    )
    two = ranked.filter(column("place") <= 2).with_columns(
        first=nw.when(column("place") == 1).then(column("kept")),
        second=nw.when(column("place") == 2).then(column("kept")),
    )
    return two.group_by(*_MARKET).agg(
        column("first").max().alias("largest_paid_minor"), column("second").max().alias("second_paid_minor")
    )


def _mixes(paid: nw.LazyFrame[Any]) -> dict[tuple[str, str], tuple[dict[str, int], dict[str, int]]]:
    """Paid charges of each market by method and by card brand."""
    counted = rows(paid.group_by(*_MARKET, "method_type", "card_brand").agg(nw.col("charges").sum()))
    found: dict[tuple[str, str], tuple[dict[str, int], dict[str, int]]] = {}
    for row in counted.to_pylist():
        methods, brands = found.setdefault((row["country"], row["currency"]), ({}, {}))
        method = row["method_type"] or UNKNOWN
        methods[method] = methods.get(method, 0) + row["charges"]
        if method == "card":
            brand = row["card_brand"] or UNKNOWN
            brands[brand] = brands.get(brand, 0) + row["charges"]
    return found


def _mix(counts: dict[str, int]) -> str | None:
    """Shares to four decimals as JSON, the largest first."""
    total = sum(counts.values())
    if not total:
        return None
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return json.dumps({name: round(count / total, 4) for name, count in ordered})


def _share(part: int, of: int) -> float | None:
    return part / of if of else None
