"""The questions of the segments as a skilled hand writes them in DuckDB SQL over the same files, for comparison.

Here: running `by_hand/<table>.sql`, one query for each segment table, which gives all its columns for the business
of `benchmarks.business`, first run, as of its day; a test holds the rows to those of the segment functions. Not
here: anything the product uses.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from segments.inputs import COLUMNS
from segments.regions import ALIASES, regions

__all__ = ["by_hand"]

_FOLDER = Path(__file__).with_name("by_hand")
_ORDER = (
    "mrr_tiers",
    "customer_mrr_months",
    "mrr_movements",
    "churn_risk",
    "customer_markets",
    "markets",
    "disputes_by_reason",
    "growth",
    "segment_history",
)


def by_hand(connection: duckdb.DuckDBPyConnection, sources: Mapping[str, Any]) -> Iterator[tuple[str, pa.Table]]:
    """Every segment table by SQL, from the raw tables and the segment tables before it (Arrow tables or paths)."""
    connection.register("countries", _countries())
    for name, source in sources.items():
        rows = f"read_parquet('{source}')" if isinstance(source, Path) else f"{name}_rows"
        if not isinstance(source, Path):
            connection.register(f"{name}_rows", source)
        there = " WHERE deleted IS NOT TRUE" if "deleted" in COLUMNS.get(name, pa.schema([])).names else ""
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {rows}{there}")
    for name in _ORDER:
        query = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
        yield name, connection.sql(query).to_arrow_table()


def _countries() -> pa.Table:
    """Every spelling of a country's code, its usual one and the region."""
    codes, of = {code: code for code in regions()} | ALIASES, regions()
    return pa.table(
        {"code": list(codes), "country": list(codes.values()), "region": [of[code] for code in codes.values()]}
    )
