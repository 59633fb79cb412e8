"""Completeness of the raw tables: findings that show a silent loss, as pure functions over Arrow tables.

Here: small frozen results with numbers and ids to look at. Not here: how a finding is shown or what it stops
(asset checks do). Stripe gives no totals, so a loss is looked for where it would show: ids seen against rows,
statuses that must occur, sums that must agree, columns that went null, stretches of time without any object.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingest.report import ExtractReport, StreamReport
from ingest.shapes import PERMITTED
from ingest.streams import STREAMS

__all__ = [
    "KEY_COLUMNS",
    "Finding",
    "canceled_present",
    "documented_fields",
    "ids_equal_rows",
    "largest_gap",
    "lines_sum_to_subtotal",
    "lists_whole",
    "null_rates",
    "read_to_the_end",
    "seen_equals_rows",
    "unknown_fields",
]

# Columns whose nulls mean that a field has moved: each is there on (nearly) every object of a healthy account.
KEY_COLUMNS: dict[str, tuple[str, ...]] = {
    "customers": ("created",),
    "subscriptions": ("customer", "status", "currency", "current_period_end", "billing"),
    "subscription_items": ("subscription", "price", "product", "current_period_end"),
    "prices": ("product", "currency", "billing"),
    "coupons": ("duration", "billing"),
    "charges": ("amount", "currency", "status", "method_type"),
    "payment_methods": ("customer", "type"),
    "invoices": ("customer", "currency", "total", "subscription"),
    "invoice_lines": ("invoice", "amount", "price"),
    "invoice_payments": ("invoice", "payment_intent"),
    "disputes": ("charge", "amount", "reason", "status"),
    "refunds": ("charge", "amount", "status"),
    "events": ("type", "object_type"),
}
# Fields that Stripe still sends and documents no more.
_STILL_SENT = {"charges": frozenset(("destination", "dispute", "order", "amount_updates"))}
_SHOWN = 20
_WHEN_MOSTLY_NULL = 0.5


@dataclass(frozen=True)
class Finding:
    """What a check found: `passed`, a sentence, numbers for charts, and a few ids that show it."""

    passed: bool
    text: str
    numbers: Mapping[str, float]
    ids: tuple[str, ...] = ()


def _present(rows: pa.Table) -> pa.Table:
    """Rows that are no tombstones."""
    return rows.filter(pc.invert(rows["deleted"])) if "deleted" in rows.column_names else rows


def _stream(report: ExtractReport, table: str) -> StreamReport:
    return next(one for one in report.streams if table in STREAMS[one.stream].tables)


def ids_equal_rows(rows: pa.Table) -> Finding:
    """Every id once. Needs `id`."""
    distinct = len(rows["id"].unique())
    doubled = len(rows) - distinct
    counts = pc.value_counts(rows["id"].combine_chunks()) if doubled else None
    shown: tuple[str, ...] = ()
    if counts is not None:
        shown = tuple(counts.field("values").filter(pc.greater(counts.field("counts"), 1)).to_pylist()[:_SHOWN])
    return Finding(
        doubled == 0, f"{distinct} ids in {len(rows)} rows", {"rows": len(rows), "doubled": doubled}, shown
    )


def seen_equals_rows(report: ExtractReport, table: str) -> Finding:
    """After a load: every listed object was staged or set aside, and the table holds every distinct id.

    A run of changes says nothing here.
    """
    stream = _stream(report, table)
    if stream.mode != "backfill":
        return Finding(stream.error is None, stream.error or "not loaded in this run", {})
    rows = report.table(stream.stream).rows
    # An object on the border of two windows may come twice, and be set aside twice.
    lost = max(0, stream.seen - stream.staged - stream.quarantined)
    missing = max(0, stream.distinct - rows)
    passed = stream.error is None and not lost and not missing
    text = f"{stream.seen} objects seen, {stream.distinct} distinct rows of them, {rows} rows in the table"
    numbers = {"seen": stream.seen, "lost": lost, "distinct": stream.distinct, "missing": missing}
    return Finding(passed, text if stream.error is None else stream.error, numbers)


def read_to_the_end(report: ExtractReport, table: str) -> Finding:
    """The list was not left at the request budget, as an operator may choose for one that is optional."""
    left = _stream(report, table).unfinished
    return Finding(left is None, left or "the list was read to its end", {})


def canceled_present(subscriptions: pa.Table, *, enough: int = 200) -> Finding:
    """Canceled subscriptions are there: a list without `status=all` has none. Needs `status`.

    An account of fewer than `enough` subscriptions may really have none.
    """
    canceled = pc.sum(pc.equal(subscriptions["status"], "canceled")).as_py() or 0
    passed = canceled > 0 or len(subscriptions) < enough
    return Finding(
        passed, f"{canceled} of {len(subscriptions)} subscriptions are canceled", {"canceled": canceled}
    )


def lists_whole(rows: pa.Table, column: str) -> Finding:
    """Every nested list was read to its end. Needs `id`, `deleted` and the table's `…_complete` column."""
    there = _present(rows)
    cut = there.filter(pc.invert(pc.fill_null(there[column], False)))
    return Finding(
        len(cut) == 0,
        f"{len(cut)} of {len(there)} lists are cut",
        {"cut": len(cut)},
        tuple(cut["id"].to_pylist()[:_SHOWN]),
    )


