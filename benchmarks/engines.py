"""The same account on pandas, DuckDB and Spark: time, processor time and memory of all segments, as charges grow.

`python -m benchmarks.engines --charges 1 10 50` takes millions of charges, with a tenth as many customers and half
as many invoices, and prints a Markdown table; `--engines` picks some, `--customers N` sets the number of customers
(in millions), `--equal` compares the tables that the engines made. Accounts are made part by part as Delta tables
in a temporary folder (`--folder`), so that the same one serves every engine. Each engine runs in a process of its
own, watched from outside: processor time and memory count the JVM and its workers, and an engine that passes
`--cap` (gigabytes; default: three quarters of what is free) is ended and reported so.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pyarrow as pa

from benchmarks.business import Shape, parts_of
from benchmarks.segments import run_all
from resources.engines import DuckDbEngine, Engine, EngineName, open_engine
from resources.lake import Lake
from resources.schema import table as declared
from segments.inputs import COLUMNS
from segments.tables import SEGMENT_TABLES
from tests.segments.raw import assert_same

ENGINES: Final[tuple[EngineName, ...]] = ("pandas", "duckdb", "pyspark")
_LOOK_SECONDS: Final = 0.25
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What one engine took for one account; `ended` says why it did not finish."""

    seconds: float
    processor: float
    gigabytes: float
    ended: str = ""

    def row(self, charges: float, engine: str) -> str:
        """A line of the table."""
        took = self.ended or f"{self.seconds:,.0f} s"
        return f"| {charges:g} M | {engine} | {took} | {self.processor:,.0f} s | {self.gigabytes:.1f} GB |"


def _schema(name: str) -> pa.Schema:
    columns = COLUMNS[name].remove_metadata()
    return declared(name, list(columns), key=columns.names[:1])


def make(shape: Shape, folder: Path) -> None:
    """The account as Delta tables, in little memory."""
    lake = Lake(str(folder))
    for name, parts in parts_of(shape).items():
        batches = (batch for part in parts for batch in part.to_batches())
        rows = pa.RecordBatchReader.from_batches(COLUMNS[name], batches)
        lake.rewrite(name, rows, _schema(name), read_version=None)


def segments_of(folder: Path, engine: Engine, made: Path) -> Iterator[tuple[str, int]]:
    """Every segment table from the account in `folder`, written to `made` and read again from there."""
    lake, results = Lake(str(folder)), Lake(str(made))

    def read(from_: Lake, name: str) -> Any:
        version = from_.version(name)
        assert version is not None
        return engine.table(from_, name, COLUMNS[name], version=version)

    def place(name: str, rows: pa.Table) -> Any:
        results.replace(name, rows, SEGMENT_TABLES[name])
        return read(results, name) if name in COLUMNS else rows

    raw = {path.name: read(lake, path.name) for path in sorted(folder.iterdir())}
    for name, rows in run_all(raw, place):
        yield name, rows.num_rows


def work(folder: Path, engine: EngineName, made: Path, cap: float) -> None:
    """What the process of one engine does; a line of JSON for each table, on standard output."""
    from resources.spark import SparkChoices, stop

    # The heap below the cap, as the JVM and Python's workers need room beside it.
    spark = SparkChoices(options={"spark.driver.memory": f"{max(1, int(cap * 0.6))}g"})
    reader = (
        DuckDbEngine(memory_limit=f"{cap * 0.6:.1f}GB") if engine == "duckdb" else open_engine(engine, spark=spark)
    )
    before = time.perf_counter()
    for name, rows in segments_of(folder, reader, made):
        now = time.perf_counter()
        sys.stdout.write(json.dumps({"table": name, "rows": rows, "seconds": round(now - before, 2)}) + "\n")
        sys.stdout.flush()
        before = now
    if engine == "pyspark":
        stop()


def watch(command: list[str], cap: float) -> Measured:
    """Run a process with all that it starts, and end it when it passes `cap` gigabytes."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=sys.stderr)
    top = psutil.Process(child.pid)
    peak, ended = 0.0, ""
    # Processor time of each process when last seen: workers come and go.
    used: dict[int, float] = {}
    try:
        while child.poll() is None:
            held = 0
            for each in _family(top):
                with suppress(psutil.NoSuchProcess):
                    times, memory = each.cpu_times(), each.memory_info()
                    used[each.pid] = times.user + times.system
                    held += memory.rss - memory.shared
            peak = max(peak, held / 2**30)
            if peak > cap and not ended:
                ended = f"over {cap:.0f} GB after {time.perf_counter() - began:,.0f} s"
                _end(top)
            time.sleep(_LOOK_SECONDS)
    finally:
        _end(top)
    if child.returncode and not ended:
        ended = f"failed after {time.perf_counter() - began:,.0f} s"
    return Measured(time.perf_counter() - began, sum(used.values()), peak, ended)


def _family(top: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [*top.children(recursive=True), top]
    return []


def _end(top: psutil.Process) -> None:
    for each in _family(top):
        with suppress(psutil.NoSuchProcess):
            each.kill()


def compare(made: Path, engines: list[str]) -> Iterator[str]:
    """One line for each table: whether all engines made the same rows."""
    first, *others = (Lake(str(made / engine)) for engine in engines)
    for name in sorted(path.name for path in (made / engines[0]).iterdir()):
        key = [(column, "ascending") for column in SEGMENT_TABLES[name].metadata[b"key"].decode().split(",")]
        rows = first.read(name).sort_by(key)
        for other in others:
            assert_same(rows, other.read(name).sort_by(key), name)
        yield f"{name}: {rows.num_rows:,} rows, the same on {', '.join(engines)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--charges", nargs="+", type=float, default=[1.0], help="millions of charges")
    parser.add_argument("--customers", type=float, help="millions of customers; by default a tenth of the charges")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--equal", action="store_true", help="compare the tables that the engines made")
    parser.add_argument("--cap", type=float, default=psutil.virtual_memory().available / 2**30 * 0.75)
    parser.add_argument("--folder", type=Path, help="where accounts are made; default: a temporary folder")
    parser.add_argument("--work", nargs=3, metavar=("ACCOUNT", "ENGINE", "MADE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        account, engine, made = given.work
        work(Path(account), engine, Path(made), given.cap)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        print("| Charges | Engine | Time | Processor | Memory |\n| --- | --- | --- | --- | --- |", flush=True)
        for charges in given.charges:
            _one_size(Path(name), charges, given)


def _one_size(folder: Path, charges: float, given: argparse.Namespace) -> None:
    account, made = folder / "account", folder / "made"
    customers = given.customers or charges / 10
    shape = Shape(int(customers * _MILLION), int(charges * _MILLION / 2), int(charges * _MILLION))
    began = time.perf_counter()
    make(shape, account)
    sys.stderr.write(f"{charges:g} M charges made in {time.perf_counter() - began:,.0f} s\n")
    finished = []
    for engine in given.engines:
        command = [sys.executable, "-m", "benchmarks.engines", "--cap", str(given.cap)]
        measured = watch([*command, "--work", str(account), engine, str(made / engine)], given.cap)
        print(measured.row(charges, engine), flush=True)
        finished += [] if measured.ended else [engine]
    if given.equal and len(finished) > 1:
        for line in compare(made, finished):
            print(line, flush=True)
    shutil.rmtree(folder / "account")
    shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    main()
