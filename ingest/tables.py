"""The raw tables `stripe/<table>`: what is kept of each Stripe object, declared once.

A row is one object id. Amounts are integers in the currency's minor units, times are UTC. Only columns that
a segment reads are kept: no card numbers, no free text, no addresses below the country, no IP. Nested parts
that MRR needs travel in `billing`, a JSON text in the shape of the API, reduced to the fields of the revenue
rules. How the columns are read from objects of any API version is in `ingest.accessors`.
"""

import pyarrow as pa

from resources.schema import TIMESTAMP, column, table

__all__ = ["QUARANTINE", "RAW_TABLES"]

_TEXT, _INT, _BOOL = pa.string(), pa.int64(), pa.bool_()


def _raw(about: str, *columns: pa.Field) -> pa.Schema:
    """A raw table: its own columns between the id and the provenance that every row carries."""
    return table(
        about,
        [
            column("id", _TEXT, "Stripe's id of the object", required=True, sensitive=True),
            column("created", TIMESTAMP, "when Stripe created the object"),
            *columns,
            column("livemode", _BOOL, "live (true) or test (false) data", required=True),
            column("deleted", _BOOL, "a tombstone: the object is gone at Stripe", required=True),
            column("version_at", TIMESTAMP, "time of the version; a merge keeps the later", required=True),
            column("fetched_at", TIMESTAMP, "when the object was read", required=True),
            column("source", _TEXT, "api, event, export or webhook", required=True),
        ],
        key=("id",),
    )


def _reference(name: str, about: str) -> pa.Field:
    return column(name, _TEXT, about, sensitive=True)


_CURRENCY = column("currency", _TEXT, "ISO 4217 code, lower case")


