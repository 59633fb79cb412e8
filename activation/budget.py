"""Caps on credits: checked and reserved in one transaction, so that no two reservations pass a cap together.

Here: the sums and the check. Not here: who holds the lock (`ledger`, by the audit head). Every attempt counts its
credits from its claim on: the worst price until it is settled to the charge or released; an attempt of unknown
outcome keeps counting. Days and months are UTC, by the time of the claim.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from activation.policy import Caps
from resources.state.ledger import attempts

__all__ = ["Spend", "breached_cap", "spend_of"]


@dataclass(frozen=True, kw_only=True)
class Spend:
    """Credits counted against each cap, and how much of the month is settled by an answer."""

    run: int
    day: int
    month: int
    month_settled: int


def spend_of(connection: sa.Connection, environment: str, *, run_id: str, now: datetime) -> Spend:
    """What counts against the caps now."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    this_month = attempts.c.started_at >= day.replace(day=1)

    def sum_where(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, attempts.c.credits), else_=0)), 0)

    mine = attempts.c.run_id == run_id
    sums = sa.select(
        sum_where(mine),
        sum_where(attempts.c.started_at >= day),
        sum_where(this_month),
        sum_where(sa.and_(this_month, attempts.c.settled)),
    ).where(attempts.c.environment == environment, sa.or_(this_month, mine))
    run, today, month, settled = connection.execute(sums).one()
    return Spend(run=int(run), day=int(today), month=int(month), month_settled=int(settled))


def breached_cap(
    connection: sa.Connection, environment: str, *, credits: int, caps: Caps, run_id: str, now: datetime
) -> str | None:
    """The cap that `credits` more would pass, in words; None when they fit."""
    spent = spend_of(connection, environment, run_id=run_id, now=now)
    if caps.left is not None and spent.run + credits > caps.left:
        left = f"the {caps.left} that the account has left for this run"
        return f"{credits} credits more would pass {left} ({spent.run} counted)"
    for name, cap, counted in (
        ("run", caps.per_run, spent.run),
        ("day", caps.per_day, spent.day),
        ("month", caps.per_month, spent.month),
    ):
        if cap is not None and counted + credits > cap:
            return f"{credits} credits more would pass the cap of {cap} credits a {name} ({counted} counted)"
    return None
