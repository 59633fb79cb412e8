"""An account served from a folder of Stripe objects instead of a simulation.

`<folder>/stripe/<resource>` or `<folder>/<resource>` with the ending `.jsonl`, `.json` (a list, or a Stripe list
object), or either with `.gz`; resources that have no file are empty. Objects are served as they are. Rows that are
no proper objects (no id, no creation time, not even an object) are served too, beside a good neighbour, because
finding them is the reader's task. Items and lines may also come in files of their own.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from sandbox.accounts.account import StillAccount
from sandbox.simulation import shapes
from sandbox.simulation.world import World
from sandbox.stripe.store import ALONE
from sandbox.stripe.tables import RESOURCES, Resource

__all__ = ["has_stripe_files", "read_dataset"]

Obj = dict[str, Any]

_ENDINGS: Final = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz")
# Rows of nested lists in files of their own: the list they belong to and the field that names the parent.
_PARTS: Final = {
    "subscriptions": ("items", "subscription", ("subscription_items",)),
    "invoices": ("lines", "invoice", ("invoice_lines", "invoice_line_items")),
}
_ON_REQUEST: Final = {"prices": ("tiers", "currency_options"), "coupons": ("applies_to", "currency_options")}


def has_stripe_files(folder: Path) -> bool:
    """Whether the folder says anything about Stripe. Raises ValueError if there is no such folder."""
    if not folder.is_dir():
        raise ValueError(f"no such dataset folder: {folder}")
    return any(_file(folder, name) for name in RESOURCES)


def read_dataset(folder: Path, *, end: datetime, livemode: bool) -> StillAccount:
    """The account in the folder; its clock stands at `end`, or just after its newest object if that is later."""
    if not has_stripe_files(folder):
        raise ValueError(f"{folder} has no Stripe files; expected for example stripe/customers.jsonl")
    world = World(seed=1, start=int(end.timestamp()), livemode=livemode)
    clock = world.now
    modes: set[bool] = set()
    for name in RESOURCES:
        path = _file(folder, name)
        if path is None:
            continue
        parts = _Parts(folder, name)
        for row in _fill(world, RESOURCES[name], _rows(path), parts):
            world.start = min(world.start, row["created"])
            clock = max(clock, row["created"] + 1)
            modes.add(row.get("livemode") is True)
    world.now = world.events_from = clock
    world.livemode = livemode or modes == {True}
    account = _file(folder, "account")
    world.store.account = shapes.account(world.ids.new("acct"), created=world.start, livemode=world.livemode)
    for row in _rows(account) if account is not None else ():
        world.store.account = row
    world.store.flush()
    return StillAccount(world)


def _fill(world: World, resource: Resource, rows: Iterator[Any], parts: _Parts) -> Iterator[Obj]:
    """Good objects into the table, each other row beside the good one before it (or the first one)."""
    table = world.store[resource.name]
    beside: dict[str, list[bytes]] = {}
    waiting: list[bytes] = []
    last: str | None = None
    for row in rows:
        if not _proper(row):
            (beside.setdefault(last, []) if last is not None else waiting).append(orjson.dumps(row))
            continue
        last = row["id"]
        if waiting:
            beside.setdefault(last, []).extend(waiting)
            waiting = []
        hidden = {name: row.pop(name) for name in _ON_REQUEST.get(resource.name, ()) if row.get(name) is not None}
        if hidden:
            world.store.expandable[last] = hidden
        parts.complete(row)
        table.put(row)
        if resource.name == "subscriptions":
            for item in _part_rows(row, "items"):
                if isinstance(item, dict) and isinstance(item.get("id"), str):
                    world.store.item_owner[item["id"]] = last
        yield row
    if waiting:
        beside[ALONE] = waiting
    world.store.companions[resource.name] = beside


class _Parts:
    """Rows of nested lists from a file of their own join those that are embedded in their parent."""

    def __init__(self, folder: Path, name: str) -> None:
        self._part, self._link, files = _PARTS.get(name, ("", "", ()))
        self._by_parent: dict[Any, list[Obj]] = {}
        for path in [found for each in files if (found := _file(folder, each)) is not None][:1]:
            for row in _rows(path):
                if isinstance(row, dict):
                    self._by_parent.setdefault(row.get(self._link), []).append(row)

    def complete(self, parent: Obj) -> None:
        if not self._by_parent:
            return
        embedded = _part_rows(parent, self._part)
        known = {row.get("id") for row in embedded if isinstance(row, dict)}
        rows = embedded + [row for row in self._by_parent.get(parent["id"], []) if row.get("id") not in known]
        url = f"/v1/subscription_items?subscription={parent['id']}"
        if self._part == "lines":
            url = f"/v1/invoices/{parent['id']}/lines"
        parent[self._part] = {"object": "list", "data": rows, "has_more": False, "url": url}


def _part_rows(parent: Obj, part: str) -> list[Any]:
    nested = parent.get(part)
    data = nested.get("data") if isinstance(nested, dict) else None
    return data if isinstance(data, list) else []


def _proper(row: Any) -> bool:
    """An object that a list can be ordered by."""
    return (
        isinstance(row, dict)
        and isinstance(row.get("id"), str)
        and type(row.get("created")) is int
        and 0 <= row["created"] < 2**33
    )


def _file(folder: Path, name: str) -> Path | None:
    for place in (folder / "stripe", folder):
        for ending in _ENDINGS:
            path = place / f"{name}{ending}"
            if path.is_file():
                return path
    return None


def _rows(path: Path) -> Iterator[Any]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        if ".json" in path.suffixes:
            found = _parse(file.read(), f"{path}")
            if isinstance(found, dict) and found.get("object") == "list" and isinstance(found.get("data"), list):
                found = found["data"]
            yield from found if isinstance(found, list) else [found]
            return
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _parse(line, f"{path}:{number}")


def _parse(raw: bytes, place: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON: {error}") from error
