"""Stripe objects → rows of the raw tables, one parser per table.

Here: which field becomes which column. Not here: where a field lies in which API version (`ingest.accessors`)
and what may be kept at all (`ingest.shapes`). A parser gives the same row from an object and from its cut, and
raises `MalformedObject` where a type is wrong. Times are microseconds since 1970, as the columns store them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from ingest import accessors as read
from ingest.shapes import BILLING, COUPON, DISCOUNT, PRICE, cut

__all__ = ["PARSERS", "Parsed", "Provenance", "parse"]

Row: TypeAlias = dict[str, Any]
Object: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a row comes from; times in microseconds since 1970 on Stripe's clock."""

    version_at: int
    fetched_at: int
    source: str
    livemode: bool


@dataclass(frozen=True, slots=True)
class Parsed:
    """The row of an object, the rows of its nested list, and whether that list was whole."""

    row: Row
    children: tuple[Row, ...] = ()
    whole: bool = True


def parse(table: str, source: Object, provenance: Provenance, *, deleted: bool = False) -> Parsed:
    """The rows of one object.

    Raises: MalformedObject, naming the field.
    """
    if not isinstance(source, dict):
        raise read.MalformedObject(f"{table}: {type(source).__name__}, not an object")
    parsed = PARSERS[table](source)
    livemode = read.flag(source, "livemode")
    common = {
        "livemode": provenance.livemode if livemode is None else livemode,
        "deleted": deleted or read.flag(source, "deleted") or False,
        "version_at": provenance.version_at,
        "fetched_at": provenance.fetched_at,
        "source": provenance.source,
    }
    parsed.row["id"] = read.required_text(source, "id")
    parsed.row["created"] = read.moment(source, "created")
    if (parsed.row["created"] or 0) <= 0:
        raise read.MalformedObject(f"{table}: created is no time")
    for name in _REQUIRED[table]:
        if parsed.row[name] is None:
            raise read.MalformedObject(f"{table}: {name} is missing")
    parsed.row.update(common)
    for child in parsed.children:
        child.update(common)
    return parsed


def _json(value: Any) -> str | None:
    try:
        return None if value is None else orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:  # a number beyond 64 bits, half of a surrogate pair
        raise read.MalformedObject(f"a part that MRR needs is no JSON: {error}") from error


def _exact(source: Any, name: str) -> str | None:
    """A decimal as text: Stripe sends texts, and `percent_off` as a number whose shortest text is exact."""
    value = source.get(name)
    if value is None or isinstance(value, str):
        return value
    if type(value) in (int, float):
        return repr(value)
    raise read.MalformedObject(f"{name} is {type(value).__name__}, not a number")


def _customer(source: Object) -> Parsed:
    tax = read.nested(source, "tax", "location")
    tax_ids, _ = read.child_list(source, "tax_ids")
    return Parsed(
        {
            "currency": read.text(source, "currency"),
            "delinquent": read.flag(source, "delinquent"),
            "country": read.text(read.nested(source, "address"), "country"),
            "shipping_country": read.text(read.nested(source, "shipping", "address"), "country"),
            "tax_country": read.text(tax, "country"),
            "tax_country_source": read.text(tax, "source"),
            "tax_id_country": read.text(tax_ids[0], "country") if tax_ids else None,
            "preferred_locale": read.first_text(source, "preferred_locales"),
            "default_payment_method": read.reference(
                read.nested(source, "invoice_settings"), "default_payment_method"
            ),
            "discount": _json(cut(source.get("discount"), DISCOUNT)),
            "email_hash": None,
        }
    )


def _subscription(source: Object) -> Parsed:
    items, whole = read.child_list(source, "items")
    if source.get("items") is None:
        raise read.MalformedObject("subscription.items is missing")
    start, end = read.subscription_period(source)
    cancellation = read.nested(source, "cancellation_details")
    pause = read.nested(source, "pause_collection")
    identity = read.required_text(source, "id")
    return Parsed(
        {
            "customer": read.reference(source, "customer"),
            "status": read.text(source, "status"),
            "currency": read.text(source, "currency"),
            "start_date": read.moment(source, "start_date"),
            "ended_at": read.moment(source, "ended_at"),
            "canceled_at": read.moment(source, "canceled_at"),
            "cancel_at": read.moment(source, "cancel_at"),
            "cancel_at_period_end": read.flag(source, "cancel_at_period_end"),
            "cancellation_reason": read.text(cancellation, "reason"),
            "cancellation_feedback": read.text(cancellation, "feedback"),
            "trial_start": read.moment(source, "trial_start"),
            "trial_end": read.moment(source, "trial_end"),
            "current_period_start": start,
            "current_period_end": end,
            "pause_behavior": read.text(pause, "behavior"),
            "pause_resumes_at": read.moment(pause, "resumes_at"),
            "collection_method": read.text(source, "collection_method"),
            "default_payment_method": read.reference(source, "default_payment_method"),
            "latest_invoice": read.reference(source, "latest_invoice"),
            "items_complete": whole,
            "billing": _json(cut(source, BILLING)),
        },
        tuple(_item(item, identity, source) for item in items),
        whole,
    )


