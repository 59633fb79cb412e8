"""Broken objects, for proving that one bad object does not stop the good ones.

A broken object is made from a good one, which it then accompanies: every page that shows the good one shows the
broken one just before it, so paging still ends on an object with an id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from sandbox.stripe.table import Table

__all__ = ["KINDS", "companions"]

Obj = dict[str, Any]


def _without(name: str) -> Callable[[Obj], Any]:
    return lambda obj: {key: value for key, value in obj.items() if key != name}


def _with(name: str, value: Any) -> Callable[[Obj], Any]:
    return lambda obj: obj | {name: value}


def _nested(value: Any) -> Callable[[Obj], Any]:
    def spoil(obj: Obj) -> Obj:
        name = next((name for name in ("items", "lines") if name in obj), "metadata")
        return obj | {name: value}

    return spoil


KINDS: Final[dict[str, Callable[[Obj], Any]]] = {
    "missing_id": _without("id"),
    "null_id": _with("id", None),
    "number_id": _with("id", 4711),
    "missing_created": _without("created"),
    "text_created": _with("created", "yesterday"),
    "negative_created": _with("created", -1),
    "huge_created": _with("created", 10**18),
    "missing_object": _without("object"),
    "wrong_object": _with("object", "banana"),
    "missing_currency": _without("currency"),
    "number_currency": _with("currency", 840),
    "text_amount": lambda obj: (
        obj | {name: "much" for name in ("amount", "total", "subtotal", "amount_due") if name in obj}
    ),
    "null_customer": _with("customer", None),
    "list_customer": _with("customer", ["cus_1"]),
    "null_items": _nested(None),
    "text_items": _nested("none"),
    "null_in_items": _nested({"object": "list", "data": [None], "has_more": False}),
    "empty_object": lambda obj: {},
    "not_an_object": lambda obj: "just text",
    "null": lambda obj: None,
}


def companions(table: Table, kinds: tuple[str, ...]) -> dict[str, list[bytes]]:
    """The broken rows of a table, by the id of the good object that each accompanies."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"no such malformation: {', '.join(unknown)}; known are {', '.join(KINDS)}")
    if kinds and not len(table):
        raise ValueError(f"{table.resource.name} has no object that a malformed one could be made from")
    rows: dict[str, list[bytes]] = {}
    for number, kind in enumerate(kinds):
        # Spread over the whole list, so that first, middle and last pages have one.
        anchor = table.nth((2 * number + 1) * len(table) // (2 * len(kinds)))
        good = orjson.loads(table.body(anchor))
        broken = KINDS[kind](good | {"id": f"{anchor}_{kind}"})
        rows.setdefault(anchor, []).append(orjson.dumps(broken))
    return rows
