"""Staging: pages on local disk, journalled, so that a killed run goes on where it was.

Here: a part file per stream, appended and synced before the journal row that counts its bytes is committed; what
lies past that length is ignored and cut off. Pages that arrive while a write is under way share the next one.
Not here: what the rows are and how parts become tables (`ingest.commit`).
"""

import asyncio
import os
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from sqlalchemy.exc import SQLAlchemyError

from ingest.streams import STAGED
from ingest.tables import QUARANTINE
from ingest.windows import Windows
from resources.state.extraction import ExtractionState, Journalled

__all__ = ["QUARANTINE_TABLE", "Part", "Staging", "StagingError", "schema_of"]

_PAGES_AT_ONCE = 64
_FRAME = struct.Struct("<IQ")
QUARANTINE_TABLE = "quarantine"


class StagingError(RuntimeError):
    """Pages cannot be kept on disk; the message names the folder and the remedy."""


def schema_of(table: str) -> pa.Schema:
    """The schema in which rows of a table are staged."""
    return QUARANTINE if table == QUARANTINE_TABLE else STAGED[table]


@dataclass
class Part:
    """The staged rows of one stream, and how far its list has been read. `bytes` is what is journalled."""

    name: str
    tables: tuple[str, ...]
    path: Path
    windows: Windows = field(default_factory=Windows)
    bytes: int = 0
    committed: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    sublists: dict[str, dict[str, Any]] = field(default_factory=dict)
    fields: set[str] = field(default_factory=set)
    fresh: bool = True

    def add(self, **counts: int) -> None:
        """Raise counters."""
        for name, more in counts.items():
            self.counts[name] = self.counts.get(name, 0) + more

    def batches(self, table: str) -> Iterator[pa.RecordBatch]:
        """The journalled rows of one table, in the order in which they were staged."""
        if not self.bytes:
            return
        wanted, schema = self.tables.index(table), schema_of(table)
        with self.path.open("rb") as file:
            while file.tell() < self.bytes:
                index, length = _FRAME.unpack(file.read(_FRAME.size))
                if index != wanted:
                    file.seek(length, os.SEEK_CUR)
                    continue
                message = pa.ipc.read_message(pa.BufferReader(file.read(length)))
                yield pa.ipc.read_record_batch(message, schema)

    def column(self, table: str, *columns: str) -> pa.Table:
        """Some columns of one table, in memory of their own."""
        schema = pa.schema([schema_of(table).field(name) for name in columns])
        whole: list[pa.Table] = [schema.empty_table()]
        waiting: list[pa.RecordBatch] = []

        def gather() -> None:
            # A column of a batch keeps the whole page in memory: joining them copies what is wanted.
            if waiting:
                whole.append(pa.Table.from_batches(waiting, schema).combine_chunks())
                waiting.clear()

        for batch in self.batches(table):
            waiting.append(pa.RecordBatch.from_arrays([batch.column(name) for name in columns], schema=schema))
            if len(waiting) == _PAGES_AT_ONCE:
                gather()
        gather()
        return pa.concat_tables(whole)


@dataclass(frozen=True)
class _Entry:
    part: Part
    frames: bytes
    remaining: list[dict[str, Any]]
    counts: dict[str, int]
    opened: Sequence[tuple[str, Mapping[str, Any]]]
    closed: Sequence[str]
    done: "asyncio.Future[None]"


