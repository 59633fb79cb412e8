"""The table `segments/subscription_mrr`: recurring revenue of every subscription, from rows of the raw tables.

Here: joining prices, coupons and customer discounts, and the split between the fast path (`segments.mrr_plain`)
and the exact one (`segments.mrr`); both give the same rows, and tests hold them to it. Not here: the rules, and
which rows of an earlier result still hold (`segments.mrr_reuse`). Nested parts arrive as JSON in API shape
(columns `billing` and `discount`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from narwhals.typing import IntoFrame

from segments.lifecycle import STATUSES
from segments.money import fraction_text, known_currency, round_half_even
from segments.mrr import subscription_mrr
from segments.mrr_inputs import UNREADABLE, arrow, objects, parsed, subscription_columns, text_columns
from segments.mrr_plain import PlainPrices, PlainRows
from segments.mrr_reuse import ChangedIds, still_valid
from segments.mrr_stated_tax import item_ids, line_columns, stated_taxes
from segments.profiles import Profile, resolve_profile
from segments.rules import rules
from segments.tables import SEGMENT_TABLES, TIMESTAMP

__all__ = ["ChangedIds", "subscription_mrr_table"]

_SCHEMA = SEGMENT_TABLES["subscription_mrr"]
_BATCH_ROWS = 65_536
_FROM_OUTSIDE = ("subscription", "customer", "status", "profile", "rules", "as_of")
_VALUES = pa.schema([field for field in _SCHEMA if field.name not in _FROM_OUTSIDE])


def subscription_mrr_table(
    subscriptions: IntoFrame,
    *,
    prices: IntoFrame,
    coupons: IntoFrame,
    customers: IntoFrame,
    as_of: datetime,
    invoice_lines: IntoFrame | None = None,
    profile: str | Profile = "default-v1",
    previous: IntoFrame | None = None,
    changed: ChangedIds | None = None,
) -> pa.Table:
    """Rows of `segments/subscription_mrr`, in the order of `subscriptions`.

    Args:
        subscriptions: raw rows: `id`, `customer`, `status`, `currency`, `billing` and, where they exist,
            `deleted` and `items_complete`.
        prices: raw rows: `id`, `billing`.
        coupons: raw rows: `id`, `billing`.
        customers: raw rows: `id`, `discount`.
        as_of: the time for which the figures hold.
        invoice_lines: raw rows, read only for subscriptions whose price contains tax that no rate states: `id`,
            `subscription`, `subscription_item`, `amount`, `discount_amount`, `inclusive_tax_amount`, `proration`,
            `period_start`. Without them such figures are gross, and flagged.
        profile: name of a rule set, or one.
        previous: an earlier result. With `changed`, rows that cannot differ now are taken from it: complete ones
            of unchanged objects and rules, with no trial, pause, discount or end that begins or runs out between.
        changed: ids whose raw rows have changed since `previous`.

    Raises:
        UnknownProfileError: no rule set has this name.
        ValueError: `as_of` is naive.
    """
    if as_of.tzinfo is None:
        raise ValueError("as_of must be an aware datetime: a naive one names no instant")
    rows = subscription_columns(arrow(subscriptions))
    customer_rows = text_columns(customers, "discount")
    calculation = _Calculation(
        prices=objects(text_columns(prices, "billing")),
        coupons=objects(text_columns(coupons, "billing")),
        customers=customer_rows["id"].combine_chunks(),
        discounts=objects(customer_rows),
        as_of=as_of.astimezone(UTC),
        profile=resolve_profile(profile),
    )
    lines = None if invoice_lines is None else line_columns(arrow(invoice_lines))
    if previous is None or changed is None:
        return _net_of_stated_tax(calculation, rows, lines)
    kept, places = still_valid(
        arrow(previous),
        rows,
        customer_rows,
        lines,
        changed=changed,
        as_of=calculation.as_of,
        profile=calculation.profile.name,
    )
    fresh = _net_of_stated_tax(calculation, rows.filter(pc.is_null(places)), lines)
    return _merged(kept.cast(_SCHEMA), fresh, pc.is_null(places))


def _net_of_stated_tax(calculation: "_Calculation", rows: pa.Table, lines: pa.Table | None) -> pa.Table:
    """The result; figures that contain tax are computed again where the latest invoice line states it."""
    table = calculation.table(rows)
    gross = pc.match_substring(table["reasons"], "gross_of_inclusive_tax")
    if lines is None or not pc.any(gross).as_py():
        return table
    stated = stated_taxes(lines, rows.filter(gross)["id"])
    again = replace(calculation, stated=stated).table(rows.filter(gross))
    return _merged(table.filter(pc.invert(gross)), again, gross)


def _merged(first: pa.Table, second: pa.Table, in_second: pa.ChunkedArray) -> pa.Table:
    """Both tables' rows as one, in the order that `in_second` tells."""
    mask = np.asarray(in_second)
    order = _order([np.flatnonzero(~mask), np.flatnonzero(mask)])
    return pa.concat_tables([first, second]).take(order).combine_chunks()


