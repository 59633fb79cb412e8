"""The segment tables `segments/<table>`, declared once: types, nullability, key and meaning of each column.

Here: schemas. Not here: how the numbers come about (one module a segment). Minor units are integers of the
named currency; an exact amount is a fraction as text ("9900", "12500/3"); times are UTC; shares and rates are
between 0 and 1. The names are those that other readers of the lake rely on.
"""

from collections.abc import Iterable

import pyarrow as pa

__all__ = ["SEGMENT_TABLES", "TIMESTAMP"]

TIMESTAMP = pa.timestamp("us", tz="UTC")
_TEXT, _INT, _BOOL, _REAL, _DATE = pa.string(), pa.int64(), pa.bool_(), pa.float64(), pa.date32()


def _column(
    name: str, type_: pa.DataType, about: str, *, required: bool = False, sensitive: bool = False
) -> pa.Field:
    metadata = {"description": about, "sensitive": str(sensitive).lower()}
    return pa.field(name, type_, nullable=not required, metadata=metadata)


def _table(about: str, columns: Iterable[pa.Field], *, key: tuple[str, ...]) -> pa.Schema:
    return pa.schema(list(columns), metadata={"description": about, "key": ",".join(key)})


_CUSTOMER = _column("customer", _TEXT, "customer id", required=True, sensitive=True)
_REPORTING = _column("reporting_currency", _TEXT, "currency of the amounts", required=True)

