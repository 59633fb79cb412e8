"""How fast all segment functions are, on pandas and on DuckDB.

`python -m benchmarks.segments` measures 10,000 customers with 60,000 invoices and charges on pandas (budget 6
s); `python -m benchmarks.segments duckdb [CUSTOMERS] [INVOICES] [CHARGES]` a million, five and ten million over
Parquet files (budget 90 s and 6 GB on two cores). One line a function.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.business import AS_OF, RATES, Shape, business
from benchmarks.segments_sql import by_hand
from segments.churn import churn_risk
from segments.disputes import disputes_by_reason
from segments.evidence import customer_markets
from segments.growth import growth
from segments.history import segment_history
from segments.markets import markets
from segments.movements import mrr_movements
from segments.mrr_months import customer_mrr_months
from segments.tiers import mrr_tiers

__all__ = ["run_all"]

REPORTING = {"rates": RATES, "reporting_currency": "usd"}


def run_all(
    raw: dict[str, Any], place: Callable[[str, pa.Table], Any] | None = None, *, as_of: datetime = AS_OF
) -> Iterator[tuple[str, pa.Table]]:
    """Every segment table in order, each made from the raw sources and the tables before it.

    `place` brings a made table to where the next functions read it, as the lake does in the product.
    """
    made: dict[str, Any] = {}

    def keep(name: str, table: pa.Table) -> tuple[str, pa.Table]:
        made[name] = place(name, table) if place else table
        return name, table

    yield keep("mrr_tiers", mrr_tiers(raw["subscription_mrr"], raw["customers"], **REPORTING, as_of=as_of))
    yield keep(
        "customer_mrr_months",
        customer_mrr_months(
            raw["invoice_lines"],
            raw["invoices"],
            subscription_items=raw["subscription_items"],
            prices=raw["prices"],
            subscriptions=raw["subscriptions"],
            as_of=as_of,
        ),
    )
    yield keep(
        "mrr_movements",
        mrr_movements(
            made["customer_mrr_months"],
            rates=dict.fromkeys(_months(as_of), RATES),
            reporting_currency="usd",
            as_of=as_of,
        ),
    )
    yield keep(
        "churn_risk",
        churn_risk(
            raw["subscriptions"],
            made["mrr_tiers"],
            raw["invoices"],
            raw["charges"],
            raw["payment_methods"],
            raw["customers"],
            raw["disputes"],
            customer_mrr_months=made["customer_mrr_months"],
            reporting_currency="usd",
            as_of=as_of,
        ),
    )
    yield keep("customer_markets", customer_markets(raw["customers"], raw["charges"], raw["payment_methods"]))
    yield keep(
        "markets", markets(raw["charges"], raw["disputes"], made["customer_markets"], **REPORTING, as_of=as_of)
    )
    yield keep(
        "disputes_by_reason",
        disputes_by_reason(raw["disputes"], raw["charges"], raw["invoice_lines"], as_of=as_of),
    )
    yield keep(
        "growth",
        growth(
            made["customer_mrr_months"],
            raw["subscriptions"],
            raw["invoices"],
            raw["invoice_lines"],
            raw["charges"],
            raw["disputes"],
            raw["refunds"],
            raw["customers"],
            as_of=as_of,
        ),
    )
    yield keep(
        "segment_history",
        segment_history(
            made["mrr_tiers"],
            made["churn_risk"],
            made["customer_markets"],
            made["growth"],
            raw["disputes"],
            raw["charges"],
            reporting_currency="usd",
            as_of=as_of,
        ),
    )


def _months(as_of: datetime) -> list[Any]:
    first = as_of.date().replace(day=1)
    return [
        first.replace(year=first.year - (back >= first.month), month=(first.month - back - 1) % 12 + 1)
        for back in range(1, 12)
    ]


def _measured(tables: Iterator[tuple[str, pa.Table]]) -> dict[str, float]:
    """Seconds of processor by table."""
    start = before = time.perf_counter(), time.process_time()
    taken = {}
    for name, table in tables:
        rows = table.num_rows
        del table  # the next one is not made beside it
        now = time.perf_counter(), time.process_time()
        taken[name] = now[1] - before[1]
        print(
            f"{name:22} {now[0] - before[0]:7.2f} s {taken[name]:7.2f} s of processor"
            f" {rows:12,} rows {_peak():6.2f} GB"
        )
        before = time.perf_counter(), time.process_time()
    print(f"{'all':22} {before[0] - start[0]:7.2f} s {before[1] - start[1]:7.2f} s of processor")
    return taken


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _pandas(shape: Shape) -> None:
    _measured(run_all(business(shape)))


def _duckdb(shape: Shape) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        if not _in_child(lambda: business(shape, folder)):
            sys.exit("the account could not be made")
        print(f"account made in {time.perf_counter() - start:.1f} s")
        connection = duckdb.connect()
        connection.execute("SET memory_limit = '3500MB'; SET threads = 2; SET preserve_insertion_order = false")
        connection.execute(f"SET temp_directory = '{folder}/spill'; SET TimeZone = 'UTC'")
        raw = {path.stem: connection.read_parquet(str(path)) for path in sorted(folder.glob("*.parquet"))}

        def place(name: str, table: pa.Table) -> Any:
            pq.write_table(table, folder / f"{name}.parquet")
            return connection.read_parquet(str(folder / f"{name}.parquet"))

        functions = _measured(run_all(raw, place))
        print("the same tables in SQL by hand")
        paths = {path.stem: path for path in folder.glob("*.parquet")}
        queries = _measured(by_hand(connection, paths))
        print("processor of the function by that of the query")
        print(", ".join(f"{name} {functions[name] / queries[name]:.2f}" for name in queries))


def _in_child(work: Callable[[], Any]) -> bool:
    """Run in a process of its own, so that making the account does not count as memory of the segments."""
    import multiprocessing

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    return child.exitcode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", nargs="?", default="pandas", choices=["pandas", "duckdb"])
    parser.add_argument("customers", nargs="?", type=int)
    parser.add_argument("invoices", nargs="?", type=int)
    parser.add_argument("charges", nargs="?", type=int)
    given = parser.parse_args()
    small = given.engine == "pandas"
    shape = Shape(
        given.customers or (10_000 if small else 1_000_000),
        given.invoices or (60_000 if small else 5_000_000),
        given.charges or (60_000 if small else 10_000_000),
    )
    (_pandas if small else _duckdb)(shape)


if __name__ == "__main__":
    main()
