"""What the pretend Stripe needs from whoever filled the account: a world, and a way to let days pass."""

from __future__ import annotations

from typing import Protocol

from sandbox.simulation.billing_calendar import DAY
from sandbox.simulation.world import EVENT_DAYS, World

__all__ = ["Account", "StillAccount"]


class Account(Protocol):
    """A simulated business, a folder of objects, or a list of histories."""

    @property
    def world(self) -> World: ...

    def advance(self, days: int) -> None: ...


class StillAccount:
    """An account in which nothing happens by itself; days only make events grow old."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def world(self) -> World:
        return self._world

    def advance(self, days: int) -> None:
        if days < 1:
            raise ValueError(f"days must be at least 1, got {days}")
        end = self._world.now + days * DAY
        self._world.run_until(end)
        self._world.keep_events_since(end - EVENT_DAYS * DAY)
