"""Stripe charges and what becomes of them, in the shape of API version 2025-09-30.clover.

Charges with their outcome, refunds, disputes: one function per kind of object, from plain values; no state and no
rules. What they pay for is in `shapes_invoice`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["charge", "dispute", "outcome", "refund"]

Obj = dict[str, Any]


def outcome(*, decline: str | None, advice: str | None, network_code: str | None) -> Obj:
    return {
        "advice_code": advice,
        "network_advice_code": "02" if advice == "try_again_later" else None,
        "network_decline_code": network_code,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": decline,
        "risk_level": "normal",
        "risk_score": 41 if decline else 12,
        "seller_message": "The bank did not return any further details with this decline."
        if decline
        else "Payment complete.",
        "type": "issuer_declined" if decline else "authorized",
    }


def charge(
    charge_id: str,
    *,
    amount: int,
    created: int,
    currency: str,
    customer: str,
    description: str,
    payment_intent: str | None,
    payment_method: str,
    details: Obj,
    billing_details: Obj,
    balance_transaction: str | None,
    outcome: Obj,
    livemode: bool,
    failure: tuple[str, str] | None = None,
    receipt_email: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Obj:
    """Succeeded unless `failure` = (code, message) is given; a failed charge captures nothing."""
    paid = failure is None
    return {
        "id": charge_id,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": balance_transaction,
        "billing_details": billing_details,
        "calculated_statement_descriptor": "SANDBOX",
        "captured": paid,
        "created": created,
        "currency": currency,
        "customer": customer,
        "description": description,
        "destination": None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": failure[0] if failure else None,
        "failure_message": failure[1] if failure else None,
        "fraud_details": {},
        "livemode": livemode,
        "metadata": metadata or {},
        "on_behalf_of": None,
        "order": None,
        "outcome": outcome,
        "paid": paid,
        "payment_intent": payment_intent,
        "payment_method": payment_method,
        "payment_method_details": details,
        "presentment_details": None,
        "radar_options": {},
        "receipt_email": receipt_email,
        "receipt_number": None,
        "receipt_url": f"https://pay.example/receipts/{charge_id}" if paid else None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }


def refund(
    refund_id: str, *, charge: Obj, amount: int, created: int, reason: str | None, balance_transaction: str
) -> Obj:
    return {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": balance_transaction,
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "destination_details": {
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def dispute(
    dispute_id: str,
    *,
    charge: Obj,
    created: int,
    reason: str,
    network_reason_code: str | None,
    status: str,
    balance_transactions: list[Obj],
    livemode: bool,
) -> Obj:
    inquiry = status.startswith("warning")
    return {
        "id": dispute_id,
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": balance_transactions,
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {
            "customer_name": charge["billing_details"]["name"],
            "uncategorized_text": "Canary evidence text",
        },
        "evidence_details": {
            "due_by": created + 7 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "case_type": "inquiry" if inquiry else "chargeback",
                "network_reason_code": network_reason_code,
            },
            "type": "card",
        },
        "reason": reason,
        "status": status,
    }
