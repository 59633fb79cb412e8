"""Lists of the pretend Mavera: filters and the three known ways of paging.

Lists cost nothing and show the newest item first. With `insert_between_pages` somebody else makes an object
right after the first page was read, so that the last item of that page shows up again on the next one.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sandbox.mavera.store import Row
from sandbox.mavera.world import WORKSPACE, Answer, Call, World, invalid, iso

__all__ = ["page"]


def page(
    call: Call,
    world: World,
    kind: str,
    *,
    view: Callable[[Row], dict[str, Any]],
    filters: Mapping[str, str] = MappingProxyType({}),
    key: str = "data",
) -> Answer:
    """One page; `filters` maps query parameters to top-level fields of the body."""
    paging = world.options.paging
    limit = _whole(call, "limit", default=paging.default_limit, low=1, high=100)
    offset = _whole(call, "offset", default=0, low=0, high=2**31)
    before = None
    if paging.style == "cursor":
        offset, before = 0, _position(call.query.get("cursor"))
    elif paging.ignore_offset:
        offset = 0
    shown = {} if paging.ignore_search else call.query
    rows, total = world.store.listed(
        kind,
        now=world.now(),
        fields={field: shown[name] for name, field in filters.items() if name in shown},
        custom={"true": True, "false": False}.get(shown.get("is_custom", "")),
        search=shown.get("search", ""),
        before=before,
        limit=limit + 1,
        offset=offset,
    )
    has_more = len(rows) > limit
    rows = rows[:limit]
    body: dict[str, Any] = {"object": "list", key: [view(row) for row in rows]}
    if paging.style == "offset":
        body |= {"total": total, "limit": limit, "offset": offset, "has_more": has_more}
    elif paging.style == "cursor":
        body |= {"has_more": has_more, "next_cursor": _cursor(rows[-1].seq) if has_more else None}
    if paging.insert_between_pages and has_more and not offset and before is None:
        _insert_stranger(world, kind)
    return Answer(body=body)


def _whole(call: Call, name: str, *, default: int, low: int, high: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise invalid(name, f"The parameter must be a whole number from {low} to {high}.")
    return int(text)


def _cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(f"after:{seq}".encode()).decode().rstrip("=")


def _position(cursor: str | None) -> int | None:
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        return int(text.removeprefix("after:"))
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise invalid("cursor", "The cursor is not valid.") from error


def _insert_stranger(world: World, kind: str) -> None:
    now = world.now()
    texts = {"persona": "name", "generation": "title", "mave_thread": "title", "brand_voice": "label"}
    if kind not in texts:
        return
    with world.store.transaction():
        number = world.store.count(kind) + 1
        name = f"Made by a colleague ({number})"
        body: dict[str, Any] = {"object": kind, texts[kind]: name, "is_custom": True, "workspace_id": WORKSPACE}
        body["created_at"] = int(now) if kind == "persona" else iso(now)
        world.store.insert(kind, body, name=name, operation="preload", now=now, outcome="completed")
