"""State databases for tests: a SQLite file, or a database of a real PostgreSQL server."""

import uuid
from pathlib import Path

from resources.state import State, metadata
from tests.postgres import new_database

__all__ = ["fresh_database"]


def fresh_database(server: str | None, folder: Path) -> str:
    """The URL of an empty state database with all tables."""
    url = f"sqlite:///{folder / f'{uuid.uuid4().hex}.db'}" if server is None else new_database(server)
    state = State(url)
    metadata.create_all(state.engine)
    state.close()
    return url