SEGMENT_TABLES: dict[str, pa.Schema] = {
    "fx_rates": _table(
        "Exchange rates by day, as published.",
        [
            _column("date", _DATE, "day of publication", required=True),
            _column("currency", _TEXT, "ISO 4217 code, lower case", required=True),
            _column("rate", _TEXT, "units of the currency per euro, exact", required=True),
            _column("source", _TEXT, "who published it", required=True),
        ],
        key=("date", "currency"),
    ),
    "subscription_mrr": _table(
        "Monthly recurring revenue of each subscription in its own currency, exact, with the reasons.",
        [
            _column("subscription", _TEXT, "subscription id", required=True, sensitive=True),
            _column("customer", _TEXT, "customer id", sensitive=True),
            _column("currency", _TEXT, "ISO 4217 code, lower case"),
            _column("status", _TEXT, "Stripe's subscription status"),
            _column("mrr", _TEXT, "minor units, exact fraction; null when a part is unknown"),
            _column("mrr_committed", _TEXT, "as mrr, without what is scheduled to end"),
            _column("mrr_list", _TEXT, "as mrr, before discounts"),
            _column("mrr_minor", _INT, "mrr rounded half to even, for sums"),
            _column("mrr_committed_minor", _INT, "mrr_committed rounded half to even"),
            _column("mrr_list_minor", _INT, "mrr_list rounded half to even"),
            _column("complete", _BOOL, "no part was unknown", required=True),
            _column("reasons", _TEXT, "codes that explain the number, joined by '; '", required=True),
            _column("profile", _TEXT, "rule set", required=True),
            _column("next_change", TIMESTAMP, "first later time at which it may change without new data"),
            _column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("subscription",),
    ),
    "mrr_tiers": _table(
        "Each customer's MRR in the reporting currency and the tier it falls in.",
        [
            _CUSTOMER,
            _column("tier", _TEXT, "enterprise, mid_market, smb, none or unknown", required=True),
            _column("mrr_minor", _INT, "MRR in the reporting currency; null when a part is unknown"),
            _column("mrr_committed_minor", _INT, "MRR without what is scheduled to end"),
            _REPORTING,
            _column("rate_date", _DATE, "oldest date of an exchange rate used; null when none was"),
            _column("subscriptions", _INT, "subscriptions that carry revenue", required=True),
            _column("complete", _BOOL, "every subscription and rate was known", required=True),
            _column("previous_tier", _TEXT, "tier before the present one"),
            _column("since", TIMESTAMP, "when the present tier began", required=True),
            _column(
                "movement",
                _TEXT,
                "new, expansion, contraction, churn, reactivation, fx or none",
                required=True,
            ),
            _column("opening_minor", _INT, "MRR last known before this run; null when never known"),
            _column("movement_minor", _INT, "change against the opening at present rates; null when unknown"),
            _column("fx_minor", _INT, "change of the opening by exchange rates alone; null when unknown"),
            _column("amounts", _TEXT, "exact MRR last known by currency, joined by '; '", required=True),
            _column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("customer",),
    ),
    "churn_risk": _table(
        "Each customer with a subscription: state, kind of risk, published-points score and its signals.",
        [
            _CUSTOMER,
            _column("state", _TEXT, "healthy, at_risk, past_due, scheduled_cancel or canceled", required=True),
            _column("kind", _TEXT, "voluntary, involuntary or unknown", required=True),
            _column("score", _INT, "0 to 100", required=True),
            _column("signals", _TEXT, "signals that fired, joined by '; '", required=True),
            _column("explanation", _TEXT, "one readable sentence", required=True),
            _column("since", TIMESTAMP, "when the present state began", required=True),
            _column("mrr_at_risk_minor", _INT, "MRR in the reporting currency; null when unknown"),
            _REPORTING,
            _column("next_renewal", TIMESTAMP, "earliest end of a current period"),
            _column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("customer",),
    ),
    "customer_markets": _table(
        "The country of each customer, where it comes from and how sure it is.",
        [
            _CUSTOMER,
            _column("country", _TEXT, "ISO 3166-1 alpha-2, or 'unknown'", required=True),
            _column("region", _TEXT, "UN M49 sub-region, or 'unknown'", required=True),
            _column("currency", _TEXT, "the customer's currency, or 'none'", required=True),
            _column("source", _TEXT, "which evidence won", required=True),
            _column("agreement", _INT, "independent sources that name the same country", required=True),
            _column("confidence", _TEXT, "high, medium, low or none", required=True),
        ],
        key=("customer",),
    ),
    "markets": _table(
        "Markets by payment geography and currency.",
        [
            _column("country", _TEXT, "ISO 3166-1 alpha-2, or 'unknown'", required=True),
            _column("region", _TEXT, "UN M49 sub-region, or 'unknown'", required=True),
            _column("currency", _TEXT, "currency of the payments", required=True),
            _column("customers", _INT, "customers of the market", required=True),
            _column("paying_customers", _INT, "customers with a paid charge in the window", required=True),
            _column("paid_charges", _INT, "paid charges in the window", required=True),
            _column("paid_minor", _INT, "paid less refunded, minor units of `currency`", required=True),
            _column("paid_reporting_minor", _INT, "the same in the reporting currency; null without a rate"),
            _REPORTING,
            _column("success_rate", _REAL, "paid by attempted payments, retries of one invoice counted once"),
            _column("dispute_rate", _REAL, "disputed by paid charges"),
            _column("method_mix", _TEXT, "JSON object: share of paid charges by method"),
            _column("card_mix", _TEXT, "JSON object: share of card charges by brand"),
            _column("largest_paid_minor", _INT, "the same of the customer who paid most", sensitive=True),
            _column("second_paid_minor", _INT, "the same of the customer who paid second most", sensitive=True),
            _column("high_confidence_share", _REAL, "share of customers whose country is sure"),
            _column("low_confidence_share", _REAL, "share of customers known by card or IP alone"),
            _column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("country", "currency"),
    ),
    "customer_mrr_months": _table(
        "MRR of each customer at each month's end, from the service periods of invoice lines.",
        [
            _CUSTOMER,
            _column("month", _DATE, "first day of the month", required=True),
            _column("currency", _TEXT, "currency of the amount", required=True),
            _column("mrr_minor", _INT, "MRR in force at the month's end, minor units", required=True),
            _column("mrr_list_minor", _INT, "the same before discounts", required=True),
        ],
        key=("customer", "month", "currency"),
    ),
    "mrr_movements": _table(
        "What changed in each customer's MRR from one month's end to the next, where it did.",
        [
            _CUSTOMER,
            _column("month", _DATE, "first day of the month at whose end it closes", required=True),
            _column(
                "movement", _TEXT, "new, reactivation, expansion, contraction, churn, fx or none", required=True
            ),
            _column("opening_minor", _INT, "MRR at the end before, at the rates of then", required=True),
            _column("movement_minor", _INT, "change at the rates of the close", required=True),
            _column("fx_minor", _INT, "change of the opening by exchange rates alone", required=True),
            _column("closing_minor", _INT, "MRR at the month's end", required=True),
            _REPORTING,
        ],
        key=("customer", "month"),
    ),
    "growth": _table(
        "Growth of each customer's MRR, the gates it passed and whether it could be a case study.",
        [
            _CUSTOMER,
            _column("months", _INT, "months observed", required=True),
            _column("monthly_growth", _REAL, "Theil-Sen slope of log MRR, as a monthly rate"),
            _column("growth_low", _REAL, "lower bound of its 95 % interval"),
            _column("growth_high", _REAL, "upper bound of its 95 % interval"),
            _column("expansion", _REAL, "net expansion over the months, as a share"),
            _column("expansions", _INT, "separate increases", required=True),
            _column("first_mrr_minor", _INT, "MRR of the first month observed"),
            _column("last_mrr_minor", _INT, "MRR of the last month observed"),
            _column("currency", _TEXT, "currency of the amounts"),
            _column("product", _TEXT, "product with the most revenue", sensitive=True),
            _column("gates_passed", _TEXT, "gates passed, joined by '; '", required=True),
            _column("gates_failed", _TEXT, "gates failed, joined by '; '", required=True),
            _column("candidate", _BOOL, "all gates passed and growth is sure", required=True),
            _column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("customer",),
    ),
    "disputes_by_reason": _table(
        "Disputes by reason, product, month and currency.",
        [
            _column("reason", _TEXT, "Stripe's dispute reason", required=True),
            _column("product", _TEXT, "product id, or 'unknown'", required=True, sensitive=True),
            _column("month", _DATE, "first day of the month of the dispute", required=True),
            _column("currency", _TEXT, "currency of the amounts", required=True),
            _column("disputes", _INT, "disputes without inquiries", required=True),
            _column("inquiries", _INT, "inquiries (warning_*)", required=True),
            _column("won", _INT, "won", required=True),
            _column("lost", _INT, "lost", required=True),
            _column("uncontested", _INT, "lost without evidence", required=True),
            _column("open", _INT, "not decided yet", required=True),
            _column("customers", _INT, "customers who disputed", required=True),
            _column("amount_minor", _INT, "disputed amount, minor units", required=True),
            _column("win_rate", _REAL, "won by decided; null when none is decided"),
            _column(
                "payments", _INT, "successful payments of the month, same product and currency", required=True
            ),
            _column("activity", _REAL, "disputes by payments of the month; null without payments"),
            _column("activity_low", _REAL, "lower bound of its 95 % Wilson interval"),
            _column("activity_high", _REAL, "upper bound of its 95 % Wilson interval"),
            _column("small_number", _BOOL, "fewer than 5 disputes: no alarm", required=True),
            _column("copy_fixable", _BOOL, "better copy can help", required=True),
            _column("copy_fixable_disputes", _INT, "disputes that better copy can help with", required=True),
            _column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("reason", "product", "month", "currency"),
    ),
    "segment_history": _table(
        "One row per segment and day, for charts and for what changed.",
        [
            _column("day", _DATE, "day in UTC", required=True),
            _column("family", _TEXT, "tier, risk, market, growth or dispute", required=True),
            _column("segment", _TEXT, "key inside the family", required=True),
            _column("customers", _INT, "customers in the segment", required=True),
            _column("mrr_minor", _INT, "their MRR in the reporting currency", required=True),
            _REPORTING,
        ],
        key=("day", "family", "segment"),
    ),
    "released_cells": _table(
        "What left of each group at the last release, what may not leave and why; never under k with numbers.",
        [
            _column("segment_key", _TEXT, "key of the group", required=True),
            _column("family", _TEXT, "tier, market, retention, case_study or copy_fix", required=True),
            _column("fields", _TEXT, "JSON: the brief without operator text; null when nothing leaves"),
            _column("members", _INT, "customers of the group now, exact", required=True, sensitive=True),
            _column("status", _TEXT, "released, kept or suppressed", required=True),
            _column("reason", _TEXT, "why it was kept or suppressed"),
            _column("merged_into", _TEXT, "key of the group that now holds its customers"),
            _column("last_fields", _TEXT, "JSON: the last brief with numbers; comes back word for word when kept"),
            _column("released_at", TIMESTAMP, "when `last_fields` first left"),
            _column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("segment_key",),
    ),
    "released_members": _table(
        "Who was in each group when its numbers last left.",
        [_column("segment_key", _TEXT, "key of the group", required=True), _CUSTOMER],
        key=("segment_key", "customer"),
    ),
}
