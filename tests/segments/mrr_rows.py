"""Raw tables for the MRR table's tests, from billing objects."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from segments.mrr_table import subscription_mrr_table
from tests.segments.billing import AS_OF

__all__ = ["NOW", "TEXT", "compute", "raw", "side"]

NOW = datetime.fromtimestamp(AS_OF, UTC)
TEXT = pa.string()


def raw(billings: Sequence[Any], **columns: list[Any]) -> pa.Table:
    """Raw subscriptions `sub_<n>` of customers `cus_<n>`; a billing may be an object, JSON text or null."""
    objects = [billing if isinstance(billing, dict) else {} for billing in billings]
    table: dict[str, Any] = {
        "id": pa.array([f"sub_{n}" for n in range(len(billings))], TEXT),
        "customer": pa.array([f"cus_{n}" for n in range(len(billings))], TEXT),
        "status": pa.array([_text(each.get("status", "active")) for each in objects], TEXT),
        "currency": pa.array([_text(each.get("currency", "usd")) for each in objects], TEXT),
        "billing": pa.array([json.dumps(b) if isinstance(b, dict) else b for b in billings], TEXT),
    }
    return pa.table({**table, **columns})


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value) else None


def side(objects: dict[str, Any], column: str = "billing") -> pa.Table:
    """A raw table of prices, coupons or customers from objects by id."""
    texts = [
        None if value is None else value if isinstance(value, str) else json.dumps(value)
        for value in objects.values()
    ]
    return pa.table({"id": pa.array(list(objects), TEXT), column: pa.array(texts, TEXT)})


def compute(subscriptions: Any, **options: Any) -> pa.Table:
    """The MRR table; prices, coupons and customers as objects by id, every customer known."""
    count = len(subscriptions) if isinstance(subscriptions, pa.Table) else 0
    customers = options.pop("customers", {f"cus_{n}": None for n in range(count)})
    return subscription_mrr_table(
        subscriptions,
        prices=side(options.pop("prices", {})),
        coupons=side(options.pop("coupons", {})),
        customers=side(customers, "discount") if isinstance(customers, dict) else customers,
        as_of=options.pop("as_of", NOW),
        **options,
    )
