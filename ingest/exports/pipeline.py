"""Data Pipeline's tables: which columns are read from each. Names are those of Sigma, all that were seen.

Amounts are minor units. Only what a raw table keeps is named here, so that a name, an address line, a description
or a card number is never even read. Schema: https://docs.stripe.com/stripe-data/schema. How these become the raw
tables is in `pipeline_sql`.
"""

from ingest.exports.columns import Read

__all__ = ["PIPELINE_TABLES"]


def _text(*names: str) -> Read:
    return Read("text", names)


def _whole(*names: str) -> Read:
    return Read("whole", names)


def _flag(*names: str, missing: str = "NULL") -> Read:
    return Read("flag", names, missing=missing)


def _moment(*names: str) -> Read:
    return Read("moment", names)


def _exact(*names: str) -> Read:
    return Read("exact", names)


_OBJECT = {"id": _text("id"), "created": _moment("created"), "deleted": _flag("deleted", missing="false")}
_DISCOUNT = {
    "discount_coupon": _text("discount_coupon_id"),
    "discount_start": _moment("discount_start"),
    "discount_end": _moment("discount_end"),
}
_BRANDS = {
    "american express": "amex",
    "amex": "amex",
    "cartes bancaires": "cartes_bancaires",
    "diners": "diners",
    "diners club": "diners",
    "discover": "discover",
    "eftpos": "eftpos_au",
    "eftpos_au": "eftpos_au",
    "interac": "interac",
    "jcb": "jcb",
    "link": "link",
    "mastercard": "mastercard",
    "unionpay": "unionpay",
    "unknown": "unknown",
    "visa": "visa",
}
_WALLETS = {"android_pay": "google_pay", "google_pay": "google_pay", "apple_pay": "apple_pay", "link": "link"} | {
    name: name for name in ("amex_express_checkout", "masterpass", "samsung_pay", "visa_checkout", "meta_pay")
}

