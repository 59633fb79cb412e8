"""Working off the webhook inbox: every object that events speak of is read again once, and merged.

Here: claiming, reading, settling, and setting aside what cannot be read without stopping the rest. Not here: the
receiver (`ingest.webhooks`), when a run starts (`ingest.inbox_tick`). An event is a hint and never data: it may be
late, doubled or out of order, the object read now is the truth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingest.inbox import DirtyObject, claim, fail, finish
from ingest.repair import read_objects_again
from resources.lake import Lake
from resources.state import State
from resources.stripe_api import StripeApi, StripeError, Unauthorized, Unreachable

__all__ = ["DrainReport", "drain"]

_BATCH_EVENTS = 500
_MOST_BATCHES = 200


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
) -> DrainReport:
    """Empty the inbox in batches.

    When a batch cannot be read, its objects are read one by one, so that only the one at fault is put back (and
    set aside after some tries). Raises: Unreachable, Unauthorized: nothing can be read at all; the events stay.
    """
    events = objects = put_back = 0
    for _ in range(_MOST_BATCHES):
        batch = claim(state, worker=worker, now=now(), limit=_BATCH_EVENTS)
        if not batch.objects:
            break
        pending: list[Sequence[DirtyObject]] = [batch.objects]
        while pending:
            some = pending.pop()
            try:
                await read_objects_again(api, lake, state, _by_table(some), now=now, staging=staging)
            except (Unreachable, Unauthorized):
                _put_back(state, batch.objects, worker, "Stripe cannot be asked", now())
                raise
            except StripeError as error:
                if len(some) > 1:
                    pending += [[one] for one in some]
                else:
                    put_back += _put_back(state, some, worker, str(error), now())
            else:
                events += finish(state, some, worker=worker, now=now())
                objects += len(some)
    return DrainReport(events, objects, put_back)


def _by_table(objects: Sequence[DirtyObject]) -> dict[str, list[str]]:
    """Ids by raw table; objects that no table keeps have nothing to be read for."""
    wanted: dict[str, list[str]] = {}
    for one in objects:
        if one.table is not None:
            wanted.setdefault(one.table, []).append(one.object_id)
    return wanted


def _put_back(state: State, objects: Sequence[DirtyObject], worker: str, reason: str, now: datetime) -> int:
    return fail(state, objects, worker=worker, reason=reason, now=now)
