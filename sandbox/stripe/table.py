"""All objects of one resource as ready-made JSON bytes, newest first by (created, arrival).

A page is the join of ready bytes, so serving 100 rows costs microseconds. Lists inside an object are cut at
10, as Stripe cuts them; the whole list is kept aside for the operation that pages it. Objects under change
are held as dictionaries and written out when they are read or when enough of them wait.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from sandbox.stripe.tables import Fact, Resource

__all__ = ["NESTED_LIMIT", "Page", "Table"]

NESTED_LIMIT: Final = 10
_WRITE_BACK: Final = 512
_SHIFT: Final = 32

Obj = dict[str, Any]
Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Page:
    ids: list[str]
    has_more: bool


@dataclass(slots=True)
class Table:
    """All objects of one resource."""

    resource: Resource
    bodies: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    # The full nested lists of the few objects whose list is cut.
    overflow: dict[str, list[bytes]] = field(default_factory=dict)
    _keys: list[int] = field(default_factory=list)
    _ids: list[str] = field(default_factory=list)
    _key_of: dict[str, int] = field(default_factory=dict)
    _facts: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _index: dict[str, dict[Any, list[int]]] = field(default_factory=dict)
    _dirty: dict[str, Obj] = field(default_factory=dict)
    # Dictionaries that the simulation goes on changing: whoever gets one gets the simulation's own.
    _held: dict[str, Obj] = field(default_factory=dict)
    _arrivals: int = 0
    _disordered: bool = False
    _readers: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        self._readers = (*self.resource.indexed.values(), *self.resource.scanned.values())

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._key_of

    def ids(self) -> Iterator[str]:
        """Newest first."""
        self._order()
        return reversed(self._ids)

    def nth(self, position: int) -> str:
        """The id at a position, oldest first."""
        self._order()
        return self._ids[position]

    def put(self, obj: Obj, *, created: int | None = None) -> None:
        """Add or replace; the dictionary may be changed further until it is put again or read.

        What was removed stays removed.
        """
        object_id = obj["id"]
        if object_id in self.deleted:
            return
        key = self._key_of.get(object_id)
        if key is None:
            self._place(object_id, obj["created"] if created is None else created)
            key = self._key_of[object_id]
        self._learn(object_id, key, obj)
        self._dirty[object_id] = obj
        if len(self._dirty) > _WRITE_BACK:
            self.flush()

    def hold(self, obj: Obj) -> None:
        self._held[obj["id"]] = obj

    def release(self, object_id: str) -> None:
        self._held.pop(object_id, None)

    def flush(self) -> None:
        for object_id, obj in self._dirty.items():
            self._write(object_id, obj)
        self._dirty.clear()

    def body(self, object_id: str) -> bytes:
        obj = self._dirty.pop(object_id, None)
        if obj is not None:
            self._write(object_id, obj)
        return self.bodies[object_id]

    def get(self, object_id: str) -> Obj:
        """The whole object, nested list uncut; put it back after changing it."""
        obj = self._held.get(object_id) or self._dirty.get(object_id)
        if obj is None:
            obj = orjson.loads(self.bodies[object_id])
            rows = self.overflow.get(object_id)
            if rows is not None and self.resource.nested:
                obj[self.resource.nested].update(data=[orjson.loads(row) for row in rows], has_more=False)
        return obj

    def nested(self, object_id: str) -> list[bytes]:
        """Every row of the nested list."""
        body = self.body(object_id)
        rows = self.overflow.get(object_id)
        if rows is not None:
            return rows
        nested = orjson.loads(body).get(self.resource.nested)
        data = nested.get("data") if isinstance(nested, dict) else None
        return [orjson.dumps(row) for row in data or ()]

    def created(self, object_id: str) -> int:
        return self._key_of[object_id] >> _SHIFT

    def remove(self, object_id: str) -> None:
        """The object leaves every list and its id is no longer a valid cursor."""
        self._order()
        key = self._key_of.pop(object_id)
        position = bisect_left(self._keys, key)
        del self._keys[position], self._ids[position]
        self._forget(object_id, key)
        self._dirty.pop(object_id, None)
        self._held.pop(object_id, None)
        self.bodies.pop(object_id, None)
        self.overflow.pop(object_id, None)
        self.deleted.add(object_id)

    def drop_before(self, moment: int) -> None:
        """Objects older than `moment` leave, as old events do."""
        self._order()
        stop = bisect_left(self._keys, moment << _SHIFT)
        for object_id, key in zip(self._ids[:stop], self._keys[:stop], strict=True):
            del self._key_of[object_id]
            self._forget(object_id, key)
            self._dirty.pop(object_id, None)
            self.bodies.pop(object_id, None)
        del self._keys[:stop], self._ids[:stop]

    def page(
        self,
        *,
        limit: int,
        lower: int | None = None,
        upper: int | None = None,
        after: str | None = None,
        before: str | None = None,
        equal: dict[str, Any] | None = None,
        tests: dict[str, Test] | None = None,
        hidden: Collection[str] = (),
    ) -> Page:
        """Newest first; `lower` ≤ created < `upper`, `after` and `before` are ids of this table.

        `equal` and `tests` are by filter name, `hidden` are ids that no list shows.

        Raises KeyError for a cursor that is not here.
        """
        self._order()
        keys, ids = self._candidates(equal or {})
        low = 0 if lower is None else bisect_left(keys, lower << _SHIFT)
        high = len(keys) if upper is None else bisect_left(keys, upper << _SHIFT)
        if after is not None:
            high = min(high, bisect_left(keys, self._key_of[after]))
        if before is not None:
            low = max(low, bisect_right(keys, self._key_of[before]))
        wanted = self._tests(equal or {}, tests or {})
        forward = before is not None
        if not wanted and not hidden:
            if forward:
                chosen, more = range(low, min(low + limit, high)), low + limit < high
            else:
                chosen, more = range(max(low, high - limit), high), high - limit > low
            picked = [self._name(ids, keys, position) for position in reversed(chosen)]
            return Page(picked, more)
        matches: list[str] = []
        for position in range(low, high) if forward else range(high - 1, low - 1, -1):
            object_id = self._name(ids, keys, position)
            if object_id in hidden:
                continue
            facts = self._facts.get(object_id, ())
            if all(test(facts[place]) for place, test in wanted):
                matches.append(object_id)
                if len(matches) > limit:
                    break
        picked = matches[:limit]
        return Page(picked[::-1] if forward else picked, len(matches) > limit)

    def _name(self, ids: list[str] | None, keys: list[int], position: int) -> str:
        return self._ids[bisect_left(self._keys, keys[position])] if ids is None else ids[position]

    def _candidates(self, equal: dict[str, Any]) -> tuple[list[int], list[str] | None]:
        shortest: list[int] | None = None
        for name, value in equal.items():
            if name in self.resource.indexed:
                found = self._index.get(name, {}).get(value, [])
                shortest = found if shortest is None or len(found) < len(shortest) else shortest
        return (self._keys, self._ids) if shortest is None else (shortest, None)

    def _tests(self, equal: dict[str, Any], tests: dict[str, Test]) -> list[tuple[int, Test]]:
        names = [*self.resource.indexed, *self.resource.scanned]
        wanted: list[tuple[int, Test]] = [
            (names.index(name), value.__eq__) for name, value in equal.items() if name in self.resource.scanned
        ]
        several = [name for name in equal if name in self.resource.indexed]
        if len(several) > 1:
            wanted += [(names.index(name), equal[name].__eq__) for name in several]
        return wanted + [(names.index(name), test) for name, test in tests.items()]

    def _place(self, object_id: str, created: int) -> None:
        self._arrivals += 1
        key = (created << _SHIFT) | self._arrivals
        self._key_of[object_id] = key
        # Old objects that arrive late (a file, a list of histories) are sorted in once, before the next reading.
        self._disordered |= bool(self._keys) and key < self._keys[-1]
        self._keys.append(key)
        self._ids.append(object_id)

    def _order(self) -> None:
        if self._disordered:
            ordered = sorted(zip(self._keys, self._ids, strict=True))
            self._keys = [key for key, _ in ordered]
            self._ids = [object_id for _, object_id in ordered]
            self._disordered = False

    def _learn(self, object_id: str, key: int, obj: Obj) -> None:
        if not self._readers:
            return
        facts = tuple([read(obj) for read in self._readers])
        known = self._facts.get(object_id)
        if facts == known:
            return
        self._facts[object_id] = facts
        for place, name in enumerate(self.resource.indexed):
            value, before = facts[place], None if known is None else known[place]
            if value == before:
                continue
            index = self._index.setdefault(name, {})
            if before is not None:
                index[before].remove(key)
            if value is None:
                continue
            keys = index.get(value)
            if keys is None:
                index[value] = [key]
            else:
                insort(keys, key)

    def _forget(self, object_id: str, key: int) -> None:
        facts = self._facts.pop(object_id, None)
        if facts is not None:
            for place, name in enumerate(self.resource.indexed):
                if facts[place] is not None:
                    self._index[name][facts[place]].remove(key)

    def _write(self, object_id: str, obj: Obj) -> None:
        name = self.resource.nested
        nested = obj.get(name) if name else None
        data = nested.get("data") if isinstance(nested, dict) else None
        if name is None or not isinstance(nested, dict) or not isinstance(data, list) or len(data) <= NESTED_LIMIT:
            self.overflow.pop(object_id, None)
            self.bodies[object_id] = _dumps(obj)
            return
        self.overflow[object_id] = [_dumps(row) for row in data]
        cut = nested | {"data": data[:NESTED_LIMIT], "has_more": True}
        self.bodies[object_id] = _dumps(obj | {name: cut})


def _dumps(obj: Obj) -> bytes:
    # orjson leaves up to half of a result's memory unused; what is kept for long is copied to its size.
    return bytes(memoryview(orjson.dumps(obj)))
