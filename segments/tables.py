"""The segment tables `segments/<table>`, declared once: types, nullability, key and meaning of each column.

Here: schemas; those of the churn model are in `segments.churn_tables`. Not here: how the numbers come about (one
module a segment). Minor units are integers of the named currency; an exact amount is a fraction as text ("9900",
"12500/3"); times are UTC; shares and rates are between 0 and 1. The names are those that other readers of the lake
rely on.
"""

import pyarrow as pa

from segments.churn_tables import CHURN_TABLES
from segments.columns import TIMESTAMP, column, table

__all__ = ["SEGMENT_TABLES", "TIMESTAMP"]

_TEXT, _INT, _BOOL, _REAL, _DATE = pa.string(), pa.int64(), pa.bool_(), pa.float64(), pa.date32()

_CUSTOMER = column("customer", _TEXT, "customer id", required=True, sensitive=True)
_REPORTING = column("reporting_currency", _TEXT, "currency of the amounts", required=True)

SEGMENT_TABLES: dict[str, pa.Schema] = {
    "fx_rates": table(
        "Exchange rates by day, as published.",
        [
            column("date", _DATE, "day of publication", required=True),
            column("currency", _TEXT, "ISO 4217 code, lower case", required=True),
            column("rate", _TEXT, "units of the currency per euro, exact", required=True),
            column("source", _TEXT, "who published it", required=True),
        ],
        key=("date", "currency"),
    ),
    "subscription_mrr": table(
        "Monthly recurring revenue of each subscription in its own currency, exact, with the reasons.",
        [
            column("subscription", _TEXT, "subscription id", required=True, sensitive=True),
            column("customer", _TEXT, "customer id", sensitive=True),
            column("currency", _TEXT, "ISO 4217 code, lower case"),
            column("status", _TEXT, "Stripe's subscription status"),
            column("mrr", _TEXT, "minor units, exact fraction; null when a part is unknown"),
            column("mrr_committed", _TEXT, "as mrr, without what is scheduled to end"),
            column("mrr_list", _TEXT, "as mrr, before discounts"),
            column("mrr_minor", _INT, "mrr rounded half to even, for sums"),
            column("mrr_committed_minor", _INT, "mrr_committed rounded half to even"),
            column("mrr_list_minor", _INT, "mrr_list rounded half to even"),
            column("complete", _BOOL, "no part was unknown", required=True),
            column("reasons", _TEXT, "codes that explain the number, joined by '; '", required=True),
            column("profile", _TEXT, "rule set", required=True),
            column("rules", _TEXT, "hash of the code that computed it", required=True),
            column("next_change", TIMESTAMP, "first later time at which it may change without new data"),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("subscription",),
    ),
    "mrr_tiers": table(
        "Each customer's MRR in the reporting currency and the tier it falls in.",
        [
            _CUSTOMER,
            column("tier", _TEXT, "enterprise, mid_market, smb, none or unknown", required=True),
            column("mrr_minor", _INT, "MRR in the reporting currency; null when a part is unknown"),
            column("mrr_committed_minor", _INT, "MRR without what is scheduled to end"),
            _REPORTING,
            column("rate_date", _DATE, "oldest date of an exchange rate used; null when none was"),
            column("subscriptions", _INT, "subscriptions that carry revenue", required=True),
            column("complete", _BOOL, "every subscription and rate was known", required=True),
            column("previous_tier", _TEXT, "tier before the present one"),
            column("since", TIMESTAMP, "when the present tier began", required=True),
            column(
                "movement",
                _TEXT,
                "new, expansion, contraction, churn, reactivation, fx or none",
                required=True,
            ),
            column("opening_minor", _INT, "MRR last known before this run; null when never known"),
            column("movement_minor", _INT, "change against the opening at present rates; null when unknown"),
            column("fx_minor", _INT, "change of the opening by exchange rates alone; null when unknown"),
            column("amounts", _TEXT, "exact MRR last known by currency, joined by '; '", required=True),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("customer",),
    ),
    "churn_risk": table(
        "Each customer with a subscription: state, kind of risk, published-points score and its signals.",
        [
            _CUSTOMER,
            column("state", _TEXT, "healthy, at_risk, past_due, scheduled_cancel or canceled", required=True),
            column("kind", _TEXT, "voluntary, involuntary or unknown", required=True),
            column("score", _INT, "0 to 100", required=True),
            column("signals", _TEXT, "signals that fired, joined by '; '", required=True),
            column("explanation", _TEXT, "one readable sentence", required=True),
            column("since", TIMESTAMP, "when the present state began", required=True),
            column("mrr_at_risk_minor", _INT, "MRR in the reporting currency; null when unknown"),
            _REPORTING,
            column("next_renewal", TIMESTAMP, "earliest end of a current period"),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("customer",),
    ),
    **CHURN_TABLES,
    "customer_markets": table(
        "The country of each customer, where it comes from and how sure it is.",
        [
            _CUSTOMER,
            column("country", _TEXT, "ISO 3166-1 alpha-2, or 'unknown'", required=True),
            column("region", _TEXT, "UN M49 sub-region, or 'unknown'", required=True),
            column("currency", _TEXT, "the customer's currency, or 'none'", required=True),
            column("source", _TEXT, "which evidence won", required=True),
            column("agreement", _INT, "independent sources that name the same country", required=True),
            column("confidence", _TEXT, "high, medium, low or none", required=True),
        ],
        key=("customer",),
    ),
    "markets": table(
        "Markets by payment geography and currency.",
        [
            column("country", _TEXT, "ISO 3166-1 alpha-2, or 'unknown'", required=True),
            column("region", _TEXT, "UN M49 sub-region, or 'unknown'", required=True),
            column("currency", _TEXT, "currency of the payments", required=True),
            column("customers", _INT, "customers of the market", required=True),
            column("paying_customers", _INT, "customers with a paid charge in the window", required=True),
            column("paid_charges", _INT, "paid charges in the window", required=True),
            column("paid_minor", _INT, "paid less refunded, minor units of `currency`", required=True),
            column("paid_reporting_minor", _INT, "the same in the reporting currency; null without a rate"),
            _REPORTING,
            column(
                "attempted",
                _INT,
                "payments tried in the window, retries of one invoice counted once",
                required=True,
            ),
            column("succeeded", _INT, "those of them that were paid", required=True),
            column("success_rate", _REAL, "succeeded by attempted; null when nothing was attempted"),
            column("dispute_rate", _REAL, "disputed by paid charges"),
            column("method_mix", _TEXT, "JSON object: share of paid charges by method"),
            column("card_mix", _TEXT, "JSON object: share of card charges by brand"),
            column("largest_paid_minor", _INT, "the same of the customer who paid most", sensitive=True),
            column("second_paid_minor", _INT, "the same of the customer who paid second most", sensitive=True),
            column("high_confidence_share", _REAL, "share of customers whose country is sure"),
            column("low_confidence_share", _REAL, "share of customers known by card or IP alone"),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("country", "currency"),
    ),
    "customer_mrr_months": table(
        "MRR of each customer at each month's end, from the service periods of invoice lines.",
        [
            _CUSTOMER,
            column("month", _DATE, "first day of the month", required=True),
            column("currency", _TEXT, "currency of the amount", required=True),
            column("mrr_minor", _INT, "MRR in force at the month's end, minor units", required=True),
            column("mrr_list_minor", _INT, "the same before discounts", required=True),
        ],
        key=("customer", "month", "currency"),
    ),
    "mrr_movements": table(
        "What changed in each customer's MRR from one month's end to the next, where it did.",
        [
            _CUSTOMER,
            column("month", _DATE, "first day of the month at whose end it closes", required=True),
            column(
                "movement", _TEXT, "new, reactivation, expansion, contraction, churn, fx or none", required=True
            ),
            column("opening_minor", _INT, "MRR at the end before, at the rates of then", required=True),
            column("movement_minor", _INT, "change at the rates of the close", required=True),
            column("fx_minor", _INT, "change of the opening by exchange rates alone", required=True),
            column("closing_minor", _INT, "MRR at the month's end", required=True),
            _REPORTING,
        ],
        key=("customer", "month"),
    ),
    "growth": table(
        "Growth of each customer's MRR, the gates it passed and whether it could be a case study.",
        [
            _CUSTOMER,
            column("months", _INT, "months observed", required=True),
            column("monthly_growth", _REAL, "Theil-Sen slope of log MRR, as a monthly rate"),
            column("growth_low", _REAL, "lower bound of its 95 % interval"),
            column("growth_high", _REAL, "upper bound of its 95 % interval"),
            column("expansion", _REAL, "net expansion over the months, as a share"),
            column("expansions", _INT, "separate increases", required=True),
            column("first_mrr_minor", _INT, "MRR of the first month observed"),
            column("last_mrr_minor", _INT, "MRR of the last month observed"),
            column("currency", _TEXT, "currency of the amounts"),
            column("product", _TEXT, "product with the most revenue", sensitive=True),
            column("gates_passed", _TEXT, "gates passed, joined by '; '", required=True),
            column("gates_failed", _TEXT, "gates failed, joined by '; '", required=True),
            column("candidate", _BOOL, "all gates passed and growth is sure", required=True),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("customer",),
    ),
    "disputes_by_reason": table(
        "Disputes by reason, product, month and currency.",
        [
            column("reason", _TEXT, "Stripe's dispute reason", required=True),
            column("product", _TEXT, "product id, or 'unknown'", required=True, sensitive=True),
            column("month", _DATE, "first day of the month of the dispute", required=True),
            column("currency", _TEXT, "currency of the amounts", required=True),
            column("disputes", _INT, "disputes without inquiries", required=True),
            column("inquiries", _INT, "inquiries (warning_*)", required=True),
            column("won", _INT, "won", required=True),
            column("lost", _INT, "lost", required=True),
            column("uncontested", _INT, "lost without evidence", required=True),
            column("open", _INT, "not decided yet", required=True),
            column("customers", _INT, "customers who disputed", required=True),
            column("amount_minor", _INT, "disputed amount, minor units", required=True),
            column("win_rate", _REAL, "won by decided; null when none is decided"),
            column("payments", _INT, "successful payments of the month, same product and currency", required=True),
            column("activity", _REAL, "disputes by payments of the month; null without payments"),
            column("activity_low", _REAL, "lower bound of its 95 % Wilson interval"),
            column("activity_high", _REAL, "upper bound of its 95 % Wilson interval"),
            column("small_number", _BOOL, "fewer than 5 disputes: no alarm", required=True),
            column("copy_fixable", _BOOL, "better copy can help", required=True),
            column("copy_fixable_disputes", _INT, "disputes that better copy can help with", required=True),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("reason", "product", "month", "currency"),
    ),
    "segment_history": table(
        "One row per segment and day, for charts and for what changed.",
        [
            column("day", _DATE, "day in UTC", required=True),
            column("family", _TEXT, "tier, risk, market, growth or dispute", required=True),
            column("segment", _TEXT, "key inside the family", required=True),
            column("customers", _INT, "customers in the segment", required=True),
            column("mrr_minor", _INT, "their MRR in the reporting currency", required=True),
            _REPORTING,
        ],
        key=("day", "family", "segment"),
    ),
    "released_cells": table(
        "What left of each group at the last release, what may not leave and why; never under k with numbers.",
        [
            column("segment_key", _TEXT, "key of the group", required=True),
            column("family", _TEXT, "tier, market, retention, case_study or copy_fix", required=True),
            column("fields", _TEXT, "JSON: the brief without operator text; null when nothing leaves"),
            column("members", _INT, "customers of the group now, exact", required=True, sensitive=True),
            column("status", _TEXT, "released, kept or suppressed", required=True),
            column("reason", _TEXT, "why it was kept or suppressed"),
            column("merged_into", _TEXT, "key of the group that now holds its customers"),
            column("last_fields", _TEXT, "JSON: the last brief with numbers; comes back word for word when kept"),
            column(
                "released_at",
                TIMESTAMP,
                "when `last_fields` last left: at `as_of`, unless kept or suppressed since",
            ),
            column("as_of", TIMESTAMP, "time for which it holds", required=True),
        ],
        key=("segment_key",),
    ),
    "released_members": table(
        "Who was in each group at every release of its numbers.",
        [
            column("segment_key", _TEXT, "key of the group", required=True),
            column("with_mrr", _BOOL, "only the releases at which MRR at risk left too", required=True),
            _CUSTOMER,
            column("since", _INT, "number of the release from which the customer was in it", required=True),
            column("until", _INT, "number of the first release without the customer; null while there is none"),
        ],
        key=("segment_key", "with_mrr", "customer", "since"),
    ),
}
