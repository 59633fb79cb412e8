"""The simulated account's clock, agenda and pen: what every part of the business writes through.

Nothing happens between agenda entries, so ten years cost as much as their happenings. Entries run in order of
time, then of arrival, which makes a longer simulation the continuation of a shorter one. Events are written for
the last 30 days only, as long as Stripe keeps them (https://docs.stripe.com/api/events).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any, Final

import orjson

from sandbox.simulation.billing_calendar import DAY
from sandbox.simulation.idents import Ids
from sandbox.simulation.shapes import API_VERSION
from sandbox.stripe.store import Store

__all__ = ["EVENT_DAYS", "World"]

EVENT_DAYS: Final = 30

Obj = dict[str, Any]
Action = Callable[..., None]


class World:
    """Clock, agenda, randomness and store of one account."""

    def __init__(self, *, seed: int, start: int, livemode: bool) -> None:
        self.start = start
        self.now = start
        self.rng = Random(f"business:{seed}")
        self.ids = Ids(f"ids:{seed}")
        self.store = Store()
        self.livemode = livemode
        self.events_from = start
        # Writes events as another API version would have: (version, object in its shape).
        self.reshape: Callable[[bytes], tuple[str, bytes]] | None = None
        self._agenda: list[tuple[int, int, Action, tuple[Any, ...]]] = []
        self._entries = 0

    def at(self, moment: int, action: Action, *arguments: Any) -> None:
        """Do this at that time; what lies in the past is done next."""
        self._entries += 1
        heapq.heappush(self._agenda, (max(moment, self.now), self._entries, action, arguments))

    def later(self, seconds: int, action: Action, *arguments: Any) -> None:
        self.at(self.now + seconds, action, *arguments)

    def run_until(self, end: int) -> None:
        """Everything before `end`; then the clock stands at `end`."""
        agenda = self._agenda
        while agenda and agenda[0][0] < end:
            moment, _, action, arguments = heapq.heappop(agenda)
            self.now = max(self.now, moment)
            action(*arguments)
        self.now = max(self.now, end)
        self.store.flush()

    def put(self, resource: str, obj: Obj) -> Obj:
        self.store[resource].put(obj)
        return obj

    def hold(self, resource: str, obj: Obj) -> Obj:
        """Put an object that the simulation will go on changing."""
        self.store[resource].hold(obj)
        return self.put(resource, obj)

    def change(self, resource: str, obj: Obj, kind: str | None = None, **values: Any) -> None:
        """Set top-level fields and tell the change with what they were before."""
        previous = {name: obj[name] for name, value in values.items() if obj[name] != value}
        obj.update(values)
        self.put(resource, obj)
        if kind and previous:
            self.emit(kind, resource, obj, previous)

    def emit(self, kind: str, resource: str, obj: Obj, previous: Obj | None = None) -> None:
        """An event with the object as it is now; `previous` makes it an update."""
        if self.now >= self.events_from and obj["id"] in self.store[resource]:
            self.write_event(kind, self.store[resource].body(obj["id"]), previous)

    def emit_loose(self, kind: str, obj: Obj) -> None:
        """An event about an object that has no list of its own, or is gone."""
        if self.now >= self.events_from:
            self.write_event(kind, orjson.dumps(obj), None)

    def write_event(self, kind: str, body: bytes, previous: Obj | None) -> str:
        event_id = self.ids.new("evt")
        api_version = API_VERSION
        if self.reshape is not None:
            api_version, body = self.reshape(body)
        data: Obj = {"object": orjson.Fragment(body)}
        if previous is not None:
            data["previous_attributes"] = previous
        self.store["events"].put(
            {
                "id": event_id,
                "object": "event",
                "api_version": api_version,
                "created": self.now,
                "data": data,
                "livemode": self.livemode,
                "pending_webhooks": 0,
                "request": {"id": None, "idempotency_key": None},
                "type": kind,
            }
        )
        return event_id

    def tick(self) -> None:
        """One second passes, as between two things that somebody does by hand."""
        self.now += 1

    def keep_events_since(self, moment: int) -> None:
        self.events_from = moment
        self.store["events"].drop_before(moment)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def some_time(self, start: int, end: int) -> int:
        """A moment in the middle of a period, never in its first or last hundredth."""
        return start + int((end - start) * (0.01 + 0.98 * self.rng.random()))

    def days(self, low: float, high: float) -> int:
        return int(self.rng.uniform(low, high) * DAY)
