"""The Dagster UI as a child process of the command, on this machine only.

Here: its start and its end, with the monitor beside it, which serves the report that the UI links to. Both have no
authentication, so they listen on loopback.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipelines.dagster_home import prepare_dagster_home
from pipelines.settings import Settings

__all__ = ["hear_signals", "serve_ui"]

_WORKSPACE = Path(__file__).parent.parent / "workspace.yaml"


def serve_ui(settings: Settings, *, port: int, note: Callable[[str], None]) -> int:
    """Run webserver and daemon until interrupted; returns their exit code. The monitor takes the next port."""
    home = prepare_dagster_home(settings)
    note(f"Dagster UI: http://127.0.0.1:{port}  (runs and events in {home})")
    named = "monitor_url" in settings.model_fields_set
    addresses = {
        "STRIPE_API_BASE": settings.stripe_api_base,
        "MAVERA_API_BASE": settings.mavera_api_base,
        "MONITOR_URL": settings.monitor_url if named else f"http://127.0.0.1:{port + 1}",
    }
    environment = {**os.environ, **{name: value for name, value in addresses.items() if value is not None}}
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(_WORKSPACE), "-h", "127.0.0.1", "-p", str(port)]
    # A process group of its own: an interrupt at the terminal reaches us alone, and we end all of it in order.
    with subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=hear_signals) as process:
        from pipelines.monitor import monitor_beside  # while the UI starts

        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        with monitor_beside(settings, port=port + 1, note=note):
            try:
                return process.wait()
            except KeyboardInterrupt:
                note("Stopping.")
                process.terminate()
                return process.wait()


def hear_signals() -> None:
    """A command started in the background of a script ignores interrupts, and its children would inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