def lines_sum_to_subtotal(invoices: pa.Table, lines: pa.Table) -> Finding:
    """The amounts of an invoice's lines sum to its subtotal.

    Needs `id, subtotal, lines_complete, deleted` of invoices and `invoice, amount, deleted` of lines. Inclusive
    tax is part of both.
    """
    there, parts = _present(invoices), _present(lines)
    sums = parts.group_by("invoice").aggregate([("amount", "sum")])
    places = pc.index_in(there["id"], value_set=sums["invoice"].combine_chunks())
    total = pc.fill_null(sums["amount_sum"].take(places), 0)
    compared = pc.and_(pc.is_valid(there["subtotal"]), pc.fill_null(there["lines_complete"], False))
    wrong = there.filter(pc.and_(compared, pc.not_equal(total, pc.fill_null(there["subtotal"], 0))))
    return Finding(
        len(wrong) == 0,
        f"{len(wrong)} of {len(there)} invoices differ from the sum of their lines",
        {"differ": len(wrong), "invoices": len(there)},
        tuple(wrong["id"].to_pylist()[:_SHOWN]),
    )


def null_rates(table: str, rows: pa.Table, *, enough: int = 50) -> Finding:
    """The columns that a healthy account fills are filled. Needs the columns of `KEY_COLUMNS[table]`.

    Most rows null in one of them means that the field has moved; fewer than `enough` rows mean nothing.
    """
    there = _present(rows)
    rates = {name: there[name].null_count / len(there) if len(there) else 0.0 for name in KEY_COLUMNS[table]}
    empty = [name for name, rate in rates.items() if rate > _WHEN_MOSTLY_NULL]
    passed = not empty or len(there) < enough
    text = f"mostly null: {', '.join(empty)}" if empty else "key columns are filled"
    return Finding(passed, text, {f"null_{name}": round(rate, 4) for name, rate in rates.items()})


def largest_gap(rows: pa.Table, *, enough: int = 500, times_the_usual: float = 100.0) -> Finding:
    """No stretch of creation times is empty beyond what the account's own rhythm explains. Needs `created`.

    The largest gap is held against the 99th percentile of gaps, and against a week: a window that was lost between
    two cursors shows as a hole in the middle of a busy history.
    """
    moments = rows["created"].drop_null().cast(pa.int64()).combine_chunks()
    if len(moments) < enough:
        return Finding(True, "too few rows to tell", {"rows": len(moments)})
    ordered = moments.take(pc.sort_indices(moments))
    gaps = pc.subtract(ordered.slice(1), ordered.slice(0, len(ordered) - 1))
    largest = pc.max(gaps).as_py() / 1e6 / 86_400
    usual = pc.quantile(gaps, q=0.99)[0].as_py() / 1e6 / 86_400
    passed = largest <= max(7.0, usual * times_the_usual)
    return Finding(
        passed,
        f"longest stretch without an object: {largest:.1f} days (99 % of gaps are below {usual:.2f})",
        {"largest_gap_days": round(largest, 3), "usual_gap_days": round(usual, 4)},
    )


def documented_fields(table: str) -> frozenset[str]:
    """Names at the top level of a stream's objects: those of the official library, and older ones still read."""
    import stripe  # slow to import, and only needed here

    stream = STREAMS[table]
    name = "".join(word.capitalize() for word in stream.object.split("_"))
    known = frozenset(getattr(stripe, name).__annotations__) - {"OBJECT_NAME"}
    return known | frozenset(PERMITTED.get(table, {})) | _STILL_SENT.get(table, frozenset())


def unknown_fields(table: str, seen: Collection[str]) -> Finding:
    """Fields that no documentation names: a hint that something has moved, for a person to look at."""
    unknown: Sequence[str] = sorted(set(seen) - documented_fields(table))
    text = f"{len(unknown)} unknown: {', '.join(unknown[:_SHOWN])}" if unknown else "no unknown field"
    return Finding(True, text, {"unknown_fields": len(unknown)})
