"""The pace of requests to one Mavera key, shared by all processes through the state database.

Here: a sliding window of 60 seconds (drop old stamps, count, insert or tell the wait, in one transaction), pauses
that a 429 asks for, and what rate headers teach, within bounds. Not here: reading the headers
(`resources.mavera_wire`). The window of the server is per key and slides; its limit comes from `GET /usage`, then
from `X-RateLimit-Limit`.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql, sqlite

from resources.loggers import get_logger
from resources.mavera import RateLimitedError, RateState
from resources.state import State
from resources.state.ledger import rate_limits, rate_stamps

__all__ = ["RateWindow", "key_hash"]

_log = get_logger("stripe_mavera.limiter")

# The server counts a call when it arrives, we when it leaves: a little more than its window covers the difference.
_MARGIN_SECONDS = 0.2
_SLOW_BELOW = 10
# A run waits for minutes; for more it ends, and whoever runs next asks the server again after a day at most.
_PATIENCE_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 86_400.0
_MOST_PER_WINDOW = 100_000


def key_hash(api_key: SecretStr) -> str:
    """What stands for a key in the state database."""
    return hashlib.sha256(b"stripe-mavera rate window:" + api_key.get_secret_value().encode()).hexdigest()


class RateWindow:
    """The limiter of one key; `acquire` returns when a call may leave."""

    def __init__(
        self,
        state: State,
        *,
        api_key: SecretStr,
        clock: Callable[[], datetime],
        per_minute: int = 60,
        window_seconds: float = 60.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.key_hash = key_hash(api_key)
        self._state = state
        self._clock = clock
        self._per_minute = per_minute
        self._window = timedelta(seconds=window_seconds + _MARGIN_SECONDS)
        self._sleep = sleep
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait for a place in the window and take it, in the order of asking.

        Raises: RateLimitedError, when Mavera asks for more than minutes; it says until when.
        """
        # One waiter of a process asks the database; all others queue behind it.
        async with self._turn:
            while (wait := self.take()) > 0:
                if wait > _PATIENCE_SECONDS:
                    until = (self._clock() + timedelta(seconds=wait)).astimezone(UTC)
                    raise RateLimitedError(
                        "rate limit",
                        retry_after=wait,
                        seen=f"no call before {until:%Y-%m-%d %H:%M} UTC",
                        remedy="run again then",
                    )
                await self._sleep(wait)

    def take(self) -> float:
        """Take a place now, or the seconds until it is worth asking again."""
        with self._state.begin() as connection:
            # Read inside the transaction: stamps then stand in the order in which they were granted.
            limit, paused_until = self._limit(connection, lock=True)
            now = self._clock()
            if paused_until is not None and paused_until > now:
                return (paused_until - now).total_seconds()
            connection.execute(
                rate_stamps.delete().where(
                    rate_stamps.c.key_hash == self.key_hash, rate_stamps.c.at <= now - self._window
                )
            )
            counted = self._count(connection)
            if counted < limit:
                connection.execute(rate_stamps.insert().values(key_hash=self.key_hash, at=now))
                return 0.0
            frees = (
                sa.select(rate_stamps.c.at)
                .where(rate_stamps.c.key_hash == self.key_hash)
                .order_by(rate_stamps.c.at)
                .offset(counted - limit)
                .limit(1)
            )
            oldest: datetime = connection.execute(frees).scalar_one()
            return max(0.001, (oldest + self._window - now).total_seconds())

    def observe(self, rate: RateState) -> None:
        """Learn from an answer's headers: the limit, a pause, and calls of others on the same key."""
        if rate.limit is None and rate.remaining is None and rate.retry_after is None:
            return
        with self._state.begin() as connection:
            limit, _ = self._limit(connection, lock=True)
            now = self._clock()
            told = min(rate.limit or limit, _MOST_PER_WINDOW)
            if told != limit:
                limit = told
                self._change(connection, per_window=limit)
            if rate.retry_after:
                _log.warning("Mavera asks to wait", seconds=rate.retry_after, per_minute=limit)
                pause = timedelta(seconds=min(rate.retry_after, _LONGEST_PAUSE_SECONDS))
                self._change(connection, paused_until=now + pause)
            if rate.remaining is not None and rate.remaining < _SLOW_BELOW:
                # Fewer places are left than our own stamps explain: others use the key, and their calls count.
                unseen = (limit - self._count(connection)) - rate.remaining
                if unseen > 0:
                    stamps = [{"key_hash": self.key_hash, "at": now}] * unseen
                    connection.execute(rate_stamps.insert(), stamps)

    def set_limit(self, per_minute: int) -> None:
        """Take the account's own figure."""
        with self._state.begin() as connection:
            self._limit(connection, lock=True)
            self._change(connection, per_window=min(per_minute, _MOST_PER_WINDOW))

    def _limit(self, connection: sa.Connection, *, lock: bool) -> tuple[int, datetime | None]:
        wanted = sa.select(rate_limits.c.per_window, rate_limits.c.paused_until).where(
            rate_limits.c.key_hash == self.key_hash
        )
        wanted = wanted.with_for_update() if lock else wanted
        row = connection.execute(wanted).first()
        if row is None:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            first = dialect.insert(rate_limits).values(key_hash=self.key_hash, per_window=self._per_minute)
            connection.execute(first.on_conflict_do_nothing())
            row = connection.execute(wanted).one()
        return int(row.per_window), row.paused_until

    def _change(self, connection: sa.Connection, **values: object) -> None:
        connection.execute(rate_limits.update().where(rate_limits.c.key_hash == self.key_hash).values(**values))

    def _count(self, connection: sa.Connection) -> int:
        wanted = sa.select(sa.func.count()).where(rate_stamps.c.key_hash == self.key_hash)
        return int(connection.execute(wanted).scalar_one())