@dataclass(frozen=True, slots=True)
class _Calculation:
    prices: Mapping[str, Any]
    coupons: Mapping[str, Any]
    customers: pa.Array
    discounts: Mapping[str, Any]
    as_of: datetime
    profile: Profile
    stated: Mapping[str, Any] = field(default_factory=dict)

    def table(self, rows: pa.Table) -> pa.Table:
        """The result of all rows, batch by batch, so that little JSON is in memory at a time."""
        discounted = pc.is_in(rows["customer"], value_set=pa.array(list(self.discounts), pa.string()))
        known = pc.is_in(rows["customer"], value_set=self.customers)
        missing = pc.and_(pc.is_valid(rows["customer"]), pc.invert(known))
        rows = rows.append_column("discounted", discounted).append_column("customer_missing", missing)
        plain = PlainPrices(self.prices, self.profile)
        batches = rows.to_batches(max_chunksize=_BATCH_ROWS)
        return pa.Table.from_batches([self._batch(batch, plain) for batch in batches], schema=_SCHEMA)

    def _batch(self, batch: pa.RecordBatch, plain_prices: PlainPrices) -> pa.RecordBatch:
        idle_statuses = pa.array(sorted(STATUSES - self.profile.statuses), pa.string())
        idle = pc.or_(pc.fill_null(batch["deleted"], False), pc.is_in(batch["status"], value_set=idle_statuses))
        plain = PlainRows(plain_prices, self.as_of.timestamp())
        exact_positions: list[int] = []
        exact_rows: list[_Values] = []
        texts = batch["billing"].to_numpy(zero_copy_only=False)
        customers = batch["customer"].to_pylist()
        discounted = batch["discounted"].to_pylist()
        complete = batch["items_complete"].to_pylist()
        missing = batch["customer_missing"].to_pylist()
        for position in np.flatnonzero(np.asarray(pc.invert(idle))).tolist():
            billing = parsed(texts[position])
            if not discounted[position] and complete[position] is not False and plain.take(position, billing):
                continue
            exact_positions.append(position)
            if complete[position] is False and isinstance(billing, dict):
                billing["items"] = {"has_more": True}
            discount = self.discounts.get(customers[position])
            exact_rows.append(self._exact(billing, discount, customer_missing=missing[position]))
        groups = [
            (np.flatnonzero(np.asarray(idle)), _idle_values(batch.filter(idle))),
            (np.array(plain.positions, dtype=np.int64), _plain_values(plain, batch["customer_missing"])),
            (np.array(exact_positions, dtype=np.int64), pa.RecordBatch.from_pylist(exact_rows, schema=_VALUES)),
        ]
        order = _order([positions for positions, _ in groups])
        values = pa.Table.from_batches([group for _, group in groups], schema=_VALUES).take(order).combine_chunks()
        columns = {
            "subscription": batch["id"],
            "customer": batch["customer"],
            "status": batch["status"],
            "profile": pa.repeat(pa.scalar(self.profile.name), len(batch)),
            "rules": pa.repeat(pa.scalar(rules()), len(batch)),
            "as_of": pa.repeat(pa.scalar(self.as_of, TIMESTAMP), len(batch)),
            **{name: values[name].combine_chunks() for name in _VALUES.names},
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)

    def _exact(self, billing: Any, discount: Any, *, customer_missing: bool) -> "_Values":
        if billing is None or billing is UNREADABLE:
            code = "billing_missing" if billing is None else "billing_unreadable"
            return _values(None, None, None, None, [code], None)
        if self.stated and isinstance(billing, dict):
            billing["latest_invoice"] = {
                "lines": [self.stated[key] for key in item_ids(billing) if key in self.stated]
            }
        result = subscription_mrr(
            billing,
            as_of=self.as_of,
            prices=self.prices,
            coupons=self.coupons,
            customer=None if discount is None else {"discount": discount},
            profile=self.profile,
        )
        codes = [*result.reasons, *result.notes]
        if customer_missing and result.minor:
            codes.insert(len(result.reasons), "customer_missing")
        return _values(
            result.currency, result.minor, result.committed, result.list_price, codes, result.next_change
        )


