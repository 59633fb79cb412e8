"""State databases for tests: a SQLite file, and a PostgreSQL server where its binaries are installed."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from resources.state import State, metadata

__all__ = ["fresh_database", "postgres_server"]


@contextmanager
def postgres_server() -> Iterator[str]:
    """A server of our own in a temporary folder; its URL without a database. Skips where there is none."""
    initdb, postgres = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or postgres is None:
        pytest.skip("no PostgreSQL server binary on the PATH")
    # PostgreSQL refuses to run as root, and its socket's path must be short.
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if user:
        shutil.chown(folder, "nobody")
    data = folder / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = subprocess.run(
        [initdb, "-D", str(data), "-A", "trust", "-U", "postgres"], capture_output=True, text=True, **user
    )
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"initdb does not work here: {made.stderr.strip().splitlines()[-1:]}")
    server = subprocess.Popen(
        [postgres, "-D", str(data), "-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **user,
    )
    url = f"postgresql://postgres@127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/postgres", server)
        yield url
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    while server.poll() is None:
        try:
            psycopg2.connect(url, connect_timeout=1).close()
        except psycopg2.OperationalError:
            continue
        return
    pytest.skip("the PostgreSQL server did not start")


def fresh_database(server: str | None, folder: Path) -> str:
    """The URL of an empty state database with all tables."""
    if server is None:
        url = f"sqlite:///{folder / f'{uuid.uuid4().hex}.db'}"
    else:
        name = f"s{uuid.uuid4().hex}"
        connection = psycopg2.connect(f"{server}/postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        url = f"{server}/{name}"
    state = State(url)
    metadata.create_all(state.engine)
    state.close()
    return url
