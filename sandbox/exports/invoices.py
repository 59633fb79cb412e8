"""Rows of Data Pipeline's tables about what was billed: invoices, their lines, what paid them.

One function a table, from objects in API shape. The columns are Sigma's, those included that nobody should read;
their types are in `tables`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.exports.links import Links, Obj, Row, deep, naive_time

__all__ = ["invoice_line_items", "invoice_payments", "invoices", "line_discounts", "line_taxes"]


def invoices(links: Links) -> Iterator[Row]:
    for obj in links.all("invoices"):
        charge, intent = links.payment_of.get(obj["id"], (None, None))
        moves = obj["status_transitions"]
        names = (
            "id amount_due amount_paid amount_remaining attempt_count billing_reason collection_method currency"
            " customer_email customer_name number status subtotal total"
        )
        yield {
            **{name: obj[name] for name in names.split()},
            "date": naive_time(obj["created"]),
            "charge_id": charge,
            "payment_intent_id": intent,
            "customer_id": obj["customer"],
            "subscription_id": deep(obj, "parent", "subscription_details", "subscription"),
            "next_payment_attempt": naive_time(obj["next_payment_attempt"]),
            "due_date": naive_time(obj["due_date"]),
            "period_start": naive_time(obj["period_start"]),
            "period_end": naive_time(obj["period_end"]),
            **{f"status_transitions_{name}": naive_time(moves[name]) for name in moves},
        }


def _lines(links: Links) -> Iterator[tuple[Obj, Obj]]:
    for invoice in links.all("invoices"):
        for line in invoice["lines"]["data"]:
            yield invoice, line


def invoice_line_items(links: Links) -> Iterator[Row]:
    for invoice, line in _lines(links):
        parent = line["parent"]
        details = parent["subscription_item_details"] or parent["invoice_item_details"] or {}
        yield {
            "id": line["id"],
            "invoice_id": invoice["id"],
            "amount": line["amount"],
            "currency": line["currency"],
            "description": line["description"],
            "period_start": naive_time(line["period"]["start"]),
            "period_end": naive_time(line["period"]["end"]),
            "price_id": line["pricing"]["price_details"]["price"],
            "proration": details.get("proration"),
            "quantity": line["quantity"],
            "subscription": details.get("subscription"),
            "subscription_item_id": details.get("subscription_item"),
        }


def line_discounts(links: Links) -> Iterator[Row]:
    for invoice, line in _lines(links):
        for part in line["discount_amounts"]:
            yield {"invoice_id": invoice["id"], "invoice_line_item_id": line["id"], **part}


def line_taxes(links: Links) -> Iterator[Row]:
    for invoice, line in _lines(links):
        for part in line["taxes"]:
            yield {
                "invoice_id": invoice["id"],
                "invoice_line_item_id": line["id"],
                "amount": part["amount"],
                "inclusive": part["tax_behavior"] == "inclusive",
            }


def invoice_payments(links: Links) -> Iterator[Row]:
    for obj in links.all("invoice_payments"):
        payment = obj["payment"]
        names = "id invoice status amount_paid currency is_default"
        yield {
            **{name: obj[name] for name in names.split()},
            "created": naive_time(obj["created"]),
            "payment_type": payment["type"],
            "payment_id": payment.get("charge"),
            "payment_intent": payment.get("payment_intent"),
        }
