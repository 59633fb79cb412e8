"""The table `subscription_mrr` computed in parts, for more subscriptions than one machine should parse.

Here: bringing to each subscription what its figure needs (its customer's discount, the latest invoice line of each
item), so that any part of the subscriptions can be computed alone. Not here: any rule: each part goes through
`segments.mrr_table` like the whole table, so the rows are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import narwhals as nw
import pyarrow as pa

from segments.frames import last_of
from segments.mrr_inputs import arrow
from segments.mrr_table import subscription_mrr_table
from segments.tables import SEGMENT_TABLES, TIMESTAMP

__all__ = ["COLUMNS_OF_PARTS", "subscription_mrr_in_parts"]

_SCHEMA: Final = SEGMENT_TABLES["subscription_mrr"]
_ROWS_OF_A_PART: Final = 50_000
_TEXT: Final = pa.string()

COLUMNS_OF_PARTS: Final = {
    "subscriptions": pa.schema(
        {
            **dict.fromkeys(("id", "customer", "status", "currency", "billing"), _TEXT),
            "deleted": pa.bool_(),
            "items_complete": pa.bool_(),
        }
    ),
    "prices": pa.schema({"id": _TEXT, "billing": _TEXT}),
    "coupons": pa.schema({"id": _TEXT, "billing": _TEXT}),
    "customers": pa.schema({"id": _TEXT, "discount": _TEXT}),
    "invoice_lines": pa.schema(
        {
            **dict.fromkeys(("id", "subscription", "subscription_item"), _TEXT),
            **dict.fromkeys(("amount", "discount_amount", "inclusive_tax_amount"), pa.int64()),
            "proration": pa.bool_(),
            "period_start": TIMESTAMP,
        }
    ),
}
"""What is read of each raw table."""


class _InParts(Protocol):
    def __call__(
        self,
        function: Callable[[pa.Table, pa.Table], pa.Table],
        left: Any,
        right: Any,
        *,
        keys: tuple[str, str],
        parts: int,
        schema: pa.Schema,
    ) -> pa.Table: ...


def subscription_mrr_in_parts(
    subscriptions: Any,
    *,
    prices: Any,
    coupons: Any,
    customers: Any,
    invoice_lines: Any,
    as_of: datetime,
    in_parts: _InParts,
) -> pa.Table:
    """Rows of `segments/subscription_mrr`, in the order of their ids.

    The sources are frames with `COLUMNS_OF_PARTS`, of one engine; `in_parts` calls a function for parts of two of
    its frames and gives all the rows. Prices and coupons go to every part.
    """
    rows, owners, lines = (nw.from_native(each).lazy() for each in (subscriptions, customers, invoice_lines))
    count = int(rows.select(nw.len().alias("rows")).collect("pyarrow")["rows"][0])
    owners = owners.select("discount", owner="id", known=nw.lit(True))
    table = in_parts(
        _Part(prices=arrow(prices), coupons=arrow(coupons), as_of=as_of),
        rows.join(owners, left_on="customer", right_on="owner", how="left").to_native(),
        _latest(lines).to_native(),
        keys=("id", "subscription"),
        parts=max(1, -(-count // _ROWS_OF_A_PART)),
        schema=_SCHEMA,
    )
    return table.sort_by("subscription")


def _latest(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Of each item the line that `segments.mrr_stated_tax` picks: the latest regular one that knows its tax."""
    column = nw.col
    regular = lines.filter(
        ~column("subscription").is_null(),
        ~column("subscription_item").is_null(),
        ~column("inclusive_tax_amount").is_null(),
        ~column("proration").fill_null(False),
    ).with_columns(undated=column("period_start").is_null().cast(nw.Int64))
    order = ["undated", "period_start", "id"]
    return regular.group_by("subscription", "subscription_item").agg(
        *(last_of(regular, name, order=order) for name in ("amount", "discount_amount", "inclusive_tax_amount"))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Computes the subscriptions of one part; sent to the processes that do."""

    prices: pa.Table
    coupons: pa.Table
    as_of: datetime

    def __call__(self, subscriptions: pa.Table, lines: pa.Table) -> pa.Table:
        if not subscriptions.num_rows:
            return _SCHEMA.empty_table()
        owned = subscriptions.filter(subscriptions["known"])
        owners = pa.table({"id": owned["customer"], "discount": owned["discount"]})
        wanted = COLUMNS_OF_PARTS["invoice_lines"]
        read = {
            field.name: lines[field.name] if field.name in lines.column_names else pa.nulls(len(lines), field.type)
            for field in wanted
        }
        return subscription_mrr_table(
            subscriptions,
            prices=self.prices,
            coupons=self.coupons,
            customers=owners,
            invoice_lines=pa.table(read, schema=wanted),
            as_of=self.as_of,
        )
