"""Load the webhook receiver on this machine: events stored per second, and how long each waits for its 2xx.

`python -m benchmarks.webhooks [--rate 1000] [--seconds 60] [--connections 64] [--database URL]`. The receiver runs
in a process of its own, the generator in this one; bodies are 3 KB, signed, each event once. Targets on two cores,
generator included: 1,000 events a second for 60 s, p99 ≤ 100 ms, nothing acknowledged and lost. `--rate 0` sends
as fast as it is answered.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson
import sqlalchemy as sa
import uvicorn

from ingest.webhooks import create_app, sign_stripe
from resources.state import State
from resources.state.inbox import inbox

_SECRET = "whsec_benchmark"  # noqa: S105 - of a receiver that lives for seconds
_BODY_BYTES = 3_000


def serve(url: str) -> None:
    """The receiver, on a port that it prints."""
    state = State(url)
    app = create_app(
        state,
        stripe_secrets=[_SECRET],
        mavera_secret=None,
        livemode=False,
        clock=lambda: datetime.now(UTC),
        backlog_bound=10_000_000,
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])


def _request(number: int) -> bytes:
    """One signed request, ready to send: the generator must cost less than the receiver."""
    event = {
        "id": f"evt_{number}",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": 1_795_000_000 + number // 100,
        "type": "invoice.payment_failed",
        "livemode": False,
        "data": {"object": {"id": f"in_{number % 5_000}", "object": "invoice", "padding": ""}},
    }
    padding = _BODY_BYTES - len(orjson.dumps(event))
    event["data"]["object"]["padding"] = "x" * padding  # type: ignore[index]
    body = orjson.dumps(event)
    signature = sign_stripe(body, secret=_SECRET, at=datetime.now(UTC))
    head = (
        "POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Load:
    """What was sent and what came back."""

    def __init__(self, *, rate: float, seconds: float) -> None:
        self.rate, self.seconds = rate, seconds
        self.sent = 0
        self.acknowledged: list[int] = []
        self.waits: list[float] = []
        self.refused = 0

    async def connection(self, port: int, began: float) -> None:
        """Send one event after the other; the wait counts from when it was due, not from when it was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            number = self.sent
            due = began + number / self.rate if self.rate else time.perf_counter()
            if due > began + self.seconds:
                break
            self.sent += 1
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(_request(number))
            status = await reader.readline()
            while await reader.readline() not in (b"\r\n", b""):
                pass
            self.waits.append(time.perf_counter() - due)
            if status.startswith(b"HTTP/1.1 200"):
                self.acknowledged.append(number)
            else:
                self.refused += 1
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _run(port: int, load: _Load, connections: int) -> float:
    began = time.perf_counter() + 0.2
    await asyncio.gather(*(load.connection(port, began) for _ in range(connections)))
    return time.perf_counter() - began


def _kept(state: State) -> set[str]:
    with state.read() as connection:
        return set(connection.execute(sa.select(inbox.c.event_id)).scalars())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--database", help="state database, by default a new SQLite file")
    parser.add_argument("--serve", metavar="URL", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve)
        return
    with tempfile.TemporaryDirectory(prefix="bench-webhooks-") as place:
        url = chosen.database or f"sqlite:///{Path(place)}/state.db"
        state = State(url)
        state.migrate()
        command = [sys.executable, "-m", "benchmarks.webhooks", "--serve", url]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        load = _Load(rate=chosen.rate, seconds=chosen.seconds)
        try:
            took = asyncio.run(_run(int(server.stdout.readline()), load, chosen.connections))
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()
        kept = _kept(state)
        state.close()
    waits = sorted(load.waits)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "events": load.sent,
        "acknowledged": len(load.acknowledged),
        "refused": load.refused,
        "per_second": round(len(load.acknowledged) / took),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
        "receiver_cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "receiver_peak_mb": round(usage.ru_maxrss / 1024),
        "acknowledged_and_lost": len({f"evt_{number}" for number in load.acknowledged} - kept),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