_Values = dict[str, Any]


def _values(
    currency: str | None,
    minor: Fraction | None,
    committed: Fraction | None,
    list_price: Fraction | None,
    codes: Sequence[str],
    next_change: int | None,
) -> _Values:
    row: _Values = {
        "currency": currency,
        "complete": minor is not None,
        "reasons": "; ".join(codes),
        "next_change": None if next_change is None else next_change * 1_000_000,
    }
    for name, value in (("mrr", minor), ("mrr_committed", committed), ("mrr_list", list_price)):
        row[name] = None if value is None else fraction_text(value)
        row[f"{name}_minor"] = None if value is None else round_half_even(value)
    return row


def _idle_values(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of subscriptions that are gone or whose status carries nothing: 0, whatever else they say."""
    length = len(batch)
    deleted = pc.fill_null(batch["deleted"], False)
    currencies = [known_currency(code) for code in batch["currency"].to_pylist()]
    reasons = pc.if_else(deleted, "subscription_deleted", "status_not_counted")
    zero, text = pa.repeat(pa.scalar(0, pa.int64()), length), pa.repeat(pa.scalar("0"), length)
    return _value_batch(pa.array(currencies, pa.string()), text, zero, reasons.cast(pa.string()))


def _plain_values(plain: PlainRows, customer_missing: pa.Array) -> pa.RecordBatch:
    currencies, texts, rounded = plain.values()
    missing = customer_missing.take(pa.array(plain.positions, pa.int64()))
    doubtful = pc.and_(missing, pc.not_equal(texts, "0"))
    return _value_batch(currencies, texts, rounded, pc.if_else(doubtful, "customer_missing", ""))


def _value_batch(currency: pa.Array, text: pa.Array, minor: pa.Array, reasons: pa.Array) -> pa.RecordBatch:
    length = len(currency)
    columns = {
        "currency": currency,
        "complete": pa.repeat(pa.scalar(True), length),
        "reasons": reasons,
        "next_change": pa.nulls(length, TIMESTAMP),
        **dict.fromkeys(("mrr", "mrr_committed", "mrr_list"), text),
        **dict.fromkeys(("mrr_minor", "mrr_committed_minor", "mrr_list_minor"), minor),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in _VALUES.names], schema=_VALUES)


def _order(groups: Sequence[np.ndarray]) -> np.ndarray:
    """Where each row is found when the groups of positions are laid end to end."""
    return np.argsort(np.concatenate(groups), kind="stable")
