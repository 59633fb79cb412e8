"""`python -m sandbox`: serve the pretend Stripe and the pretend Mavera, and say where.

Prints exactly one line of JSON on stdout when both answer,
`{"stripe": url, "mavera": url, "fx": url, "end": time}`, where a service that is not served is null.
This is the only place that looks at the real calendar: without `--end`, a first start takes the beginning of the
current UTC day as the account's end, where its clock then stands.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from pydantic import ValidationError

from sandbox.accounts.dataset import has_stripe_files
from sandbox.mavera.api import BASE_PATH
from sandbox.mavera.api import create_app as create_mavera_app
from sandbox.mavera.options import MaveraOptions
from sandbox.serve import HOST, loopback_socket, serve
from sandbox.simulation.billing_calendar import clock_of, iso
from sandbox.stripe.faults import Faults
from sandbox.stripe.host import StripeOptions, create_stripe_app
from sandbox.stripe.limits import Limits

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    now = datetime.now(UTC)
    try:
        asked = _stripe_options(options, today=now.replace(hour=0, minute=0, second=0, microsecond=0))
        apps: list[tuple[Any, socket.socket]] = []
        addresses: dict[str, str | None] = {"stripe": None, "mavera": None, "fx": None}
        end = asked.end
        if options.only != "mavera":
            bound = loopback_socket(options.stripe_port)
            stripe = create_stripe_app(asked, state_dir=options.state_dir)
            end = datetime.fromtimestamp(stripe.control.world.now, UTC)
            apps.append((stripe, bound))
            addresses["stripe"] = f"http://{HOST}:{bound.getsockname()[1]}"
            addresses["fx"] = f"{addresses['stripe']}/fx/eurofxref-hist.csv"
        if options.only != "stripe":
            bound = loopback_socket(options.mavera_port)
            switches = MaveraOptions.model_validate_json(options.mavera_options)
            mavera = create_mavera_app(state_dir=options.state_dir, dataset=options.dataset, options=switches)
            apps.append((mavera, bound))
            addresses["mavera"] = f"http://{HOST}:{bound.getsockname()[1]}{BASE_PATH}"
    except (OSError, ValueError, ValidationError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1

    def announce() -> None:
        sys.stdout.write(json.dumps({**addresses, "end": iso(int(end.timestamp()))}) + "\n")
        sys.stdout.flush()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(apps, parent_pid=options.parent_pid, on_ready=announce))
    return 0


def _stripe_options(options: argparse.Namespace, *, today: datetime) -> StripeOptions:
    end = today
    if options.histories is not None:
        end = clock_of("2018-03-31")
    if options.end is not None:
        end = clock_of(options.end)
    return StripeOptions(
        end=end,
        seed=options.seed,
        customers=options.customers,
        months=options.months,
        livemode=options.livemode,
        dataset=options.dataset.resolve() if options.dataset and has_stripe_files(options.dataset) else None,
        histories=options.histories.resolve() if options.histories else None,
        invoice_months=options.invoice_months,
        limits=Limits(
            account_rate=options.account_rate or None,
            operation_rate=options.operation_rate or None,
            account_concurrency=options.account_concurrency or None,
            operation_concurrency=options.operation_concurrency or None,
        ),
        faults=Faults(latency_ms=options.latency_ms, jitter_ms=options.jitter_ms),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="A pretend Stripe and a pretend Mavera."
    )
    add = parser.add_argument
    add("--stripe-port", type=int, default=0, help="0 takes a free port")
    add("--mavera-port", type=int, default=0, help="0 takes a free port")
    add("--only", choices=("stripe", "mavera"), help="serve one of the two")
    add("--state-dir", type=Path, help="where the account is remembered between starts")
    add("--seed", type=int, help="default: 7")
    add("--customers", type=int, help="size of the simulated business; default: 1500")
    add("--months", type=int, help="its age; default: 24")
    add("--end", help="where the account's clock stands: an ISO time, or a date for the end of that day")
    add("--livemode", action="store_true", default=None, help="objects say livemode: true")
    add("--dataset", type=Path, help="serve objects from this folder instead of a simulation")
    add("--histories", type=Path, help="serve an account made of this CSV of subscription histories")
    add("--invoice-months", type=int, help="with --histories: months of invoices before the end; default: 6")
    add("--latency-ms", type=float, default=0, help="added to every answer of Stripe")
    add("--jitter-ms", type=float, default=0, help="added on top, evenly between 0 and this")
    add("--account-rate", type=float, default=100, help="requests per second; 0 is no limit")
    add("--operation-rate", type=float, default=25, help="requests per second and operation; 0 is no limit")
    add("--account-concurrency", type=int, default=0, help="requests under way; 0 is no limit")
    add("--operation-concurrency", type=int, default=0, help="requests under way per operation; 0 is no limit")
    add("--mavera-options", default="{}", help="switches of the pretend Mavera, as JSON")
    add("--parent-pid", type=int, help="end when this process, which must be the parent, is gone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
