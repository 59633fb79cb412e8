"""What extraction tests share: running an extraction against a sandbox, and comparing lake and server.

The expected rows come from the server's own objects, whole and by a way of their own where a value is made from
several objects (links, children), so that a mistake of the extraction is not repeated here.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from ingest.accessors import MalformedObject
from ingest.extract import extract
from ingest.report import ExtractReport
from ingest.rows import Provenance, parse
from ingest.streams import STREAMS
from resources.lake import Lake
from resources.limiter import Limiter
from resources.state import State, metadata
from resources.stripe_api import StripeApi

__all__ = ["Account", "differences"]

KEY = SecretStr("rk_test_" + "t" * 24)
# What only `expand` gives, and what is made from other tables.
_NOT_IN_THE_OBJECT = {"billing", "discount", "version_at", "fetched_at", "source"}


class Account:
    """A lake and a state for one sandbox account."""

    def __init__(
        self, folder: Path, *, rate: float = 2_000, budget: int | None = None, key: SecretStr = KEY
    ) -> None:
        self.folder, self.rate, self.budget, self.key = folder, rate, budget, key
        self.lake = Lake(f"{folder}/lake")
        self.state = State(f"sqlite:///{folder}/state.db")
        metadata.create_all(self.state.engine)
        self.limiter = Limiter(requests_per_second=rate, operation_per_second=rate)

    def extract(self, base: str, **options: Any) -> ExtractReport:
        """One extraction with quick retries."""
        return asyncio.run(self.extract_async(base, options))

    async def extract_async(self, base: str, options: dict[str, Any]) -> ExtractReport:
        """One extraction, for tests that run several at once."""
        self.limiter = Limiter(requests_per_second=self.rate, operation_per_second=self.rate, budget=self.budget)
        async with StripeApi(
            self.key, base_url=base, limiter=self.limiter, unreachable_after=2.0, sleep=_short_sleep
        ) as api:
            return await extract(
                api,
                self.lake,
                self.state,
                now=lambda: datetime.now(UTC),
                staging=self.folder / "staging",
                **options,
            )

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of a raw table."""
        found: list[dict[str, Any]] = self.lake.read(f"stripe/{table}").to_pylist()
        return found


async def _short_sleep(seconds: float) -> None:
    """Back-off at a hundredth: the order of things is the same."""
    await asyncio.sleep(seconds / 100)


class _Tables(Protocol):
    def rows(self, table: str) -> list[dict[str, Any]]: ...


class _Objects(Protocol):
    def objects(self, resource: str) -> list[dict[str, Any]]: ...


def differences(account: _Tables, sandbox: _Objects, tables: Iterable[str] | None = None) -> list[str]:
    """What is not equal between the lake and the server: rows missing, doubled, too many or with other values."""
    found = []
    objects = {name: sandbox.objects(name) for name in STREAMS if name != "events"}
    links = _links(objects["invoice_payments"], objects["charges"])
    for name, stream in STREAMS.items():
        if name == "events" or (tables is not None and name not in tables):
            continue
        expected: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in stream.tables}
        for source in objects[name]:
            try:
                parsed = parse(name, source, Provenance(0, 0, "", livemode=False))
            except MalformedObject:
                continue
            row = {**parsed.row, **links.get((name, parsed.row["id"]), {})}
            expected[name][row["id"]] = row
            for child in parsed.children:
                expected[stream.tables[1]][child["id"]] = child
        for table, wanted in expected.items():
            found += _compare(table, wanted, account.rows(table))
    return found


def _compare(table: str, wanted: dict[str, dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    found = []
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            found.append(f"{table} {row['id']}: twice")
        seen.add(row["id"])
        if row["deleted"]:
            if row["id"] in wanted:
                found.append(f"{table} {row['id']}: a tombstone of what is there")
            continue
        other = wanted.get(row["id"])
        if other is None:
            found.append(f"{table} {row['id']}: not on the server")
            continue
        for name, value in row.items():
            if name in _NOT_IN_THE_OBJECT:
                continue
            mine = int(value.timestamp()) * 1_000_000 if isinstance(value, datetime) else value
            if mine != other[name]:
                found.append(f"{table} {row['id']}.{name}: {mine} instead of {other[name]}")
    found += [f"{table} {identity}: missing" for identity in wanted.keys() - seen]
    return found


def _links(
    payments: list[dict[str, Any]], charges: list[dict[str, Any]]
) -> dict[tuple[str, str], dict[str, str | None]]:
    """Per invoice its intent and charge, per charge its invoice, the plain way."""
    tried: dict[str, list[dict[str, Any]]] = {}
    for charge in charges:
        tried.setdefault(charge.get("payment_intent") or "", []).append(charge)
    by_invoice: dict[str, list[dict[str, Any]]] = {}
    for payment in payments:
        by_invoice.setdefault(payment["invoice"], []).append(payment)
    found: dict[tuple[str, str], dict[str, str | None]] = {}
    rank = {"paid": 0, "open": 1}
    for invoice, group in by_invoice.items():
        group.sort(key=lambda p: (rank.get(p["status"], 9), not p["is_default"], -p["created"], p["id"]))
        intent = next((p["payment"]["payment_intent"] for p in group if p["payment"].get("payment_intent")), None)
        best = group[0]["payment"]
        charge = best.get("charge")
        options = sorted(
            tried.get(best.get("payment_intent") or "-", []),
            key=lambda c: (c["status"] != "succeeded", -c["created"], c["id"]),
        )
        if charge is None and options:
            charge = options[0]["id"]
        found["invoices", invoice] = {"payment_intent": best.get("payment_intent") or intent, "charge": charge}
    for charge in charges:
        for payment in sorted(
            payments, key=lambda p: (rank.get(p["status"], 9), not p["is_default"], -p["created"], p["id"])
        ):
            named = payment["payment"]
            if named.get("charge") == charge["id"] or (
                named.get("payment_intent") and named["payment_intent"] == charge.get("payment_intent")
            ):
                found["charges", charge["id"]] = {"invoice": payment["invoice"]}
                break
    return found
