"""What every run against an account shares: whose key it is, and its part of the account's pace.

Here: naming the account once per key, and the heartbeat that shares the pace with other runs of it and shows other
hosts that this one lives. Not here: what a run does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from resources.state import State
from resources.state.extraction import ExtractionState, SharedPace
from resources.stripe_api import PermissionMissing, StripeApi

__all__ = ["heartbeat", "identify"]

_STRIPE_BEGAN = int(datetime(2011, 1, 1, tzinfo=UTC).timestamp())
_BEAT_SECONDS = 1.0


async def identify(api: StripeApi, state: ExtractionState) -> tuple[str, int]:
    """The account's name in the state, `acct_…:live`, and the second of its creation; asked once per key.

    A key that may not read its account is an account of its own, as old as Stripe.
    """
    known = state.account_of(api.fingerprint)
    if known is None:
        mode = "live" if api.kind.live else "test"
        try:
            account = (await api.account()).data
            created = account.get("created")
            known = (f"{account['id']}:{mode}", created if isinstance(created, int) else _STRIPE_BEGAN)
        except PermissionMissing:
            known = (f"key_{api.fingerprint[:16]}:{mode}", _STRIPE_BEGAN)
        state.remember_account(api.fingerprint, *known)
    return known


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
            count, lowest = await asyncio.to_thread(pace.exchange, api.limiter.learned())
            api.limiter.share_with(count)
            api.limiter.heed(lowest)
            await asyncio.to_thread(runs.beat, run_id)
            await asyncio.sleep(_BEAT_SECONDS)
    finally:
        pace.leave()
