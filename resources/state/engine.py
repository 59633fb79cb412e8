"""Opening the state database, durable and the same on SQLite and PostgreSQL, and bringing it up to date.

SQLite runs with WAL and `synchronous=FULL`, so that a committed row survives a power cut; write transactions
begin IMMEDIATE, so that a claim is decided when it begins and not when it commits. PostgreSQL runs with
`synchronous_commit=on`. A process opens and migrates each database once (`open_state`) and shares its connections.
"""

import atexit
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.engine import make_url

__all__ = ["State", "StateError", "open_state"]

_MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"
# The lock is not fair: where commits are slow, one of eight writers can wait for a minute. It need not fail.
_BUSY_SECONDS: Final = 120
# Held while a process migrates PostgreSQL, so that of several that start at once the others wait.
_MIGRATION_LOCK: Final = 7_315_204
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class StateError(RuntimeError):
    """The state database cannot be opened or brought up to date; the message names the remedy."""


class State:
    """The state database at an SQLAlchemy URL; on PostgreSQL in a schema of its own, if one is named.

    `begin()` is a write transaction, `read()` one that only reads. Both commit on leaving and roll back on an
    error. `engine` shares the connections of another state at the same URL.
    """

    def __init__(self, url: str, *, schema: str | None = None, engine: sa.Engine | None = None) -> None:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            # Written out, as SQLAlchemy's default driver for plain postgresql URLs changes with 2.1.
            parsed = parsed.set(drivername="postgresql+psycopg2")
        self._url = parsed
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite and parsed.database not in (None, "", ":memory:"):
            Path(str(parsed.database)).expanduser().parent.mkdir(parents=True, exist_ok=True)
        if schema is not None and (self.is_sqlite or _SCHEMA.fullmatch(schema) is None):
            raise ValueError(f"{schema!r} is no schema of {parsed.get_backend_name()}")
        self._schema = schema
        self.engine = engine or self._create_engine()

    def __repr__(self) -> str:
        return f"State({self._url.render_as_string(hide_password=True)!r})"

    def _create_engine(self) -> sa.Engine:
        if not self.is_sqlite:
            return sa.create_engine(
                self._url,
                pool_pre_ping=True,
                hide_parameters=True,
                connect_args={"options": "-c synchronous_commit=on"},
            )
        engine = sa.create_engine(self._url, hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS})

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
            self._enter_schema(connection)
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection:
            reader = connection.execution_options(reads_only=True)
            with reader.begin():
                self._enter_schema(reader)
                yield reader

    def _enter_schema(self, connection: sa.Connection) -> None:
        """For this transaction only, so that a pooled connection keeps nothing of it."""
        if self._schema is not None:
            connection.exec_driver_sql(f'SET LOCAL search_path TO "{self._schema}"')

    def migrate(self) -> None:
        """Bring the database to the newest schema, forward only. Raises: StateError."""
        config = self._migrations()
        try:
            with self.begin() as connection:
                if not self.is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                if self._revision(connection) == _newest_revision():
                    return
                if self._schema is not None:
                    connection.execute(sa.schema.CreateSchema(self._schema, if_not_exists=True))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except (sa.exc.SQLAlchemyError, CommandError) as error:
            raise StateError(f"{self!r} cannot be brought up to date: {error}") from error

    def revisions(self) -> tuple[str | None, str]:
        """The schema that the database has, None before the first migration, and the newest that there is.

        Changes nothing. Raises: StateError.
        """
        try:
            with self.read() as connection:
                return self._revision(connection), _newest_revision()
        except sa.exc.SQLAlchemyError as error:
            raise StateError(f"{self!r} cannot be read: {error}") from error

    def _revision(self, connection: sa.Connection) -> str | None:
        opts = {"version_table": self.version_table}
        return MigrationContext.configure(connection, opts=opts).get_current_revision()

    @property
    def version_table(self) -> str:
        """Where the schema's revision is kept; on PostgreSQL, Dagster may keep its own in the same database."""
        return "alembic_version" if self.is_sqlite else "state_version"

    def _migrations(self) -> Config:
        config = _config()
        config.attributes["version_table"] = self.version_table
        return config

    def close(self) -> None:
        """Close pooled connections; the next transaction opens one again."""
        self.engine.dispose()

    def is_there(self) -> bool:
        """Whether the database still exists: a SQLite file may be taken away while the process lives."""
        return not self.is_sqlite or Path(str(self._url.database)).expanduser().exists()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


@cache
def _newest_revision() -> str:
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


_opened: dict[tuple[str, str | None], State] = {}
_engines: dict[str, sa.Engine] = {}
_opening = threading.Lock()


def open_state(url: str, *, schema: str | None = None) -> State:
    """The state at its newest schema, opened and migrated once in this process. Raises: StateError.

    States at one URL share their connections, so that a process with many schemas holds no more than one with one.
    """
    with _opening:
        state = _opened.get((url, schema))
        if state is not None and not state.is_there():
            _engines.pop(url).dispose()
            state = None
        if state is None:
            state = State(url, schema=schema, engine=_engines.get(url))
            state.migrate()
            _opened[url, schema], _engines[url] = state, state.engine
        return state


def _forget() -> None:
    """A forked child has connections of its own, and leaves those of its parent alone."""
    for engine in _engines.values():
        engine.dispose(close=False)
    _opened.clear()
    _engines.clear()


def _close_all() -> None:
    for engine in _engines.values():
        engine.dispose()


os.register_at_fork(after_in_child=_forget)
atexit.register(_close_all)
