"""Keeping Delta tables small: fewer, larger files, and none that only old versions need.

Here: compaction and vacuum of one table. Not here: which tables there are and when (`pipelines.maintenance`).
Rows stay the same; versions older than the time kept can no longer be read. Files that a killed writer left are
removed as well once they are as old. https://delta-io.github.io/delta-rs/usage/optimize/small-file-compaction-with-optimize/
"""

from dataclasses import dataclass
from datetime import timedelta

from deltalake.exceptions import CommitFailedError, DeltaError

from resources.lake import Lake, LakeConflictError, LakeError

__all__ = ["LEAST_KEPT", "Tidied", "tidy"]

# Delta's own default; below it a reader or writer under way could lose its files.
LEAST_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What was done to a table: its files before and after, and files removed from storage."""

    files_before: int
    files_after: int
    removed: int


def tidy(lake: Lake, table: str, *, keep: timedelta = LEAST_KEPT) -> Tidied:
    """Compact a table and remove files that no version of the last `keep` needs.

    Raises: TableMissingError, LakeConflictError if the table was being written, LakeError.
    """
    if keep < LEAST_KEPT:
        raise ValueError(f"files are kept for at least {LEAST_KEPT.days} days, not {keep}")
    delta = lake.open(table)
    try:
        before = len(delta.file_uris())
        delta.optimize.compact()
        removed = delta.vacuum(retention_hours=int(keep / timedelta(hours=1)), dry_run=False, full=True)
        delta.create_checkpoint()
        delta.cleanup_metadata()
        return Tidied(files_before=before, files_after=len(delta.file_uris()), removed=len(removed))
    except CommitFailedError as error:
        raise LakeConflictError(f"{table} was written meanwhile: the next run compacts it") from error
    except (DeltaError, OSError) as error:
        raise LakeError(f"{table} cannot be compacted in {lake.uri}: {error}") from error
