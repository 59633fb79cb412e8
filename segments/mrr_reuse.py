"""Which rows of an earlier MRR table still hold, so that a run computes only what can have changed.

A figure follows from the subscription, the prices and coupons it names, the customer's discount, the rule set, the
code and the time. So a row holds while none of these objects has changed, rule set and code are the same, the
figure was complete, and no time has passed at which a trial, pause, discount or end begins or runs out
(`next_change`).
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from segments.rules import rules
from segments.tables import SEGMENT_TABLES, TIMESTAMP

__all__ = ["ChangedIds", "still_valid"]

_SCHEMA = SEGMENT_TABLES["subscription_mrr"]
_MOST_MENTIONS = 200
"""Looking for more ids than this in every row costs more than computing the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedIds:
    """Ids whose raw rows have changed, or appeared, since the earlier result was computed."""

    subscriptions: frozenset[str] = frozenset()
    customers: frozenset[str] = frozenset()
    prices: frozenset[str] = frozenset()
    coupons: frozenset[str] = frozenset()
    invoice_lines: frozenset[str] = frozenset()


def still_valid(
    earlier: pa.Table,
    subscriptions: pa.Table,
    customers: pa.Table,
    invoice_lines: pa.Table | None,
    *,
    changed: ChangedIds,
    as_of: datetime,
    profile: str,
) -> tuple[pa.Table, pa.ChunkedArray]:
    """The earlier rows that hold, dated `as_of`, and for each subscription whether it has one.

    The second part is null where a subscription must be computed; where it is not, the rows of the first part
    follow the order of the subscriptions.
    """
    places = pa.chunked_array([pa.nulls(len(subscriptions), pa.int32())])
    if set(_SCHEMA.names) <= set(earlier.column_names) and len(changed.prices | changed.coupons) <= _MOST_MENTIONS:
        holding = earlier.select(_SCHEMA.names).filter(_holds(earlier, as_of, profile))
        found = pc.index_in(
            subscriptions["id"], value_set=holding["subscription"].cast(pa.string()).combine_chunks()
        )
        touched = _touched(subscriptions, customers, invoice_lines, changed)
        places = pc.if_else(touched, pa.scalar(None, pa.int32()), found)
        kept = holding.take(places.drop_null())
    else:
        kept = _SCHEMA.empty_table()
    dated = pa.repeat(pa.scalar(as_of, TIMESTAMP), len(kept))
    return kept.set_column(_SCHEMA.get_field_index("as_of"), _SCHEMA.field("as_of"), dated), places


def _holds(earlier: pa.Table, as_of: datetime, profile: str) -> pa.ChunkedArray:
    now = pa.scalar(as_of, TIMESTAMP)
    quiet = pc.fill_null(pc.greater(earlier["next_change"].cast(TIMESTAMP), now), True)
    ruled = pc.and_(pc.equal(earlier["profile"], profile), pc.equal(earlier["rules"], rules()))
    same = pc.and_(ruled, pc.less_equal(earlier["as_of"].cast(TIMESTAMP), now))
    net = pc.invert(pc.match_substring(earlier["reasons"], "gross_of_inclusive_tax"))
    return pc.and_(pc.and_(quiet, same), pc.and_(earlier["complete"], net))


def _touched(
    subscriptions: pa.Table, customers: pa.Table, invoice_lines: pa.Table | None, changed: ChangedIds
) -> pa.ChunkedArray:
    """Whether a changed object is the subscription, its customer, its invoice's line, or one that they name."""
    ids = set(changed.subscriptions)
    if invoice_lines is not None and changed.invoice_lines:
        lines = invoice_lines.filter(_is_one_of(invoice_lines["id"], changed.invoice_lines))
        ids.update(key for key in lines["subscription"].to_pylist() if key is not None)
    touched = _is_one_of(subscriptions["id"], ids)
    owners = set(changed.customers)
    if changed.coupons:
        owners.update(customers.filter(_mentions(customers["discount"], changed.coupons))["id"].to_pylist())
    if owners:
        touched = pc.or_(touched, _is_one_of(subscriptions["customer"], owners))
    named = changed.prices | changed.coupons
    return pc.or_(touched, _mentions(subscriptions["billing"], named)) if named else touched


def _is_one_of(column: pa.ChunkedArray, ids: frozenset[str] | set[str]) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=pa.array(sorted(ids), pa.string()))


def _mentions(texts: pa.ChunkedArray, ids: frozenset[str]) -> pa.ChunkedArray:
    """Whether a JSON text holds one of the ids as a whole string."""
    quoted = (re.escape(json.dumps(key, ensure_ascii=False)) for key in sorted(ids))
    return pc.fill_null(pc.match_substring_regex(texts, "|".join(quoted)), False)
