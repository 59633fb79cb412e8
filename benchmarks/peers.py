"""Extraction beside the tools that install from PyPI: the same account, the same server, the same limits.

    python -m benchmarks.peers [--scale 0.2]

The account is that of `benchmarks.stripe_account`, cut to the scale; 1 is the full one of 602 pages. Every tool
runs once, alone, against a fresh sandbox in a process of its own, which answers after 100 ms and enforces 100
requests/s for the account and 25/s for each operation. A peer is installed, at the version named here, into a
virtual environment in a temporary folder that is removed afterwards; it sees no other server than the sandbox.

Seconds are wall time from the start of the tool's process to its end. What landed is compared with the server's
content by id. A tool that cannot be installed or does not finish has the reason in its row instead.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.extraction import measure
from benchmarks.stripe_account import END, write_account
from resources.lake import Lake
from sandbox.launch import Sandbox

_HERE = Path(__file__).parent
_KEY = "rk_live_" + "b" * 24
_DAY = 86_400
_DAYS = 901  # The account's first object is 900 days old.
_LATENCY_MS = 100
_ACCOUNT_RATE, _OPERATION_RATE = 100, 25
_TIMEOUT = 3_600
_STREAMS = (
    "customers",
    "subscriptions",
    "subscription_items",
    "prices",
    "invoices",
    "invoice_lines",
    "charges",
)

# How the last line of a traceback begins; tools may say more after it.
_ERROR = re.compile(r"[\w.]*(Error|Exception|Failed)\w*: ")

Ids = dict[str, list[str]]


class PeerError(RuntimeError):
    """The tool could not be installed or did not finish; the text is its last word."""


@dataclass(frozen=True)
class _Tool:
    """`run(python, base, folder)` extracts from `base` and returns the ids that landed, by stream."""

    name: str
    version: str
    run: Callable[[Path, str, Path], Ids]
    remark: str
    # What pip installs; nothing for this project itself.
    requirement: str | None = None


@dataclass(frozen=True)
class _Result:
    seconds: float
    stats: dict[str, Any]
    ids: Ids = field(default_factory=dict)
    failure: str | None = None


def main() -> int:
    """Run every tool once and print the table; 1 if this project's own row lacks or repeats anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.2, help="share of the account; 1 is all of it")
    scale: float = parser.parse_args().scale
    with tempfile.TemporaryDirectory() as work:
        account = Path(work) / "account"
        write_account(
            account, customers=round(10_000 * scale), invoices=round(20_000 * scale), charges=round(20_000 * scale)
        )
        content: Ids = {}
        results = []
        for tool in _TOOLS:
            folder = Path(work) / tool.name.replace(" ", "-")
            folder.mkdir()
            results.append(_measured(tool, account, folder, content))
    _print(scale, content, results)
    ours = results[-1]
    return 0 if ours.failure is None and _differences(content, ours.ids) == (0, 0) else 1


def _measured(tool: _Tool, account: Path, folder: Path, content: Ids) -> _Result:
    """One run against a fresh server, whose content is noted in `content`."""
    try:
        python = _installed(tool, folder)
    except PeerError as error:
        return _Result(0.0, {}, failure=f"not installed: {error}")
    with Sandbox(
        only="stripe",
        dataset=account,
        end=datetime.fromtimestamp(END, UTC).isoformat(),
        latency_ms=_LATENCY_MS,
        account_rate=_ACCOUNT_RATE,
        operation_rate=_OPERATION_RATE,
        livemode=True,
    ) as sandbox:
        content.update(_content(sandbox))
        ids, failure = {}, None
        began = time.perf_counter()
        try:
            ids = tool.run(python, sandbox.stripe, folder)
        except PeerError as error:
            failure = f"did not finish: {error}"
        return _Result(time.perf_counter() - began, sandbox.stats(), ids, failure)


def _installed(tool: _Tool, folder: Path) -> Path:
    """The Python of a new environment that has the tool and nothing else."""
    if tool.requirement is None:
        return Path(sys.executable)
    _call([sys.executable, "-m", "venv", str(folder / "venv")], dict(os.environ))
    python = folder / "venv" / "bin" / "python"
    _call([str(python), "-m", "pip", "install", "--quiet", tool.requirement], dict(os.environ))
    return python


def _content(sandbox: Sandbox) -> Ids:
    """Every id that the server has, by stream."""
    objects = {
        name: sandbox.objects(name) for name in ("customers", "subscriptions", "prices", "invoices", "charges")
    }
    ids = {name: [row["id"] for row in rows] for name, rows in objects.items()}
    ids["subscription_items"] = [
        row["id"] for parent in objects["subscriptions"] for row in parent["items"]["data"]
    ]
    ids["invoice_lines"] = [row["id"] for parent in objects["invoices"] for row in parent["lines"]["data"]]
    return ids


