"""Adding up a run: what was read, written, refused and left, into the report.

Here: collecting and the mode of each table. Not here: the shape of the report (`ingest.report`).
"""

from collections.abc import Iterable

from ingest.commit import TableWrite, lake_table
from ingest.progress import ProgressBoard
from ingest.report import ExtractReport, Mode, StreamReport, TableReport
from ingest.staging import QUARANTINE_TABLE, Part
from ingest.streams import EVENTS, STREAMS, Stream
from resources.lake import Lake
from resources.stripe_api import StripeApi

__all__ = ["Tally"]


class Tally:
    """What a run has come to so far; `errors` and `unfinished` are by stream."""

    def __init__(self, api: StripeApi, lake: Lake, board: ProgressBoard) -> None:
        self._api, self._lake, self._board = api, lake, board
        self._parts: dict[str, list[Part]] = {}
        self._written: dict[str, list[TableWrite]] = {}
        self.backfilled: set[str] = set()
        self.errors: dict[str, Exception] = {}
        self.unfinished: dict[str, str] = {}
        self.changes: dict[str, int] = {}
        self.account, self.run_id, self.resumed = "", "", False
        self.events_until: int | None = None

    def note(self, parts: Iterable[Part], writes: Iterable[TableWrite]) -> None:
        """Take what was staged and what was committed."""
        for part in parts:
            self._parts.setdefault(part.tables[0], []).append(part)
        for write in writes:
            self._written.setdefault(write.table, []).append(write)

    def trouble(self) -> str:
        """What went wrong, in one line; streams that failed alike are named together."""
        by_message: dict[str, list[str]] = {}
        for stream, error in self.errors.items():
            by_message.setdefault(str(error), []).append(stream)
        return "; ".join(
            message if names == ["run"] or len(names) > 3 else f"{', '.join(names)}: {message}"
            for message, names in by_message.items()
        )

    def report(self, streams: Iterable[Stream], seconds: float) -> ExtractReport:
        """The report on these streams and on all others that were written."""
        asked = {stream.table for stream in streams}
        shown = [
            stream
            for stream in STREAMS.values()
            if stream.table in asked or set(stream.tables) & self._written.keys()
        ]
        tables = [self._table(table, stream) for stream in shown for table in stream.tables]
        if QUARANTINE_TABLE in self._written:
            tables.append(self._table(QUARANTINE_TABLE, EVENTS))
        usage = self._api.limiter.total
        mode: Mode = "incremental" if self._written else "unchanged"
        if self.errors:
            mode = "failed"
        elif self.backfilled:
            mode = "backfill"
        return ExtractReport(
            run_id=self.run_id,
            account=self.account,
            live=self._api.kind.live,
            mode=mode,
            complete=not self.errors,
            resumed=self.resumed,
            tables=tuple(tables),
            streams=tuple(self._stream(stream) for stream in shown),
            requests=usage.requests,
            limited=usage.limited,
            retried=usage.retried,
            request_budget=self._api.limiter.budget,
            seconds=seconds,
            events_until=self.events_until,
            changes=dict(self.changes),
        )

    def _mode(self, stream: Stream, written: bool) -> Mode:
        if stream.table in self.errors:
            return "failed"
        if stream.table in self.backfilled:
            return "backfill"
        return "incremental" if written else "unchanged"

    def _stream(self, stream: Stream) -> StreamReport:
        parts = self._parts.get(stream.table, [])
        usages = [usage for name, usage in self._api.limiter.usage.items() if _belongs(name, stream)]
        error = self.errors.get(stream.table)
        lists = [part.counts for part in parts if part.name == stream.table]
        pace, share = self._board.pace(stream.table) or (None, None)
        return StreamReport(
            stream=stream.table,
            mode=self._mode(stream, bool(set(stream.tables) & self._written.keys())),
            pages=sum(part.counts.get("pages", 0) for part in parts),
            seen=sum(counts.get("seen", 0) for counts in lists),
            requests=sum(usage.requests for usage in usages),
            limited=sum(usage.limited for usage in usages),
            retried=sum(usage.retried for usage in usages),
            quarantined=sum(part.counts.get("quarantined", 0) for part in parts),
            staged=sum(counts.get(f"rows:{stream.table}", 0) - counts.get("again", 0) for counts in lists),
            distinct=sum(counts.get("distinct", 0) for counts in lists),
            fields=tuple(sorted({name for part in parts for name in part.fields})),
            requests_per_second=pace,
            share=share,
            error=None if error is None else str(error),
            unfinished=self.unfinished.get(stream.table),
        )

    def _table(self, table: str, stream: Stream) -> TableReport:
        writes = self._written.get(table, [])
        return TableReport(
            table=table,
            stream=stream.table,
            mode=self._mode(stream, bool(writes)),
            upserted=sum(write.written for write in writes),
            left=sum(write.left for write in writes),
            rows=self._lake.row_count(lake_table(table)),
            version=self._lake.version(lake_table(table)),
        )


def _belongs(operation: str, stream: Stream) -> bool:
    """Whether an operation is one of a stream's: its list, its look-ups, its sub-lists."""
    path = operation.removeprefix("GET /v1/")
    own = path in (stream.path, f"{stream.path}/{{id}}")
    return own or (stream.nested is not None and path == stream.nested.path)