RAW_TABLES: dict[str, pa.Schema] = {
    "customers": _raw(
        "Customers, without anything that names them.",
        _CURRENCY,
        column("delinquent", _BOOL, "whether the latest charge or invoice failed"),
        column("country", _TEXT, "billing address country, ISO 3166-1 alpha-2"),
        column("shipping_country", _TEXT, "shipping address country, ISO 3166-1 alpha-2"),
        column("tax_country", _TEXT, "country of tax.location, where the key may read it"),
        column("tax_country_source", _TEXT, "what tax.location rests on"),
        column("tax_id_country", _TEXT, "country of the first tax id, where it was listed"),
        column("preferred_locale", _TEXT, "first of preferred_locales"),
        _reference("default_payment_method", "invoice_settings.default_payment_method"),
        column("discount", _TEXT, "customer-level discount, JSON in API shape"),
        column(
            "email_hash",
            _TEXT,
            "salted hash of the e-mail address, only where a join needs it",
            sensitive=True,
        ),
    ),
    "subscriptions": _raw(
        "Subscriptions of every status, canceled ones included.",
        _reference("customer", "customer id"),
        column("status", _TEXT, "Stripe's subscription status"),
        _CURRENCY,
        column("start_date", TIMESTAMP, "when the subscription began"),
        column("ended_at", TIMESTAMP, "when it ended"),
        column("canceled_at", TIMESTAMP, "when the cancellation was asked for"),
        column("cancel_at", TIMESTAMP, "scheduled end"),
        column("cancel_at_period_end", _BOOL, "ends with the current period"),
        column("cancellation_reason", _TEXT, "cancellation_details.reason"),
        column("cancellation_feedback", _TEXT, "cancellation_details.feedback"),
        column("trial_start", TIMESTAMP, "start of the trial"),
        column("trial_end", TIMESTAMP, "end of the trial"),
        column("current_period_start", TIMESTAMP, "earliest period start of its items"),
        column("current_period_end", TIMESTAMP, "latest period end of its items"),
        column("pause_behavior", _TEXT, "pause_collection.behavior"),
        column("pause_resumes_at", TIMESTAMP, "pause_collection.resumes_at"),
        column("collection_method", _TEXT, "charge_automatically or send_invoice"),
        _reference("default_payment_method", "default payment method"),
        _reference("latest_invoice", "latest invoice"),
        column("items_complete", _BOOL, "every item of the subscription was read"),
        column("billing", _TEXT, "what MRR needs: JSON in API shape, reduced", sensitive=True),
    ),
    "subscription_items": _raw(
        "Items of subscriptions; replaced as a set with their subscription.",
        _reference("subscription", "subscription id"),
        column("price", _TEXT, "price id"),
        column("product", _TEXT, "product id"),
        _CURRENCY,
        column("quantity", _INT, "units; null for metered items"),
        column("unit_amount", _INT, "minor units; null when tiered or below a minor unit"),
        column("unit_amount_decimal", _TEXT, "exact price of a unit in minor units"),
        column("billing_scheme", _TEXT, "per_unit or tiered"),
        column("usage_type", _TEXT, "licensed or metered"),
        column("interval", _TEXT, "day, week, month or year"),
        column("interval_count", _INT, "intervals between two invoices"),
        column("current_period_start", TIMESTAMP, "start of the current period"),
        column("current_period_end", TIMESTAMP, "end of the current period"),
    ),
    "prices": _raw(
        "Prices, active and inactive, inline ones included.",
        column("product", _TEXT, "product id"),
        column("active", _BOOL, "can be used for new subscriptions"),
        _CURRENCY,
        column("type", _TEXT, "recurring or one_time"),
        column("unit_amount", _INT, "minor units; null when tiered or below a minor unit"),
        column("interval", _TEXT, "day, week, month or year"),
        column("interval_count", _INT, "intervals between two invoices"),
        column("billing", _TEXT, "what MRR needs: JSON in API shape, with tiers"),
    ),
    "coupons": _raw(
        "Coupons.",
        column("duration", _TEXT, "forever, repeating or once"),
        column("duration_in_months", _INT, "months of a repeating coupon"),
        column("percent_off", _TEXT, "percentage, as exact text"),
        column("amount_off", _INT, "minor units of `currency`"),
        _CURRENCY,
        column("valid", _BOOL, "can still be redeemed"),
        column("billing", _TEXT, "what MRR needs: JSON in API shape, with applies_to"),
    ),
    "charges": _raw(
        "Charges, failed ones included.",
        _reference("customer", "customer id"),
        _reference("invoice", "invoice id, from invoice payments or the old place"),
        _reference("payment_intent", "payment intent id"),
        _reference("payment_method", "payment method id"),
        column("amount", _INT, "minor units"),
        column("amount_captured", _INT, "minor units"),
        column("amount_refunded", _INT, "minor units"),
        _CURRENCY,
        column("status", _TEXT, "succeeded, pending or failed"),
        column("paid", _BOOL, "the charge succeeded"),
        column("captured", _BOOL, "captured"),
        column("refunded", _BOOL, "refunded in full"),
        column("disputed", _BOOL, "has been disputed"),
        column("failure_code", _TEXT, "why the charge failed"),
        column("outcome_type", _TEXT, "outcome.type"),
        column("outcome_reason", _TEXT, "outcome.reason"),
        column("advice_code", _TEXT, "outcome.advice_code"),
        column("network_advice_code", _TEXT, "outcome.network_advice_code"),
        column("method_type", _TEXT, "payment_method_details.type"),
        column("card_brand", _TEXT, "brand of the card"),
        column("card_funding", _TEXT, "credit, debit, prepaid or unknown"),
        column("card_country", _TEXT, "country of the issuer, ISO 3166-1 alpha-2"),
        column("wallet", _TEXT, "wallet of the card, if any"),
        column("billing_country", _TEXT, "country of the billing details, ISO 3166-1 alpha-2"),
    ),
    "payment_methods": _raw(
        "Payment methods, without numbers, names or fingerprints.",
        _reference("customer", "customer id"),
        column("type", _TEXT, "card, sepa_debit, …"),
        column("card_brand", _TEXT, "brand of the card"),
        column("card_funding", _TEXT, "credit, debit, prepaid or unknown"),
        column("card_country", _TEXT, "country of the issuer, ISO 3166-1 alpha-2"),
        column("card_exp_month", _INT, "month in which the card expires"),
        column("card_exp_year", _INT, "year in which the card expires"),
        column("billing_country", _TEXT, "country of the billing details, ISO 3166-1 alpha-2"),
    ),
    "invoices": _raw(
        "Invoices of every status.",
        _reference("customer", "customer id"),
        _reference("subscription", "subscription id, from parent or the old place"),
        _reference("charge", "charge id, from invoice payments or the old place"),
        _reference("payment_intent", "payment intent id, from invoice payments or the old place"),
        column("status", _TEXT, "draft, open, paid, uncollectible or void"),
        _CURRENCY,
        column("subtotal", _INT, "minor units, before invoice discounts and exclusive tax"),
        column("total", _INT, "minor units"),
        column("amount_due", _INT, "minor units"),
        column("amount_paid", _INT, "minor units"),
        column("amount_remaining", _INT, "minor units"),
        column("billing_reason", _TEXT, "why the invoice was made"),
        column("collection_method", _TEXT, "charge_automatically or send_invoice"),
        column("attempt_count", _INT, "payment attempts, by Stripe's count"),
        column("next_payment_attempt", TIMESTAMP, "next automatic attempt"),
        column("due_date", TIMESTAMP, "when a sent invoice is due"),
        column("period_start", TIMESTAMP, "start of the invoice's period"),
        column("period_end", TIMESTAMP, "end of the invoice's period"),
        column("finalized_at", TIMESTAMP, "status_transitions.finalized_at"),
        column("paid_at", TIMESTAMP, "status_transitions.paid_at"),
        column("voided_at", TIMESTAMP, "status_transitions.voided_at"),
        column("marked_uncollectible_at", TIMESTAMP, "status_transitions.marked_uncollectible_at"),
        column("lines_complete", _BOOL, "every line of the invoice was read"),
    ),
    "invoice_lines": _raw(
        "Lines of invoices; replaced as a set with their invoice. `created` is the invoice's.",
        _reference("invoice", "invoice id"),
        _reference("customer", "customer id of the invoice"),
        _reference("subscription", "subscription id"),
        _reference("subscription_item", "subscription item id; the item may be gone"),
        column("price", _TEXT, "price id"),
        column("product", _TEXT, "product id"),
        _CURRENCY,
        column("amount", _INT, "minor units, before discounts"),
        column("discount_amount", _INT, "minor units, sum of discount_amounts"),
        column("inclusive_tax_amount", _INT, "minor units of tax contained in the amount"),
        column("quantity", _INT, "units"),
        column("proration", _BOOL, "a proration"),
        column("period_start", TIMESTAMP, "start of what the line pays for"),
        column("period_end", TIMESTAMP, "end of what the line pays for"),
    ),
    "invoice_payments": _raw(
        "Links of invoices to the payments that settle them; the only link since 2025-03-31.basil.",
        _reference("invoice", "invoice id"),
        _reference("charge", "charge id"),
        _reference("payment_intent", "payment intent id"),
        column("status", _TEXT, "open, paid or canceled"),
        column("amount_paid", _INT, "minor units"),
        _CURRENCY,
        column("is_default", _BOOL, "the default payment of the invoice"),
    ),
    "disputes": _raw(
        "Disputes and inquiries, without evidence.",
        _reference("charge", "charge id"),
        _reference("payment_intent", "payment intent id"),
        column("amount", _INT, "minor units"),
        _CURRENCY,
        column("reason", _TEXT, "Stripe's dispute reason"),
        column("status", _TEXT, "Stripe's dispute status"),
        column("network_reason_code", _TEXT, "code of the card network"),
        column("has_evidence", _BOOL, "evidence was given"),
        column("submission_count", _INT, "how often evidence was sent"),
        column("evidence_due_by", TIMESTAMP, "deadline for evidence"),
    ),
    "refunds": _raw(
        "Refunds.",
        _reference("charge", "charge id"),
        _reference("payment_intent", "payment intent id"),
        column("amount", _INT, "minor units"),
        _CURRENCY,
        column("status", _TEXT, "pending, succeeded, failed, …"),
        column("reason", _TEXT, "duplicate, fraudulent, requested_by_customer, …"),
    ),
    "events": _raw(
        "Events as history, append-only; payloads reduced to permitted columns.",
        column("type", _TEXT, "event type"),
        column("api_version", _TEXT, "version of the payload"),
        column("object_type", _TEXT, "data.object.object"),
        _reference("object_id", "data.object.id"),
        column("snapshot", _TEXT, "the row the payload gives, JSON", sensitive=True),
        column("previous_attributes", _TEXT, "what changed, permitted fields only, JSON", sensitive=True),
    ),
}

QUARANTINE: pa.Schema = table(
    "Objects that could not be read, with the reason; never their content.",
    [
        column("raw_hash", _TEXT, "SHA-256 of the raw object", required=True),
        column("table", _TEXT, "raw table the object belongs to", required=True),
        column("object_id", _TEXT, "id, where the object had one", sensitive=True),
        column("reason", _TEXT, "what was wrong, naming the field", required=True),
        column("source", _TEXT, "api, event, export or webhook", required=True),
        column("fetched_at", TIMESTAMP, "when it was first seen", required=True),
    ],
    key=("raw_hash", "table"),
)
