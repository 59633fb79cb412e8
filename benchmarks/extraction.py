"""How fast and how thrifty the extraction is, under limits that the server enforces.

`python -m benchmarks.extraction [backfill|one-stream|incremental|memory …]` prints a line per measurement. The
server is the sandbox in a process of its own: 100 requests/s for the account, 25/s for each operation. Each
extraction runs in a process of its own too, so its CPU and memory are its own. Budgets are in `BUDGETS`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import uvloop
from pydantic import SecretStr

from benchmarks.stripe_account import END, Expected, write_account
from ingest.extract import extract
from ingest.report import ExtractReport
from resources.lake import Lake
from resources.limiter import Limiter
from resources.state import State, metadata
from resources.stripe_api import StripeApi
from sandbox.launch import Sandbox

_FIVE = ("customers", "subscriptions", "prices", "invoices", "charges")
_MANY_ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
_KEY = "rk_live_" + "b" * 24
BUDGETS = {
    "backfill at 100 ms": "10.5 s, 660 list requests",
    "backfill at 400 ms": "13 s",
    "one stream of 500 pages": "92 % of 25 requests/s",
    "incremental over 2,000 events": "25 requests and the reads that are needed",
    "memory": "400 MB at a million rows",
}


@dataclass(frozen=True)
class Measured:
    """One extraction in its process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    requests: int
    limited: int
    rows: dict[str, int]
    duplicates: int


async def _extract(
    base: str, folder: Path, tables: tuple[str, ...], operation_rate: float = 25.0
) -> ExtractReport:
    state = State(f"sqlite:///{folder}/state.db")
    metadata.create_all(state.engine)
    limiter = Limiter(requests_per_second=max(100.0, operation_rate), operation_per_second=operation_rate)
    async with StripeApi(SecretStr(_KEY), base_url=base, limiter=limiter) as api:
        return await extract(
            api,
            Lake(f"{folder}/lake"),
            state,
            now=lambda: datetime.now(UTC),
            staging=folder / "staging",
            tables=tables,
        )


def _child(base: str, folder: Path, tables: tuple[str, ...], operation_rate: float) -> None:
    """One extraction; its figures as JSON on stdout, its log on stderr."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    report = uvloop.run(_extract(base, folder, tables, operation_rate))
    seconds = time.perf_counter() - began
    after, peak_mb = resource.getrusage(resource.RUSAGE_SELF), _peak_mb()
    lake = Lake(f"{folder}/lake")
    rows, duplicates = {}, 0
    for table in report.tables:
        if table.version is not None and table.table != "quarantine":
            ids = lake.read(f"stripe/{table.table}", columns=["id"])["id"]
            rows[table.table] = len(ids)
            duplicates += len(ids) - len(ids.unique())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": cpu,
                "peak_mb": peak_mb,
                "requests": report.requests,
                "limited": report.limited,
                "rows": rows,
                "duplicates": duplicates,
            }
        )
    )


def _peak_mb() -> float:
    """Most memory of this process; `ru_maxrss` would begin with that of the process which started it."""
    status = Path("/proc/self/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def measure(base: str, folder: Path, tables: tuple[str, ...] = _FIVE, *, operation_rate: float = 25.0) -> Measured:
    """Run one extraction in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.extraction", "--child"]
    command += [base, str(folder), ",".join(tables), str(operation_rate)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return Measured(**figures)


def tell(name: str, measured: Measured, expected: Expected | None, stats: dict[str, Any]) -> None:
    """One line about a measurement."""
    missing = "–"
    if expected is not None:
        missing = str(sum(count - measured.rows.get(table, 0) for table, count in expected.rows.items()))
    lists = sum(
        count for name, count in stats["operations"].items() if not name.endswith(("/lines", "subscription_items"))
    )
    cpu = 100 * measured.cpu_seconds / measured.seconds
    figures = (
        f"{measured.seconds:.1f} s",
        f"{stats['requests']} requests ({lists} lists), {measured.limited} refused",
        f"in flight {stats['peak_in_flight']}, CPU {cpu:.0f} %, {measured.peak_mb:.0f} MB",
        f"missing {missing}, duplicates {measured.duplicates}",
        f"budget: {BUDGETS.get(name, '–')}",
    )
    print(f"{name}: {'; '.join(figures)}")


def _backfill(account: Path, expected: Expected, latency: int) -> None:
    with (
        tempfile.TemporaryDirectory() as work,
        Sandbox(only="stripe", dataset=account, end=_end(), latency_ms=latency, livemode=True) as sandbox,
    ):
        measured = measure(sandbox.stripe, Path(work))
        tell(f"backfill at {latency} ms", measured, expected, sandbox.stats())


def _one_stream() -> None:
    with tempfile.TemporaryDirectory() as work:
        write_account(Path(work) / "account", customers=100, invoices=100, charges=50_000)
        with Sandbox(
            only="stripe", dataset=Path(work) / "account", end=_end(), latency_ms=100, livemode=True
        ) as sandbox:
            measured = measure(sandbox.stripe, Path(work), ("charges",))
            tell("one stream of 500 pages", measured, Expected({"charges": 50_000}), sandbox.stats())
            rate = sandbox.stats()["operations"]["GET /v1/charges"] / measured.seconds
            print(f"  {rate:.1f} requests/s, {100 * rate / 25:.0f} % of the limit")


def _incremental(account: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as work,
        Sandbox(only="stripe", dataset=account, end=_end(), latency_ms=100, livemode=True) as sandbox,
    ):
        measure(sandbox.stripe, Path(work))
        for resource_name, count in (("customers", 800), ("invoices", 700), ("charges", 500)):
            sandbox.control(mutate=[{"resource": resource_name, "update": count}])
        sandbox.control(reset=True, faults={"latency_ms": 100})
        measured = measure(sandbox.stripe, Path(work))
        stats = sandbox.stats()
        tell("incremental over 2,000 events", measured, None, stats)
        print(f"  {stats['operations']}")


def _memory() -> None:
    for rows in (100_000, _MANY_ROWS):
        with tempfile.TemporaryDirectory() as work:
            write_account(Path(work) / "account", customers=100, invoices=100, charges=rows)
            with Sandbox(
                only="stripe",
                dataset=Path(work) / "account",
                end=_end(),
                account_rate=0,
                operation_rate=0,
                timeout=900,
            ) as sandbox:
                measured = measure(sandbox.stripe, Path(work), ("charges",), operation_rate=5_000.0)
                tell("memory", measured, Expected({"charges": rows}), sandbox.stats())


def _end() -> str:
    return datetime.fromtimestamp(END, UTC).isoformat()


def main(wanted: list[str]) -> None:
    """Run the named measurements, or all but the long one."""
    chosen = wanted or ["backfill", "one-stream", "incremental"]
    with tempfile.TemporaryDirectory() as work:
        account = Path(work) / "account"
        expected = write_account(account)
        if "backfill" in chosen:
            for latency in (100, 400):
                _backfill(account, expected, latency)
        if "incremental" in chosen:
            _incremental(account)
    if "one-stream" in chosen:
        _one_stream()
    if "memory" in chosen:
        _memory()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], Path(sys.argv[3]), tuple(sys.argv[4].split(",")), float(sys.argv[5]))
    else:
        main(sys.argv[1:])
