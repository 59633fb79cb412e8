"""How long the whole job takes on a simulated account, twice: all of it, and again when nothing has changed.

    python -m benchmarks.refresh [--customers 10000]

Each run is a process of its own, as a schedule would start it; the sandbox is another one and not counted. Printed
as a table: wall time, peak memory, and the seconds of the slowest steps.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox.launch import Sandbox

_CUSTOMERS = 10_000


def main() -> int:
    """Run both and print the table; 1 if a run failed or the second one paid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=_CUSTOMERS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Sandbox(customers=arguments.customers, seed=7) as sandbox:
        runs = [_run(sandbox, Path(folder)) for _ in range(2)]
    if failed := [error for run in runs for error in run.get("errors", ())]:
        sys.exit("the run failed: " + "; ".join(failed))
    _print(arguments.customers, runs)
    return 0 if all(run["exit"] == 0 for run in runs) and runs[1]["credits_charged"] == 0 else 1


def _run(sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    environment = {
        **os.environ,
        "STRIPE_API_BASE": sandbox.stripe,
        "MAVERA_API_BASE": sandbox.mavera,
        "DATA_DIR": str(folder),
    }
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "run", "--json"], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        answer = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return {
        **answer,
        "exit": process.returncode,
        "wall": time.monotonic() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def _print(customers: int, runs: list[dict[str, Any]]) -> None:
    table = Table(title=f"refresh, {customers:,} customers")
    for name in ("run", "wall s", "CPU s", "peak MB", "credits", "slowest steps"):
        table.add_column(name)
    for name, run in zip(("first", "unchanged"), runs, strict=True):
        steps = sorted(run["seconds"].items(), key=lambda item: -item[1])[:4]
        table.add_row(
            name,
            f"{run['wall']:.1f}",
            f"{run['cpu']:.1f}",
            f"{run['peak_mb']:.0f}",
            f"{run['credits_charged']:,}",
            ", ".join(f"{step.removeprefix('segments__')} {seconds:.1f}" for step, seconds in steps),
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
