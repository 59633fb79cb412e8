"""Older API versions: the same objects in the shape they had before.

The account's objects are stored in the shape of 2025-09-30.clover. What moved, and when, follows Stripe's
changelog: clover replaced `discount.coupon` by `discount.source` (and before it coupons were embedded); basil
(2025-03-31) moved subscription periods to the items, invoice and line links into `parent` and `pricing`, and
took the charge from the invoice and the invoice from the charge. https://docs.stripe.com/changelog
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from sandbox.simulation.shapes import API_VERSION
from sandbox.stripe.store import Store

__all__ = ["BASIL", "CLOVER", "Shaper", "known_version"]

CLOVER: Final = "2025-09-30"
BASIL: Final = "2025-03-31"
_OLDEST: Final = "2022-11-15"

Obj = dict[str, Any]


def known_version(version: str) -> bool:
    """Dated from 2022-11-15 on, with or without a release name."""
    day, _, name = version.partition(".")
    parts = day.split("-")
    dated = len(day) == 10 and len(parts) == 3 and all(part.isdigit() for part in parts)
    return dated and day >= _OLDEST and (not name or name.isalpha())


class Shaper:
    """Writes objects as one version has them."""

    def __init__(self, store: Store, version: str = API_VERSION) -> None:
        self._store = store
        day = version[:10]
        self.current = day >= CLOVER
        self.before_basil = day < BASIL
        self._steps: dict[str, Callable[[Obj], None]] = {
            "subscription": self._subscription,
            "subscription_item": self._item,
            "invoice": self._invoice,
            "line_item": self._line,
            "charge": self._charge,
            "customer": self._customer,
            "discount": self._discount,
        }

    def shape(self, obj: Obj) -> Obj:
        """Change the object in place; it must be the caller's own."""
        step = None if self.current else self._steps.get(str(obj.get("object")))
        if step is not None:
            step(obj)
        return obj

    def shape_body(self, body: bytes) -> bytes:
        return body if self.current else orjson.dumps(self.shape(orjson.loads(body)))

    def _discount(self, obj: Obj) -> None:
        source = obj.pop("source", None) or {}
        coupon_id = str(source.get("coupon"))
        coupons = self._store["coupons"]
        obj["coupon"] = coupons.get(coupon_id) if coupon_id in coupons else None

    def _customer(self, obj: Obj) -> None:
        if obj.get("discount"):
            self._discount(obj["discount"])

    def _first_discount(self, ids: list[str]) -> Obj | None:
        found = self._store.discounts.get(ids[0]) if ids else None
        if found is None:
            return None
        discount = orjson.loads(orjson.dumps(found))
        self._discount(discount)
        return dict(discount)

    def _subscription(self, obj: Obj) -> None:
        if not self.before_basil:
            return
        rows = _rows(obj, "items")
        starts = [row["current_period_start"] for row in rows if "current_period_start" in row]
        ends = [row["current_period_end"] for row in rows if "current_period_end" in row]
        obj["current_period_start"] = min(starts, default=None)
        obj["current_period_end"] = max(ends, default=None)
        obj["discount"] = self._first_discount(obj.get("discounts") or [])
        obj.pop("billing_mode", None)
        for row in rows:
            self._item(row)
        if len(rows) == 1:
            obj.update(plan=rows[0].get("plan"), quantity=rows[0].get("quantity"))

    def _item(self, obj: Obj) -> None:
        if self.before_basil:
            obj.pop("current_period_start", None)
            obj.pop("current_period_end", None)

    def _invoice(self, obj: Obj) -> None:
        if not self.before_basil:
            return
        parent = obj.pop("parent") or {}
        details = parent.get("subscription_details") or {}
        payment = self._payment_of_invoice(obj["id"])
        taxes = obj.pop("total_taxes", None) or []
        obj.update(
            subscription=details.get("subscription"),
            subscription_details={"metadata": details.get("metadata")},
            quote=None,
            charge=payment[0],
            payment_intent=payment[1],
            paid=obj.get("status") == "paid",
            paid_out_of_band=False,
            discount=self._first_discount(obj.get("discounts") or []),
            tax=sum(row["amount"] for row in taxes) if taxes else None,
            total_tax_amounts=[_old_tax(row) for row in taxes],
        )
        for line in _rows(obj, "lines"):
            self._line(line)

    def _line(self, obj: Obj) -> None:
        if not self.before_basil:
            return
        parent = obj.pop("parent", None) or {}
        of_item = parent.get("type") == "subscription_item_details"
        details = parent.get(str(parent.get("type"))) or {}
        pricing = obj.pop("pricing", None) or {}
        price_id = str((pricing.get("price_details") or {}).get("price"))
        prices = self._store["prices"]
        price = prices.get(price_id) if price_id in prices else None
        obj.update(
            type="subscription" if of_item else "invoiceitem",
            invoice_item=details.get("invoice_item"),
            proration=details.get("proration", False),
            proration_details=details.get("proration_details"),
            subscription=details.get("subscription"),
            subscription_item=details.get("subscription_item"),
            price=price,
            tax_amounts=[_old_tax(row) for row in obj.pop("taxes", None) or []],
            tax_rates=[],
        )

    def _charge(self, obj: Obj) -> None:
        if self.before_basil:
            obj["invoice"] = self._invoice_of_charge(obj)

    def _payment_of_invoice(self, invoice_id: str) -> tuple[str | None, str | None]:
        """(charge, payment intent): the newest charge of the invoice's payment."""
        payments = self._store["invoice_payments"]
        found = payments.page(limit=1, equal={"invoice": invoice_id}).ids
        if not found:
            return None, None
        payment = payments.get(found[0])["payment"]
        intent = payment.get("payment_intent")
        if intent is None:
            return payment.get("charge"), None
        charges = self._store["charges"].page(limit=1, equal={"payment_intent": intent}).ids
        return (charges[0] if charges else None), intent

    def _invoice_of_charge(self, charge: Obj) -> str | None:
        payments = self._store["invoice_payments"]
        intent = charge.get("payment_intent")
        equal = {"payment[payment_intent]": intent} if intent else {"payment[charge]": charge["id"]}
        found = payments.page(limit=1, equal=equal).ids
        return payments.get(found[0])["invoice"] if found else None


def _rows(obj: Obj, name: str) -> list[Obj]:
    nested = obj.get(name)
    data = nested.get("data") if isinstance(nested, dict) else None
    return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []


def _old_tax(row: Obj) -> Obj:
    return {
        "amount": row["amount"],
        "inclusive": row["tax_behavior"] == "inclusive",
        "tax_rate": row["tax_rate_details"]["tax_rate"],
        "taxability_reason": row["taxability_reason"],
        "taxable_amount": row["taxable_amount"],
    }
