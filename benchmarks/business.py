"""A simulated account as the columns that segment functions read, of any size, made in bulk and seeded.

Here: plausible histories (monthly and annual plans, retries, disputes, refunds, several currencies and
countries) for measuring and for comparing engines. Not here: objects in API shape, which `sandbox` serves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segments.inputs import COLUMNS

__all__ = ["AS_OF", "RATES", "Shape", "business", "parts_of"]

Numbers = npt.NDArray[np.int64]

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
_PRICES = ("price_m", "price_y")
_PART_ROWS = 1_000_000


@dataclass(frozen=True)
class Shape:
    """How large the account is."""

    customers: int
    invoices: int
    charges: int
    seed: int = 7


def business(shape: Shape, folder: Path | None = None) -> dict[str, Any]:
    """The raw tables and `subscription_mrr`; with a folder they are written there as Parquet, paths returned."""
    made: dict[str, Any] = {}
    for name, parts in parts_of(shape).items():
        schema = COLUMNS[name]
        if folder is None:
            made[name] = pa.concat_tables(parts)
        else:
            made[name] = folder / f"{name}.parquet"
            with pq.ParquetWriter(made[name], schema) as file:
                for part in parts:
                    file.write_table(part)
    return made


def parts_of(shape: Shape) -> dict[str, Iterator[pa.Table]]:
    """Each table as a stream of parts, so that an account of any size can be made in little memory."""
    people = _People(shape)
    sizes = {
        "customers": shape.customers,
        "payment_methods": shape.customers,
        "subscriptions": shape.customers,
        "subscription_items": shape.customers,
        "subscription_mrr": shape.customers,
        "prices": len(_PRICES),
        "invoices": shape.invoices,
        "invoice_lines": shape.invoices,
        "charges": shape.charges,
        "disputes": max(shape.charges // 250, 1),
        "refunds": -(-shape.charges // 97),
    }

    def parts(name: str, size: int, seed: int) -> Iterator[pa.Table]:
        make = getattr(people, name)
        for start in range(0, size, _PART_ROWS):
            number = np.arange(start, min(start + _PART_ROWS, size))
            yield _whole(name, make(number, np.random.default_rng((shape.seed, seed, start))))

    return {name: parts(name, size, seed) for seed, (name, size) in enumerate(sizes.items())}


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


class _People:
    """Customers with one subscription each, and what follows from it.

    Each method makes the rows of some numbers of its table.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        random = np.random.default_rng(shape.seed)
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

    def customers(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        known = random.random(len(number)) < 0.8
        return {
            "id": _ids("cus", number),
            "currency": _CURRENCIES[self.currency[number]],
            "country": _texts(np.where(known, _COUNTRIES[self.place[number]], "")),
            "default_payment_method": _ids("pm", number),
            "created": self.start[number],
        }

    def payment_methods(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        size = len(number)
        abroad = random.random(size) < 0.1
        return {
            "id": _ids("pm", number),
            "customer": _ids("cus", number),
            "type": pa.repeat("card", size),
            "card_country": _texts(_COUNTRIES[(self.place[number] + abroad) % len(_COUNTRIES)]),
            "card_exp_month": random.integers(1, 13, size),
            "card_exp_year": random.integers(2026, 2031, size),
        }

    def subscriptions(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        size, status = len(number), self.status[number]
        ended = status == "canceled"
        leaving = (random.random(size) < 0.03) & (status == "active")
        reasons = random.choice(np.array(["cancellation_requested", "payment_failed", ""]), size)
        start, period = self.start[number], self.period[number]
        return {
            "id": _ids("sub", number),
            "customer": _ids("cus", number),
            "status": status,
            "collection_method": pa.repeat("charge_automatically", size),
            "cancellation_reason": _texts(np.where(ended | leaving, reasons, "")),
            "cancel_at_period_end": leaving,
            "created": start,
            "start_date": start,
            "ended_at": _masked(np.maximum(period, start), ended),
            "current_period_start": period,
            "current_period_end": period + self.cycle[number],
            "billing": pa.repeat('{"discounts": [], "items": {"data": []}}', size),
        }

    def subscription_items(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        return {
            "id": _ids("si", number),
            "subscription": _ids("sub", number),
            "price": np.where(self.annual[number], "price_y", "price_m"),
            "interval": np.where(self.annual[number], "year", "month"),
            "interval_count": pa.repeat(1, len(number)),
            "quantity": pa.repeat(1, len(number)),
            "usage_type": pa.repeat("licensed", len(number)),
        }

    def subscription_mrr(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        live, amount = np.isin(self.status[number], ["active", "past_due"]), self.amount[number]
        common = np.gcd(amount, 12)
        tops, bottoms = (pc.cast(pa.array(part // common), pa.string()) for part in (amount, 12))
        yearly = pc.if_else(pc.equal(bottoms, "1"), tops, pc.binary_join_element_wise(tops, bottoms, "/"))
        text = pc.if_else(pa.array(self.annual[number]), yearly, pc.cast(pa.array(amount), pa.string()))
        text = pc.if_else(pa.array(live), text, "0")
        return {
            "customer": _ids("cus", number),
            "currency": _CURRENCIES[self.currency[number]],
            "mrr": text,
            "mrr_committed": text,
            "complete": pa.repeat(True, len(number)),
        }

    def prices(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        size = len(number)
        return {"id": np.array(_PRICES)[number], "type": ["recurring"] * size, "billing": ["{}"] * size}

    def _billed(self, invoice: Numbers) -> tuple[Any, Any, Any]:
        """Owner, start of the period and amount of invoices, of which the newest have the least numbers."""
        owner = invoice % self.shape.customers
        back = invoice // self.shape.customers
        start = self.period[owner] - back * self.cycle[owner]
        grown = self.amount[owner] * (100 - np.minimum(back, 20) * (owner % 4)) // 100
        return owner, start, grown + 100

    def invoices(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        owner, start, amount = self._billed(number)
        size = len(number)
        due = (number < self.shape.customers) & (self.status[owner] == "past_due")
        given_up = random.random(size) < 0.004
        status = np.where(due, "open", np.where(given_up, "uncollectible", "paid"))
        return {
            "id": _ids("in", number),
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

    def invoice_lines(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        owner, start, amount = self._billed(number)
        return {
            "id": _ids("il", number),
            "invoice": _ids("in", number),
            "customer": _ids("cus", owner),
            "subscription": _ids("sub", owner),
            "subscription_item": _ids("si", owner),
            "price": np.where(self.annual[owner], "price_y", "price_m"),
            "product": _ids("prod", owner % 4),
            "currency": _CURRENCIES[self.currency[owner]],
            "amount": amount,
            "discount_amount": np.where(owner % 9 == 0, amount // 10, 0),
            "proration": number % 31 == 0,
            "created": start,
            "period_start": start,
            "period_end": start + self.cycle[owner],
        }

    def charges(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        """Charges of the invoices, newest first; of several for one invoice only the last succeeds."""
        invoice = number % self.shape.invoices
        owner, start, amount = self._billed(invoice)
        retried = number >= self.shape.invoices
        failed = retried | (random.random(len(number)) < 0.04)
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

    def disputes(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        charge = (number * 241) % min(self.shape.charges, self.shape.invoices)
        owner, start, amount = self._billed(charge)
        statuses = np.array(["won", "lost", "needs_response", "warning_closed"])
        return {
            "id": _ids("dp", number),
            "charge": _ids("ch", charge),
            "payment_intent": _ids("pi", charge),
            "currency": _CURRENCIES[self.currency[owner]],
            "reason": _REASONS[number % len(_REASONS)],
            "status": random.choice(statuses, len(number)),
            "amount": amount,
            "has_evidence": number % 2 == 0,
            "created": start + 5 * _DAY,
        }

    def refunds(self, number: Numbers, random: np.random.Generator) -> dict[str, Any]:
        charge = number * 97
        invoice = charge % self.shape.invoices
        owner, start, amount = self._billed(invoice)
        return {
            "id": _ids("re", charge),
            "charge": _ids("ch", charge),
            "payment_intent": _ids("pi", invoice),
            "currency": _CURRENCIES[self.currency[owner]],
            "status": pa.repeat("succeeded", len(number)),
            "amount": amount // 2,
            "created": start + 2 * _DAY,
        }