def _item(item: Object, subscription: str, parent: Object) -> Row:
    price = item.get("price")
    if not isinstance(price, dict):
        price = {"id": price} if isinstance(price, str) else dict(read.nested(item, "plan"))
    recurring = read.nested(price, "recurring")
    start, end = read.moment(item, "current_period_start"), read.moment(item, "current_period_end")
    return {
        "id": read.required_text(item, "id"),
        "created": read.moment(item, "created"),
        "subscription": subscription,
        "price": read.text(price, "id"),
        "product": read.reference(price, "product"),
        "currency": read.text(price, "currency"),
        "quantity": read.whole(item, "quantity"),
        "unit_amount": read.whole(price, "unit_amount"),
        "unit_amount_decimal": _exact(price, "unit_amount_decimal"),
        "billing_scheme": read.text(price, "billing_scheme"),
        "usage_type": read.text(recurring, "usage_type"),
        "interval": read.text(recurring, "interval"),
        "interval_count": read.whole(recurring, "interval_count"),
        "current_period_start": read.moment(parent, "current_period_start") if start is None else start,
        "current_period_end": read.moment(parent, "current_period_end") if end is None else end,
    }


def _price(source: Object) -> Parsed:
    recurring = read.nested(source, "recurring")
    return Parsed(
        {
            "product": read.reference(source, "product"),
            "active": read.flag(source, "active"),
            "currency": read.text(source, "currency"),
            "type": read.text(source, "type"),
            "unit_amount": read.whole(source, "unit_amount"),
            "interval": read.text(recurring, "interval"),
            "interval_count": read.whole(recurring, "interval_count"),
            "billing": _json(cut(source, PRICE)),
        }
    )


def _coupon(source: Object) -> Parsed:
    return Parsed(
        {
            "duration": read.text(source, "duration"),
            "duration_in_months": read.whole(source, "duration_in_months"),
            "percent_off": _exact(source, "percent_off"),
            "amount_off": read.whole(source, "amount_off"),
            "currency": read.text(source, "currency"),
            "valid": read.flag(source, "valid"),
            "billing": _json(cut(source, COUPON)),
        }
    )


def _card_of(source: Object) -> Any:
    """The card part of a payment method or of a charge's method; in a shop the card is `card_present`."""
    return read.nested(source, "card") or read.nested(source, "card_present")


def _charge(source: Object) -> Parsed:
    outcome = read.nested(source, "outcome")
    method = dict(read.nested(source, "payment_method_details"))
    card = _card_of(method)
    return Parsed(
        {
            "customer": read.reference(source, "customer"),
            "invoice": read.reference(source, "invoice"),
            "payment_intent": read.reference(source, "payment_intent"),
            "payment_method": read.reference(source, "payment_method"),
            "amount": read.whole(source, "amount"),
            "amount_captured": read.whole(source, "amount_captured"),
            "amount_refunded": read.whole(source, "amount_refunded"),
            "currency": read.text(source, "currency"),
            "status": read.text(source, "status"),
            "paid": read.flag(source, "paid"),
            "captured": read.flag(source, "captured"),
            "refunded": read.flag(source, "refunded"),
            "disputed": read.flag(source, "disputed"),
            "failure_code": read.text(source, "failure_code"),
            "outcome_type": read.text(outcome, "type"),
            "outcome_reason": read.text(outcome, "reason"),
            "advice_code": read.text(outcome, "advice_code"),
            "network_advice_code": read.text(outcome, "network_advice_code"),
            "method_type": read.text(method, "type"),
            "card_brand": read.text(card, "brand"),
            "card_funding": read.text(card, "funding"),
            "card_country": read.text(card, "country"),
            "wallet": read.text(read.nested(card, "wallet"), "type"),
            "billing_country": read.text(read.nested(source, "billing_details", "address"), "country"),
        }
    )


def _payment_method(source: Object) -> Parsed:
    card = _card_of(source)
    return Parsed(
        {
            "customer": read.reference(source, "customer"),
            "type": read.text(source, "type"),
            "card_brand": read.text(card, "brand"),
            "card_funding": read.text(card, "funding"),
            "card_country": read.text(card, "country"),
            "card_exp_month": read.whole(card, "exp_month"),
            "card_exp_year": read.whole(card, "exp_year"),
            "billing_country": read.text(read.nested(source, "billing_details", "address"), "country"),
        }
    )


