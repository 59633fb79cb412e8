"""The whole product on one PostgreSQL database: Dagster's storage and the state, by settings alone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from dagster import DagsterInstance
from rich.console import Console

from pipelines.answer import Exit
from pipelines.migration import migrate
from pipelines.settings import Settings
from pipelines.tasks import refresh
from resources.state import State
from sandbox.launch import Sandbox
from tests.postgres import new_database, packaged_binaries, postgres_server


@pytest.fixture
def small() -> Iterator[Sandbox]:
    with Sandbox(customers=60, seed=7) as running:
        yield running


@pytest.fixture
def database(postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "")
    return new_database(postgres)


def test_a_refresh_keeps_runs_events_and_state_in_postgresql(
    small: Sandbox, settings_for: Callable[..., Settings], database: str, tmp_path: Path
) -> None:
    settings = settings_for(small, dagster_postgres_url=database, state_database_url=database)
    assert migrate(settings, note=lambda _: None).payload["state"] == {
        "before": None,
        "after": State(database).revisions()[1],
    }

    first = refresh(settings, Console(quiet=True))
    assert first.exit is Exit.DONE, first.payload
    assert first.payload["credits_charged"] > 0
    second = refresh(settings, Console(quiet=True))
    assert second.exit is Exit.DONE, second.payload
    assert second.payload["credits_charged"] == 0
    assert migrate(settings, note=lambda _: None).exit is Exit.DONE

    with DagsterInstance.get() as instance:
        assert type(instance.run_storage).__module__.startswith("dagster_postgres")
    connection = psycopg2.connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SELECT run_id FROM runs ORDER BY id")
        assert [row[0] for row in cursor.fetchall()] == [first.payload["run_id"], second.payload["run_id"]]
        cursor.execute("SELECT count(*) FROM mavera_intents WHERE state = 'done'")
        assert cursor.fetchall()[0][0] > 0
    connection.close()
    assert not list(tmp_path.rglob("*.db")), "something was kept in SQLite all the same"


def test_the_instance_file_names_the_variable_and_never_the_password(
    settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.dagster_home import prepare_dagster_home

    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "")
    settings = settings_for(dagster_postgres_url="postgres://dagster:verysecret@db.internal/dagster")
    home = prepare_dagster_home(settings)
    written = (home / "dagster.yaml").read_text(encoding="utf-8")
    assert "verysecret" not in written
    assert "DAGSTER_POSTGRES_URL" in written
    # SQLAlchemy knows no `postgres://`, and its default driver for the plain name changes with 2.1.
    assert os.environ["DAGSTER_POSTGRES_URL"] == "postgresql+psycopg2://dagster:verysecret@db.internal/dagster"


def test_the_packaged_server_works_where_the_machine_has_none() -> None:
    with postgres_server(packaged_binaries()) as server:
        state = State(new_database(server))
        state.migrate()
        assert state.revisions()[0] is not None
        state.close()
