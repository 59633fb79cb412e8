"""Rows of Data Pipeline's tables, from objects in API shape: one function a table.

The columns are Sigma's, those included that nobody should read. Times are naive UTC, amounts minor units, as in a
real delivery. The types of the columns are in `export_tables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from sandbox.stripe.store import Store

__all__ = [
    "Links",
    "charges",
    "coupon_options",
    "coupons",
    "customers",
    "discounts",
    "disputes",
    "invoice_line_items",
    "invoice_payments",
    "invoices",
    "line_discounts",
    "line_taxes",
    "payment_methods",
    "price_tiers",
    "prices",
    "refunds",
    "subscription_items",
    "subscriptions",
]

Obj = dict[str, Any]
Row = dict[str, Any]

# Sigma spells card brands as receipts do.
_BRANDS: Final = {"visa": "Visa", "mastercard": "MasterCard", "amex": "American Express", "diners": "Diners Club"}


class Links:
    """The account's objects, whole, and the links that Sigma shows as columns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._charged: dict[str, list[Obj]] = {}
        for charge in self.all("charges"):
            self._charged.setdefault(charge["payment_intent"] or charge["id"], []).append(charge)
        self.invoice_of: dict[str, str] = {}
        self.payment_of: dict[str, tuple[str | None, str | None]] = {}
        for payment in self.all("invoice_payments"):
            intent, charge_id = payment["payment"].get("payment_intent"), payment["payment"].get("charge")
            tried = self._charged.get(intent or charge_id or "", [])
            for charge in tried:
                self.invoice_of[charge["id"]] = payment["invoice"]
            paid = [charge["id"] for charge in tried if charge["paid"]]
            if payment["is_default"] or payment["invoice"] not in self.payment_of:
                latest = paid[-1] if paid else (tried[-1]["id"] if tried else None)
                self.payment_of[payment["invoice"]] = (latest, intent)
        self.dispute_of = {dispute["charge"]: dispute["id"] for dispute in self.all("disputes")}

    def all(self, name: str) -> Iterator[Obj]:
        """Every object of a resource, oldest first, nested lists uncut."""
        table = self._store[name]
        for object_id in reversed(list(table.ids())):
            yield table.get(object_id)

    def discount(self, discount_id: str) -> Obj:
        """A discount by its id."""
        return self._store.discounts[discount_id]

    def discounts(self) -> Iterator[Obj]:
        """Every discount ever given."""
        return iter(self._store.discounts.values())

    def expandable(self, object_id: str, name: str) -> Any:
        """A field that the API sends only when it is expanded."""
        return self._store.expandable.get(object_id, {}).get(name)


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _deep(obj: Obj, *names: str) -> Any:
    for name in names:
        obj = obj.get(name) or {}
    return obj or None


def _discount_columns(links: Links, owner: Obj) -> Row:
    """Sigma repeats the first discount of an object in columns of its own."""
    named = owner.get("discounts") or ([owner["discount"]["id"]] if owner.get("discount") else [])
    first = links.discount(named[0]) if named else None
    return {
        "discount_coupon_id": first["source"]["coupon"] if first else None,
        "discount_customer_id": first["customer"] if first else None,
        "discount_start": _time(first["start"]) if first else None,
        "discount_end": _time(first["end"]) if first else None,
        "discount_subscription": first["subscription"] if first else None,
    }


def customers(links: Links) -> Iterator[Row]:
    for obj in links.all("customers"):
        address = obj["address"] or {}
        yield {
            "id": obj["id"],
            "created": _time(obj["created"]),
            "currency": obj["currency"],
            "delinquent": obj["delinquent"],
            "address_line1": address.get("line1"),
            "address_city": address.get("city"),
            "address_country": address.get("country"),
            "shipping_address_country": _deep(obj, "shipping", "address", "country"),
            "description": obj["description"],
            "email": obj["email"],
            "name": obj["name"],
            "phone": obj["phone"],
            "preferred_locales": orjson.dumps(obj["preferred_locales"]).decode(),
            "invoice_settings_default_payment_method_id": obj["invoice_settings"]["default_payment_method"],
            **_discount_columns(links, obj),
        }


