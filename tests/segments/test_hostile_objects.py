"""Malformed and hostile API objects, from the parser to the segments: each is set aside with a reason, or is a row
that spoils nothing; what is known of the good customers stays as it was, to the minor unit.

Here: whole objects on their way through the rooms. Rows that no parser lets through are in `test_hostile_rows`,
billing objects alone in `test_mrr_hostile`.
"""

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.segments import run_all
from ingest.pages import read_objects
from ingest.rows import Provenance
from ingest.streams import STREAMS
from ingest.tables import RAW_TABLES
from sandbox.launch import Sandbox
from segments.mrr_table import subscription_mrr_table
from segments.reasons import NOT_ESTABLISHED, NOTES, REASONS
from tests.ingest.test_rows import _list
from tests.segments.raw import assert_same
from tests.segments.test_mrr_hostile import HOSTILE

_VERSION = "2025-09-30.clover"
_TABLES = (
    "customers",
    "subscriptions",
    "prices",
    "coupons",
    "charges",
    "payment_methods",
    "invoices",
    "disputes",
    "refunds",
)
_IDS = ("cus_", "sub_", "si_", "price_", "charge", "ch_", "py_", "pi_", "pm_", "in_", "il_", "dp_", "du_", "re_")


def _as_answered(value: Any) -> bool:
    """Whether a JSON answer can hold it; what it cannot is refused with its page (`test_strict_json`)."""
    try:
        json.dumps(value, allow_nan=False).encode("ascii")
    except ValueError:
        return False
    return not (isinstance(value, str) and "\ud800" in value) and not (
        isinstance(value, int) and abs(value) >= 2**63
    )


_VALUES = [value for value in HOSTILE if _as_answered(value)]


@pytest.fixture(scope="module")
def objects() -> Iterator[dict[str, list[dict[str, Any]]]]:
    with Sandbox(customers=40, only="stripe", account_rate=0, operation_rate=0) as running:
        yield {table: _list(running, table, _VERSION) for table in _TABLES}


def _foreign(value: Any) -> Any:
    """The same object with ids of its own, so that it says nothing about a good one."""
    if isinstance(value, dict):
        return {name: _foreign(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_foreign(entry) for entry in value]
    return f"bad_{value}" if isinstance(value, str) and value.startswith(_IDS) else value


def _broken(dice: random.Random, source: dict[str, Any], number: int) -> Any:
    made = _foreign(source)
    made["id"] = f"{made['id']}_{number}"
    for _ in range(dice.randint(1, 4)):
        holder, name = made, dice.choice(sorted(made))
        while isinstance(holder[name], dict | list) and holder[name] and dice.random() < 0.8:
            holder = holder[name]
            name = dice.choice(sorted(holder)) if isinstance(holder, dict) else dice.randrange(len(holder))
        match dice.randrange(8):
            case 0:
                del holder[name]
            case 1:
                holder[name] = [holder[name]] * 2
            case _:
                holder[name] = copy.copy(dice.choice(_VALUES))
        if not made:
            break
    return dice.choice(_VALUES) if dice.random() < 0.02 else made


def _read(objects: dict[str, list[Any]]) -> tuple[dict[str, pa.Table], list[dict[str, Any]]]:
    """The raw tables, and the rows of what was set aside. No object is lost."""
    here = Provenance(1, 2, "api", livemode=False)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in (*RAW_TABLES, "quarantine")}
    for table, found in objects.items():
        page = read_objects(STREAMS[table], found, here)
        told = len(page.rows[table]) + len(page.rows["quarantine"]) + len(page.unfinished)
        assert told == len(found), table
        for name, read in page.rows.items():
            rows[name].extend(read)
    aside = rows.pop("quarantine")
    return {
        name: pa.Table.from_pylist(list({row["id"]: row for row in found}.values()), schema=RAW_TABLES[name])
        for name, found in rows.items()
    }, aside


def _segments(raw: dict[str, pa.Table], as_of: datetime) -> dict[str, pa.Table]:
    sides = {name: raw[name] for name in ("prices", "coupons", "customers", "invoice_lines")}
    mrr = subscription_mrr_table(raw["subscriptions"], **sides, as_of=as_of)
    return {
        "subscription_mrr": mrr.sort_by("subscription"),
        **dict(run_all({**raw, "subscription_mrr": mrr}, as_of=as_of)),
    }


def _good(table: pa.Table) -> pa.Table:
    return table.filter(pc.fill_null(pc.starts_with(table["customer"], "cus_"), False))


@pytest.mark.parametrize(
    "count", [500, pytest.param(10_000, marks=pytest.mark.soak)], ids=lambda count: f"{count} objects"
)
def test_hostile_objects_are_set_aside_or_spoil_nothing(count: int, objects: dict[str, list[Any]]) -> None:
    dice = random.Random(20260615)
    clean, nothing = _read(objects)
    mixed = {table: list(found) for table, found in objects.items()}
    for number in range(count):
        table = dice.choice(_TABLES)
        mixed[table].append(_broken(dice, dice.choice(objects[table]), number))
    for found in mixed.values():
        dice.shuffle(found)
    soiled, aside = _read(mixed)

    assert not nothing
    assert count // 5 < len(aside) < count
    assert all(row["reason"] and row["raw_hash"] for row in aside)
    as_of = datetime.fromtimestamp(max(charge["created"] for charge in objects["charges"]), UTC)
    expected, made = _segments(clean, as_of), _segments(soiled, as_of)
    for row in made["subscription_mrr"].to_pylist():
        assert row["complete"] or row["reasons"]
        codes = {code for code in row["reasons"].split("; ") if code and not code.startswith(NOT_ESTABLISHED)}
        assert codes <= {*REASONS, *NOTES}
    assert not Counter(made["subscription_mrr"]["complete"].to_pylist())[None]
    for name, table in expected.items():
        if "customer" in table.column_names:
            assert_same(_good(made[name]), table, name)
