"""The migrations make exactly the tables that the modules of the state declare."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from resources.state import State, metadata


def test_a_migrated_database_is_what_the_modules_declare(tmp_path: Path) -> None:
    state = State(f"sqlite:///{tmp_path}/state.db")
    state.migrate()
    with state.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    state.close()
