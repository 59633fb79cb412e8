"""Places for Mave calls in flight: at most ten a key over all processes, as leases that expire.

Here: taking and giving back a place. A lease outlives its call's deadline, so that a killed process blocks a place
for a while and never for good. Not here: the rate of calls (`rate_window`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from resources.state import State
from resources.state.ledger import leases

__all__ = ["Leases"]


class Leases:
    """`slots` places of one key; `holder` names who asks."""

    def __init__(
        self,
        state: State,
        *,
        key_hash: str,
        slots: int,
        seconds: float,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        poll_seconds: float = 0.5,
    ) -> None:
        self._state = state
        self._key_hash = key_hash
        self._slots = slots
        self._lease = timedelta(seconds=seconds)
        self._clock = clock
        self._sleep = sleep
        self._poll_seconds = poll_seconds

    @asynccontextmanager
    async def held(self, holder: str) -> AsyncIterator[None]:
        """Wait for a place, keep it for the block, give it back."""
        while (slot := self.take(holder)) is None:
            await self._sleep(self._poll_seconds)
        try:
            yield
        finally:
            self.give_back(slot, holder)

    def take(self, holder: str) -> int | None:
        """A free place, or None. The primary key decides between two who see the same place free."""
        now = self._clock()
        with self._state.begin() as connection:
            mine = leases.c.key_hash == self._key_hash
            connection.execute(leases.delete().where(mine, leases.c.expires_at <= now))
            taken = set(connection.execute(sa.select(leases.c.slot).where(mine)).scalars())
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            for slot in range(self._slots):
                if slot in taken:
                    continue
                row = {"key_hash": self._key_hash, "slot": slot, "holder": holder, "expires_at": now + self._lease}
                inserted = connection.execute(dialect.insert(leases).values(row).on_conflict_do_nothing())
                if inserted.rowcount == 1:
                    return slot
        return None

    def give_back(self, slot: int, holder: str) -> None:
        """Free a place, unless it expired and is another's now."""
        with self._state.begin() as connection:
            connection.execute(
                leases.delete().where(
                    leases.c.key_hash == self._key_hash, leases.c.slot == slot, leases.c.holder == holder
                )
            )
