"""The migrations make exactly the tables that the modules of the state declare, from every earlier schema."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from resources.state import State, StateError, metadata
from tests.postgres import new_database

_SCRIPTS = ScriptDirectory(str(Path(__file__).parents[2] / "resources" / "migrations"))
_REVISIONS = [script.revision for script in reversed(list(_SCRIPTS.walk_revisions()))]


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    """An empty database."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/state.db" if sqlite else new_database(request.getfixturevalue("postgres"))
    opened = State(url)
    yield opened
    opened.close()


def _differences(state: State) -> list[object]:
    with state.read() as connection:
        options = {"compare_type": True, "version_table": state.version_table}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _bring_to(state: State, revision: str) -> None:
    config = state._migrations()
    with state.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_a_migrated_database_is_what_the_modules_declare(state: State) -> None:
    assert state.revisions() == (None, _REVISIONS[-1])
    state.migrate()
    assert _differences(state) == []
    assert state.revisions() == (_REVISIONS[-1], _REVISIONS[-1])


@pytest.mark.parametrize("earlier", _REVISIONS)
def test_every_earlier_schema_comes_up_to_date_and_keeps_its_rows(state: State, earlier: str) -> None:
    _bring_to(state, earlier)
    times = {"started_at": 1_767_225_600_000_000, "heartbeat_at": 1_767_225_600_000_000}
    row = {"run_id": "r", "account": "acct_1", "status": "complete", "plan": "{}", "holder": "h", **times}
    insert = f"INSERT INTO extraction_runs ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"
    with state.begin() as connection:
        connection.execute(sa.text(insert), row)

    state.migrate()
    state.migrate()

    assert _differences(state) == []
    with state.read() as connection:
        assert connection.execute(sa.text("SELECT account FROM extraction_runs")).scalars().all() == ["acct_1"]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(state: State) -> None:
    state.migrate()
    with state.begin() as connection:
        connection.execute(sa.text(f"UPDATE {state.version_table} SET version_num = '9999'"))
    with pytest.raises(StateError, match="9999"):
        state.migrate()
    assert state.revisions()[0] == "9999"


def test_processes_that_start_at_once_migrate_one_after_the_other(state: State) -> None:
    url, errors = state.engine.url.render_as_string(hide_password=False), []
    barrier = threading.Barrier(3)

    def start() -> None:
        own = State(url)
        barrier.wait()
        try:
            own.migrate()
        except StateError as error:
            errors.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert _differences(state) == []