def _invoice(source: Object) -> Parsed:
    lines, whole = read.child_list(source, "lines")
    if source.get("lines") is None:
        raise read.MalformedObject("invoice.lines is missing")
    moves = read.nested(source, "status_transitions")
    identity, customer = read.required_text(source, "id"), read.reference(source, "customer")
    created = read.moment(source, "created")
    return Parsed(
        {
            "customer": customer,
            "subscription": read.invoice_subscription(source),
            "charge": read.reference(source, "charge"),
            "payment_intent": read.reference(source, "payment_intent"),
            "status": read.text(source, "status"),
            "currency": read.text(source, "currency"),
            "subtotal": read.whole(source, "subtotal"),
            "total": read.whole(source, "total"),
            "amount_due": read.whole(source, "amount_due"),
            "amount_paid": read.whole(source, "amount_paid"),
            "amount_remaining": read.whole(source, "amount_remaining"),
            "billing_reason": read.text(source, "billing_reason"),
            "collection_method": read.text(source, "collection_method"),
            "attempt_count": read.whole(source, "attempt_count"),
            "next_payment_attempt": read.moment(source, "next_payment_attempt"),
            "due_date": read.moment(source, "due_date"),
            "period_start": read.moment(source, "period_start"),
            "period_end": read.moment(source, "period_end"),
            "finalized_at": read.moment(moves, "finalized_at"),
            "paid_at": read.moment(moves, "paid_at"),
            "voided_at": read.moment(moves, "voided_at"),
            "marked_uncollectible_at": read.moment(moves, "marked_uncollectible_at"),
            "lines_complete": whole,
        },
        tuple(_line(line, identity, customer, created) for line in lines),
        whole,
    )


def _line(line: Object, invoice: str, customer: str | None, created: int | None) -> Row:
    period = read.nested(line, "period")
    return {
        "id": read.required_text(line, "id"),
        "created": created,
        "invoice": invoice,
        "customer": customer,
        "subscription": read.line_subscription(line),
        "subscription_item": read.line_item(line),
        "price": read.line_price(line),
        "product": read.line_product(line),
        "currency": read.text(line, "currency"),
        "amount": read.whole(line, "amount"),
        "discount_amount": read.amount_sum(line, "discount_amounts"),
        "inclusive_tax_amount": read.amount_sum(line, "taxes", only=("tax_behavior", "inclusive"))
        + read.amount_sum(line, "tax_amounts", only=("inclusive", True)),
        "quantity": read.whole(line, "quantity"),
        "proration": read.line_proration(line),
        "period_start": read.moment(period, "start"),
        "period_end": read.moment(period, "end"),
    }


def _invoice_payment(source: Object) -> Parsed:
    charge, intent = read.payment_of(source)
    return Parsed(
        {
            "invoice": read.reference(source, "invoice"),
            "charge": charge,
            "payment_intent": intent,
            "status": read.text(source, "status"),
            "amount_paid": read.whole(source, "amount_paid"),
            "currency": read.text(source, "currency"),
            "is_default": read.flag(source, "is_default"),
        }
    )


def _dispute(source: Object) -> Parsed:
    card = read.nested(source, "payment_method_details", "card")
    evidence = read.nested(source, "evidence_details")
    return Parsed(
        {
            "charge": read.reference(source, "charge"),
            "payment_intent": read.reference(source, "payment_intent"),
            "amount": read.whole(source, "amount"),
            "currency": read.text(source, "currency"),
            "reason": read.text(source, "reason"),
            "status": read.text(source, "status"),
            "network_reason_code": read.text(card, "network_reason_code")
            or read.text(source, "network_reason_code"),
            "has_evidence": read.flag(evidence, "has_evidence"),
            "submission_count": read.whole(evidence, "submission_count"),
            "evidence_due_by": read.moment(evidence, "due_by"),
        }
    )


def _refund(source: Object) -> Parsed:
    return Parsed(
        {
            "charge": read.reference(source, "charge"),
            "payment_intent": read.reference(source, "payment_intent"),
            "amount": read.whole(source, "amount"),
            "currency": read.text(source, "currency"),
            "status": read.text(source, "status"),
            "reason": read.text(source, "reason"),
        }
    )


# Columns that Stripe always gives and without which a row says nothing.
_REQUIRED: dict[str, tuple[str, ...]] = {
    "customers": (),
    "subscriptions": ("customer", "status"),
    "prices": ("currency",),
    "coupons": ("duration",),
    "charges": ("amount", "currency", "status"),
    "payment_methods": ("type",),
    "invoices": ("customer", "currency", "total"),
    "invoice_payments": ("invoice", "currency"),
    "disputes": ("amount", "currency", "status"),
    "refunds": ("amount", "currency"),
}

PARSERS: dict[str, Callable[[Object], Parsed]] = {
    "customers": _customer,
    "subscriptions": _subscription,
    "prices": _price,
    "coupons": _coupon,
    "charges": _charge,
    "payment_methods": _payment_method,
    "invoices": _invoice,
    "invoice_payments": _invoice_payment,
    "disputes": _dispute,
    "refunds": _refund,
}
