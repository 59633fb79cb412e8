"""The same account on pandas, DuckDB and Spark gives the same tables, in every column."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.segments import SEGMENT_ASSETS
from benchmarks.business import Shape, business
from benchmarks.mrr import AS_OF, account
from benchmarks.segments import run_all
from resources.engines import DuckDbEngine, Engine
from resources.lake import Lake
from resources.schema import table as declared
from segments.frames import frames, month_of, with_months
from segments.frames import rows as collected
from segments.inputs import COLUMNS
from segments.mrr_months import customer_mrr_months
from segments.mrr_parts import COLUMNS_OF_PARTS, subscription_mrr_in_parts
from segments.mrr_table import subscription_mrr_table
from segments.prediction import churn_forecast
from segments.tables import SEGMENT_TABLES
from tests.segments.lines import large_taxed_lines
from tests.segments.raw import assert_same, at, raw, segment
from tests.spark import needs_spark, spark_engine

_FORECAST_READS = (
    *("subscriptions", "subscription_items", "customers", "invoices"),
    *("charges", "payment_methods", "disputes"),
)


_FORECAST_MAKES = ("churn_model", "churn_backtest", "churn_probability")
# Tables made from raw rows that are not compared here, and why.
_APART = {
    "fx_rates": "its step reads what is published and no row of the raw table that it comes after",
    "released_cells": "made in one process of whole tables; who disputed what is compared in test_disputes",
    "released_members": "made together with the cells",
}


def _stored(lake: Lake, name: str, rows: pa.Table, schema: pa.Schema) -> int:
    return lake.replace(name, rows, declared(name, list(schema.remove_metadata()), key=schema.names[:1]))


def _same_segments(shape: Shape, engine: Engine, folder: Path) -> None:
    """Every segment on pandas and on the engine, which reads Delta tables as in the product."""
    lake = Lake(str(folder / "lake"))

    def placed(name: str, rows: pa.Table) -> Any:
        version = _stored(lake, name, rows.select(COLUMNS[name].names), COLUMNS[name])
        return engine.table(lake, name, COLUMNS[name], version=version)

    made = business(shape)
    on_engine = run_all(
        {name: placed(name, rows) for name, rows in made.items()},
        lambda name, rows: placed(name, rows) if name in COLUMNS else rows,
    )
    for (name, left), (_, right) in zip(run_all(made), on_engine, strict=True):
        assert left.schema.equals(SEGMENT_TABLES[name]), name
        assert left.num_rows > 0, name
        assert_same(left, right, name)


def _same_mrr(subscriptions: int, engine: Engine, folder: Path) -> None:
    """MRR of every kind of subscription, whole and in parts of the engine, with tax that only invoices state."""
    lake = Lake(str(folder / "mrr"))
    made = _mrr_tables(subscriptions)
    sources = {
        name: engine.table(lake, name, schema, version=_stored(lake, name, made[name], schema))
        for name, schema in COLUMNS_OF_PARTS.items()
    }
    assert engine.in_parts is not None
    found = subscription_mrr_in_parts(**sources, as_of=AS_OF, in_parts=engine.in_parts)
    rows = made.pop("subscriptions")
    whole = subscription_mrr_table(rows, **made, as_of=AS_OF).sort_by("subscription")
    assert_same(whole, found, "subscription_mrr")


def _same_forecast(shape: Shape, engine: Engine, folder: Path) -> None:
    """The churn model rests on the same histories and payments, to the bit, and gives the same chances."""
    account = business(shape)
    made = {name: account[name] for name in _FORECAST_READS}
    lake = Lake(str(folder / "forecast"))
    placed = {
        name: engine.table(lake, name, COLUMNS[name], version=_stored(lake, name, rows, COLUMNS[name]))
        for name, rows in made.items()
    }
    mrr = segment("subscription_mrr", {"subscription": "sub_0", "currency": "usd", "mrr": "1000/3"})
    whole, found = (churn_forecast(**tables, subscription_mrr=mrr, as_of=AS_OF) for tables in (made, placed))
    assert whole.model.method == "hazard", whole.model.fallback
    assert whole.model.payments
    for name in _FORECAST_MAKES:
        left, right = getattr(whole, name), getattr(found, name)
        assert left.num_rows > 0, name
        assert_same(left, right, name)


def _same_months(engine: Engine, folder: Path) -> None:
    """Months of the calendar, on days where they change, a leap day among them."""
    days = [f"{year}-{day}T00:00:00" for year in (1970, 1999, 2000, 2024, 2100) for day in ("01-01", "03-01")]
    times = [at(day) - timedelta(seconds=late) for day in days for late in (0, 1)]
    rows = raw("refunds", *({"created": time} for time in times)).select(COLUMNS["refunds"].names)
    lake = Lake(str(folder / "months"))
    version = _stored(lake, "refunds", rows, COLUMNS["refunds"])
    source = frames(refunds=engine.table(lake, "refunds", COLUMNS["refunds"], version=version))["refunds"]
    found = {row["created"]: row["month"] for row in collected(with_months(source, month="created")).to_pylist()}
    assert found == {int(time.timestamp()): month_of(time) for time in times}


def _same_large_amounts(engine: Engine, folder: Path) -> None:
    """Amounts whose products do not fit 64 bits."""
    lake = Lake(str(folder / "large"))
    _, *made = large_taxed_lines()
    placed = []
    for name, rows in zip(("invoice_lines", "invoices"), made, strict=True):
        version = _stored(lake, name, rows.select(COLUMNS[name].names), COLUMNS[name])
        placed.append(engine.table(lake, name, COLUMNS[name], version=version))
    found = customer_mrr_months(*placed, as_of=AS_OF)
    assert_same(customer_mrr_months(*made, as_of=AS_OF), found, "customer_mrr_months")


def _mrr_tables(subscriptions: int) -> dict[str, pa.Table]:
    """The tables that MRR needs; prices of every tenth subscription contain tax that its latest invoice states."""
    made = account(subscriptions)
    taxed = [number % 10 == 5 for number in range(subscriptions)]
    billing = [
        text.replace('"tax_behavior":"unspecified"', '"tax_behavior":"inclusive"') if inclusive else text
        for text, inclusive in zip(made.subscriptions["billing"].to_pylist(), taxed, strict=True)
    ]
    lines = [
        {
            "id": f"il_{number}_{place}",
            "subscription": f"sub_{number:08d}",
            "subscription_item": f"si_{number:08d}",
            "amount": 2_900,
            "inclusive_tax_amount": tax,
            "proration": proration,
            "period_start": AS_OF - timedelta(days=age),
        }
        for number in range(0, subscriptions, 5)
        for place, (age, tax, proration) in enumerate(
            [(40, 0, False), (10, 400 + number % 7, False), (5, 9, True), (1, None, None)]
        )
    ]
    given = {
        "subscriptions": made.subscriptions.set_column(4, "billing", pa.array(billing)),
        "prices": made.prices,
        "coupons": made.coupons,
        "customers": made.customers,
        "invoice_lines": pa.Table.from_pylist(lines, schema=COLUMNS_OF_PARTS["invoice_lines"]),
    }
    return {
        name: pa.table(
            {
                field.name: given[name][field.name].cast(field.type)
                if field.name in given[name].column_names
                else pa.nulls(given[name].num_rows, field.type)
                for field in schema
            },
            schema=schema,
        )
        for name, schema in COLUMNS_OF_PARTS.items()
    }


def test_every_segment_of_raw_rows_is_compared_on_the_engines_or_apart_for_a_reason() -> None:
    """A new segment belongs into `run_all`, so that it is."""
    of_raw_rows = {
        spec.key.path[-1]
        for asset in SEGMENT_ASSETS
        for spec in asset.specs
        if any(dep.asset_key.path[0] == "stripe" for dep in spec.deps)
    }
    compared = {name for name, _ in run_all(business(Shape(20, 60, 80)))} | {"subscription_mrr", *_FORECAST_MAKES}
    assert of_raw_rows - compared == set(_APART)


def test_duckdb_agrees(tmp_path: Path) -> None:
    _same_segments(Shape(300, 1_800, 2_400), DuckDbEngine(), tmp_path)
    _same_forecast(Shape(2_000, 12_000, 16_000), DuckDbEngine(), tmp_path)


@needs_spark
def test_spark_agrees(tmp_path: Path) -> None:
    with spark_engine() as spark:
        _same_months(spark, tmp_path)
        _same_large_amounts(spark, tmp_path)
        _same_segments(Shape(300, 1_800, 2_400), spark, tmp_path)
        _same_forecast(Shape(2_000, 12_000, 16_000), spark, tmp_path)
        _same_mrr(2_000, spark, tmp_path)


@pytest.mark.soak
def test_duckdb_agrees_on_a_hundred_thousand_customers(tmp_path: Path) -> None:
    _same_segments(Shape(100_000, 500_000, 1_000_000), DuckDbEngine(), tmp_path)


@pytest.mark.soak
@needs_spark
def test_spark_agrees_on_a_hundred_thousand_customers(tmp_path: Path) -> None:
    with spark_engine(small=False) as spark:
        _same_segments(Shape(100_000, 500_000, 1_000_000), spark, tmp_path)
        _same_mrr(150_000, spark, tmp_path)
