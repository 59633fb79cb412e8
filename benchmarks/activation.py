"""The paid side in figures: protocols compared under the same crashes and faults, and the pace of the ledger.

`python -m benchmarks.activation [schedules]` prints four tables: our ledger beside the protocols that others use;
claims a second by eight processes on SQLite; and the pace of a plan of 1,000 operations against the rate limit, in
virtual time and measured.
Seeded, so that two runs on one machine show the same counts.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.activation.databases import fresh_database
from tests.activation.naive import PROTOCOLS, Tally, tally
from tests.activation.processes import serve_mavera
from tests.activation.schedules import Stage, schedules
from tests.activation.test_ledger import workers_do_not_double
from tests.activation.test_scale import pace_measured, rate_reached


@dataclass
class Ours:
    """Sums over schedules, as for the others."""

    schedules: int = 0
    kills: int = 0
    duplicated: int = 0
    lost: int = 0
    held: int = 0
    paid: int = 0
    wanted: int = 0


def ours(count: int, *, resend: bool) -> Ours:
    """Play `count` of our schedules with one choice about resending."""
    stage, total = Stage(), Ours()
    for schedule in schedules(count * 3, seed=1):
        if schedule.resend is not resend or total.schedules == count:
            continue
        verdict = stage.play(schedule)
        total.schedules += 1
        total.kills += verdict.kills
        total.duplicated += verdict.duplicates
        total.lost += len(verdict.lost)
        total.held += verdict.held
        total.paid += verdict.paid
        total.wanted += 600
    return total


def protocols(count: int) -> Table:
    """The comparison."""
    table = Table(title="Protocols under the same crashes and faults")
    for name in ("protocol", "schedules", "kills", "duplicated", "lost", "held", "paid / wanted", "a second"):
        table.add_column(name)
    work: list[tuple[str, Callable[[], Tally | Ours]]] = [
        (name, partial(tally, protocol, count, seed=1)) for name, protocol in PROTOCOLS.items()
    ]
    work += [
        ("ours, sent again after settling", partial(ours, count, resend=True)),
        ("ours, held (default)", partial(ours, count, resend=False)),
    ]
    for name, play in work:
        started = time.monotonic()
        found = play()
        pace = found.schedules / (time.monotonic() - started)
        figures = (found.schedules, found.kills, found.duplicated, found.lost, found.held)
        paid = f"{found.paid:,} / {found.wanted:,}"
        table.add_row(name, *(f"{figure:,}" for figure in figures), paid, f"{pace:.0f}")
    return table


def claims() -> Table:
    """Claim, send and finish by eight processes."""
    table = Table(title="8 processes, 300 things: each claimed, sent and finished once (SQLite)")
    for name in ("seconds", "things a second"):
        table.add_column(name)
    with tempfile.TemporaryDirectory() as folder:
        url = fresh_database(None, Path(folder))
        started = time.monotonic()
        workers_do_not_double(url, workers=8, keys=300)
        seconds = time.monotonic() - started
    table.add_row(f"{seconds:.1f}", f"{300 / seconds:.0f}")
    return table


def pace() -> Table:
    """Rate limits in virtual time, with calls of five seconds each."""
    table = Table(title="A plan of 1,000 operations against the key's rate limit (virtual time)")
    for name in ("limit a minute", "calls a minute, share of the limit"):
        table.add_column(name)
    for per_minute in (60, 240, 600):
        table.add_row(str(per_minute), f"{rate_reached(1_000, per_minute=per_minute, seconds_each=5):.1%}")
    return table


def measured(operations: int = 1_000, *, per_minute: int = 600) -> Table:
    """The same in real time: this process against a pretend Mavera of its own, which counts and limits."""
    table = Table(title=f"A plan of {operations:,} operations at {per_minute} a minute (measured, SQLite)")
    for name in ("calls", "seconds", "calls a minute, share of the limit", "refused with 429"):
        table.add_column(name)
    with tempfile.TemporaryDirectory() as folder:
        server, url = serve_mavera(
            Path(folder) / "mavera", credits=10**9, requests_per_minute=per_minute, latency_scale=0.1
        )
        try:
            found = pace_measured(fresh_database(None, Path(folder)), url, operations, per_minute=per_minute)
        finally:
            server.kill()
            server.wait()
    share = f"{found.share(per_minute):.1%}"
    table.add_row(f"{found.calls:,}", f"{found.seconds:.1f}", share, str(found.refused))
    return table


def main() -> None:
    """Print all tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    console = Console(width=120)
    for make in (partial(protocols, count), claims, pace, measured):
        console.print(make())


if __name__ == "__main__":
    main()
