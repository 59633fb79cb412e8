"""Up to when the raw tables hold, and for which account.

Here: the two facts that everything derived from the tables rests on. Not here: how they are moved
(`ingest.extract`, `ingest.exports`). The time is Stripe's own clock at the newest read, or the time that the
newest export is true for, so that tables of a slow or a simulated account are judged by its time and not by ours.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from resources.state import State
from resources.state.exports import export_deliveries
from resources.state.extraction import cursors
from resources.stripe_clock import utc

__all__ = ["Position", "PositionError", "position"]


class PositionError(RuntimeError):
    """Nothing has been extracted yet, or more than one account."""


@dataclass(frozen=True, slots=True)
class Position:
    """`account` is the Stripe account id with its mode, `acct_…:live`; `as_of` an aware UTC time.

    Exports do not name their account: where nothing but exports was read, it is `exports:live`.
    """

    account: str
    as_of: datetime


def position(state: State) -> Position:
    """Where the raw tables stand. Raises: PositionError."""
    newest = sa.func.max(export_deliveries.c.version_at)
    with state.read() as connection:
        read = connection.execute(sa.select(cursors.c.account, cursors.c.newest_read)).all()
        delivered = connection.execute(
            sa.select(export_deliveries.c.account, newest.label("version_at")).group_by(
                export_deliveries.c.account
            )
        ).all()
    if not read and not delivered:
        raise PositionError("nothing has been read from Stripe yet: run the job `extract` first")
    modes = {row.account.rpartition(":")[2] for row in (*read, *delivered)}
    if len(read) > 1 or len(modes) > 1:
        accounts = ", ".join(sorted(row.account for row in (*read, *delivered)))
        raise PositionError(
            f"the state holds several Stripe accounts ({accounts}): "
            "give each its own STATE_DATABASE_URL and LAKE_URI"
        )
    times = [*(utc(row.newest_read) for row in read), *(row.version_at for row in delivered)]
    return Position((read or delivered)[0].account, max(times))
