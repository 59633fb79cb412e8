"""The account's objects as an export sees them: whole, oldest first, with the links that the API does not show.

Here: `Links`, and how a time and a nested field become a column. Not here: which columns a table has.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sandbox.stripe.store import Store

__all__ = ["Links", "Obj", "Row", "deep", "naive_time"]

Obj = dict[str, Any]
Row = dict[str, Any]


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


def naive_time(seconds: int | None) -> datetime | None:
    """A time without zone, in UTC, as Sigma has them."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def deep(obj: Obj, *names: str) -> Any:
    """A field of nested objects; None where any of them is missing or empty."""
    for name in names:
        obj = obj.get(name) or {}
    return obj or None
