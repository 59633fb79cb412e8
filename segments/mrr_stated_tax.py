"""Tax that only invoices state: the latest line of each subscription item, as `segments.taxes` reads it.

Here: picking the lines from the raw table. Not here: what the tax does to a figure. Stripe Tax levies tax inside a
price (`tax_behavior` inclusive) without a tax rate on the subscription, so the invoice is the only witness.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["item_ids", "line_columns", "stated_taxes"]

_TYPES = {
    "id": pa.string(),
    "subscription": pa.string(),
    "subscription_item": pa.string(),
    "amount": pa.int64(),
    "discount_amount": pa.int64(),
    "inclusive_tax_amount": pa.int64(),
    "proration": pa.bool_(),
    "period_start": pa.timestamp("us", tz="UTC"),
}


def line_columns(lines: pa.Table) -> pa.Table:
    """The needed columns of the raw invoice lines, in known types."""
    return pa.table({name: lines[name].cast(type_) for name, type_ in _TYPES.items()})


def stated_taxes(lines: pa.Table, subscriptions: pa.ChunkedArray) -> dict[str, Any]:
    """By subscription item: its latest invoice line that is no proration and knows its tax."""
    wanted = pc.and_(
        pc.is_in(lines["subscription"], value_set=subscriptions.combine_chunks()),
        pc.and_(pc.is_valid(lines["inclusive_tax_amount"]), pc.is_valid(lines["subscription_item"])),
    )
    regular = pc.invert(pc.fill_null(lines["proration"], False))
    found = lines.filter(pc.and_(wanted, regular)).sort_by([("period_start", "ascending"), ("id", "ascending")])
    return {row["subscription_item"]: _line(row) for row in found.to_pylist()}


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "subscription_item": row["subscription_item"],
        "amount": row["amount"],
        "discount_amounts": [{"amount": row["discount_amount"] or 0}],
        "tax_amounts": [{"amount": row["inclusive_tax_amount"], "inclusive": True}],
    }


def item_ids(billing: dict[str, Any]) -> list[str]:
    """Ids of the items that a billing object carries, whatever state it is in."""
    items = billing.get("items")
    data = items.get("data") if isinstance(items, dict) else items
    ids = [item.get("id") for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    return [key for key in ids if isinstance(key, str)]
