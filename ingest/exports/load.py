"""Loading a delivery: its files into the raw tables, and what could not be read into quarantine.

A table with a malformed file is left out as a whole, and so is every table that is computed from it: half of a
full copy would read as changes. The others are loaded. What is written is atomic per table, and loading a delivery
again changes nothing. Not here: which delivery, and when (`deliveries`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from ingest.commit import lake_table
from ingest.exports.dashboard import BILLING_PATCH, DASHBOARD_TABLES
from ingest.exports.deliveries import Delivery
from ingest.exports.listing import fingerprint
from ingest.exports.merge import Incoming, merge_into
from ingest.exports.pipeline import PIPELINE_TABLES
from ingest.exports.pipeline_sql import PIPELINE_QUERIES
from ingest.exports.warehouse import SourceTable, UnreadableError, Warehouse
from ingest.tables import QUARANTINE
from resources.lake import Lake, LakeError
from resources.progress import Progress, Silent

__all__ = ["ExportReport", "TableReport", "load_delivery", "raw_tables"]

_LISTED = 10_000
_KEYED = {query.source for query in PIPELINE_QUERIES.values()} | {"plans", "discounts"}


@dataclass(frozen=True, slots=True)
class TableReport:
    """What became of one raw table: rows read, rows set aside, rows that belong elsewhere, its new version.

    `refused` says why nothing was written, with the file's name.
    """

    table: str
    rows: int = 0
    quarantined: int = 0
    skipped: int = 0
    version: int | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What became of a delivery."""

    delivery: str
    version_at: datetime
    tables: tuple[TableReport, ...]

    @property
    def rows(self) -> int:
        """Rows read from all files."""
        return sum(table.rows for table in self.tables)

    @property
    def quarantined(self) -> int:
        """Rows set aside in all tables."""
        return sum(table.quarantined for table in self.tables)

    @property
    def refused(self) -> dict[str, str]:
        """Tables of which nothing was written, and why."""
        return {table.table: table.refused for table in self.tables if table.refused is not None}


def load_delivery(
    uri: str,
    delivery: Delivery,
    lake: Lake,
    *,
    now: datetime,
    exponents: Mapping[str, int],
    progress: Progress | None = None,
    email_salt: str | None = None,
    csv_without_discounts: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    memory: str = "512MB",
) -> ExportReport:
    """Load every table of a delivery that lies below `uri`.

    `exponents` are the currencies whose minor unit is not a hundredth, for CSV. E-mail addresses are kept only as
    a hash, and only with `email_salt`. `csv_without_discounts` is the operator's word that subscriptions have no
    discounts, which the Dashboard's export does not show. Raises: LakeError.
    """
    listener = progress or Silent()
    variables: dict[str, bool | str | None] = {
        "livemode": delivery.livemode,
        "salt": email_salt,
        "no_discounts": csv_without_discounts,
    }
    with Warehouse(
        uri, variables=variables, exponents=exponents, memory=memory, storage_options=storage_options
    ) as warehouse:
        loader = _Loader(lake, warehouse, delivery, now, listener)
        reports = loader.pipeline() if delivery.kind == "pipeline" else loader.dashboard()
        loader.write_quarantine()
    return ExportReport(delivery.id, delivery.version_at, tuple(reports))


def raw_tables(delivery: Delivery) -> frozenset[str]:
    """Names of the raw tables that loading a delivery writes."""
    if delivery.kind == "csv":
        return frozenset(delivery.tables)
    return frozenset(table for table, query in PIPELINE_QUERIES.items() if delivery.tables.get(query.source))


