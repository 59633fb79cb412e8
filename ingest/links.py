"""Which charge and payment intent settle which invoice.

Since 2025-03-31.basil an invoice does not name its charge, nor a charge its invoice: the link is the invoice
payment, which names a charge or a payment intent. Here: links from those tables, and filling them into rows of
`invoices` and `charges`, whatever order the rows came in. Not here: reading or writing tables.
https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["CHARGE_COLUMNS", "LINKED", "PAYMENT_COLUMNS", "Links"]

PAYMENT_COLUMNS = ("id", "invoice", "charge", "payment_intent", "status", "is_default", "created")
CHARGE_COLUMNS = ("id", "payment_intent", "status", "created")
LINKED: dict[str, tuple[str, ...]] = {"charges": ("invoice",), "invoices": ("payment_intent", "charge")}


class Links:
    """Links from rows of `invoice_payments` and of `charges`, at most one row per id in each.

    An invoice's payment is the paid one, else the default one, else the newest; an intent's charge is the one that
    succeeded, else the newest.
    """

    def __init__(self, payments: pa.Table, charges: pa.Table) -> None:
        ranked = payments.append_column(
            "rank", pc.fill_null(pc.index_in(payments["status"], value_set=pa.array(["paid", "open"])), 9)
        ).append_column("spare", pc.cast(pc.invert(pc.fill_null(payments["is_default"], False)), pa.int8()))
        order = (("rank", "ascending"), ("spare", "ascending"), ("created", "descending"), ("id", "ascending"))
        self._of_invoice = _best(ranked, "invoice", order)
        self._of_charge = _best(ranked, "charge", order)
        self._of_intent = _best(ranked, "payment_intent", order)
        tried = charges.append_column("rank", pc.cast(pc.not_equal(charges["status"], "succeeded"), pa.int8()))
        self._charge_of_intent = _best(
            tried, "payment_intent", (("rank", "ascending"), ("created", "descending"), ("id", "ascending"))
        )

    def fill(self, table: str, rows: pa.Table) -> pa.Table:
        """Rows of `charges` or `invoices` with their links; without a link stands what the object itself names."""
        if table == "charges":
            invoice = pc.coalesce(
                _look_up(self._of_charge, "charge", rows["id"], "invoice"),
                _look_up(self._of_intent, "payment_intent", rows["payment_intent"], "invoice"),
                rows["invoice"],
            )
            return _put(rows, "invoice", invoice)
        if table != "invoices":
            return rows
        intent = pc.coalesce(
            _look_up(self._of_invoice, "invoice", rows["id"], "payment_intent"), rows["payment_intent"]
        )
        charge = pc.coalesce(
            _look_up(self._of_invoice, "invoice", rows["id"], "charge"),
            _look_up(self._charge_of_intent, "payment_intent", intent, "id"),
            rows["charge"],
        )
        return _put(_put(rows, "payment_intent", intent), "charge", charge)

    def changed(self, table: str, rows: pa.Table) -> pa.Table:
        """Of stored rows those whose links are new, with them."""
        filled = self.fill(table, rows)
        differs = pa.repeat(pa.scalar(False), len(rows))
        for name in LINKED[table]:
            same = pc.fill_null(pc.equal(filled[name], rows[name]), False)
            both_null = pc.and_(pc.is_null(filled[name]), pc.is_null(rows[name]))
            differs = pc.or_(differs, pc.invert(pc.or_(same, both_null)))
        return filled.filter(differs)


def _best(table: pa.Table, key: str, order: Sequence[tuple[str, str]]) -> pa.Table:
    """One row per value of `key`, the first in `order`."""
    known = table.filter(pc.is_valid(table[key])).sort_by([(key, "ascending"), *order])
    if len(known) < 2:
        return known
    keys = known[key].combine_chunks()
    first = pa.concat_arrays([pa.array([True]), pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))])
    return known.filter(first)


def _look_up(table: pa.Table, key: str, wanted: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
    places = pc.index_in(wanted, value_set=table[key].combine_chunks())
    return table[column].take(places)


def _put(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
