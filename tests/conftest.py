"""What the tests of all rooms share."""

from collections.abc import Iterator

import pytest

from tests.postgres import postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL, without a database, of a real PostgreSQL server that lives as long as the session."""
    with postgres_server() as url:
        yield url
