"""Stripe invoices, their lines and their payments, in the shape of API version 2025-09-30.clover.

One function per kind of object, from plain values; no state and no rules. In this version an invoice has no
charge and a charge no invoice: invoice payments link them. Charges are in `shapes_payment`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["invoice", "invoice_line", "invoice_payment"]

Obj = dict[str, Any]


def invoice_line(
    line_id: str,
    *,
    invoice: str,
    amount: int,
    currency: str,
    description: str,
    period: tuple[int, int],
    price: str,
    product: str,
    unit_amount_decimal: str | None,
    quantity: int | None,
    subscription: str,
    item: str,
    livemode: bool,
    invoice_item: str | None = None,
    discounts: tuple[tuple[str, int], ...] = (),
    tax: tuple[Obj, int, int] | None = None,
) -> Obj:
    """A line of a subscription. `invoice_item` marks a proration; `tax` = (rate, tax, taxable amount)."""
    details = {
        "invoice_item": invoice_item,
        "proration": invoice_item is not None,
        "proration_details": {"credited_items": None},
        "subscription": subscription,
    }
    item_details = details | {"subscription_item": item}
    kind = "invoice_item_details" if invoice_item else "subscription_item_details"
    return {
        "id": line_id,
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [{"amount": cut, "discount": ref} for ref, cut in discounts],
        "discountable": invoice_item is None,
        "discounts": [ref for ref, _ in discounts],
        "invoice": invoice,
        "livemode": livemode,
        "metadata": {},
        "parent": {
            "invoice_item_details": details if invoice_item else None,
            "subscription_item_details": None if invoice_item else item_details,
            "type": kind,
        },
        "period": {"end": period[1], "start": period[0]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price, "product": product},
            "type": "price_details",
            "unit_amount_decimal": unit_amount_decimal,
        },
        "quantity": quantity,
        "subtotal": amount,
        "taxes": [] if tax is None else [_tax(*tax)],
    }


def invoice(
    invoice_id: str,
    *,
    customer: Obj,
    subscription: str,
    created: int,
    currency: str,
    billing_reason: str,
    period: tuple[int, int],
    lines: list[Obj],
    number: str,
    livemode: bool,
    collection_method: str = "charge_automatically",
    due_date: int | None = None,
    discounts: tuple[str, ...] = (),
    tax_rate: Obj | None = None,
    metadata: dict[str, str] | None = None,
) -> Obj:
    """A draft; its totals follow from the lines."""
    subtotal = cuts = tax = 0
    by_discount: dict[str, int] = {}
    for line in lines:
        subtotal += line["amount"]
        for part in line["discount_amounts"]:
            cuts += part["amount"]
            by_discount[part["discount"]] = by_discount.get(part["discount"], 0) + part["amount"]
        for part in line["taxes"]:
            tax += part["amount"]
    inclusive = tax_rate is not None and tax_rate["inclusive"]
    total = subtotal - cuts + (0 if inclusive else tax)
    return {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox account",
        "account_tax_ids": None,
        "amount_due": max(total, 0),
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": max(total, 0),
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": created + 3600,
        "billing_reason": billing_reason,
        "collection_method": collection_method,
        "created": created,
        "currency": currency,
        "custom_fields": None,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": None,
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [] if tax_rate is None else [tax_rate],
        "description": None,
        "discounts": list(discounts),
        "due_date": due_date,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {
            "object": "list",
            "data": lines,
            "has_more": False,
            "url": f"/v1/invoices/{invoice_id}/lines",
        },
        "livemode": livemode,
        "metadata": metadata or {},
        "next_payment_attempt": created + 3600 if collection_method == "charge_automatically" else None,
        "number": number,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": subscription},
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": period[1],
        "period_start": period[0],
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - (tax if inclusive else 0),
        "test_clock": None,
        "total": total,
        "total_discount_amounts": [{"amount": cut, "discount": ref} for ref, cut in by_discount.items()],
        "total_excluding_tax": total - tax,
        "total_pretax_credit_amounts": [],
        "total_taxes": [] if tax_rate is None else [_tax(tax_rate, tax, subtotal - cuts)],
        "webhooks_delivered_at": created,
    }


def invoice_payment(
    payment_id: str,
    *,
    invoice: str,
    amount: int,
    created: int,
    currency: str,
    payment: Obj,
    livemode: bool,
) -> Obj:
    """Open when made; the payer sets `status`, `amount_paid` and `status_transitions`."""
    return {
        "id": payment_id,
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": amount,
        "created": created,
        "currency": currency,
        "invoice": invoice,
        "is_default": True,
        "livemode": livemode,
        "payment": payment,
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }


def _tax(rate: Obj, amount: int, taxable: int) -> Obj:
    return {
        "amount": amount,
        "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]},
        "taxability_reason": "standard_rated",
        "taxable_amount": taxable,
        "type": "tax_rate_details",
    }
