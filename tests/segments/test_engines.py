"""The same account on pandas and on DuckDB gives the same tables, in every column."""

import duckdb
import pyarrow as pa
import pytest

from benchmarks.business import Shape, business
from benchmarks.segments import run_all
from segments.tables import SEGMENT_TABLES
from tests.segments.raw import assert_same


def _on_duckdb(raw: dict[str, pa.Table]) -> dict[str, duckdb.DuckDBPyRelation]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Australia/Lord_Howe'")
    return {name: connection.from_arrow(table) for name, table in raw.items()}


def _compare(shape: Shape) -> None:
    raw = business(shape)
    for (name, left), (_, right) in zip(run_all(raw), run_all(_on_duckdb(raw)), strict=True):
        assert left.schema.equals(SEGMENT_TABLES[name]), name
        assert left.num_rows > 0, name
        assert_same(left, right, name)


def test_engines_agree() -> None:
    _compare(Shape(300, 1_800, 2_400))


@pytest.mark.soak
def test_engines_agree_on_a_hundred_thousand_customers() -> None:
    _compare(Shape(100_000, 500_000, 1_000_000))
