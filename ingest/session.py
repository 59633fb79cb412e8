"""What every run against an account shares: whose key it is, and its part of the account's pace.

Here: naming the account once per key, which of its streams are held, and the heartbeat that shares the pace with
other runs of it and shows other hosts that this one lives. Not here: what a run does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ingest.commit import lake_table
from ingest.streams import STREAMS
from resources.lake import Lake
from resources.loggers import get_logger
from resources.state import State
from resources.state.extraction import ExtractionState, SharedPace
from resources.stripe_api import PermissionMissing, StripeApi, WrongAccount

__all__ = ["heartbeat", "identify", "streams_held"]

_log = get_logger("stripe_mavera.extraction")
_STRIPE_BEGAN = int(datetime(2011, 1, 1, tzinfo=UTC).timestamp())
_BEAT_SECONDS = 1.0


async def identify(api: StripeApi, state: ExtractionState) -> tuple[str, int]:
    """The account's name in the state, `acct_…:live`, and the second of its creation; asked once per key.

    A key that may not read its account is told the id by Stripe's refusal; where it is not, the key is an account
    of its own, as old as Stripe. Raises: WrongAccount when it is not the account that an operator named, or the
    state has served another, as its tables would then mix the two.
    """
    known = state.account_of(api.fingerprint)
    if known is None:
        mode = "live" if api.kind.live else "test"
        try:
            account = (await api.account()).data
            created = account.get("created")
            known = (f"{account['id']}:{mode}", created if isinstance(created, int) else _STRIPE_BEGAN)
        except PermissionMissing as refusal:
            name = refusal.account or f"key_{api.fingerprint[:16]}"
            known = (f"{name}:{mode}", _STRIPE_BEGAN)
    if api.wanted_account is not None and known[0].partition(":")[0] != api.wanted_account:
        raise WrongAccount(f"the key belongs to {known[0]} and STRIPE_ACCOUNT names {api.wanted_account}")
    served = state.accounts()
    if served and known[0] not in served:
        raise WrongAccount(
            f"the tables hold the account {', '.join(sorted(served))} and the key belongs to {known[0]}: "
            "give each account its own LAKE_URI and STATE_DATABASE_URL"
        )
    state.remember_account(api.fingerprint, *known)
    return known


def streams_held(lake: Lake, cursor: sa.Row[Any] | None) -> frozenset[str]:
    """Streams that the cursor remembers as loaded and whose tables are all in the lake.

    One that has lost a table is loaded again: until then nothing is merged, as a few rows would hide the loss.
    """
    remembered = () if cursor is None else cursor.loaded
    return frozenset(
        name
        for name in remembered
        if name in STREAMS and all(lake.exists(lake_table(table)) for table in STREAMS[name].tables)
    )


@asynccontextmanager
async def heartbeat(
    api: StripeApi, database: State, account: str, run_id: str, now: Callable[[], datetime]
) -> AsyncIterator[None]:
    """While in the block: take this run's part of the account's pace once a second, and show that it lives."""
    task = asyncio.create_task(_beat(api, database, account, run_id, now))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _beat(api: StripeApi, database: State, account: str, run_id: str, now: Callable[[], datetime]) -> None:
    pace = SharedPace(database, account, run_id, now)
    runs = ExtractionState(database, now)
    try:
        while True:
            try:
                count, lowest = await asyncio.to_thread(pace.exchange, api.limiter.learned())
                api.limiter.share_with(count)
                api.limiter.heed(lowest)
                await asyncio.to_thread(runs.beat, run_id)
            except SQLAlchemyError as error:
                # A silent run is taken for dead on other hosts: the next beat may be heard again.
                told = getattr(error, "orig", None) or error
                _log.warning("heartbeat not written", extraction=run_id, error=str(told))
            await asyncio.sleep(_BEAT_SECONDS)
    finally:
        pace.leave()
