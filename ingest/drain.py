"""Working off the webhook inbox: every object that events speak of is read again once, and merged.

Here: claiming, reading, settling, and setting aside what cannot be read without stopping the rest. While nothing
can be read, whosever fault that is, events wait and lose no attempt. Not here: the receiver (`ingest.webhooks`),
when a run starts (`ingest.inbox_tick`). An event is a hint and never data: it may be late, doubled or out of
order, the object read now is the truth.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ingest.inbox import DirtyObject, claim, fail, finish, give_back
from ingest.repair import read_objects_again
from ingest.staging import StagingError
from ingest.streams import EVENTS
from resources.lake import Lake, LakeError
from resources.loggers import get_logger
from resources.state import State
from resources.stripe_api import StripeApi, StripeError, StripeUnavailable, Unauthorized, Unreachable, WrongAccount

__all__ = ["DrainReport", "callbacks", "drain"]

_log = get_logger("stripe_mavera.inbox")
_BATCH_EVENTS = 500
_MOST_BATCHES = 200
_NO_EVENTS_FAULT = (Unreachable, Unauthorized, WrongAccount)
# Also what a full disk looks like, and a run that is stopped.
_NOTHING_CAN_BE_READ = (
    *_NO_EVENTS_FAULT,
    StripeUnavailable,
    StagingError,
    LakeError,
    OSError,
    SQLAlchemyError,
    asyncio.CancelledError,
)


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What became of the inbox: events worked off, distinct objects read, events put back with a reason."""

    events: int = 0
    objects: int = 0
    put_back: int = 0


async def drain(
    api: StripeApi,
    lake: Lake,
    state: State,
    *,
    now: Callable[[], datetime],
    staging: Path,
    worker: str,
    until: datetime | None = None,
) -> DrainReport:
    """Empty the inbox of Stripe's events in batches, or of those that had arrived at `until`.

    A batch that cannot be read is halved until only the objects at fault are left; those are put back (and set
    aside after some tries). Raises: Unreachable, Unauthorized, WrongAccount, StripeUnavailable, StagingError,
    LakeError, SQLAlchemyError: nothing can be read at all; the events stay, however often.
    """
    events = objects = put_back = 0
    for _ in range(_MOST_BATCHES):
        batch = claim(state, worker=worker, now=now(), origin="stripe", until=until, limit=_BATCH_EVENTS)
        if not batch.objects:
            break
        # By table, as what cannot be read often shares one: a permission is missing, an operation fails.
        pending: list[Sequence[DirtyObject]] = [sorted(batch.objects, key=lambda one: one.table or "")]
        while pending:
            some = pending.pop()
            try:
                error = await _read(api, lake, state, _by_table(some), now=now, staging=staging)
            except _NOTHING_CAN_BE_READ as failure:
                why = f"nothing could be read: {type(failure).__name__}"
                give_back(state, batch.objects, worker=worker, reason=why, now=now())
                raise
            if error is not None:
                if len(some) > 1:
                    half = len(some) // 2
                    pending += [some[half:], some[:half]]
                else:
                    put_back += fail(state, some, worker=worker, reason=str(error), now=now())
            else:
                events += finish(state, some, worker=worker, now=now())
                objects += len(some)
    if events or put_back:
        say = _log.warning if put_back else _log.info
        say("webhooks worked off", events=events, objects=objects, put_back=put_back)
    return DrainReport(events, objects, put_back)


async def _read(
    api: StripeApi,
    lake: Lake,
    state: State,
    wanted: dict[str, list[str]],
    *,
    now: Callable[[], datetime],
    staging: Path,
) -> StripeError | None:
    """Read and merge; the error if some of these objects are at fault. Raises the others, where Stripe is."""
    try:
        await read_objects_again(api, lake, state, wanted, now=now, staging=staging)
    except _NO_EVENTS_FAULT:
        raise
    except StripeUnavailable as error:
        # Server errors may be one object's or everybody's: the cheapest list tells.
        await api.list_page(EVENTS.path, {"limit": 1})
        return error
    except StripeError as error:
        return error
    return None


def _by_table(objects: Sequence[DirtyObject]) -> dict[str, list[str]]:
    """Ids by raw table; objects that no table keeps have nothing to be read for."""
    wanted: dict[str, list[str]] = {}
    for one in objects:
        if one.table is not None:
            wanted.setdefault(one.table, []).append(one.object_id)
    return wanted


@contextmanager
def callbacks(state: State, *, now: Callable[[], datetime], worker: str) -> Iterator[int]:
    """Around a reading of Mavera that answers all its callbacks at once: they are done if it ends well.

    Gives how many objects they speak of. If it fails they wait for the next one.
    """
    claimed: list[DirtyObject] = []
    while batch := claim(state, worker=worker, now=now(), origin="mavera", limit=_BATCH_EVENTS).objects:
        claimed += batch
    try:
        yield len(claimed)
    except BaseException:
        give_back(state, claimed, worker=worker, reason="Mavera could not be read", now=now())
        raise
    finish(state, claimed, worker=worker, now=now())
