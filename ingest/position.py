"""Up to when the raw tables hold, and for which account.

Here: the two facts that everything derived from the tables rests on. Not here: how they are moved
(`ingest.extract`). The time is Stripe's own clock at the newest read, so that tables of a slow or a simulated
account are judged by its time and not by ours.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from resources.state import State
from resources.state.extraction import cursors
from resources.stripe_clock import utc

__all__ = ["Position", "PositionError", "position"]


class PositionError(RuntimeError):
    """Nothing has been extracted yet, or more than one account."""


@dataclass(frozen=True, slots=True)
class Position:
    """`account` is the Stripe account id with its mode, `acct_…:live`; `as_of` an aware UTC time."""

    account: str
    as_of: datetime


def position(state: State) -> Position:
    """Where the raw tables stand. Raises: PositionError."""
    with state.read() as connection:
        rows = connection.execute(sa.select(cursors.c.account, cursors.c.newest_read)).all()
    if not rows:
        raise PositionError("nothing has been read from Stripe yet: run the job `extract` first")
    if len(rows) > 1:
        raise PositionError(
            f"the state holds {len(rows)} Stripe accounts: give each its own STATE_DATABASE_URL and LAKE_URI"
        )
    return Position(rows[0].account, utc(rows[0].newest_read))
