"""Rows of Data Pipeline's tables about who pays for what: customers, subscriptions, their items.

One function a table, from objects in API shape. The columns are Sigma's, those included that nobody should read;
their types are in `tables`.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from sandbox.exports.links import Links, Obj, Row, deep, naive_time

__all__ = ["customers", "subscription_items", "subscriptions"]


def _discount_columns(links: Links, owner: Obj) -> Row:
    """Sigma repeats the first discount of an object in columns of its own."""
    named = owner.get("discounts") or ([owner["discount"]["id"]] if owner.get("discount") else [])
    first = links.discount(named[0]) if named else None
    return {
        "discount_coupon_id": first["source"]["coupon"] if first else None,
        "discount_customer_id": first["customer"] if first else None,
        "discount_start": naive_time(first["start"]) if first else None,
        "discount_end": naive_time(first["end"]) if first else None,
        "discount_subscription": first["subscription"] if first else None,
    }


def customers(links: Links) -> Iterator[Row]:
    for obj in links.all("customers"):
        address = obj["address"] or {}
        yield {
            "id": obj["id"],
            "created": naive_time(obj["created"]),
            "currency": obj["currency"],
            "delinquent": obj["delinquent"],
            "address_line1": address.get("line1"),
            "address_city": address.get("city"),
            "address_country": address.get("country"),
            "shipping_address_country": deep(obj, "shipping", "address", "country"),
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
            "created": naive_time(obj["created"]),
            "customer_id": obj["customer"],
            "status": obj["status"],
            "start_date": naive_time(obj["start_date"]),
            "ended_at": naive_time(obj["ended_at"]),
            "canceled_at": naive_time(obj["canceled_at"]),
            "cancel_at": naive_time(obj["cancel_at"]),
            "cancel_at_period_end": obj["cancel_at_period_end"],
            "cancellation_details_comment": obj["cancellation_details"]["comment"],
            "cancellation_details_reason": obj["cancellation_details"]["reason"],
            "cancellation_details_feedback": obj["cancellation_details"]["feedback"],
            "trial_start": naive_time(obj["trial_start"]),
            "trial_end": naive_time(obj["trial_end"]),
            "current_period_start": naive_time(min(item["current_period_start"] for item in items))
            if items
            else None,
            "current_period_end": naive_time(max(item["current_period_end"] for item in items)) if items else None,
            "pause_collection_behavior": pause.get("behavior"),
            "pause_collection_resumes_at": naive_time(pause.get("resumes_at")),
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
                "item_current_period_start": naive_time(obj["current_period_start"]),
                "item_current_period_end": naive_time(obj["current_period_end"]),
                "discounts": orjson.dumps(obj["discounts"]).decode(),
            }
