"""Which country a customer belongs to, what says so, and how sure that is.

Here: evidence in order of precedence, agreement of independent sources, confidence. Not here: tax, as this is a
market of language and price, so a billing address goes before a parcel's destination. A currency never stands for
a country. Precedence and sources: https://docs.stripe.com/tax/customer-locations, bent to markets; two independent
pieces of evidence are what EU VAT asks for (Regulation 282/2011, art. 24f).
"""

from collections import defaultdict
from typing import Any, Final

import narwhals as nw
import pyarrow as pa

from segments.frames import beside, frames, latest_of, to_table
from segments.regions import ALIASES, UNKNOWN, regions
from segments.tables import SEGMENT_TABLES

__all__ = ["EVIDENCE", "NO_CURRENCY", "cleaned", "customer_markets"]

NO_CURRENCY: Final = "none"
"""Currency of customers who never paid and have none set."""

EVIDENCE: Final = (
    ("tax_location", "address"),
    ("billing_address", "address"),
    ("charge_billing", "payment"),
    ("method_billing", "payment"),
    ("shipping", "shipping"),
    ("tax_id", "tax_id"),
    ("card", "card"),
    ("tax_ip", "ip"),
)
"""Evidence in order of precedence, and the source that it goes back to; agreement counts sources, not evidence.

Stripe Tax says what its location rests on, so it counts with that source.
"""

_TAX_SOURCES: Final = {
    "billing_address": "address",
    "shipping_destination": "shipping",
    "payment_method": "payment",
}
_WEAK: Final = ("card", "tax_ip")


def customer_markets(customers: Any, charges: Any, payment_methods: Any) -> pa.Table:
    """The table `customer_markets`. Lazy on every engine.

    Confidence: `high` when two independent sources name the country, `low` when a card's issuer or an IP address
    alone does, `medium` otherwise, `none` when nothing does. Codes that are no country count as no evidence.
    """
    sources = frames(customers=customers, charges=charges, payment_methods=payment_methods)
    evidence = _evidence(sources)
    column = nw.col
    country = nw.coalesce(*(column(name) for name, _ in EVIDENCE))
    found = evidence.with_columns(country=country).with_columns(
        source=nw.coalesce(*(nw.when(~column(name).is_null()).then(nw.lit(name)) for name, _ in EVIDENCE)),
        agreement=_agreement(),
    )
    table = pa.table({"country": list(regions()), "region": list(regions().values())})
    weak = column("source").is_in(list(_WEAK))
    placed = found.join(beside(found, table), on="country", how="left").select(
        "customer",
        "agreement",
        country=column("country").fill_null(UNKNOWN),
        region=column("region").fill_null(UNKNOWN),
        currency=column("currency").fill_null(NO_CURRENCY),
        source=column("source").fill_null("none"),
        confidence=nw.when(column("country").is_null())
        .then(nw.lit("none"))
        .when(column("agreement") >= 2)
        .then(nw.lit("high"))
        .when(weak)
        .then(nw.lit("low"))
        .otherwise(nw.lit("medium")),
    )
    return to_table(placed, SEGMENT_TABLES["customer_markets"])


def _evidence(sources: dict[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
    """One column of valid country codes for each kind of evidence."""
    column = nw.col
    charges = sources["charges"].filter(~column("customer").is_null(), ~column("created").is_null())
    told = ("billing_country", "card_country", "currency")
    # First to the few different answers a customer's charges give, then to the latest of them.
    answers = (
        charges.with_columns(paid=column("paid").fill_null(False))
        .group_by("customer", "paid", *told)
        .agg(column("created").max())
        .select(
            "customer",
            "created",
            charge_billing=nw.when(column("paid")).then(column("billing_country")),
            charge_card=nw.when(column("paid")).then(column("card_country")),
            charge_currency=column("currency"),
        )
    )
    names = ("charge_billing", "charge_card", "charge_currency")
    latest = latest_of(answers, *names, by="customer", time="created")
    methods = sources["payment_methods"].select("id", method_billing="billing_country", method_card="card_country")
    people = sources["customers"].filter(~column("id").is_null())
    joined = people.join(methods, left_on="default_payment_method", right_on="id", how="left").join(
        latest, left_on="id", right_on="customer", how="left"
    )
    by_ip = column("tax_country_source") == "ip_address"
    told_by = joined.select(
        nw.coalesce(column("currency"), column("charge_currency")).alias("currency"),
        column("id").alias("customer"),
        column("tax_country_source").alias("tax_source"),
        nw.when(~by_ip.fill_null(False)).then(column("tax_country")).alias("tax_location"),
        column("country").alias("billing_address"),
        "charge_billing",
        "method_billing",
        column("shipping_country").alias("shipping"),
        column("tax_id_country").alias("tax_id"),
        nw.coalesce(column("charge_card"), column("method_card")).alias("card"),
        nw.when(by_ip).then(column("tax_country")).alias("tax_ip"),
    )
    return cleaned(told_by, *(name for name, _ in EVIDENCE))


def cleaned(frame: nw.LazyFrame[Any], *names: str) -> nw.LazyFrame[Any]:
    """Columns of country codes in their usual spelling, null where there is no such country.

    A join with the few codes, as engines search a list of literals from its start for every row.
    """
    known = {code: code for code in regions()} | ALIASES
    codes = beside(frame, pa.table({"written": list(known), "country": list(known.values())}))
    column = nw.col
    kept = [name for name in frame.collect_schema().names() if name not in names]
    # All spellings in one step and all names in the last: an engine plans each step, of few rows as of many.
    frame = frame.select(*kept, *(column(name).str.strip_chars().str.to_uppercase() for name in names))
    for name in names:
        found = codes.select("written", column("country").alias(f"_{name}"))
        frame = frame.join(found, left_on=name, right_on="written", how="left")
    return frame.select(*kept, *(column(f"_{name}").alias(name) for name in names))


def _agreement() -> nw.Expr:
    """How many independent sources name the country that won."""
    column = nw.col
    names: dict[str, list[nw.Expr]] = defaultdict(list)
    for name, source in EVIDENCE:
        if name != "tax_location":
            names[source].append((column(name) == column("country")).fill_null(False))
    tax = (column("tax_location") == column("country")).fill_null(False)
    stated = column("tax_source").fill_null("")
    for tax_source, source in _TAX_SOURCES.items():
        names[source].append(tax & (stated == tax_source))
    names["tax"] = [tax & ~stated.is_in(list(_TAX_SOURCES))]
    return nw.sum_horizontal(
        *(nw.any_horizontal(*tests, ignore_nulls=True).cast(nw.Int64) for tests in names.values())
    )
