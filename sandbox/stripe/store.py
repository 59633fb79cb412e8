"""The pretend account's memory: a table for each resource, and what is only sent when it is expanded."""

from __future__ import annotations

from typing import Any, Final

from sandbox.stripe.table import Table
from sandbox.stripe.tables import PREFIXES, RESOURCES

__all__ = ["ALONE", "Store"]

# Stands for the neighbour of companions that have none, because a resource has no good object.
ALONE: Final = ""

Obj = dict[str, Any]


class Store:
    """Everything that one account has."""

    def __init__(self) -> None:
        self.tables = {name: Table(resource) for name, resource in RESOURCES.items()}
        # Discounts have no list of their own; they are seen embedded or expanded.
        self.discounts: dict[str, Obj] = {}
        # Fields of an object that Stripe sends only on request.
        self.expandable: dict[str, Obj] = {}
        self.item_owner: dict[str, str] = {}
        # Rows that are no proper objects, by resource and by the good object that each stands before.
        self.companions: dict[str, dict[str, list[bytes]]] = {}
        self.account: Obj = {}

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    def find(self, object_id: str) -> tuple[str, Table] | None:
        """The resource and table that hold an id."""
        name = PREFIXES.get(object_id.partition("_")[0])
        for candidate in (name, "coupons"):
            if candidate is not None and object_id in self.tables[candidate]:
                return candidate, self.tables[candidate]
        return None

    def flush(self) -> None:
        for table in self.tables.values():
            table.flush()