def subscriptions(links: Links) -> Iterator[Row]:
    for obj in links.all("subscriptions"):
        items = obj["items"]["data"]
        pause = obj["pause_collection"] or {}
        yield {
            "id": obj["id"],
            "created": _time(obj["created"]),
            "customer_id": obj["customer"],
            "status": obj["status"],
            "start_date": _time(obj["start_date"]),
            "ended_at": _time(obj["ended_at"]),
            "canceled_at": _time(obj["canceled_at"]),
            "cancel_at": _time(obj["cancel_at"]),
            "cancel_at_period_end": obj["cancel_at_period_end"],
            "cancellation_details_comment": obj["cancellation_details"]["comment"],
            "cancellation_details_reason": obj["cancellation_details"]["reason"],
            "cancellation_details_feedback": obj["cancellation_details"]["feedback"],
            "trial_start": _time(obj["trial_start"]),
            "trial_end": _time(obj["trial_end"]),
            "current_period_start": _time(min(item["current_period_start"] for item in items)) if items else None,
            "current_period_end": _time(max(item["current_period_end"] for item in items)) if items else None,
            "pause_collection_behavior": pause.get("behavior"),
            "pause_collection_resumes_at": _time(pause.get("resumes_at")),
            "billing": obj["collection_method"],
            "billing_mode_type": obj["billing_mode"]["type"],
            "default_payment_method_id": obj["default_payment_method"],
            "description": obj["description"],
            "latest_invoice_id": obj["latest_invoice"],
            "price_id": items[0]["price"]["id"] if len(items) == 1 else None,
            "quantity": items[0].get("quantity") if len(items) == 1 else None,
            "discounts": orjson.dumps(obj["discounts"]).decode(),
            **_discount_columns(links, obj),
        }


def subscription_items(links: Links) -> Iterator[Row]:
    for subscription in links.all("subscriptions"):
        for obj in subscription["items"]["data"]:
            price = obj["price"]
            yield {
                "id": obj["id"],
                "created": obj["created"],
                "subscription_id": subscription["id"],
                "price_id": price["id"],
                "price_currency": price["currency"],
                "price_nickname": price["nickname"],
                "price_product_id": price["product"],
                "price_recurring_interval": price["recurring"]["interval"],
                "price_recurring_interval_count": price["recurring"]["interval_count"],
                "price_unit_amount": price["unit_amount"],
                "quantity": obj.get("quantity"),
                "item_current_period_start": _time(obj["current_period_start"]),
                "item_current_period_end": _time(obj["current_period_end"]),
                "discounts": orjson.dumps(obj["discounts"]).decode(),
            }


def discounts(links: Links) -> Iterator[Row]:
    for obj in links.discounts():
        yield {
            "id": obj["id"],
            "coupon_id": obj["source"]["coupon"],
            "created": _time(obj["start"]),
            "customer_id": obj["customer"],
            "end": obj["end"],
            "subscription_id": obj["subscription"],
            "subscription_item_id": obj["subscription_item"],
        }


def prices(links: Links) -> Iterator[Row]:
    for obj in links.all("prices"):
        recurring = obj["recurring"] or {}
        transform = obj["transform_quantity"] or {}
        yield {
            "id": obj["id"],
            "created": _time(obj["created"]),
            "active": obj["active"],
            "billing_scheme": obj["billing_scheme"],
            "currency": obj["currency"],
            "nickname": obj["nickname"],
            "product_id": obj["product"],
            "recurring_interval": recurring.get("interval"),
            "recurring_interval_count": recurring.get("interval_count"),
            "recurring_meter_id": recurring.get("meter"),
            "recurring_usage_type": recurring.get("usage_type"),
            "tax_behavior": obj["tax_behavior"],
            "tiers_mode": obj["tiers_mode"],
            "transform_quantity_divide_by": transform.get("divide_by"),
            "transform_quantity_round": transform.get("round"),
            "type": obj["type"],
            "unit_amount": obj["unit_amount"],
            "unit_amount_decimal": obj["unit_amount_decimal"],
        }


