"""Compose's services as processes: code location, webserver and daemon find each other and carry out a run."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pipelines.settings import Settings
from pipelines.ui import hear_signals
from tests.postgres import new_database

_ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_SERVICES = yaml.safe_load((_ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))["services"]
_MOST_SECONDS = 120
_LAUNCH = """
mutation($job: String!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "stripe-mavera", repositoryName: "__repository__", pipelineName: $job},
    mode: "default"
  }) { __typename ... on LaunchRunSuccess { run { runId } } }
}"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _until(answer: Callable[[], Any]) -> Any:
    """The first answer that is true."""
    deadline, pause = time.monotonic() + _MOST_SECONDS, threading.Event()
    while time.monotonic() < deadline:
        found = answer()
        if found:
            return found
        pause.wait(0.3)
    raise AssertionError(f"not within {_MOST_SECONDS} s")


@pytest.fixture
def webserver(postgres: str, tmp_path: Path) -> Iterator[str]:
    """The address of the webserver, with migration done and the other services started as compose starts them."""
    database, ports = new_database(postgres), {"4000": str(_free_port()), "3000": str(_free_port())}
    workspace = tmp_path / "workspace.yaml"
    text = (_ROOT / "deploy" / "workspace.yaml").read_text(encoding="utf-8")
    workspace.write_text(text.replace("4000", ports["4000"]), encoding="utf-8")
    replaced = {**ports, "0.0.0.0": "127.0.0.1", "deploy/workspace.yaml": str(workspace)}
    clean = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    environment = {
        **clean,
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
        "DATA_DIR": str(tmp_path / "data"),
        "DAGSTER_HOME": str(tmp_path / "data" / "dagster"),
        "CODE_LOCATION_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_URL": database,
        "STATE_DATABASE_URL": database,
    }

    def command(words: list[str]) -> list[str]:
        return [str(_ROOT / "deploy" / "entrypoint.sh"), *(replaced.get(word, word) for word in words)]

    def healthy(service: str) -> bool:
        words = [re.sub("3000", ports["3000"], word) for word in _SERVICES[service]["healthcheck"]["test"][1:]]
        words = [replaced.get(word, word) for word in words]
        return subprocess.run(words, env=environment, cwd=_ROOT, capture_output=True, check=False).returncode == 0

    migrate = command(_SERVICES["migrate"]["command"])
    subprocess.run(migrate, env=environment, cwd=_ROOT, check=True, capture_output=True)
    with ExitStack() as running:
        for service in ("code", "webserver", "daemon"):
            log = running.enter_context((tmp_path / f"{service}.log").open("wb"))
            process = subprocess.Popen(
                command(_SERVICES[service]["command"]),
                env=environment,
                cwd=_ROOT,
                stdout=log,
                stderr=log,
                preexec_fn=hear_signals,
            )
            running.callback(process.wait)
            running.callback(process.terminate)
            if service == "code":
                _until(lambda: healthy("code"))
        _until(lambda: healthy("webserver"))
        yield f"http://127.0.0.1:{ports['3000']}"


def _ask(webserver: str, query: str, **variables: str) -> Any:
    answer = httpx.post(f"{webserver}/graphql", json={"query": query, "variables": variables}, timeout=60)
    assert answer.is_success, answer.text
    return answer.json()["data"]


def test_a_run_that_the_ui_starts_is_carried_out_by_the_code_location(webserver: str) -> None:
    launched = _ask(webserver, _LAUNCH, job="maintain")["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = launched["run"]["runId"]
    query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"

    def ended() -> str | None:
        status = _ask(webserver, query, id=run)["runOrError"]["status"]
        return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

    assert _until(ended) == "SUCCESS"
