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

from sandbox import shapes
from sandbox.account import StillAccount
from sandbox.stripe_tables import RESOURCES, Resource
from sandbox.world import World

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
    rows = {name: list(_rows(path)) for name in RESOURCES if (path := _file(folder, name)) is not None}
    moments = [row["created"] for found in rows.values() for row in found if _proper(row)]
    clock = max([int(end.timestamp()), *(moment + 1 for moment in moments)])
    modes = [row["livemode"] for found in rows.values() for row in found if _proper(row) and "livemode" in row]
    world = World(seed=1, start=min(moments, default=clock), livemode=bool(modes[0]) if modes else livemode)
    world.now = world.events_from = clock
    account = _file(folder, "account")
    world.store.account = shapes.account(world.ids.new("acct"), created=world.start, livemode=world.livemode)
    for row in _rows(account) if account is not None else ():
        world.store.account = row
    for name, found in rows.items():
        _complete_parts(folder, name, found)
        _fill(world, RESOURCES[name], found)
    world.store.flush()
    return StillAccount(world)


def _fill(world: World, resource: Resource, rows: list[Any]) -> None:
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
        table.put(row)
        if resource.name == "subscriptions":
            for item in _part_rows(row, "items"):
                if isinstance(item, dict) and isinstance(item.get("id"), str):
                    world.store.item_owner[item["id"]] = last
    world.store.companions[resource.name] = beside
    if waiting:
        raise ValueError(f"{resource.name}: no row is an object with an id and a creation time")


def _complete_parts(folder: Path, name: str, parents: list[Any]) -> None:
    """Rows from a file of parts join those that are embedded in their parent."""
    if name not in _PARTS:
        return
    part, link, files = _PARTS[name]
    path = next((found for each in files if (found := _file(folder, each)) is not None), None)
    if path is None:
        return
    by_parent: dict[Any, list[Obj]] = {}
    for row in _rows(path):
        if isinstance(row, dict):
            by_parent.setdefault(row.get(link), []).append(row)
    for parent in parents:
        if not _proper(parent):
            continue
        embedded = _part_rows(parent, part)
        known = {row.get("id") for row in embedded if isinstance(row, dict)}
        rows = embedded + [row for row in by_parent.get(parent["id"], []) if row.get("id") not in known]
        url = f"/v1/subscription_items?subscription={parent['id']}"
        if name == "invoices":
            url = f"/v1/invoices/{parent['id']}/lines"
        parent[part] = {"object": "list", "data": rows, "has_more": False, "url": url}


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
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    if ".json" in path.suffixes:
        found = _parse(raw, f"{path}")
        if isinstance(found, dict) and found.get("object") == "list" and isinstance(found.get("data"), list):
            found = found["data"]
        yield from found if isinstance(found, list) else [found]
        return
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            yield _parse(line, f"{path}:{number}")


def _parse(raw: bytes, place: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON: {error}") from error