class _Loader:
    """One delivery on its way into the lake."""

    def __init__(
        self, lake: Lake, warehouse: Warehouse, delivery: Delivery, now: datetime, progress: Progress
    ) -> None:
        self._lake, self._warehouse, self._delivery = lake, warehouse, delivery
        self._now, self._progress = now, progress
        self._facts = {"export": delivery.id}
        self._aside: list[dict[str, Any]] = []

    def pipeline(self) -> list[TableReport]:
        """The tables of a Data Pipeline run."""
        sources: dict[str, SourceTable] = {}
        refused: dict[str, str] = {}
        for name, fields in PIPELINE_TABLES.items():
            files = self._delivery.tables.get(name, ())
            try:
                sources[name] = self._warehouse.add(name, files, fields, form="parquet", one_per_id=name in _KEYED)
            except UnreadableError as error:
                refused[name] = str(error)
                self._warehouse.add(name, (), fields, form="parquet", one_per_id=False)
        delivered = [name for name in sources if self._delivery.tables.get(name)]
        reports = []
        for number, (table, query) in enumerate(PIPELINE_QUERIES.items()):
            if not self._delivery.tables.get(query.source):
                continue
            self._progress.report("export", number, len(PIPELINE_QUERIES), table)
            bad = [name for name in (query.source, *query.joins) if name in refused]
            if bad:
                reports.append(self._refuse(table, refused[bad[0]], bad[0]))
                continue
            source = sources[query.source]
            self._set_aside(table, source)
            whole = query.parent is not None and query.parent[0] in delivered
            incoming = Incoming(
                table,
                query.source,
                query.sql(delivered),
                self._delivery.version_at,
                self._now,
                self._delivery.livemode,
                also=query.also,
                parent=query.parent if whole else None,
                passes=1 if query.pass_rows is None else 1 + source.rows // query.pass_rows,
            )
            reports.append(self._write(incoming, source, skipped=0))
        self._progress.report("export", len(PIPELINE_QUERIES), len(PIPELINE_QUERIES))
        return reports

    def dashboard(self) -> list[TableReport]:
        """The table of a Dashboard CSV file."""
        reports = []
        for table, files in self._delivery.tables.items():
            known = DASHBOARD_TABLES[table]
            self._progress.report("export", 0, 1, table)
            try:
                source = self._warehouse.add("source_all", files, known.fields, form="csv", one_per_id=True)
            except UnreadableError as error:
                reports.append(self._refuse(table, str(error), table))
                continue
            sql = self._warehouse.sql
            skip = f"coalesce({known.skipped}, false)"
            sql.execute(f"CREATE TEMP VIEW source AS SELECT * FROM source_all WHERE NOT {skip}")
            skipped = sql.sql(f"SELECT count(*) FROM source_all WHERE {skip}").fetchall()[0][0]
            self._set_aside(table, source)
            incoming = Incoming(
                table,
                "source",
                f"SELECT *, false AS deleted FROM ({known.sql})",
                self._delivery.version_at,
                self._now,
                self._delivery.livemode,
                decided=known.decided(source.columns),
                patched=BILLING_PATCH if table == "subscriptions" else {},
            )
            reports.append(self._write(incoming, source, skipped=skipped))
        self._progress.report("export", 1, 1)
        return reports

    def write_quarantine(self) -> None:
        """Keep what was set aside; what is there already stays as it was first seen."""
        name = lake_table("quarantine")
        unique = {(row["raw_hash"], row["table"]): row for row in self._aside}
        hashes = sorted({raw_hash for raw_hash, _ in unique})
        known = self._lake.find(name, "raw_hash", hashes, QUARANTINE, ("raw_hash", "table"))
        for row in known.to_pylist():
            unique.pop((row["raw_hash"], row["table"]), None)
        if unique:
            rows = pa.Table.from_pylist(list(unique.values()), schema=QUARANTINE)
            self._lake.append(name, rows, QUARANTINE, facts=self._facts)

    def _write(self, incoming: Incoming, source: SourceTable, *, skipped: int) -> TableReport:
        damage = None
        try:
            version = merge_into(self._lake, self._warehouse, incoming, facts=self._facts)
        except UnreadableError as error:
            damage = error
        except LakeError:
            # A page that cannot be decoded shows only while the table is written, and then ends the write.
            damage = self._warehouse.damage
            if damage is None:
                raise
        if damage is not None:
            return self._refuse(incoming.table, f"{source.name} cannot be read: {damage}", source.name)
        return TableReport(incoming.table, source.rows, source.bad, skipped, version)

    def _refuse(self, table: str, reason: str, source: str) -> TableReport:
        files = self._delivery.tables.get(source, ())
        self._keep_aside(table, fingerprint(files), None, reason)
        return TableReport(table, refused=reason)

    def _set_aside(self, table: str, source: SourceTable) -> None:
        """List the rows that cannot be read, up to a bound; beyond it one row tells how many more there are."""
        if not source.bad:
            return
        for object_id, reason, raw_hash in self._warehouse.bad_rows(source.name, at_most=_LISTED):
            self._keep_aside(table, raw_hash, object_id, reason)
        if source.bad > _LISTED:
            more = hashlib.sha256(f"{self._delivery.id}:{table}".encode()).hexdigest()
            self._keep_aside(table, more, None, f"{source.bad - _LISTED} more rows of {self._delivery.id}")

    def _keep_aside(self, table: str, raw_hash: str, object_id: str | None, reason: str) -> None:
        self._aside.append(
            {
                "raw_hash": raw_hash,
                "table": table,
                "object_id": object_id,
                "reason": reason,
                "source": "export",
                "fetched_at": self._now,
            }
        )
