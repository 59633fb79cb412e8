"""What the tests of this room share: a state database that has its tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.state import State, metadata


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(f"sqlite:///{tmp_path}/state.db")
    with opened.begin() as connection:
        metadata.create_all(connection)
    yield opened
    opened.close()
