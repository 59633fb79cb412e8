"""Rows that no parser should let through: nothing breaks, and the figures of good customers do not move."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.business import AS_OF, Shape, business
from benchmarks.segments import run_all
from segments.inputs import COLUMNS
from segments.tables import SEGMENT_TABLES
from tests.segments.raw import assert_same, on

_TIMES = (
    AS_OF,
    AS_OF + timedelta(days=1),
    AS_OF - timedelta(days=40),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, tzinfo=UTC),
    datetime(9999, 12, 31, tzinfo=UTC),
)
_NUMBERS = (0, -1, 1, 12, 2026, 2**31, -(2**31), 10**12, -(10**12), 2**62, -(2**62), 2**63 - 1, -(2**63))
_TEXTS = (
    "",
    " ",
    "usd",
    "USD",
    "zzz",
    "DE",
    "\u0000",
    "\ufffd" * 40,
    "'; DROP TABLE charges; --",
    "a; b",
    "active",
    "past_due",
    "canceled",
    "open",
    "paid",
    "failed",
    "won",
    '{"discounts": [{"end": 1e999}], "x": {"end": 5}}',
    '{"discounts": [null, 3, {"end": true}, {"end": 99999999999999999999999}]}',
    "[" * 5_000 + '"end": 1',
    "9" * 400,
    "1/3",
)
# The sums of subscriptions are written by this project alone, as exact texts; they are no foreign input.
_OURS = ("subscription_mrr",)


def _hostile(table: str, count: int, seed: int) -> pa.Table:
    """Rows of random nonsense whose ids meet those of no good row, but may meet each other's."""
    chance = random.Random(f"{table}{seed}")
    people = [None, *(f"bad_{number}" for number in range(20))]
    own = {"customers": "bad", "payment_methods": "bad_pm"}.get(table, f"bad_{table}")

    def value(field: pa.Field, number: int) -> Any:
        if field.name == "id":
            return f"{own}_{number}"
        if chance.random() < 0.2:
            return None
        if field.name == "deleted":
            return chance.random() < 0.05
        if field.name in ("customer", "invoice", "charge", "payment_intent", "subscription"):
            return chance.choice(
                people if field.name == "customer" else [None, f"bad_{field.name}_1", "bad_charges_3"]
            )
        if pa.types.is_boolean(field.type):
            return chance.random() < 0.5
        return chance.choice(
            _TIMES
            if pa.types.is_timestamp(field.type)
            else _NUMBERS
            if pa.types.is_integer(field.type)
            else _TEXTS
        )

    schema = COLUMNS[table]
    return pa.table(
        {field.name: pa.array([value(field, n) for n in range(count)], field.type) for field in schema}
    )


def _compare(engine: str, count: int) -> None:
    good = business(Shape(60, 400, 500))
    mixed = {
        name: table if name in _OURS else pa.concat_tables([table, _hostile(name, count, seed=3)])
        for name, table in good.items()
    }
    for (name, clean), (_, soiled) in zip(run_all(good), run_all(on(engine, **mixed)), strict=True):
        assert soiled.schema.equals(SEGMENT_TABLES[name])
        if "customer" in clean.column_names:
            mine = pc.starts_with(soiled["customer"], "cus_")
            assert_same(soiled.filter(mine), clean, name)
        elif name == "markets":
            assert sum(soiled["customers"].to_pylist()) >= sum(clean["customers"].to_pylist())


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_nonsense_breaks_nothing_and_moves_no_good_customer(engine: str) -> None:
    _compare(engine, 1_000)


@pytest.mark.soak
def test_ten_thousand_hostile_rows() -> None:
    _compare("pandas", 10_000)
