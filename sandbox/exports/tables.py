"""Data Pipeline's tables of the pretend account: the types of Sigma's columns, and how the rows are made.

Schema: https://docs.stripe.com/stripe-data/schema. The rows are made in the
modules beside this one, by subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from sandbox.exports import catalogue, invoices, payments, subscribers
from sandbox.exports.links import Links

__all__ = ["SIGMA", "SigmaTable"]

_TEXT, _INT, _BOOL, _REAL = pa.string(), pa.int64(), pa.bool_(), pa.float64()
_TIME = pa.timestamp("us")


@dataclass(frozen=True, slots=True)
class SigmaTable:
    """A table of a delivery."""

    schema: pa.Schema
    rows: Callable[[Links], Iterator[dict[str, Any]]]


def _schema(**columns: str) -> pa.Schema:
    """Columns by type: `text="id status"` declares two text columns."""
    types = {"text": _TEXT, "whole": _INT, "flag": _BOOL, "time": _TIME, "real": _REAL}
    return pa.schema([(name, types[kind]) for kind, names in columns.items() for name in names.split()])


_DISCOUNT_TEXT = "discount_coupon_id discount_customer_id discount_subscription"
_DISCOUNT_TIME = "discount_start discount_end"


SIGMA: Final[dict[str, SigmaTable]] = {
    "customers": SigmaTable(
        _schema(
            text="id currency address_line1 address_city address_country shipping_address_country description"
            " email name phone preferred_locales invoice_settings_default_payment_method_id " + _DISCOUNT_TEXT,
            time="created " + _DISCOUNT_TIME,
            flag="delinquent",
        ),
        subscribers.customers,
    ),
    "subscriptions": SigmaTable(
        _schema(
            text="id customer_id status cancellation_details_comment cancellation_details_reason"
            " cancellation_details_feedback pause_collection_behavior billing billing_mode_type"
            " default_payment_method_id description latest_invoice_id price_id discounts " + _DISCOUNT_TEXT,
            time="created start_date ended_at canceled_at cancel_at trial_start trial_end current_period_start"
            " current_period_end pause_collection_resumes_at " + _DISCOUNT_TIME,
            flag="cancel_at_period_end",
            whole="quantity",
        ),
        subscribers.subscriptions,
    ),
    "subscription_items": SigmaTable(
        _schema(
            text="id subscription_id price_id price_currency price_nickname price_product_id"
            " price_recurring_interval discounts",
            # Sigma gives this one time, alone, as seconds.
            whole="created price_recurring_interval_count price_unit_amount quantity",
            time="item_current_period_start item_current_period_end",
        ),
        subscribers.subscription_items,
    ),
    "discounts": SigmaTable(
        _schema(text="id coupon_id customer_id subscription_id subscription_item_id", time="created", whole="end"),
        catalogue.discounts,
    ),
    "prices": SigmaTable(
        _schema(
            text="id billing_scheme currency nickname product_id recurring_interval recurring_meter_id"
            " recurring_usage_type tax_behavior tiers_mode transform_quantity_round type unit_amount_decimal",
            time="created",
            flag="active",
            whole="recurring_interval_count transform_quantity_divide_by unit_amount",
        ),
        catalogue.prices,
    ),
    "price_tiers": SigmaTable(
        _schema(text="price_id upto amount_decimal flat_amount_decimal", whole="amount flat_amount"),
        catalogue.price_tiers,
    ),
    "coupons": SigmaTable(
        _schema(
            text="id currency duration name",
            time="created redeem_by",
            flag="valid",
            whole="amount_off duration_in_months",
            real="percent_off",
        ),
        catalogue.coupons,
    ),
    "coupons_currency_options": SigmaTable(
        _schema(text="coupon_id currency", whole="amount_off"), catalogue.coupon_options
    ),
    "charges": SigmaTable(
        _schema(
            text="id currency customer_id description dispute_id failure_code failure_message invoice_id"
            " payment_intent payment_method_id payment_method_type status card_brand card_funding card_country"
            " card_last4 card_name card_tokenization_method card_address_country outcome_type outcome_reason"
            " outcome_advice_code outcome_network_advice_code receipt_email",
            whole="amount amount_refunded",
            time="created",
            flag="captured paid refunded",
        ),
        payments.charges,
    ),
    "payment_methods": SigmaTable(
        _schema(
            text="id customer_id type card_brand card_funding card_country card_last4 billing_details_name"
            " billing_details_address_country",
            time="created",
            whole="card_exp_month card_exp_year",
        ),
        payments.payment_methods,
    ),
    "invoices": SigmaTable(
        _schema(
            text="id billing_reason collection_method currency charge_id payment_intent_id customer_id"
            " customer_email customer_name number status subscription_id",
            whole="amount_due amount_paid amount_remaining attempt_count subtotal total",
            time="date next_payment_attempt due_date period_start period_end status_transitions_finalized_at"
            " status_transitions_paid_at status_transitions_voided_at status_transitions_marked_uncollectible_at",
        ),
        invoices.invoices,
    ),
    "invoice_line_items": SigmaTable(
        _schema(
            text="id invoice_id currency description price_id subscription subscription_item_id",
            whole="amount quantity",
            flag="proration",
            time="period_start period_end",
        ),
        invoices.invoice_line_items,
    ),
    "invoice_line_item_discount_amounts": SigmaTable(
        _schema(text="invoice_id invoice_line_item_id discount", whole="amount"), invoices.line_discounts
    ),
    "invoice_line_item_tax_amounts": SigmaTable(
        _schema(text="invoice_id invoice_line_item_id", whole="amount", flag="inclusive"), invoices.line_taxes
    ),
    "invoice_payments": SigmaTable(
        _schema(
            text="id invoice payment_id payment_intent payment_type status currency",
            whole="amount_paid",
            time="created",
            flag="is_default",
        ),
        invoices.invoice_payments,
    ),
    "disputes": SigmaTable(
        _schema(
            text="id charge_id payment_intent_id currency reason status network_reason_code"
            " evidence_uncategorized_text",
            whole="amount evidence_details_submission_count",
            time="created evidence_details_due_by",
            flag="evidence_details_has_evidence is_charge_refundable",
        ),
        payments.disputes,
    ),
    "refunds": SigmaTable(
        _schema(text="id charge_id payment_intent_id currency reason status", whole="amount", time="created"),
        payments.refunds,
    ),
}
