"""Stripe objects of a subscription account in the shape of API version 2025-09-30.clover: who buys, and what.

One function per kind of object, from plain values; no state, no rules, no randomness. What is billed and paid
is in `shapes_invoice` and `shapes_payment`. Older shapes are made from these by `stripe_versions`. Field lists
follow Stripe's API reference (https://docs.stripe.com/api); discounts are ids, as in every list answer without
expansion.
"""

from __future__ import annotations

from typing import Any

__all__ = ["API_VERSION", "account", "customer", "discount", "payment_method", "subscription", "subscription_item"]

API_VERSION = "2025-09-30.clover"

Obj = dict[str, Any]


def account(account_id: str, *, created: int, livemode: bool) -> Obj:
    return {
        "id": account_id,
        "object": "account",
        "business_profile": {"mcc": "5734", "name": "Sandbox account", "support_email": None, "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": created,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "owner@canary-mail.example",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {
            "dashboard": {
                "display_name": "Sandbox account" + ("" if livemode else " (test)"),
                "timezone": "Etc/UTC",
            },
            "payments": {"statement_descriptor": "SANDBOX"},
        },
        "type": "standard",
    }


def customer(
    customer_id: str,
    *,
    created: int,
    currency: str | None,
    address: Obj | None,
    name: str | None,
    email: str | None,
    phone: str | None,
    description: str | None,
    default_payment_method: str | None,
    livemode: bool,
    locale: str | None = None,
    metadata: dict[str, str] | None = None,
    tax_exempt: str = "none",
) -> Obj:
    return {
        "id": customer_id,
        "object": "customer",
        "address": address,
        "balance": 0,
        "created": created,
        "currency": currency,
        "default_source": None,
        "delinquent": False,
        "description": description,
        "discount": None,
        "email": email,
        "invoice_prefix": customer_id[-8:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": default_payment_method,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": livemode,
        "metadata": metadata or {},
        "name": name,
        "next_invoice_sequence": 1,
        "phone": phone,
        "preferred_locales": [locale] if locale else [],
        "shipping": None,
        "tax_exempt": tax_exempt,
        "test_clock": None,
    }


def payment_method(
    method_id: str,
    *,
    customer: str,
    created: int,
    details: Obj,
    name: str | None,
    email: str | None,
    address: Obj | None,
    livemode: bool,
) -> Obj:
    """`details` holds `type` and the part named after the type."""
    kind = details["type"]
    return {
        "id": method_id,
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": {"address": address, "email": email, "name": name, "phone": None, "tax_id": None},
        kind: details[kind],
        "created": created,
        "customer": customer,
        "livemode": livemode,
        "metadata": {},
        "type": kind,
    }


def subscription_item(
    item_id: str,
    *,
    subscription: str,
    created: int,
    price: Obj,
    plan: Obj,
    quantity: int | None,
    period: tuple[int, int],
    discounts: list[str],
) -> Obj:
    obj: Obj = {
        "id": item_id,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": created,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discounts": discounts,
        "metadata": {},
        "plan": plan,
        "price": price,
        "subscription": subscription,
        "tax_rates": [],
    }
    if quantity is not None:
        obj["quantity"] = quantity
    return obj


def subscription(
    subscription_id: str,
    *,
    customer: str,
    created: int,
    currency: str,
    status: str,
    items: list[Obj],
    discounts: list[str],
    default_payment_method: str | None,
    livemode: bool,
    collection_method: str = "charge_automatically",
    days_until_due: int | None = None,
    trial: tuple[int, int] | None = None,
    tax_rates: list[Obj] | None = None,
    flexible: bool = False,
    metadata: dict[str, str] | None = None,
) -> Obj:
    return {
        "id": subscription_id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": trial[1] if trial else created,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}}
        if flexible
        else {"type": "classic", "flexible": None},
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": collection_method,
        "created": created,
        "currency": currency,
        "customer": customer,
        "days_until_due": days_until_due,
        "default_payment_method": default_payment_method,
        "default_source": None,
        "default_tax_rates": tax_rates or [],
        "description": None,
        "discounts": discounts,
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list",
            "data": items,
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={subscription_id}",
        },
        "latest_invoice": None,
        "livemode": livemode,
        "metadata": metadata or {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": created,
        "status": status,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": trial[1] if trial else None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "pause" if trial else "create_invoice"}},
        "trial_start": trial[0] if trial else None,
    }


def discount(
    discount_id: str,
    *,
    coupon: str,
    customer: str,
    start: int,
    end: int | None,
    subscription: str | None = None,
    item: str | None = None,
) -> Obj:
    return {
        "id": discount_id,
        "object": "discount",
        "checkout_session": None,
        "customer": customer,
        "end": end,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": None,
        "source": {"coupon": coupon, "type": "coupon"},
        "start": start,
        "subscription": subscription,
        "subscription_item": item,
    }
