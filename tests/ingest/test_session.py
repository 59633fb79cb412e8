"""The heartbeat of a run goes on over an error of the database."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from ingest import session
from resources.limiter import Limiter
from resources.state import State
from resources.state.extraction import ExtractionState, SharedPace, runs
from resources.stripe_api import StripeApi
from tests.ingest.account import KEY

_NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize("door", [(SharedPace, "exchange"), (ExtractionState, "beat")], ids=["pace", "beat"])
def test_a_run_shows_again_that_it_lives_when_the_database_is_back(
    door: tuple[type, str], state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ExtractionState(state, lambda: _NOW).begin_run("run", "acct", {})
    later = _NOW + timedelta(minutes=5)
    owner, name = door
    through = getattr(owner, name)
    failed: list[str] = []

    def fails_once(*arguments: object) -> object:
        if not failed:
            failed.append(name)
            raise OperationalError("UPDATE", {}, Exception("database is locked"))
        return through(*arguments)

    def heard() -> datetime:
        with state.read() as connection:
            beat: datetime = connection.scalars(sa.select(runs.c.heartbeat_at)).one()
            return beat

    monkeypatch.setattr(owner, name, fails_once)
    monkeypatch.setattr(session, "_BEAT_SECONDS", 0)

    async def scenario() -> None:
        async with (
            asyncio.timeout(30),
            StripeApi(KEY, limiter=Limiter(requests_per_second=1)) as api,
            session.heartbeat(api, state, "acct", "run", lambda: later),
        ):
            while heard() != later:
                await asyncio.sleep(0)

    asyncio.run(scenario())
    assert failed
    assert "database is locked" in caplog.text
