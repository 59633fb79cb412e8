"""Many staged rows into a table that holds rows already: its next version is made in one stream.

Here: which stored rows leave and which staged ones enter, by id and version, a part of the ids at a time. Not
here: a few changes, which a merge writes faster (`ingest.commit`); it holds over a kilobyte for each staged row.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from resources.lake import Lake, LakeConflictError

__all__ = ["Mask", "alike", "rewrite", "rewriting_pays"]

Mask: TypeAlias = npt.NDArray[np.bool_]
_Places: TypeAlias = npt.NDArray[np.int64]

_IDS_AT_ONCE = 100_000
_MERGED = 100_000
_ROWS_TO_A_BATCH = 16_384
_TRIES = 3


def rewriting_pays(staged: int, stored: int) -> bool:
    """Whether so many staged rows are too many for a merge, and enough to write the stored ones again for them."""
    return staged > _MERGED and staged * 4 > stored


def alike(*columns: pa.StringArray) -> Iterator[tuple[_Places, ...]]:
    """Places of ids in each column, equal ids together: of millions, only a part is looked up at once."""
    if max(map(len, columns)) < _IDS_AT_ONCE:
        yield tuple(np.arange(len(column)) for column in columns)
        return
    letters = [_last_letters(column) for column in columns]
    for letter in np.unique(np.concatenate(letters)):
        yield tuple(np.flatnonzero(found == letter) for found in letters)


def _last_letters(ids: pa.StringArray) -> npt.NDArray[np.uint8]:
    if not len(ids):
        return np.zeros(0, np.uint8)
    _, offsets, texts = ids.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[ids.offset + 1 : ids.offset + len(ids) + 1]
    return np.frombuffer(texts, dtype=np.uint8)[ends - 1]


def rewrite(
    lake: Lake,
    name: str,
    schema: pa.Schema,
    heads: pa.Table,
    kept: Mask,
    staged: Callable[[Mask], Iterator[pa.RecordBatch]],
    *,
    gone: pa.Array | None,
    facts: dict[str, str],
) -> int:
    """Bring the staged rows that `kept` marks into the table; returns its new version.

    `heads` are id and version of all staged rows, and `staged` streams those that a mask chooses. A staged row
    enters unless the stored one is newer; `gone` are ids of stored rows that leave. Raises: LakeError.
    """
    for attempt in range(1, _TRIES + 1):
        version = lake.version(name)
        stored = lake.dataset(name, version=version)
        enters, stays = _decide(heads, kept, _in_order(stored, schema, ("id", "version_at")), gone)
        rows = chain(_staying(stored, schema, stays), staged(enters))
        stream = pa.RecordBatchReader.from_batches(schema, rows)
        try:
            return lake.rewrite(name, stream, schema, read_version=version, facts=facts)
        except LakeConflictError:
            if attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def _in_order(stored: pads.Dataset, schema: pa.Schema, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """The stored rows in the order of their files, which is the same each time."""
    fields = pa.schema([schema.field(name) for name in names])
    for fragment in stored.get_fragments():
        for batch in fragment.to_batches(
            schema=fields, columns=list(names), batch_size=_ROWS_TO_A_BATCH, batch_readahead=1
        ):
            yield batch.select(list(names)).cast(fields)


def _decide(
    heads: pa.Table, kept: Mask, batches: Iterator[pa.RecordBatch], gone: pa.Array | None
) -> tuple[Mask, Mask]:
    """Which staged rows enter and which stored ones stay."""
    fields = pa.schema([heads.schema.field(name) for name in ("id", "version_at")])
    stored = pa.Table.from_batches(batches, fields).combine_chunks()
    new, old = (table["id"].combine_chunks() for table in (heads, stored))
    new_at, old_at = (table["version_at"].cast(pa.int64()).to_numpy() for table in (heads, stored))
    enters, stays = kept.copy(), np.ones(len(stored), dtype=bool)
    for fresh, there in alike(new, old):
        fresh = fresh[kept[fresh]]
        known = old.take(pa.array(there))
        if gone is not None and len(gone):
            stays[there[np.asarray(pc.is_in(known, value_set=gone))]] = False
        places = pc.index_in(new.take(pa.array(fresh)), value_set=known)
        matched = np.flatnonzero(np.asarray(pc.is_valid(places)))
        mine, its = fresh[matched], there[np.asarray(places.drop_null())]
        older = new_at[mine] < old_at[its]
        enters[mine[older]] = False
        stays[its[~older]] = False
    pa.default_memory_pool().release_unused()
    return enters, stays


def _staying(stored: pads.Dataset, schema: pa.Schema, stays: Mask) -> Iterator[pa.RecordBatch]:
    offset = 0
    for batch in _in_order(stored, schema, tuple(schema.names)):
        wanted = stays[offset : offset + len(batch)]
        offset += len(batch)
        if wanted.any():
            yield batch if wanted.all() else batch.filter(pa.array(wanted))
