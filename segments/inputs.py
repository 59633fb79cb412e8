"""What segment functions read: the columns and types of their inputs, no more.

Here: one Arrow schema for each source, a part of the table of the same name in the lake, so that a caller can
read these columns alone. Not here: what the columns mean (the declarations of the raw tables and
`segments.tables` say that). An input may have further columns; they are ignored.
"""

from typing import Final

import pyarrow as pa

from segments.tables import SEGMENT_TABLES, TIMESTAMP

__all__ = ["COLUMNS"]

_KINDS: Final = {"text": pa.string(), "int": pa.int64(), "bool": pa.bool_(), "time": TIMESTAMP}


def _raw(**columns: str) -> pa.Schema:
    """Columns by kind, each kind a text of names; `deleted` is read from every raw table."""
    fields = [pa.field(name, _KINDS[kind]) for kind, names in columns.items() for name in names.split()]
    return pa.schema([*fields, pa.field("deleted", pa.bool_())])


def _segment(table: str, columns: str) -> pa.Schema:
    """Columns of a segment table that another segment reads."""
    return pa.schema([SEGMENT_TABLES[table].field(name) for name in columns.split()])


COLUMNS: Final[dict[str, pa.Schema]] = {
    "customers": _raw(
        text="id currency country shipping_country tax_country tax_country_source tax_id_country"
        " default_payment_method",
        time="created",
    ),
    "subscriptions": _raw(
        text="id customer status cancellation_reason cancellation_feedback pause_behavior collection_method"
        " default_payment_method billing",
        time="created start_date ended_at canceled_at cancel_at trial_end current_period_start current_period_end"
        " pause_resumes_at",
        bool="cancel_at_period_end",
    ),
    "subscription_items": _raw(
        text="id subscription price product usage_type interval", int="interval_count quantity unit_amount"
    ),
    "prices": _raw(text="id type billing"),
    "charges": _raw(
        text="id customer invoice payment_intent payment_method currency status failure_code outcome_reason"
        " advice_code method_type card_brand card_country billing_country",
        int="amount amount_captured amount_refunded",
        bool="paid",
        time="created",
    ),
    "payment_methods": _raw(
        text="id customer type card_country billing_country", int="card_exp_month card_exp_year", time="created"
    ),
    "invoices": _raw(
        text="id customer subscription status currency collection_method",
        int="total amount_due amount_paid attempt_count",
        time="created next_payment_attempt due_date finalized_at paid_at voided_at marked_uncollectible_at",
    ),
    "invoice_lines": _raw(
        text="id invoice customer subscription subscription_item price product currency",
        int="amount discount_amount inclusive_tax_amount",
        bool="proration",
        time="created period_start period_end",
    ),
    "disputes": _raw(
        text="id charge payment_intent currency reason status network_reason_code",
        int="amount submission_count",
        bool="has_evidence",
        time="created",
    ),
    "refunds": _raw(text="id charge payment_intent currency status", int="amount", time="created"),
    "subscription_mrr": _segment("subscription_mrr", "customer currency mrr mrr_committed complete"),
    "mrr_tiers_before": _segment(
        "mrr_tiers", "customer tier previous_tier since mrr_minor opening_minor amounts reporting_currency"
    ),
    "mrr_tiers": _segment("mrr_tiers", "customer tier mrr_minor mrr_committed_minor"),
    "churn_risk": _segment("churn_risk", "customer state kind since"),
    "customer_markets": _segment("customer_markets", "customer country region currency confidence"),
    "growth": _segment("growth", "customer candidate"),
    "customer_mrr_months": _segment("customer_mrr_months", "customer month currency mrr_minor mrr_list_minor"),
}
