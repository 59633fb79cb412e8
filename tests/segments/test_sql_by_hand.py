"""The SQL that a skilled hand wrote for the same tables gives the same rows: two readings of one set of rules.

It is what the benchmark compares with, so that both answer one question; and a second opinion on every figure.
"""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from benchmarks.business import Shape, business
from benchmarks.segments import run_all
from benchmarks.segments_sql import by_hand
from segments.tables import SEGMENT_TABLES


@pytest.fixture(scope="module")
def tables() -> dict[str, tuple[pa.Table, pa.Table]]:
    """By name: the table of the segment function, and that of the query."""
    raw = business(Shape(400, 2_400, 3_200))
    made = dict(run_all(raw))
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return {name: (made[name], found) for name, found in by_hand(connection, {**raw, **made})}


@pytest.mark.parametrize(
    "name",
    [
        "mrr_tiers",
        "customer_mrr_months",
        "mrr_movements",
        "churn_risk",
        "customer_markets",
        "markets",
        "disputes_by_reason",
        "growth",
        "segment_history",
    ],
)
def test_the_query_gives_every_column_of_the_table(name: str, tables: dict[str, Any]) -> None:
    table, found = tables[name]
    assert found.column_names == table.column_names
    assert found.num_rows == table.num_rows > 0
    for field in SEGMENT_TABLES[name]:
        one, other = table[field.name], found[field.name].cast(field.type)
        assert one.is_null().equals(other.is_null()), field.name
        if pa.types.is_floating(field.type):
            assert np.allclose(one.drop_null(), other.drop_null(), rtol=1e-9, atol=1e-12), field.name
        else:
            assert one.equals(other), field.name
