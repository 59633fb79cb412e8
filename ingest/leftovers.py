"""Staging folders that nothing will read again: left by runs that were given up or that the state has forgotten.

Here: finding and removing them. Not here: folders of runs that the next extraction goes on with, which it removes
itself when it is done (`ingest.staging`).
"""

import shutil
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from resources.state import State
from resources.state.extraction import runs

__all__ = ["clear_leftovers"]


def clear_leftovers(folder: Path, state: State, *, before: datetime) -> tuple[str, ...]:
    """Remove folders that were last written before `before` and belong to no unfinished run; their names."""
    if not folder.is_dir():
        return ()
    with state.read() as connection:
        wanted = set(connection.scalars(sa.select(runs.c.run_id).where(runs.c.status.in_(("running", "failed")))))
    gone = []
    for left in sorted(folder.iterdir()):
        if left.is_dir() and left.name not in wanted and left.stat().st_mtime < before.timestamp():
            shutil.rmtree(left)
            gone.append(left.name)
    return tuple(gone)
