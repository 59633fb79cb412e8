"""A simulated account as the columns that segment functions read, of any size, made in bulk and seeded.

Here: plausible histories (monthly and annual plans, retries, disputes, refunds, several currencies and
countries) for measuring and for comparing engines. Not here: objects in API shape, which `sandbox` serves.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segments.inputs import COLUMNS

__all__ = ["AS_OF", "RATES", "Shape", "business"]

AS_OF = datetime(2026, 5, 15, tzinfo=UTC)
RATES = {
    "eur": (Fraction(108531, 100000), date(2026, 5, 14)),
    "gbp": (Fraction(127113, 100000), date(2026, 5, 14)),
}
_NOW, _DAY = int(AS_OF.timestamp()), 86_400
_COUNTRIES = np.array(
    ["US", "DE", "GB", "FR", "NL", "CA", "AU", "BR", "IN", "JP", "ES", "SE", "PT", "IE", "uk", ""]
)
_CURRENCIES = np.array(["usd", "eur", "gbp"])
_REASONS = np.array(["fraudulent", "unrecognized", "subscription_canceled", "product_unacceptable", "duplicate"])


@dataclass(frozen=True)
class Shape:
    """How large the account is."""

    customers: int
    invoices: int
    charges: int
    seed: int = 7


def business(shape: Shape, folder: Path | None = None) -> dict[str, Any]:
    """The raw tables and `subscription_mrr`; with a folder they are written there as Parquet, paths returned."""
    random = np.random.default_rng(shape.seed)
    people = _People(shape, random)
    makers = {
        "customers": people.customers,
        "payment_methods": people.methods,
        "subscriptions": people.subscriptions,
        "subscription_items": people.items,
        "subscription_mrr": people.mrr,
        "prices": _prices,
        "invoices": people.invoices,
        "invoice_lines": people.lines,
        "charges": people.charges,
        "disputes": people.disputes,
        "refunds": people.refunds,
    }
    made: dict[str, Any] = {}
    for name, make in makers.items():
        table = _whole(name, make())
        if folder is None:
            made[name] = table
        else:
            made[name] = folder / f"{name}.parquet"
            pq.write_table(table, made[name])
    return made


def _whole(name: str, columns: dict[str, Any]) -> pa.Table:
    """The table with all its columns; nulls where the maker gave none."""
    schema = COLUMNS[name]
    size = len(next(iter(columns.values())))
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if field.name == "deleted":
            values = pa.repeat(False, size)
        if values is None:
            arrays.append(pa.nulls(size, field.type))
            continue
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        if pa.types.is_timestamp(field.type) and pa.types.is_integer(array.type):
            array = pc.cast(array, pa.timestamp("s", tz="UTC"))
        arrays.append(pc.cast(array, field.type))
    return pa.table(arrays, schema=schema)


def _ids(prefix: str, numbers: Any) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(numbers), pa.string()), "_")


def _texts(values: Any) -> pa.Array:
    """Texts of a small vocabulary, with the empty one as null."""
    array = pa.array(values)
    return pc.if_else(pc.equal(array, ""), None, array)


def _masked(values: Any, keep: Any) -> pa.Array:
    return pa.array(values, mask=~keep)


def _prices() -> dict[str, Any]:
    return {"id": ["price_m", "price_y"], "type": ["recurring"] * 2, "billing": ["{}"] * 2}


class _People:
    """Customers with one subscription each, and what follows from it."""

    def __init__(self, shape: Shape, random: np.random.Generator) -> None:
        self.shape, self.random = shape, random
        size = shape.customers
        self.place = random.integers(0, len(_COUNTRIES), size)
        self.currency = np.where(self.place % 3 == 0, 0, random.integers(0, 3, size))
        self.annual = random.random(size) < 0.15
        self.amount = np.exp(random.normal(8.5, 1.6, size)).astype(np.int64) + 100
        self.start = _NOW - random.integers(20, 1_000, size) * _DAY
        self.status = random.choice(
            np.array(["active", "past_due", "canceled", "trialing", "unpaid"]),
            size,
            p=[0.78, 0.05, 0.14, 0.02, 0.01],
        )
        self.cycle = np.where(self.annual, 365, 30) * _DAY
        self.period = _NOW - (_NOW - self.start) % self.cycle

    def customers(self) -> dict[str, Any]:
        known = self.random.random(self.shape.customers) < 0.8
        return {
            "id": _ids("cus", np.arange(self.shape.customers)),
            "currency": _CURRENCIES[self.currency],
            "country": _texts(np.where(known, _COUNTRIES[self.place], "")),
            "default_payment_method": _ids("pm", np.arange(self.shape.customers)),
            "created": self.start,
        }

    def methods(self) -> dict[str, Any]:
        size = self.shape.customers
        return {
            "id": _ids("pm", np.arange(size)),
            "customer": _ids("cus", np.arange(size)),
            "type": pa.repeat("card", size),
            "card_country": _texts(_COUNTRIES[(self.place + (self.random.random(size) < 0.1)) % len(_COUNTRIES)]),
            "card_exp_month": self.random.integers(1, 13, size),
            "card_exp_year": self.random.integers(2026, 2031, size),
        }

    def subscriptions(self) -> dict[str, Any]:
        size, random = self.shape.customers, self.random
        ended = self.status == "canceled"
        leaving = (random.random(size) < 0.03) & (self.status == "active")
        reasons = random.choice(np.array(["cancellation_requested", "payment_failed", ""]), size)
        return {
            "id": _ids("sub", np.arange(size)),
            "customer": _ids("cus", np.arange(size)),
            "status": self.status,
            "collection_method": pa.repeat("charge_automatically", size),
            "cancellation_reason": _texts(np.where(ended | leaving, reasons, "")),
            "cancel_at_period_end": leaving,
            "created": self.start,
            "start_date": self.start,
            "ended_at": _masked(np.maximum(self.period, self.start), ended),
            "current_period_start": self.period,
            "current_period_end": self.period + self.cycle,
            "billing": pa.repeat('{"discounts": [], "items": {"data": []}}', size),
        }

    def items(self) -> dict[str, Any]:
        size = self.shape.customers
        return {
            "id": _ids("si", np.arange(size)),
            "subscription": _ids("sub", np.arange(size)),
            "price": np.where(self.annual, "price_y", "price_m"),
            "usage_type": pa.repeat("licensed", size),
        }

    def mrr(self) -> dict[str, Any]:
        live = np.isin(self.status, ["active", "past_due"])
        yearly = pc.binary_join_element_wise(pc.cast(pa.array(self.amount | 1), pa.string()), "12", "/")
        text = pc.if_else(pa.array(self.annual), yearly, pc.cast(pa.array(self.amount), pa.string()))
        text = pc.if_else(pa.array(live), text, "0")
        return {
            "customer": _ids("cus", np.arange(self.shape.customers)),
            "currency": _CURRENCIES[self.currency],
            "mrr": text,
            "mrr_committed": text,
            "complete": pa.repeat(True, self.shape.customers),
        }

    def _invoice_rows(self) -> tuple[Any, Any, Any]:
        """Owner, start of the period and amount of each invoice, newest first."""
        number = np.arange(self.shape.invoices)
        owner = number % self.shape.customers
        back = number // self.shape.customers
        start = self.period[owner] - back * self.cycle[owner]
        grown = self.amount[owner] * (100 - np.minimum(back, 20) * (owner % 4)) // 100
        return owner, start, grown + 100

    def invoices(self) -> dict[str, Any]:
        owner, start, amount = self._invoice_rows()
        size = self.shape.invoices
        newest = np.arange(size) < self.shape.customers
        due = newest & (self.status[owner] == "past_due")
        given_up = self.random.random(size) < 0.004
        status = np.where(due, "open", np.where(given_up, "uncollectible", "paid"))
        return {
            "id": _ids("in", np.arange(size)),
            "customer": _ids("cus", owner),
            "subscription": _ids("sub", owner),
            "status": status,
            "currency": _CURRENCIES[self.currency[owner]],
            "collection_method": pa.repeat("charge_automatically", size),
            "total": amount,
            "amount_due": amount,
            "amount_paid": np.where(status == "paid", amount, 0),
            "attempt_count": np.where(due, 3, 1),
            "created": start,
            "finalized_at": start,
            "paid_at": _masked(start + 3_600, status == "paid"),
            "marked_uncollectible_at": _masked(start + 20 * _DAY, given_up),
        }

    def lines(self) -> dict[str, Any]:
        owner, start, amount = self._invoice_rows()
        size = self.shape.invoices
        return {
            "id": _ids("il", np.arange(size)),
            "invoice": _ids("in", np.arange(size)),
            "customer": _ids("cus", owner),
            "subscription": _ids("sub", owner),
            "subscription_item": _ids("si", owner),
            "price": np.where(self.annual[owner], "price_y", "price_m"),
            "product": _ids("prod", owner % 4),
            "currency": _CURRENCIES[self.currency[owner]],
            "amount": amount,
            "discount_amount": np.where(owner % 9 == 0, amount // 10, 0),
            "proration": np.arange(size) % 31 == 0,
            "created": start,
            "period_start": start,
            "period_end": start + self.cycle[owner],
        }

    def charges(self) -> dict[str, Any]:
        """Charges of the invoices, newest first; of several for one invoice only the last succeeds."""
        size = self.shape.charges
        number = np.arange(size)
        invoice = number % self.shape.invoices
        owner, start, amount = self._invoice_rows()
        owner, start, amount = owner[invoice], start[invoice], amount[invoice]
        retried = number >= self.shape.invoices
        failed = retried | (self.random.random(size) < 0.04)
        return {
            "id": _ids("ch", number),
            "customer": _ids("cus", owner),
            "invoice": _ids("in", invoice),
            "payment_intent": _ids("pi", invoice),
            "payment_method": _ids("pm", owner),
            "currency": _CURRENCIES[self.currency[owner]],
            "status": np.where(failed, "failed", "succeeded"),
            "failure_code": _texts(np.where(failed, np.where(number % 7 == 0, "lost_card", "card_declined"), "")),
            "method_type": np.where(owner % 11 == 0, "sepa_debit", "card"),
            "card_brand": _texts(np.where(owner % 11 == 0, "", np.where(owner % 3 == 0, "visa", "mastercard"))),
            "card_country": _texts(_COUNTRIES[self.place[owner]]),
            "billing_country": _texts(np.where(owner % 5 == 0, "", _COUNTRIES[self.place[owner]])),
            "amount": amount,
            "amount_captured": np.where(failed, 0, amount),
            "amount_refunded": np.where((number % 97 == 0) & ~failed, amount // 2, 0),
            "paid": ~failed,
            "created": start + 600 - retried * 300,
        }

    def disputes(self) -> dict[str, Any]:
        size = max(self.shape.charges // 250, 1)
        number = np.arange(size)
        owner, start, amount = self._invoice_rows()
        charge = (number * 241) % min(self.shape.charges, self.shape.invoices)
        status = self.random.choice(np.array(["won", "lost", "needs_response", "warning_closed"]), size)
        return {
            "id": _ids("dp", number),
            "charge": _ids("ch", charge),
            "payment_intent": _ids("pi", charge),
            "currency": _CURRENCIES[self.currency[owner[charge]]],
            "reason": _REASONS[number % len(_REASONS)],
            "status": status,
            "amount": amount[charge],
            "has_evidence": number % 2 == 0,
            "created": start[charge] + 5 * _DAY,
        }

    def refunds(self) -> dict[str, Any]:
        number = np.arange(0, self.shape.charges, 97)
        owner, start, amount = self._invoice_rows()
        invoice = number % self.shape.invoices
        return {
            "id": _ids("re", number),
            "charge": _ids("ch", number),
            "payment_intent": _ids("pi", invoice),
            "currency": _CURRENCIES[self.currency[owner[invoice]]],
            "status": pa.repeat("succeeded", len(number)),
            "amount": amount[invoice] // 2,
            "created": start[invoice] + 2 * _DAY,
        }