def _tap_stripe(python: Path, base: str, folder: Path) -> Ids:
    if time.time() < END:
        raise PeerError("it reads up to today by this machine's clock, and the account ends later")
    names = {stream: stream for stream in _STREAMS if stream != "prices"}
    names["invoice_lines"] = "invoice_line_items"
    start = datetime.fromtimestamp(END - _DAYS * _DAY, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    script = str(_HERE / "peer_tap_stripe.py")
    records = folder / "records.jsonl"
    with records.open("wb") as file:
        _call([str(python), "-P", script, base, _KEY, start, str(folder), *names.values()], _bare(folder), file)
    ids: Ids = {stream: [] for stream in names}
    streams = {name: stream for stream, name in names.items()}
    with records.open("rb") as file:
        for line in file:
            message = json.loads(line)
            if message["type"] == "RECORD":
                ids[streams[message["stream"]]].append(message["record"]["id"])
    return ids


def _dlt(python: Path, base: str, folder: Path) -> Ids:
    found = folder / "ids.json"
    with found.open("wb") as file:
        _call([str(python), "-P", str(_HERE / "peer_dlt.py"), base, _KEY, str(folder)], _bare(folder), file)
    ids: Ids = json.loads(found.read_bytes())
    return ids


def _ours(python: Path, base: str, folder: Path) -> Ids:
    try:
        measure(base, folder)
    except subprocess.CalledProcessError as error:
        raise _failure(error.returncode, error.stderr) from error
    lake = Lake(f"{folder}/lake")
    return {stream: lake.read(f"stripe/{stream}", columns=["id"])["id"].to_pylist() for stream in _STREAMS}


def _bare(folder: Path) -> dict[str, str]:
    """A peer's environment: no key of ours, no proxy, nothing reported to its makers."""
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "DLT_PROJECT_DIR": str(folder),
        "DLT_DATA_DIR": str(folder),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def _call(command: list[str], environment: dict[str, str], stdout: Any = subprocess.DEVNULL) -> None:
    try:
        done = subprocess.run(
            command, env=environment, stdout=stdout, stderr=subprocess.PIPE, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"stopped after {_TIMEOUT} s") from None
    if done.returncode:
        raise _failure(done.returncode, done.stderr.decode(errors="replace"))


def _failure(code: int, stderr: str) -> PeerError:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    said = (errors or lines or ["and said nothing"])[-1]
    return PeerError(f"exit code {code}, {said[:200]}")


def _differences(content: Ids, ids: Ids) -> tuple[int, int]:
    """Rows missing and rows more than once, over the streams that the tool has."""
    missing = sum(len(set(content[stream]) - set(landed)) for stream, landed in ids.items())
    duplicates = sum(len(landed) - len(set(landed)) for landed in ids.values())
    return missing, duplicates


def _print(scale: float, content: Ids, results: list[_Result]) -> None:
    print(
        f"{scale:g} of the account; {_LATENCY_MS} ms latency, {_ACCOUNT_RATE} requests/s for the account and "
        f"{_OPERATION_RATE}/s for each operation enforced; one run each\n"
    )
    heads = ["tool", "version", "seconds", "requests", "429s", *_STREAMS, "missing", "duplicates"]
    rows = [heads, ["---"] * len(heads)]
    held = [f"{len(content[stream]):,}" if stream in content else "" for stream in _STREAMS]
    rows.append(["what the server has", "", "", "", "", *held, "", ""])
    for tool, result in zip(_TOOLS, results, strict=True):
        requests = str(result.stats.get("requests", "–"))
        refused = str(sum(result.stats.get("rate_limited", {}).values()))
        if result.failure is not None:
            reason = result.failure.replace("|", "/")
            rows.append([tool.name, tool.version, reason, requests, refused, *["–"] * (len(heads) - 5)])
            continue
        landed = [f"{len(result.ids[stream]):,}" if stream in result.ids else "–" for stream in _STREAMS]
        differences = [f"{count:,}" for count in _differences(content, result.ids)]
        rows.append([tool.name, tool.version, f"{result.seconds:.1f}", requests, refused, *landed, *differences])
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()
    for tool in _TOOLS:
        print(f"- {tool.name}: {tool.remark}")


_TOOLS = (
    _Tool(
        "tap-stripe",
        "3.3.0",
        _tap_stripe,
        "as installed, its records as JSON lines in a file, no tables; it has no stream of prices",
        requirement="tap-stripe==3.3.0",
    ),
    _Tool(
        "dlt",
        "1.31.0",
        _dlt,
        "dlt rest_api source, configured as its docs say, streams in parallel, into DuckDB; lists inside objects "
        "as far as the answers hold them, as the rest would take a request for every parent",
        requirement="dlt[duckdb]==1.31.0",
    ),
    _Tool(
        "stripe-mavera",
        version("stripe-mavera"),
        _ours,
        "this project, into its Delta tables; the time includes the start of Python and reading the ids back",
    ),
)


if __name__ == "__main__":
    sys.exit(main())
