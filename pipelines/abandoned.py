"""Runs of the command line whose process is gone: ended as failed, and the pools that they held freed.

Without this a killed run would keep its slot in a pool, and each later run would wait for it for ever: Dagster's
daemon frees such slots, and the command line works without one. A run holds the lock of its file as long as its
process lives, however that ends. Not here: runs that Dagster started, which its daemon looks after.
"""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster import DagsterInstance

__all__ = ["end_abandoned_runs", "run_of_this_process"]

_FOLDER = "running"


@contextmanager
def run_of_this_process(home: Path) -> Iterator[str]:
    """The id for a new run, on record as alive while inside."""
    run_id = str(uuid.uuid4())
    folder = home / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    draft, target = folder / f".{run_id}", folder / run_id
    with draft.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft.rename(target)  # locked before anybody can see it
        try:
            yield run_id
        finally:
            target.unlink(missing_ok=True)


def end_abandoned_runs(instance: DagsterInstance, home: Path) -> list[str]:
    """Fail the runs whose process is gone, and free their slots; which they were."""
    ended = []
    for path in sorted((home / _FOLDER).glob("[!.]*")):
        try:
            with path.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                run = instance.get_run_by_id(path.name)
                if run is not None and not run.is_finished:
                    instance.report_run_failed(run, "The process of this run is gone.")
                    ended.append(run.run_id)
                instance.event_log_storage.free_concurrency_slots_for_run(path.name)
                path.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # it is alive, or it has just ended
    return ended
