"""The state database: transactions keep or lose everything, times keep their zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.state import State
from resources.state.extraction import runs
from resources.state.metadata import UtcTime


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(f"sqlite:///{tmp_path}/folder/state.db")
    opened.migrate()
    yield opened
    opened.close()


def test_sqlite_keeps_a_committed_row_through_a_power_cut(state: State) -> None:
    with state.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_an_error_rolls_a_transaction_back(state: State) -> None:
    row = {"run_id": "r", "account": "a", "status": "s", "plan": {}, "holder": "h"}
    times = {"started_at": datetime(2026, 1, 1, tzinfo=UTC), "heartbeat_at": datetime(2026, 1, 1, tzinfo=UTC)}

    def fail() -> None:
        with state.begin() as connection:
            connection.execute(runs.insert().values(**row, **times))
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    with state.read() as connection:
        assert connection.execute(sa.select(runs)).all() == []


def test_times_are_stored_in_utc_and_naive_ones_are_refused() -> None:
    there = UtcTime()
    dialect = sa.create_engine("sqlite://").dialect
    berlin = datetime(2026, 11, 24, 7, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    stored = there.process_bind_param(berlin, dialect)
    assert there.process_result_value(stored, dialect) == datetime(2026, 11, 24, 6, 0, 0, 5, tzinfo=UTC)
    with pytest.raises(ValueError, match="time without zone"):
        there.process_bind_param(datetime(2026, 1, 1), dialect)  # noqa: DTZ001 - what is refused


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(State("postgresql://user:secret@127.0.0.1/state"))
