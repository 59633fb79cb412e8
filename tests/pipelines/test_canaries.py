"""Nothing leaks: a whole run over an account in whose texts canaries sit, read back from every place it reached.

Read back: the bytes that went out to Mavera, what its stand-in received, stdout, stderr, all log records of all
libraries, everything that Dagster stored, and the tables and rows about Mavera. Keys are looked for as well.
"""

import os
import re
import socketserver
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from socket import SHUT_RDWR, create_connection, socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from activation.tables import MAVERA_TABLES
from resources.lake import Lake
from sandbox.launch import Sandbox
from sandbox.simulation.people import CANARY

_ROOT = Path(__file__).resolve().parents[2]
_STRIPE_KEY = "rk_test_51CanaryKey0123"
_MAVERA_KEY = "mvra_test_CanaryKey0123"
_OBJECTS = [
    *("customers", "subscriptions", "charges", "invoices", "disputes", "payment_methods", "refunds"),
    *("coupons", "prices", "products", "events"),
]
_BROKEN = ["missing_created", "text_amount", "not_an_object", "number_id", "null_id"]
_ID = re.compile(r"\b(?:cus|sub|si|in|il|ch|py|pi|pm|price|du|re|evt)_[A-Za-z0-9]{14,}")


class _Wire:
    """A relay to Mavera that keeps every byte that goes out through it."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self.sent: list[bytearray] = []
        wire = self

        class Relay(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                kept = bytearray()
                wire.sent.append(kept)
                with create_connection((address.hostname, address.port)) as server:
                    back = threading.Thread(target=_pump, args=(server, self.request), daemon=True)
                    back.start()
                    _pump(self.request, server, kept)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{address.path}"

    @contextmanager
    def open(self) -> Iterator["_Wire"]:
        """Relay while inside."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


def _pump(source: socket, target: socket, keep: bytearray | None = None) -> None:
    try:
        while data := source.recv(65_536):
            if keep is not None:
                keep.extend(data)
            target.sendall(data)
    except OSError:
        return  # one side is gone: so is the connection
    finally:
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(SHUT_RDWR)


def _read_back(folder: Path, *, customers: int) -> tuple[dict[str, str], set[str]]:
    """Everything that a run and a failed run left, by place; and every id of the Stripe account."""
    with Sandbox(customers=customers, seed=7) as sandbox, _Wire(sandbox.mavera).open() as wire:
        sandbox.control(faults={"malformed": dict.fromkeys(("customers", "charges", "invoices"), _BROKEN)})
        planted = {name: sandbox.objects(name) for name in _OBJECTS}
        texts = {path for name, found in planted.items() for path in _canaries(found, name)}
        assert len(texts) >= 30, sorted(texts)
        places = {"run": _run(sandbox, wire, folder, "run", exit_code=0)}
        assert "nothing_quarantined" in places["run"]
        sandbox.control(faults={"forbidden": ["events"]})
        places["failed run"] = _run(sandbox, wire, folder, "extract", exit_code=1)
        panel = sandbox.mavera.removesuffix("/api/v1")
        places["bodies that Mavera received"] = httpx.get(f"{panel}/_sandbox/ledger", trust_env=False).text
        places["bytes on the wire"] = "\n".join(kept.decode("utf-8", "replace") for kept in wire.sent)
    places["log"] = (folder / "all.log").read_text(encoding="utf-8")
    for path in sorted((folder / "data" / "dagster").rglob("*.db")):
        places[f"Dagster's {path.name}"] = _dump(path)
    places["rows of paid work"] = _dump(folder / "data" / "test" / "state.db", tables="mavera_%")
    lake = Lake(str(folder / "data" / "test" / "lake"))
    for name in MAVERA_TABLES:
        places[f"mavera/{name}"] = repr(lake.read(f"mavera/{name}").to_pylist())
    return places, {one["id"] for found in planted.values() for one in found}


def _run(sandbox: Sandbox, wire: _Wire, folder: Path, command: str, *, exit_code: int) -> str:
    """What the command printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DATA_DIR": str(folder / "data"),
        "OPERATOR_FILE": str(_ROOT / "operator.example.toml"),
        "FX_RATES_URI": str(sandbox.urls.fx),
        "STRIPE_API_KEY": _STRIPE_KEY,
        "STRIPE_API_BASE": sandbox.stripe,
        "MAVERA_API_KEY": _MAVERA_KEY,
        "MAVERA_API_BASE": wire.url,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "tests.pipelines.logged_run", str(folder / "all.log"), command, "--json"],
        env=environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == exit_code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def _canaries(value: Any, path: str) -> Iterator[str]:
    """Places of canaries in an object."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _canaries(part, f"{path}.{name}")
    elif isinstance(value, list):
        for part in value:
            yield from _canaries(part, path)
    elif isinstance(value, str) and CANARY in value.lower():
        yield path


def _dump(path: Path, *, tables: str = "%") -> str:
    """Every value of a SQLite file's tables, as text."""
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE ?", (tables,))
        rows = [row for (name,) in names.fetchall() for row in database.execute(f'SELECT * FROM "{name}"')]
    return "\n".join(_text(value) for row in rows for value in row)


def _text(value: Any) -> str:
    """Dagster keeps large values compressed."""
    if isinstance(value, bytes):
        plain: bytes = value
        with suppress(zlib.error):
            plain = zlib.decompress(value)
        return plain.decode("utf-8", "replace")
    return str(value)


def _found(text: str, *, ids: set[str]) -> dict[str, list[str]]:
    """What of the account, and which keys, are in a text; with what stands around it."""
    found = {
        "canary": [_around(text, hit) for hit in re.finditer(CANARY, text, re.IGNORECASE)],
        "Stripe id": [_around(text, hit) for hit in re.finditer(r"\w+", text) if hit.group() in ids],
        "form of a Stripe id": [_around(text, hit) for hit in _ID.finditer(text)],
        "key": [
            _around(text, hit) for key in (_STRIPE_KEY, _MAVERA_KEY) for hit in re.finditer(re.escape(key), text)
        ],
    }
    return {what: hits[:3] for what, hits in found.items() if hits}


def _around(text: str, hit: re.Match[str]) -> str:
    return text[max(hit.start() - 60, 0) : hit.end() + 30]


def _leaks(folder: Path, *, customers: int, surfaces: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    places, ids = _read_back(folder, customers=customers)
    for surface in surfaces:
        assert f"POST /api/v1/{surface} " in places["bytes on the wire"], f"nothing was sent to {surface}"
    # The one place where a key belongs: the header that Mavera knows us by.
    wire = places["bytes on the wire"]
    places["bytes on the wire"] = wire.replace(f"Authorization: Bearer {_MAVERA_KEY}\r\n", "")
    assert places["bytes on the wire"] != wire
    return {place: found for place, text in places.items() if (found := _found(text, ids=ids))}


def test_no_text_of_a_customer_no_id_and_no_key_leaves_a_whole_run(tmp_path: Path) -> None:
    assert _leaks(tmp_path, customers=200, surfaces=["personas"]) == {}


@pytest.mark.soak
def test_no_text_of_a_customer_no_id_and_no_key_leaves_a_run_with_every_surface(tmp_path: Path) -> None:
    """Large enough for each kind of paid work."""
    surfaces = ["personas", "generations", "mave/chat", "responses", "brand-voices"]
    assert _leaks(tmp_path, customers=800, surfaces=surfaces) == {}
