"""Opening the state database, durable and the same on SQLite and PostgreSQL, and bringing it up to date.

SQLite runs with WAL and `synchronous=FULL`, so that a committed row survives a power cut; write transactions
begin IMMEDIATE, so that a claim is decided when it begins and not when it commits. PostgreSQL runs with
`synchronous_commit=on`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.engine import make_url

__all__ = ["State", "StateError"]

_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_BUSY_SECONDS = 30
# Held while a process migrates PostgreSQL, so that of several that start at once the others wait.
_MIGRATION_LOCK = 7_315_204


class StateError(RuntimeError):
    """The state database cannot be opened or brought up to date; the message names the remedy."""


class State:
    """The state database at an SQLAlchemy URL.

    `begin()` is a write transaction, `read()` one that only reads. Both commit on leaving and roll back on an
    error.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            # Written out, as SQLAlchemy's default driver for plain postgresql URLs changes with 2.1.
            parsed = parsed.set(drivername="postgresql+psycopg2")
        self._url = parsed
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite and parsed.database not in (None, "", ":memory:"):
            Path(str(parsed.database)).expanduser().parent.mkdir(parents=True, exist_ok=True)
        self.engine = self._create_engine()

    def __repr__(self) -> str:
        return f"State({self._url.render_as_string(hide_password=True)!r})"

    def _create_engine(self) -> sa.Engine:
        if not self.is_sqlite:
            return sa.create_engine(
                self._url, pool_pre_ping=True, connect_args={"options": "-c synchronous_commit=on"}
            )
        engine = sa.create_engine(self._url, connect_args={"timeout": _BUSY_SECONDS})

        @sa.event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # SQLAlchemy, not the driver, begins transactions
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            reads = connection.get_execution_options().get("reads_only", False)
            connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A write transaction; on SQLite it holds the write lock from its first instant."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection:
            reader = connection.execution_options(reads_only=True)
            with reader.begin():
                yield reader

    def migrate(self) -> None:
        """Bring the database to the newest schema, forward only. Raises: StateError."""
        config = self._migrations()
        try:
            with self.begin() as connection:
                if not self.is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except (sa.exc.SQLAlchemyError, CommandError) as error:
            raise StateError(f"{self!r} cannot be brought up to date: {error}") from error

    def revisions(self) -> tuple[str | None, str]:
        """The schema that the database has, None before the first migration, and the newest that there is.

        Changes nothing. Raises: StateError.
        """
        newest = ScriptDirectory.from_config(self._migrations()).get_current_head()
        assert newest is not None
        try:
            with self.read() as connection:
                context = MigrationContext.configure(connection, opts={"version_table": self.version_table})
                return context.get_current_revision(), newest
        except sa.exc.SQLAlchemyError as error:
            raise StateError(f"{self!r} cannot be read: {error}") from error

    @property
    def version_table(self) -> str:
        """Where the schema's revision is kept; on PostgreSQL, Dagster may keep its own in the same database."""
        return "alembic_version" if self.is_sqlite else "state_version"

    def _migrations(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["version_table"] = self.version_table
        return config

    def close(self) -> None:
        """Close pooled connections."""
        self.engine.dispose()