class Staging:
    """The parts of one run below `folder`. Use as an asynchronous context manager."""

    def __init__(self, folder: Path, state: ExtractionState, run_id: str) -> None:
        self.folder = folder / run_id
        self._root, self._state, self._run_id = folder, state, run_id
        self._journal: dict[str, Journalled] = state.journal(run_id)
        self._files: dict[str, BinaryIO] = {}
        self.parts: dict[str, Part] = {}
        self._queue: list[_Entry] = []
        self._more = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._failed: Exception | None = None

    async def __aenter__(self) -> "Staging":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._trouble(error) from error
        self._writer = asyncio.create_task(self._write_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._writer is not None
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        if self._flushing is not None:
            # A thread that writes cannot be cancelled: its files are closed when it is done.
            await asyncio.gather(self._flushing, return_exceptions=True)
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _trouble(self, error: Exception) -> StagingError:
        cause = getattr(error, "strerror", None) or getattr(error, "orig", None) or error
        return StagingError(
            f"pages cannot be staged in {self.folder}: {cause}; "
            "tables are as they were, free space there and run again"
        )

    def part(self, name: str, tables: tuple[str, ...]) -> Part:
        """The part of a name, with what the journal knows of it."""
        if name in self.parts:
            return self.parts[name]
        part = Part(name, (*tables, QUARANTINE_TABLE), self.folder / f"{name}.part")
        known = self._journal.get(name)
        if known is not None and (known.committed or self._size(part.path) >= known.part_bytes):
            part.windows = Windows.from_json(known.remaining)
            part.bytes, part.committed = known.part_bytes, known.committed
            part.counts, part.sublists, part.fresh = dict(known.counts), dict(known.sublists), False
            if self._size(part.path) < part.bytes:
                part.bytes = 0  # committed earlier, its file is gone
        self.parts[name] = part
        return part

    @staticmethod
    def _size(path: Path) -> int:
        return path.stat().st_size if path.exists() else -1

    def write(
        self,
        part: Part,
        rows: Mapping[str, list[dict[str, Any]] | pa.Table],
        *,
        opened: Sequence[tuple[str, Mapping[str, Any]]] = (),
        closed: Sequence[str] = (),
    ) -> "asyncio.Future[None]":
        """Stage rows by table and journal the part as it stands at this call; done when both are durable.

        The rows themselves are not needed after the call. The future raises: StagingError, also for every write
        after one that failed: what they would journal counts its rows.
        """
        frames = bytearray()
        for table, given in rows.items():
            if not len(given):
                continue
            schema = schema_of(table)
            data = given if isinstance(given, pa.Table) else [pa.RecordBatch.from_pylist(given, schema=schema)]
            for batch in (
                data.select(schema.names).cast(schema).to_batches() if isinstance(data, pa.Table) else data
            ):
                body = batch.serialize()
                frames += _FRAME.pack(part.tables.index(table), body.size)
                frames += body
            if table != QUARANTINE_TABLE:
                part.add(**{f"rows:{table}": len(given)})
            else:
                part.add(quarantined=len(given))
        for parent, work in opened:
            part.sublists[parent] = dict(work)
        for parent in closed:
            part.sublists.pop(parent, None)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._failed is not None:
            done.set_exception(self._failed)
            return done
        self._queue.append(
            _Entry(part, bytes(frames), part.windows.to_json(), dict(part.counts), opened, closed, done)
        )
        self._more.set()
        return done

    async def _write_on(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            entries, self._queue = self._queue, []
            try:
                self._flushing = asyncio.create_task(asyncio.to_thread(self._flush, entries))
                await asyncio.shield(self._flushing)
            except Exception as error:  # noqa: BLE001 - whoever waits for the write must hear of it
                known = isinstance(error, (OSError, SQLAlchemyError))
                self._failed = self._trouble(error) if known else error
                for entry in (*entries, *self._queue):
                    if not entry.done.done():
                        entry.done.set_exception(self._failed)
                return
            for entry in entries:
                if not entry.done.done():
                    entry.done.set_result(None)

    def _flush(self, entries: list[_Entry]) -> None:
        lengths: dict[str, int] = {}
        for entry in entries:
            part = entry.part
            file = self._files.get(part.name)
            if file is None:
                file = self._files[part.name] = part.path.open("r+b" if part.path.exists() else "w+b")
                file.truncate(part.bytes)
            if part.name not in lengths:
                file.seek(part.bytes)
                lengths[part.name] = part.bytes
            file.write(entry.frames)
            lengths[part.name] += len(entry.frames)
        for name in lengths:
            self._files[name].flush()
            os.fsync(self._files[name].fileno())
        journal: dict[str, dict[str, Any]] = {}
        for entry in entries:
            name = entry.part.name
            journal[name] = {
                "remaining": entry.remaining,
                "part_bytes": lengths[name],
                "counts": entry.counts,
                "committed": entry.part.committed,
            }
        self._state.write_journal(
            self._run_id,
            journal,
            [(entry.part.name, parent, work) for entry in entries for parent, work in entry.opened],
            [(entry.part.name, parent) for entry in entries for parent in entry.closed],
        )
        for entry in entries:
            entry.part.bytes = lengths[entry.part.name]

    def committed(self, part: Part) -> None:
        """Journal that the rows of a part are in the lake."""
        part.committed = True
        self._state.committed(self._run_id, part.name)

    def clear(self) -> None:
        """Remove this run's folder and those of runs that nobody will go on with."""
        there = {left.name for left in self._root.iterdir()} if self._root.is_dir() else set()
        for run_id in there & {self._run_id, *self._state.over(there)}:
            shutil.rmtree(self._root / run_id, ignore_errors=True)
