"""Rows of Data Pipeline's tables about money that moved: charges, methods, disputes, refunds.

One function a table, from objects in API shape. The columns are Sigma's, those included that nobody should read;
their types are in `tables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sandbox.exports.links import Links, Row, deep, naive_time

__all__ = ["charges", "disputes", "payment_methods", "refunds"]

# Sigma spells card brands as receipts do.
_BRANDS: Final = {"visa": "Visa", "mastercard": "MasterCard", "amex": "American Express", "diners": "Diners Club"}


def charges(links: Links) -> Iterator[Row]:
    for obj in links.all("charges"):
        method = obj["payment_method_details"] or {}
        card = method.get("card") or {}
        outcome = obj["outcome"] or {}
        names = (
            "id amount amount_refunded captured currency description failure_code failure_message paid refunded"
            " status"
        )
        yield {
            **{name: obj[name] for name in names.split()},
            "created": naive_time(obj["created"]),
            "customer_id": obj["customer"],
            "invoice_id": links.invoice_of.get(obj["id"]),
            "dispute_id": links.dispute_of.get(obj["id"]),
            "payment_intent": obj["payment_intent"],
            "payment_method_id": obj["payment_method"],
            "payment_method_type": method.get("type"),
            "card_brand": _BRANDS.get(card.get("brand", ""), card.get("brand")),
            "card_funding": card.get("funding"),
            "card_country": card.get("country"),
            "card_last4": card.get("last4"),
            "card_name": deep(obj, "billing_details", "name"),
            "card_tokenization_method": deep(card, "wallet", "type"),
            "card_address_country": deep(obj, "billing_details", "address", "country"),
            "outcome_type": outcome.get("type"),
            "outcome_reason": outcome.get("reason"),
            "outcome_advice_code": outcome.get("advice_code"),
            "outcome_network_advice_code": outcome.get("network_advice_code"),
            "receipt_email": obj["receipt_email"],
        }


def payment_methods(links: Links) -> Iterator[Row]:
    for obj in links.all("payment_methods"):
        card = obj.get("card") or {}
        yield {
            "id": obj["id"],
            "created": naive_time(obj["created"]),
            "customer_id": obj["customer"],
            "type": obj["type"],
            "card_brand": card.get("brand"),
            "card_funding": card.get("funding"),
            "card_country": card.get("country"),
            "card_exp_month": card.get("exp_month"),
            "card_exp_year": card.get("exp_year"),
            "card_last4": card.get("last4"),
            "billing_details_name": obj["billing_details"]["name"],
            "billing_details_address_country": deep(obj, "billing_details", "address", "country"),
        }


def disputes(links: Links) -> Iterator[Row]:
    for obj in links.all("disputes"):
        details = obj["evidence_details"]
        names = "id amount currency reason status is_charge_refundable"
        yield {
            **{name: obj[name] for name in names.split()},
            "created": naive_time(obj["created"]),
            "charge_id": obj["charge"],
            "payment_intent_id": obj["payment_intent"],
            "network_reason_code": deep(obj, "payment_method_details", "card", "network_reason_code"),
            "evidence_details_has_evidence": details["has_evidence"],
            "evidence_details_submission_count": details["submission_count"],
            "evidence_details_due_by": naive_time(details["due_by"]),
            "evidence_uncategorized_text": obj["evidence"].get("uncategorized_text"),
        }


def refunds(links: Links) -> Iterator[Row]:
    for obj in links.all("refunds"):
        yield {
            **{name: obj[name] for name in ["id", "amount", "currency", "reason", "status"]},
            "created": naive_time(obj["created"]),
            "charge_id": obj["charge"],
            "payment_intent_id": obj["payment_intent"],
        }