PIPELINE_TABLES: dict[str, dict[str, Read]] = {
    "customers": {
        **_OBJECT,
        "currency": _text("currency"),
        "delinquent": _flag("delinquent"),
        "country": _text("address_country"),
        "shipping_country": _text("shipping_address_country"),
        "tax_country": _text("tax_location_country"),
        "tax_country_source": _text("tax_location_source"),
        "preferred_locales": _text("preferred_locales"),
        "default_payment_method": _text(
            "invoice_settings_default_payment_method_id", "invoice_settings_default_payment_method"
        ),
        "email": _text("email"),
        **_DISCOUNT,
    },
    "subscriptions": {
        **_OBJECT,
        "customer": _text("customer_id", "customer"),
        "status": _text("status"),
        "currency": _text("currency"),
        "start_date": _moment("start_date", "start"),
        "ended_at": _moment("ended_at"),
        "canceled_at": _moment("canceled_at"),
        "cancel_at": _moment("cancel_at"),
        "cancel_at_period_end": _flag("cancel_at_period_end"),
        "cancellation_reason": _text("cancellation_details_reason"),
        "cancellation_feedback": _text("cancellation_details_feedback"),
        "trial_start": _moment("trial_start"),
        "trial_end": _moment("trial_end"),
        "period_start": _moment("current_period_start"),
        "period_end": _moment("current_period_end"),
        "pause_behavior": _text("pause_collection_behavior"),
        "pause_resumes_at": _moment("pause_collection_resumes_at"),
        "collection_method": _text("collection_method", "billing"),
        "default_payment_method": _text("default_payment_method_id", "default_payment_method"),
        "latest_invoice": _text("latest_invoice_id", "latest_invoice"),
        "billing_mode": _text("billing_mode_type"),
        "discounts": _text("discounts"),
        **_DISCOUNT,
    },
    "subscription_items": {
        **_OBJECT,
        "subscription": _text("subscription_id", "subscription"),
        "price": _text("price_id", "plan_id"),
        "product": _text("price_product_id", "plan_product_id"),
        "currency": _text("price_currency", "plan_currency"),
        "quantity": _whole("quantity"),
        "unit_amount": _whole("price_unit_amount", "plan_amount"),
        "interval": _text("price_recurring_interval", "plan_interval"),
        "interval_count": _whole("price_recurring_interval_count", "plan_interval_count"),
        "period_start": _moment("item_current_period_start", "current_period_start"),
        "period_end": _moment("item_current_period_end", "current_period_end"),
        "discounts": _text("discounts"),
    },
    "discounts": {
        "id": _text("id"),
        "coupon": _text("coupon_id"),
        "customer": _text("customer_id"),
        "subscription": _text("subscription_id"),
        "subscription_item": _text("subscription_item_id"),
        "start": _moment("start", "created"),
        "end": _moment("end"),
    },
    "prices": {
        **_OBJECT,
        "product": _text("product_id", "product"),
        "active": _flag("active"),
        "currency": _text("currency"),
        "type": _text("type"),
        "unit_amount": _whole("unit_amount"),
        "unit_amount_decimal": _exact("unit_amount_decimal"),
        "billing_scheme": _text("billing_scheme"),
        "tiers_mode": _text("tiers_mode"),
        "tax_behavior": _text("tax_behavior"),
        "divide_by": _whole("transform_quantity_divide_by"),
        "round": _text("transform_quantity_round"),
        "interval": _text("recurring_interval"),
        "interval_count": _whole("recurring_interval_count"),
        "usage_type": _text("recurring_usage_type"),
        "meter": _text("recurring_meter_id"),
    },
    "plans": {
        **_OBJECT,
        "product": _text("product_id", "product"),
        "active": _flag("active"),
        "currency": _text("currency"),
        "unit_amount": _whole("amount"),
        "unit_amount_decimal": _exact("unit_amount_decimal", "amount_decimal"),
        "billing_scheme": _text("billing_scheme"),
        "tiers_mode": _text("tiers_mode"),
        "divide_by": _whole("transform_usage_divide_by"),
        "round": _text("transform_usage_round"),
        "interval": _text("interval"),
        "interval_count": _whole("interval_count"),
        "usage_type": _text("usage_type"),
    },
    "price_tiers": {
        "id": _text("price_id"),
        "up_to": _text("upto", "up_to"),
        "unit_amount": _whole("amount", "unit_amount"),
        "unit_amount_decimal": _exact("amount_decimal", "unit_amount_decimal"),
        "flat_amount": _whole("flat_amount"),
        "flat_amount_decimal": _exact("flat_amount_decimal"),
    },
    "prices_currency_options": {
        "id": _text("price_id"),
        "currency": _text("currency"),
        "unit_amount": _whole("unit_amount"),
        "unit_amount_decimal": _exact("unit_amount_decimal"),
    },
    "coupons": {
        **_OBJECT,
        "duration": _text("duration"),
        "duration_in_months": _whole("duration_in_months"),
        "percent_off": _exact("percent_off"),
        "amount_off": _whole("amount_off"),
        "currency": _text("currency"),
        "valid": _flag("valid"),
        "redeem_by": _moment("redeem_by"),
    },
    "coupons_currency_options": {
        "id": _text("coupon_id"),
        "currency": _text("currency"),
        "amount_off": _whole("amount_off"),
    },
    "charges": {
        **_OBJECT,
        "customer": _text("customer_id", "customer"),
        "invoice": _text("invoice_id", "invoice"),
        "payment_intent": _text("payment_intent", "payment_intent_id"),
        "payment_method": _text("payment_method_id", "payment_method"),
        "amount": _whole("amount"),
        "amount_captured": _whole("amount_captured"),
        "amount_refunded": _whole("amount_refunded"),
        "currency": _text("currency"),
        "status": _text("status"),
        "paid": _flag("paid"),
        "captured": _flag("captured"),
        "refunded": _flag("refunded"),
        "dispute": _text("dispute_id", "dispute"),
        "failure_code": _text("failure_code"),
        "outcome_type": _text("outcome_type"),
        "outcome_reason": _text("outcome_reason"),
        "advice_code": _text("outcome_advice_code"),
        "network_advice_code": _text("outcome_network_advice_code"),
        "method_type": _text("payment_method_type"),
        "card_brand": Read("words", ("card_brand",), words=_BRANDS),
        "card_funding": _text("card_funding"),
        "card_country": _text("card_country"),
        "wallet": Read("words", ("card_wallet_type", "card_tokenization_method"), words=_WALLETS),
        "billing_country": _text("billing_details_address_country", "card_address_country"),
    },
    "payment_methods": {
        **_OBJECT,
        "customer": _text("customer_id", "customer"),
        "type": _text("type"),
        "card_brand": Read("words", ("card_brand",), words=_BRANDS),
        "card_funding": _text("card_funding"),
        "card_country": _text("card_country"),
        "card_exp_month": _whole("card_exp_month"),
        "card_exp_year": _whole("card_exp_year"),
        "billing_country": _text("billing_details_address_country"),
    },
    "invoices": {
        **_OBJECT,
        "created": _moment("created", "date"),
        "customer": _text("customer_id", "customer"),
        "subscription": _text("subscription_id", "subscription"),
        "parent": _text("parent_id"),
        "parent_type": _text("parent_type"),
        "charge": _text("charge_id", "charge"),
        "payment_intent": _text("payment_intent_id", "payment_intent"),
        "status": _text("status"),
        "currency": _text("currency"),
        "subtotal": _whole("subtotal"),
        "total": _whole("total"),
        "amount_due": _whole("amount_due"),
        "amount_paid": _whole("amount_paid"),
        "amount_remaining": _whole("amount_remaining"),
        "billing_reason": _text("billing_reason"),
        "collection_method": _text("collection_method", "billing"),
        "attempt_count": _whole("attempt_count"),
        "next_payment_attempt": _moment("next_payment_attempt"),
        "due_date": _moment("due_date"),
        "period_start": _moment("period_start"),
        "period_end": _moment("period_end"),
        "finalized_at": _moment("status_transitions_finalized_at", "finalized_at"),
        "paid_at": _moment("status_transitions_paid_at", "paid_at"),
        "voided_at": _moment("status_transitions_voided_at", "voided_at"),
        "marked_uncollectible_at": _moment(
            "status_transitions_marked_uncollectible_at", "marked_uncollectible_at"
        ),
    },
    "invoice_line_items": {
        "id": _text("id"),
        "deleted": _flag("deleted", missing="false"),
        "invoice": _text("invoice_id", "invoice"),
        "subscription": _text("subscription", "subscription_id"),
        "subscription_item": _text("subscription_item_id", "subscription_item"),
        "price": _text("price_id", "plan_id"),
        "currency": _text("currency"),
        "amount": _whole("amount"),
        "total_discount": _whole("total_discount"),
        "quantity": _whole("quantity"),
        "proration": _flag("proration"),
        "period_start": _moment("period_start"),
        "period_end": _moment("period_end"),
    },
    "invoice_line_item_discount_amounts": {
        "id": _text("invoice_line_item_id"),
        "amount": _whole("amount"),
    },
    "invoice_line_item_tax_amounts": {
        "id": _text("invoice_line_item_id"),
        "amount": _whole("amount"),
        "inclusive": _flag("inclusive"),
    },
    "invoice_payments": {
        **_OBJECT,
        "invoice": _text("invoice", "invoice_id"),
        "payment": _text("payment_id"),
        "payment_type": _text("payment_type"),
        "payment_intent": _text("payment_intent", "payment_intent_id"),
        "status": _text("status"),
        "amount_paid": _whole("amount_paid"),
        "currency": _text("currency"),
        "is_default": _flag("is_default"),
    },
    "disputes": {
        **_OBJECT,
        "charge": _text("charge_id", "charge"),
        "payment_intent": _text("payment_intent_id", "payment_intent"),
        "amount": _whole("amount"),
        "currency": _text("currency"),
        "reason": _text("reason"),
        "status": _text("status"),
        "network_reason_code": _text("network_reason_code"),
        "has_evidence": _flag("evidence_details_has_evidence"),
        "submission_count": _whole("evidence_details_submission_count"),
        "evidence_due_by": _moment("evidence_details_due_by"),
    },
    "refunds": {
        **_OBJECT,
        "charge": _text("charge_id", "charge"),
        "payment_intent": _text("payment_intent_id", "payment_intent"),
        "amount": _whole("amount"),
        "currency": _text("currency"),
        "status": _text("status"),
        "reason": _text("reason"),
    },
}