def price_tiers(links: Links) -> Iterator[Row]:
    for price in links.all("prices"):
        for tier in links.expandable(price["id"], "tiers") or ():
            yield {
                "price_id": price["id"],
                "upto": "inf" if tier["up_to"] is None else str(tier["up_to"]),
                "amount": tier["unit_amount"],
                "amount_decimal": tier["unit_amount_decimal"],
                "flat_amount": tier["flat_amount"],
                "flat_amount_decimal": tier["flat_amount_decimal"],
            }


def coupons(links: Links) -> Iterator[Row]:
    for obj in links.all("coupons"):
        names = "id amount_off currency duration duration_in_months name percent_off valid"
        yield {
            **{name: obj[name] for name in names.split()},
            "created": _time(obj["created"]),
            "redeem_by": _time(obj["redeem_by"]),
        }


def coupon_options(links: Links) -> Iterator[Row]:
    for coupon in links.all("coupons"):
        for currency, option in (links.expandable(coupon["id"], "currency_options") or {}).items():
            yield {"coupon_id": coupon["id"], "currency": currency, "amount_off": option["amount_off"]}


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
            "created": _time(obj["created"]),
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
            "card_name": _deep(obj, "billing_details", "name"),
            "card_tokenization_method": _deep(card, "wallet", "type"),
            "card_address_country": _deep(obj, "billing_details", "address", "country"),
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
            "created": _time(obj["created"]),
            "customer_id": obj["customer"],
            "type": obj["type"],
            "card_brand": card.get("brand"),
            "card_funding": card.get("funding"),
            "card_country": card.get("country"),
            "card_exp_month": card.get("exp_month"),
            "card_exp_year": card.get("exp_year"),
            "card_last4": card.get("last4"),
            "billing_details_name": obj["billing_details"]["name"],
            "billing_details_address_country": _deep(obj, "billing_details", "address", "country"),
        }


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
            "date": _time(obj["created"]),
            "charge_id": charge,
            "payment_intent_id": intent,
            "customer_id": obj["customer"],
            "subscription_id": _deep(obj, "parent", "subscription_details", "subscription"),
            "next_payment_attempt": _time(obj["next_payment_attempt"]),
            "due_date": _time(obj["due_date"]),
            "period_start": _time(obj["period_start"]),
            "period_end": _time(obj["period_end"]),
            **{f"status_transitions_{name}": _time(moves[name]) for name in moves},
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
            "period_start": _time(line["period"]["start"]),
            "period_end": _time(line["period"]["end"]),
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
            "created": _time(obj["created"]),
            "payment_type": payment["type"],
            "payment_id": payment.get("charge"),
            "payment_intent": payment.get("payment_intent"),
        }


def disputes(links: Links) -> Iterator[Row]:
    for obj in links.all("disputes"):
        details = obj["evidence_details"]
        names = "id amount currency reason status is_charge_refundable"
        yield {
            **{name: obj[name] for name in names.split()},
            "created": _time(obj["created"]),
            "charge_id": obj["charge"],
            "payment_intent_id": obj["payment_intent"],
            "network_reason_code": _deep(obj, "payment_method_details", "card", "network_reason_code"),
            "evidence_details_has_evidence": details["has_evidence"],
            "evidence_details_submission_count": details["submission_count"],
            "evidence_details_due_by": _time(details["due_by"]),
            "evidence_uncategorized_text": obj["evidence"].get("uncategorized_text"),
        }


def refunds(links: Links) -> Iterator[Row]:
    for obj in links.all("refunds"):
        yield {
            **{name: obj[name] for name in ["id", "amount", "currency", "reason", "status"]},
            "created": _time(obj["created"]),
            "charge_id": obj["charge"],
            "payment_intent_id": obj["payment_intent"],
        }
