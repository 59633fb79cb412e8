"""The Dagster UI as a child process of the command, on this machine only.

Here: its start and its end, with the monitor beside it, which serves the report that the UI links to. Both have no
authentication, so they listen on loopback.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from pipelines.answer import complain
from pipelines.dagster_home import prepare_dagster_home
from pipelines.settings import Settings

__all__ = ["hear_signals", "serve_ui"]

# Dagster's advice to use another of its commands is not for who uses ours.
_NOT_OURS = "ignore:Function `dev_command` is superseded"
_WORKSPACE = Path(__file__).parent.parent / "workspace.yaml"


def serve_ui(settings: Settings, *, port: int, note: Callable[[str], None]) -> int:
    """Run webserver and daemon until interrupted; returns their exit code. The monitor takes the next port."""
    if _taken(port):
        complain(
            f"port {port} is in use, perhaps by a UI that runs already; another one: stripe-mavera ui --port N"
        )
        return 1
    home = prepare_dagster_home(settings)
    note("Starting the Dagster UI; Ctrl+C ends it.")
    named = "monitor_url" in settings.model_fields_set
    addresses = {
        "STRIPE_API_BASE": settings.stripe_api_base,
        "MAVERA_API_BASE": settings.mavera_api_base,
        "MONITOR_URL": settings.monitor_url if named else f"http://127.0.0.1:{port + 1}",
    }
    environment = {**os.environ, **{name: value for name, value in addresses.items() if value is not None}}
    environment["PYTHONWARNINGS"] = ",".join(filter(None, (environment.get("PYTHONWARNINGS"), _NOT_OURS)))
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(_WORKSPACE), "-h", "127.0.0.1", "-p", str(port)]
    # What it does is in the UI; the terminal shows what goes wrong.
    command += ["--log-level", "warning"]
    # A process group of its own: an interrupt at the terminal reaches us alone, and we end all of it in order.
    with subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=hear_signals) as process:
        from pipelines.monitor import monitor_beside  # while the UI starts

        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        with monitor_beside(settings, port=port + 1, note=note):
            try:
                if _answers(process, f"http://127.0.0.1:{port}"):
                    note(f"Dagster UI: http://127.0.0.1:{port}  (runs and events in {home})")
                return process.wait()
            except KeyboardInterrupt:
                note("Stopping.")
                process.terminate()
                return process.wait()


def _taken(port: int) -> bool:
    """Two daemons on one storage would get in each other's way, so the second UI must not start."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(process: subprocess.Popen[bytes], address: str) -> bool:
    """Wait until the UI can be opened, or has ended."""
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/server_info", timeout=1).close()
            return True
        except OSError:
            time.sleep(0.2)
    return False


def hear_signals() -> None:
    """A command started in the background of a script ignores interrupts, and its children would inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
