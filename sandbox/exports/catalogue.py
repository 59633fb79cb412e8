"""Rows of Data Pipeline's tables about what is sold and for how much less: prices, coupons, discounts.

One function a table, from objects in API shape. The columns are Sigma's, those included that nobody should read;
their types are in `tables`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.exports.links import Links, Row, naive_time

__all__ = ["coupon_options", "coupons", "discounts", "price_tiers", "prices"]


def prices(links: Links) -> Iterator[Row]:
    for obj in links.all("prices"):
        recurring = obj["recurring"] or {}
        transform = obj["transform_quantity"] or {}
        yield {
            "id": obj["id"],
            "created": naive_time(obj["created"]),
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
            "created": naive_time(obj["created"]),
            "redeem_by": naive_time(obj["redeem_by"]),
        }


def coupon_options(links: Links) -> Iterator[Row]:
    for coupon in links.all("coupons"):
        for currency, option in (links.expandable(coupon["id"], "currency_options") or {}).items():
            yield {"coupon_id": coupon["id"], "currency": currency, "amount_off": option["amount_off"]}


def discounts(links: Links) -> Iterator[Row]:
    for obj in links.discounts():
        yield {
            "id": obj["id"],
            "coupon_id": obj["source"]["coupon"],
            "created": naive_time(obj["start"]),
            "customer_id": obj["customer"],
            "end": obj["end"],
            "subscription_id": obj["subscription"],
            "subscription_item_id": obj["subscription_item"],
        }
