"""A receiver in a process of its own, for tests that kill it: `python -m tests.ingest.receiver_process URL`.

It prints the port it listens on, then serves until it is killed.
"""

import socket
import sys
from datetime import UTC, datetime

import uvicorn

from ingest.webhooks import create_app
from resources.state import State

__all__ = ["SECRET"]

SECRET = "whsec_test"


def main() -> None:
    app = create_app(
        State(sys.argv[1]),
        stripe_secrets=[SECRET],
        mavera_secret=None,
        livemode=False,
        clock=lambda: datetime.now(UTC),
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main()
