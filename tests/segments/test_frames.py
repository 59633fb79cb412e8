"""Reading sources, calendar arithmetic and result tables."""

from datetime import UTC, date, datetime
from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.tables import RAW_TABLES
from segments.frames import InputError, beside, divide_half_up, frames, rows, to_table, with_months
from segments.inputs import COLUMNS
from segments.tables import SEGMENT_TABLES
from tests.segments.raw import AS_OF, ENGINES, at, on, raw


@pytest.mark.parametrize("name", COLUMNS)
def test_what_segments_read_is_part_of_the_declared_table(name: str) -> None:
    declared = (RAW_TABLES | SEGMENT_TABLES)[name.removesuffix("_before")]
    for field in COLUMNS[name]:
        assert declared.field(field.name).type == field.type


def _charges(engine: str, *rows_: dict[str, Any]) -> list[dict[str, Any]]:
    return rows(frames(**on(engine, charges=raw("charges", *rows_)))["charges"]).to_pylist()


@pytest.mark.parametrize("engine", ENGINES)
def test_times_are_seconds_and_deleted_or_impossible_rows_are_left_out(engine: str) -> None:
    found = _charges(
        engine,
        {"id": "ch_1", "created": at("2026-03-31T23:59"), "amount": 5},
        {"id": "ch_2", "deleted": True},
        {"id": "ch_3", "amount": 10**12},
        {"id": "ch_4", "created": None, "amount_refunded": -(10**12)},
        {"id": "ch_5", "created": None, "amount": None},
    )
    assert [(row["id"], row["created"]) for row in found] == [
        ("ch_1", int(at("2026-03-31T23:59").timestamp())),
        ("ch_5", None),
    ]


def test_a_pandas_frame_with_its_usual_types_is_read_too() -> None:
    frame = pd.DataFrame(
        {name: [None, None] for name in COLUMNS["charges"].names}
        | {"id": ["ch_1", "ch_2"], "amount": [5.0, float("nan")], "created": [AS_OF, None], "paid": [True, None]}
    )
    found = rows(frames(charges=frame)["charges"]).to_pylist()
    assert [(row["id"], row["amount"], row["created"], row["paid"]) for row in found] == [
        ("ch_1", 5, int(AS_OF.timestamp()), True),
        ("ch_2", None, None, None),
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_column_is_named(engine: str) -> None:
    source = on(engine, charges=raw("charges", {"id": "ch_1"}).drop_columns(["paid", "created"]))
    with pytest.raises(InputError, match="charges has no column paid, created"):
        frames(**source)


def test_values_of_another_type_are_named() -> None:
    table = raw("charges", {"id": "ch_1"})
    broken = table.set_column(table.column_names.index("amount"), "amount", pa.array(["many"]))
    with pytest.raises(InputError, match=r"charges\.amount is not int64"):
        frames(charges=broken)


def test_no_source_is_a_table_without_rows() -> None:
    assert rows(frames(charges=None)["charges"]).num_rows == 0


_TIMES = st.integers(0, int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)


@given(st.lists(_TIMES, min_size=1, max_size=20))
def test_months_are_those_of_the_calendar(times: list[datetime]) -> None:
    seconds = pa.table({"time": pa.array([int(time.timestamp()) for time in times], pa.int64())})
    found = rows(with_months(beside(None, seconds), month="time"))["month"].to_pylist()
    assert found == [time.year * 12 + time.month - 1 for time in times]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(7, 2, 4), (5, 2, 3), (-5, 2, -2), (1, 3, 0), (-7, 3, -2), (0, 9, 0)],
)
def test_division_rounds_to_the_nearest(engine: str, numerator: int, denominator: int, expected: int) -> None:
    anchor = frames(**on(engine, charges=raw("charges")))["charges"]
    frame = beside(anchor, pa.table({"a": [numerator], "b": [denominator]}))
    assert rows(frame.select(c=divide_half_up(nw.col("a"), nw.col("b"))))["c"].to_pylist() == [expected]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_result_has_its_declared_types_and_order(engine: str) -> None:
    schema = SEGMENT_TABLES["customer_mrr_months"]
    anchor = frames(**on(engine, charges=raw("charges")))["charges"]
    months = pa.table(
        {
            "customer": ["cus_2", "cus_1"],
            "month": [2026 * 12, 2025 * 12 + 11],
            "currency": ["usd", "usd"],
            "mrr_minor": [1, 2],
            "mrr_list_minor": [1, 2],
        }
    )
    table = to_table(beside(anchor, months), schema, months=("month",))
    assert table.schema.equals(schema)
    assert [(row["customer"], row["month"]) for row in table.to_pylist()] == [
        ("cus_1", date(2025, 12, 1)),
        ("cus_2", date(2026, 1, 1)),
    ]
