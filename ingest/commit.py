"""Staged parts → raw tables, one atomic write per table, never newer by older.

Here: of each id the newest staged version; a plain write into a table that is empty, a conditional merge into one
that is not; nested lists replaced as a set with their parent, and only if the parent's version is not older than
the stored one. Everything may be repeated after a kill: the second time changes nothing. Not here: reading Stripe,
and what is too much for a merge (`ingest.rewrite`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.links import CHARGE_COLUMNS, LINKED, PAYMENT_COLUMNS, Links
from ingest.rewrite import Mask, alike, rewrite, rewriting_pays
from ingest.staging import QUARANTINE_TABLE, Part
from ingest.streams import STREAMS, Stream
from ingest.tables import QUARANTINE, RAW_TABLES
from resources.lake import Lake, LakeConflictError, TableMissingError

__all__ = ["COMMITTED_FIRST", "Committer", "TableWrite", "lake_table"]

# Tables that others take their links from; they are committed before the rest.
COMMITTED_FIRST = ("invoice_payments", "charges")
_BYTES_AT_ONCE = 2**20
_NO_IDS = pa.array([], pa.string())


def lake_table(table: str) -> str:
    """Where a raw table lies in the lake."""
    return f"stripe/{table}"


@dataclass(frozen=True)
class TableWrite:
    """What a commit did to one table: rows written, rows that left it, its version."""

    table: str
    written: int
    left: int
    version: int


class Committer:
    """Commits parts into a lake. `facts` are kept with every commit."""

    def __init__(self, lake: Lake, facts: dict[str, str]) -> None:
        self._lake, self._facts = lake, facts

    def commit(self, part: Part, stream: Stream, *, relevant_links: bool) -> list[TableWrite]:
        """Write the rows of a part; nothing staged means nothing written, but a table that is missing is created.

        `relevant_links` looks links up for the staged rows only, which suits a few changes; without it all stored
        links are read, which suits a full load. Raises: LakeError.
        """
        writes = []
        if stream.table == "events":
            writes += self._append_events(part)
        else:
            linked = stream.table in LINKED and not self._is_empty("invoice_payments")
            links = self._links(part, stream.table, relevant=relevant_links) if linked else None
            kept, parents = _newest(part, stream)
            part.counts["distinct"] = int(kept.sum())
            writes += self._write(part, stream.table, kept, links)
            if stream.nested is not None:
                accepted = self._accepted(stream.table, parents)
                column = stream.nested.parent_column
                children = _children(part, stream.nested.table, column, accepted)
                gone = self._gone(part, stream, accepted, children)
                writes += self._write(part, stream.nested.table, children, None, gone=gone)
        return writes

    def _is_empty(self, table: str) -> bool:
        return self._lake.row_count(lake_table(table)) == 0

    def _write(
        self, part: Part, table: str, kept: Mask, links: Links | None, *, gone: pa.Array | None = None
    ) -> list[TableWrite]:
        name, schema = lake_table(table), RAW_TABLES[table]
        count = int(kept.sum())
        leaving = 0 if gone is None else len(gone)
        if not count and not leaving and self._lake.exists(name):
            return []
        version = self._begin(table, lambda: _filtered(part, table, kept, links))
        if version is not None:
            return [TableWrite(table, count, 0, version)]
        if rewriting_pays(count, self._lake.row_count(name)):
            heads = part.column(table, "id", "version_at")
            version = rewrite(
                self._lake,
                name,
                schema,
                heads,
                kept,
                lambda chosen: _filtered(part, table, chosen, links),
                gone=gone,
                facts=self._facts,
            )
            return [TableWrite(table, count, leaving, version)]
        rows = pa.Table.from_batches(_filtered(part, table, kept, links), schema)
        version = self._lake.merge(
            name, rows, schema, newer="version_at", ties_replace=True, gone=gone, facts=self._facts
        )
        return [TableWrite(table, len(rows), leaving, version)]

    def _begin(self, table: str, batches: Callable[[], Iterator[pa.RecordBatch]]) -> int | None:
        """Fill a table that holds no rows, in one stream; None if it holds some, or another writer was first."""
        name, schema = lake_table(table), RAW_TABLES[table]
        if not self._is_empty(table):
            return None
        rows = pa.RecordBatchReader.from_batches(schema, batches())
        try:
            return self._lake.rewrite(name, rows, schema, read_version=self._lake.version(name), facts=self._facts)
        except LakeConflictError:
            return None

    def _accepted(self, table: str, parents: pa.Table) -> pa.Table:
        """Of staged parents those that are not older than what is stored, which their rows may be in already."""
        stored = self._find(table, "id", _ids([parents["id"]]), ("id", "version_at"))
        places = pc.index_in(parents["id"], value_set=stored["id"].combine_chunks())
        older = pc.less(parents["version_at"], stored["version_at"].take(places))
        return parents.filter(pc.invert(pc.fill_null(older, False)))

    def _gone(self, part: Part, stream: Stream, accepted: pa.Table, children: Mask) -> pa.Array:
        """Ids of stored children that their parent has no more; an incomplete list rules out none."""
        nested = stream.nested
        assert nested is not None
        if self._is_empty(nested.table):
            return pa.array([], pa.string())
        complete = accepted.filter(pc.fill_null(accepted[nested.complete_column], False))
        columns = ("id", nested.parent_column, "version_at")
        stored = self._find(nested.table, nested.parent_column, _ids([complete["id"]]), columns)
        staged = part.column(nested.table, "id").filter(pa.array(children))
        missing = stored.filter(pc.invert(pc.is_in(stored["id"], value_set=staged["id"].combine_chunks())))
        places = pc.index_in(missing[nested.parent_column], value_set=complete["id"].combine_chunks())
        newer = pc.greater(missing["version_at"], complete["version_at"].take(places))
        return missing.filter(pc.invert(newer))["id"].combine_chunks()

    def _links(self, part: Part, table: str, *, relevant: bool) -> Links:
        if not relevant:
            return Links(
                self._stored("invoice_payments", PAYMENT_COLUMNS), self._stored("charges", CHARGE_COLUMNS)
            )
        rows = part.column(table, "id", "payment_intent")
        own = "charge" if table == "charges" else "invoice"
        payments = _distinct(
            pa.concat_tables(
                [
                    self._find("invoice_payments", own, _ids([rows["id"]]), PAYMENT_COLUMNS),
                    self._find(
                        "invoice_payments", "payment_intent", _ids([rows["payment_intent"]]), PAYMENT_COLUMNS
                    ),
                ]
            )
        )
        intents = _ids([payments["payment_intent"], rows["payment_intent"]])
        return Links(payments, self._find("charges", "payment_intent", intents, CHARGE_COLUMNS))

    def _find(self, table: str, key: str, values: pa.Array, columns: tuple[str, ...] = ()) -> pa.Table:
        return self._lake.find(lake_table(table), key, values, RAW_TABLES[table], columns)

    def _stored(self, table: str, columns: tuple[str, ...]) -> pa.Table:
        fields = pa.schema([RAW_TABLES[table].field(name) for name in columns])
        try:
            return self._lake.read(lake_table(table), columns=columns).cast(fields)
        except TableMissingError:
            return fields.empty_table()

    def relink(self, touched: Sequence[Part] | None = None) -> list[TableWrite]:
        """Fill links into stored rows that came before their invoice payment or charge.

        `touched` are the parts of a run of few changes; without it every stored row is looked at.
        """
        if self._is_empty("invoice_payments"):
            return []
        if touched is None:
            links = Links(
                self._stored("invoice_payments", PAYMENT_COLUMNS), self._stored("charges", CHARGE_COLUMNS)
            )
            rows = {table: self._unlinked(table, links) for table in LINKED}
        else:
            links, rows = self._touched(touched)
        writes = []
        for table in LINKED:
            patched = links.changed(table, rows[table])
            if len(patched):
                version = self._lake.merge(
                    lake_table(table),
                    patched,
                    RAW_TABLES[table],
                    newer="version_at",
                    ties_replace=True,
                    facts=self._facts,
                )
                writes.append(TableWrite(table, len(patched), 0, version))
        return writes

    def _unlinked(self, table: str, links: Links) -> pa.Table:
        """Stored rows whose links are not what they should be."""
        names = tuple(n for n in ("id", "payment_intent", "invoice", "charge") if n in RAW_TABLES[table].names)
        changed = links.changed(table, self._stored(table, names))["id"].combine_chunks()
        return self._find(table, "id", changed)

    def _touched(self, parts: Sequence[Part]) -> tuple[Links, dict[str, pa.Table]]:
        """Links around the staged invoice payments and charges, and the stored rows that they may change."""
        invoices, intents = [_NO_IDS], [_NO_IDS]
        for part in parts:
            table = part.tables[0]
            intents.append(_ids([part.column(table, "payment_intent")["payment_intent"]]))
            if table == "invoice_payments":
                invoices.append(_ids([part.column(table, "invoice")["invoice"]]))
        payments = _distinct(
            pa.concat_tables(
                [
                    self._find("invoice_payments", "payment_intent", _ids(intents), PAYMENT_COLUMNS),
                    self._find("invoice_payments", "invoice", _ids(invoices), PAYMENT_COLUMNS),
                ]
            )
        )
        charges = _distinct(
            pa.concat_tables(
                [
                    self._find("charges", "payment_intent", _ids([payments["payment_intent"]])),
                    self._find("charges", "id", _ids([payments["charge"]])),
                ]
            )
        )
        rows = {"charges": charges, "invoices": self._find("invoices", "id", _ids([payments["invoice"]]))}
        return Links(payments, charges.select(list(CHARGE_COLUMNS))), rows

    def _append_events(self, part: Part) -> list[TableWrite]:
        schema, name = RAW_TABLES["events"], lake_table("events")
        kept, _ = _newest(part, STREAMS["events"])
        version = self._begin("events", lambda: _filtered(part, "events", kept, None))
        if version is not None:
            return [TableWrite("events", int(kept.sum()), 0, version)]
        ids = part.column("events", "id")["id"].combine_chunks()
        known = self._find("events", "id", ids, ("id",))["id"].combine_chunks()
        fresh = kept & ~np.asarray(pc.is_in(ids, value_set=known))
        if not fresh.any():
            return []
        rows = pa.Table.from_batches(_filtered(part, "events", fresh, None), schema)
        return [TableWrite("events", len(rows), 0, self._lake.append(name, rows, schema, facts=self._facts))]

    def set_aside(self, parts: Iterable[Part]) -> list[TableWrite]:
        """Add what was malformed in any of the parts to the quarantine, each object once."""
        name = lake_table(QUARANTINE_TABLE)
        staged = [batch for part in parts for batch in part.batches(QUARANTINE_TABLE)]
        known = self._lake.read_or_empty(name, QUARANTINE)
        seen = {(row["raw_hash"], row["table"]) for row in known.select(["raw_hash", "table"]).to_pylist()}
        fresh = []
        for row in pa.Table.from_batches(staged, QUARANTINE).to_pylist():
            key = (row["raw_hash"], row["table"])
            if key not in seen:
                seen.add(key)
                fresh.append(row)
        if not fresh and self._lake.exists(name):
            return []
        rows = pa.Table.from_pylist(fresh, QUARANTINE)
        return [
            TableWrite(
                QUARANTINE_TABLE, len(fresh), 0, self._lake.append(name, rows, QUARANTINE, facts=self._facts)
            )
        ]


def _newest(part: Part, stream: Stream) -> tuple[Mask, pa.Table]:
    """Which staged rows are the newest of their id, the later staged one among equals.

    Of a stream with a nested list also those rows' heads; of others none, to hold little.
    """
    extra = () if stream.nested is None else (stream.nested.complete_column,)
    heads = part.column(stream.table, "id", "version_at", *extra)
    mask = _last_by_version(heads["id"], heads["version_at"])
    return mask, heads.slice(0, 0) if stream.nested is None else heads.filter(pa.array(mask))


def _last_by_version(ids: pa.ChunkedArray, versions: pa.ChunkedArray) -> Mask:
    mask = np.zeros(len(ids), dtype=bool)
    if not len(ids):
        return mask
    texts, times = ids.combine_chunks(), versions.cast(pa.int64()).to_numpy()
    for (places,) in alike(texts):
        codes = pc.dictionary_encode(texts.take(pa.array(places))).indices.to_numpy()
        order = np.lexsort((places, times[places], codes))
        last = np.append(codes[order][1:] != codes[order][:-1], True)
        mask[places[order[last]]] = True
    pa.default_memory_pool().release_unused()
    return mask


def _children(part: Part, table: str, parent_column: str, parents: pa.Table) -> Mask:
    """Which staged children belong to the version of their parent that is kept."""
    heads = part.column(table, "id", parent_column, "version_at")
    if not len(heads):
        return np.zeros(0, dtype=bool)
    places = pc.index_in(heads[parent_column], value_set=_ids([parents["id"]]))
    current = pc.fill_null(pc.equal(parents["version_at"].take(places), heads["version_at"]), False)
    chosen = np.asarray(current.combine_chunks()).copy()
    rows = np.flatnonzero(chosen)
    if len(rows):
        subset = heads.take(pa.array(rows))
        chosen[rows] = _last_by_version(subset["id"], subset["version_at"])
    return chosen


def _filtered(part: Part, table: str, mask: Mask, links: Links | None) -> Iterator[pa.RecordBatch]:
    """The chosen rows of a table in its declared columns, in batches that are worth their overhead."""
    schema = RAW_TABLES[table]
    waiting: list[pa.RecordBatch] = []
    offset = size = 0
    for batch in part.batches(table):
        wanted = mask[offset : offset + len(batch)]
        offset += len(batch)
        if not wanted.any():
            continue
        narrow = pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema)
        waiting.append(narrow if wanted.all() else narrow.filter(pa.array(wanted)))
        size += waiting[-1].nbytes
        if size >= _BYTES_AT_ONCE:
            yield from _joined(table, waiting, links)
            waiting, size = [], 0
    if waiting:
        yield from _joined(table, waiting, links)


def _joined(table: str, batches: list[pa.RecordBatch], links: Links | None) -> Iterator[pa.RecordBatch]:
    rows = pa.Table.from_batches(batches)
    yield from (rows if links is None else links.fill(table, rows)).combine_chunks().to_batches()


def _ids(columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
    """The distinct ids of some columns."""
    arrays = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
    return pc.drop_null(pa.concat_arrays(arrays).unique())


def _distinct(rows: pa.Table) -> pa.Table:
    """One row per id."""
    if len(rows) < 2:
        return rows
    codes = pc.dictionary_encode(rows["id"].combine_chunks()).indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    return rows.take(pa.array(np.sort(first)))
