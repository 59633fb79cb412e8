"""How it stands now, in figures: what metrics show and alerts are made of, from the state, the lake and Dagster.

Here: reading. Each source is read on its own, so that one that is away hides nothing of the others. Times are our
clock's. Not here: how figures are shown (`pipelines.metrics`), when one is worth a message (`pipelines.alerts`).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar

import dagster as dg
import pyarrow.compute as pc
import sqlalchemy as sa

from activation.budget import spend_of
from activation.tables import MAVERA_TABLES
from ingest.tables import RAW_TABLES
from resources.lake import Lake, LakeError, TableMissingError
from resources.loggers import get_logger
from resources.state import State
from resources.state.exports import export_deliveries
from resources.state.extraction import cursors, runs
from resources.state.inbox import inbox
from resources.state.ledger import intents
from segments.tables import SEGMENT_TABLES

__all__ = ["Credits", "Figures", "Inbox", "Instruments", "Quarantine", "Revenue"]

_log = get_logger("stripe_mavera.figures")
_ValueT = TypeVar("_ValueT")
_TABLES: Final = (
    *(f"stripe/{name}" for name in RAW_TABLES),
    *(f"segments/{name}" for name in SEGMENT_TABLES),
    *(f"mavera/{name}" for name in MAVERA_TABLES),
)


@dataclass(frozen=True, kw_only=True)
class Credits:
    """Mavera credits that count, charged or reserved, and the month's cap if there is one."""

    day: int
    month: int
    month_settled: int
    month_cap: int | None


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """Webhooks by status, and when the oldest that waits came."""

    events: Mapping[str, int]
    oldest_pending: datetime | None


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """Objects that could not be read: all, and those of the last 24 hours."""

    rows: int
    last_day: int


@dataclass(frozen=True, kw_only=True)
class Revenue:
    """Customers with MRR, and all MRR in minor units of the reporting currency; no tier, as one may be small."""

    customers: int
    mrr_minor: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Everything; None where a source could not be read or has nothing yet, empty where there is nothing.

    `intents` are rows of the ledger by state, `read` the end of the last complete extraction by stream, `made` the
    last materialization by table; `account` is whose figures they are, where there are several.
    """

    at: datetime
    account: str | None = None
    credits: Credits | None = None
    intents: Mapping[str, int] | None = None
    inbox: Inbox | None = None
    read: Mapping[str, datetime] | None = None
    quarantine: Quarantine | None = None
    revenue: Revenue | None = None
    made: Mapping[str, datetime] | None = None
    unread: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """Where figures are read; `instance` opens Dagster's storage when it is first needed."""

    state: State
    lake: Lake
    instance: Callable[[], dg.DagsterInstance]
    environment: str
    month_cap: int | None
    account: str | None = None

    def figures(self, *, now: datetime) -> Figures:
        """All of them; a source that fails is named in `unread` and logged."""
        unread: list[str] = []

        def part(name: str, read: Callable[[datetime], _ValueT]) -> _ValueT | None:
            try:
                return read(now)
            except TableMissingError:
                return None
            except (sa.exc.SQLAlchemyError, LakeError, OSError, dg.DagsterError) as error:
                _log.error("not read", source=name, error=" ".join(str(error).split())[:300])
                unread.append(name)
                return None

        return Figures(
            at=now,
            account=self.account,
            credits=part("credits", self._credits),
            intents=part("intents", self._intents),
            inbox=part("inbox", self._inbox),
            read=part("extraction", self._read),
            quarantine=part("quarantine", self._quarantine),
            revenue=part("revenue", self._revenue),
            made=part("dagster", self._made),
            unread=tuple(unread),
        )

    def _credits(self, now: datetime) -> Credits:
        with self.state.read() as connection:
            spent = spend_of(connection, self.environment, run_id="", now=now)
        return Credits(
            day=spent.day, month=spent.month, month_settled=spent.month_settled, month_cap=self.month_cap
        )

    def _intents(self, _now: datetime) -> Mapping[str, int]:
        wanted = sa.select(intents.c.state, sa.func.count()).where(intents.c.environment == self.environment)
        with self.state.read() as connection:
            return dict(connection.execute(wanted.group_by(intents.c.state)).tuples().all())

    def _inbox(self, _now: datetime) -> Inbox:
        oldest = sa.select(sa.func.min(inbox.c.received_at)).where(inbox.c.status == "pending")
        with self.state.read() as connection:
            counts = connection.execute(sa.select(inbox.c.status, sa.func.count()).group_by(inbox.c.status))
            events = dict(counts.tuples().all())
            return Inbox(events=events, oldest_pending=connection.execute(oldest).scalar_one())

    def _read(self, _now: datetime) -> Mapping[str, datetime]:
        with self.state.read() as connection:
            ended = dict(
                connection.execute(
                    sa.select(runs.c.account, sa.func.max(runs.c.ended_at))
                    .where(runs.c.status == "complete")
                    .group_by(runs.c.account)
                )
                .tuples()
                .all()
            )
            loaded = connection.execute(sa.select(cursors.c.account, cursors.c.loaded)).all()
            exported = connection.execute(sa.select(sa.func.max(export_deliveries.c.loaded_at))).scalar_one()
        found = {name: ended[row.account] for row in loaded if row.account in ended for name in row.loaded}
        return found if exported is None else {**found, "exports": exported}

    def _quarantine(self, now: datetime) -> Quarantine:
        seen = self.lake.read("stripe/quarantine", columns=["fetched_at"])["fetched_at"]
        recent = pc.sum(pc.greater_equal(seen, now - timedelta(days=1))).as_py()
        return Quarantine(rows=len(seen), last_day=recent or 0)

    def _revenue(self, _now: datetime) -> Revenue:
        mrr = self.lake.read("segments/mrr_tiers", columns=["mrr_minor"])["mrr_minor"]
        paying = pc.sum(pc.greater(mrr, 0)).as_py()
        return Revenue(customers=paying or 0, mrr_minor=pc.sum(mrr).as_py() or 0)

    def _made(self, now: datetime) -> Mapping[str, datetime]:
        if self.account is not None:
            minute = now.replace(second=0, microsecond=0)
            return _made_by_account(self.instance(), minute).get(self.account, {})
        records = self.instance().get_asset_records([dg.AssetKey(table.split("/")) for table in _TABLES])
        return {
            "/".join(record.asset_entry.asset_key.path): datetime.fromtimestamp(last.timestamp, UTC)
            for record in records
            if (last := record.asset_entry.last_materialization_record) is not None
        }


@lru_cache(maxsize=1)
def _made_by_account(instance: dg.DagsterInstance, _minute: datetime) -> Mapping[str, Mapping[str, datetime]]:
    """By account, its partition: the last materialization by table.

    Read for all accounts at once, and once a minute, as one look after the other asks for it: two queries a table.
    """
    found: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
    for table in _TABLES:
        key = dg.AssetKey(table.split("/"))
        latest = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        if latest:
            wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(latest.values()))
            for record in instance.fetch_materializations(wanted, limit=len(latest)).records:
                found[str(record.partition_key)][table] = datetime.fromtimestamp(record.timestamp, UTC)
    return found
