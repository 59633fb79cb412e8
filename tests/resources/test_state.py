"""The state database: transactions keep or lose everything, times keep their zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.state import State, open_state
from resources.state.extraction import runs
from resources.state.metadata import UtcTime
from tests.postgres import new_database

_NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
_ROW = {
    "run_id": "r",
    "account": "a",
    "status": "s",
    "plan": {},
    "holder": "h",
    "started_at": _NEW_YEAR,
    "heartbeat_at": _NEW_YEAR,
}


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
    def fail() -> None:
        with state.begin() as connection:
            connection.execute(runs.insert().values(**_ROW))
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


def test_a_process_opens_and_migrates_a_database_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded = []
    monkeypatch.setattr("alembic.command.upgrade", lambda config, to: upgraded.append(to))
    url = f"sqlite:///{tmp_path}/state.db"
    assert open_state(url) is open_state(url)
    assert upgraded == ["head"]


def test_a_database_that_was_taken_away_is_made_again(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/state.db", tmp_path / "state.db"
    with open_state(url).begin() as connection:
        connection.execute(runs.insert().values(**_ROW))
    for part in tmp_path.glob("state.db*"):
        part.unlink()
    with open_state(url).read() as connection:
        assert connection.execute(sa.select(runs)).all() == []
    assert file.exists()


def test_schemas_of_one_postgresql_keep_rows_apart_and_share_connections(postgres: str) -> None:
    url = new_database(postgres)
    names = [f"account_{number}" for number in range(12)]
    for name in names:
        with open_state(url, schema=name).begin() as connection:
            connection.execute(runs.insert().values(**{**_ROW, "account": name}))
    for name in names:
        with open_state(url, schema=name).read() as connection:
            assert connection.execute(sa.select(runs.c.account)).scalars().all() == [name]
            here = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            assert connection.exec_driver_sql(here).scalar() == 1
    with open_state(url).read() as connection:
        assert connection.execute(sa.select(runs)).all() == []
    open_state(url).close()


@pytest.mark.parametrize("name", ['a"; DROP SCHEMA public', "Upper", "", "1st"])
def test_a_schema_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no schema"):
        State("postgresql://127.0.0.1/state", schema=name)
