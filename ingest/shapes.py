"""The permitted fields of each Stripe object: what may be kept, in staging, in history and in `billing`.

Here: one tree of names per object, covering every API shape since 2022-11-15, and the cut that applies it. Not
here: what the fields mean (`ingest.accessors`) and the columns they become (`ingest.rows`). A field that is not
named here never reaches a disk: no names, addresses below the country, card numbers, free text or metadata.
"""

from typing import Any, TypeAlias

__all__ = ["BILLING", "COUPON", "DISCOUNT", "PERMITTED", "PLAN", "PRICE", "Shape", "cut"]

# True keeps a scalar, a list of scalars, or the id of an expanded object; "*" stands for every name.
Shape: TypeAlias = "dict[str, Shape | bool]"


def _fields(names: str, **nested: "Shape | bool") -> Shape:
    return {**dict.fromkeys(names.split(), True), **nested}


def cut(value: Any, shape: "Shape | bool") -> Any:
    """`value` with nothing but the fields of `shape`; absent fields stay absent, nulls stay nulls."""
    if isinstance(value, list):
        return [cut(entry, shape) for entry in value]
    if not isinstance(value, dict):
        return value
    if isinstance(shape, bool):
        # A reference that came expanded is kept as its id; any other object was not asked for.
        identity = value.get("id")
        return identity if isinstance(identity, str) else None
    every = shape.get("*")
    if every is not None:
        return {name: cut(entry, every) for name, entry in value.items()}
    return {name: cut(value[name], inner) for name, inner in shape.items() if name in value}


_TIER = _fields("up_to flat_amount flat_amount_decimal unit_amount unit_amount_decimal")
_CURRENCY_OPTION = _fields("amount_off unit_amount unit_amount_decimal tax_behavior", tiers=_TIER)
_CURRENCY_OPTIONS: Shape = {"*": _CURRENCY_OPTION}

PRICE = _fields(
    "id object created livemode deleted active currency product type unit_amount unit_amount_decimal"
    " billing_scheme tiers_mode tax_behavior",
    tiers=_TIER,
    transform_quantity=_fields("divide_by round"),
    recurring=_fields("interval interval_count usage_type meter aggregate_usage"),
    currency_options=_CURRENCY_OPTIONS,
)
PLAN = _fields(
    "id object product currency interval interval_count usage_type meter billing_scheme tiers_mode amount"
    " amount_decimal active",
    tiers=_TIER,
    transform_usage=_fields("divide_by round"),
)
COUPON = _fields(
    "id object created livemode deleted duration duration_in_months percent_off amount_off currency valid"
    " redeem_by",
    applies_to=_fields("products"),
    currency_options=_CURRENCY_OPTIONS,
)
DISCOUNT = _fields(
    "id object customer subscription subscription_item invoice start end",
    coupon=COUPON,
    source=_fields("type", coupon=COUPON),
)
_TAX_RATE = _fields("id object inclusive percentage active")
_ITEM = _fields(
    "id object created subscription quantity current_period_start current_period_end deleted",
    price=PRICE,
    plan=PLAN,
    discounts=DISCOUNT,
    tax_rates=_TAX_RATE,
    current_trial=_fields("start_date end_date trial_offer"),
)
_ITEMS = _fields("object has_more", data=_ITEM)
_PAUSE = _fields("behavior resumes_at")
_BILLING_NAMES = (
    "id object status currency customer start_date trial_start trial_end cancel_at cancel_at_period_end"
    " canceled_at ended_at latest_invoice collection_method created livemode"
)
BILLING = _fields(
    _BILLING_NAMES,
    items=_ITEMS,
    discounts=DISCOUNT,
    discount=DISCOUNT,
    default_tax_rates=_TAX_RATE,
    pause_collection=_PAUSE,
    billing_mode=_fields("type"),
    automatic_tax=_fields("enabled"),
    cancellation_details=_fields("reason"),
)

_COUNTRY = _fields("country")
_ADDRESS = _fields("", address=_COUNTRY)
_CARD = _fields("brand funding country exp_month exp_year", wallet=_fields("type"))
_LINE = _fields(
    "id object amount currency invoice quantity livemode proration subscription subscription_item type",
    period=_fields("start end"),
    price=_fields("id product"),
    plan=_fields("id product"),
    pricing=_fields("type", price_details=_fields("price product")),
    parent=_fields(
        "type",
        subscription_item_details=_fields("subscription subscription_item proration invoice_item"),
        invoice_item_details=_fields("subscription proration invoice_item"),
    ),
    discount_amounts=_fields("amount discount"),
    tax_amounts=_fields("amount inclusive"),
    taxes=_fields("amount tax_behavior"),
)

PERMITTED: dict[str, Shape] = {
    "customers": _fields(
        "id object created livemode deleted currency delinquent preferred_locales",
        address=_COUNTRY,
        shipping=_ADDRESS,
        tax=_fields("", location=_fields("country source")),
        tax_ids=_fields("has_more", data=_COUNTRY),
        invoice_settings=_fields("default_payment_method"),
        discount=DISCOUNT,
    ),
    "subscriptions": {
        **BILLING,
        **_fields("current_period_start current_period_end default_payment_method quantity"),
        "cancellation_details": _fields("reason feedback"),
        "plan": _fields("id product currency interval interval_count amount"),
    },
    "prices": PRICE,
    "coupons": COUPON,
    "charges": _fields(
        "id object created livemode customer invoice payment_intent payment_method amount amount_captured"
        " amount_refunded currency status paid captured refunded disputed failure_code",
        outcome=_fields("type reason advice_code network_advice_code"),
        payment_method_details=_fields("type", card=_CARD, card_present=_CARD),
        billing_details=_ADDRESS,
    ),
    "payment_methods": _fields(
        "id object created livemode customer type",
        card=_CARD,
        card_present=_CARD,
        billing_details=_ADDRESS,
    ),
    "invoices": _fields(
        "id object created livemode deleted customer subscription charge payment_intent status currency"
        " subtotal total amount_due amount_paid amount_remaining billing_reason collection_method attempt_count"
        " next_payment_attempt due_date period_start period_end paid",
        parent=_fields("type", subscription_details=_fields("subscription")),
        status_transitions=_fields("finalized_at paid_at voided_at marked_uncollectible_at"),
        lines=_fields("object has_more", data=_LINE),
    ),
    "invoice_payments": _fields(
        "id object created livemode invoice status amount_paid currency is_default",
        payment=_fields("type charge payment_intent"),
    ),
    "disputes": _fields(
        "id object created livemode charge payment_intent amount currency reason status network_reason_code",
        payment_method_details=_fields("type", card=_fields("network_reason_code brand")),
        evidence_details=_fields("has_evidence submission_count due_by"),
    ),
    "refunds": _fields("id object created livemode charge payment_intent amount currency status reason"),
}
