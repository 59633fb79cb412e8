"""Stripe's clock, read from the `Date` header of its answers.

Here: a time for each read that never lies after the instant at which Stripe looked at the object. Not here: the
times of events, which are Stripe's own whole seconds. Two sources of one object are ordered by these times, so
they must come from one clock: the reader's own may be minutes away.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MICROS", "Departure", "ServerClock", "utc"]

MICROS = 1_000_000


def utc(micros: int) -> datetime:
    """The aware time of microseconds since 1970."""
    seconds, rest = divmod(micros, MICROS)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest)


@dataclass(frozen=True, slots=True)
class Departure:
    """When a request left by the local clock, and how far ahead the server's clock was proven to be by then."""

    at: float
    ahead: float | None


class ServerClock:
    """Lower bounds of the server's clock, in microseconds since 1970.

    `Date` is cut to whole seconds, so an answer received at local time r with `Date` D proves that the server is
    at least at D by then; the best of these proofs carried on by the local clock is the estimate. `floor` is the
    newest time given out by earlier runs: what is read now is newer than what they read.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic, floor: int = 0) -> None:
        self._monotonic = monotonic
        self._ahead: float | None = None  # server seconds minus local seconds, proven
        self._floor = floor
        self.latest = floor
        self.date: int | None = None  # newest Date seen, whole seconds

    def raise_floor(self, floor: int) -> None:
        """Let no later time be at or before `floor`."""
        self._floor = max(self._floor, floor)
        self.latest = max(self.latest, floor)

    def sent(self) -> Departure:
        """The instant at which a request leaves; hand it back to `stamp`."""
        return Departure(self._monotonic(), self._ahead)

    def stamp(self, departure: Departure, date_header: str | None) -> int:
        """The server's time when the request left, at the latest within the second of its answer's `Date`.

        What earlier answers had proven when it left counts, not its own: the server may look at the object long
        before it writes `Date`. Raises: ValueError for an answer without a readable `Date`.
        """
        if date_header is None:
            raise ValueError("the answer has no Date header")
        whole = int(parsedate_to_datetime(date_header).timestamp())
        self.date = whole if self.date is None else max(self.date, whole)
        proven = whole - self._monotonic()
        ahead = proven if departure.ahead is None else departure.ahead
        self._ahead = proven if self._ahead is None else max(self._ahead, proven)
        read_at = min(int((departure.at + ahead) * MICROS), whole * MICROS + MICROS - 1)
        read_at = max(read_at, self._floor + 1)
        self.latest = max(self.latest, read_at)
        return read_at
