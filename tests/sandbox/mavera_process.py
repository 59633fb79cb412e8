"""The pretend Mavera as a process of its own, to be killed: prints its base URL, serves, keeps a folder."""

import socket
import sys
from pathlib import Path

import uvicorn

from sandbox.mavera.api import BASE_PATH, MaveraOptions, create_app


def main(state_dir: str) -> None:
    options = MaveraOptions(credits=10**9, requests_per_minute=10**6, list_lag_seconds=0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}{BASE_PATH}\n")
        sys.stdout.flush()
        app = create_app(state_dir=Path(state_dir), dataset=None, options=options)
        uvicorn.Server(uvicorn.Config(app, log_level="critical")).run([listener])


if __name__ == "__main__":
    main(sys.argv[1])
