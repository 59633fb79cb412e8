"""State of the extraction: runs, the journal of their pages, cursors, and the pace shared by runs of one account.

Here: the tables and the queries on them, each a short transaction. Not here: what the JSON columns mean, which
`ingest` decides. A page is journalled after its bytes are on disk, so whatever the journal says can be read.
"""

import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from resources.state.engine import State
from resources.state.metadata import UtcTime, metadata

__all__ = ["ExtractionState", "Journalled", "RunRow", "SharedPace", "holder_alive", "this_holder"]

runs = sa.Table(
    "extraction_runs",
    metadata,
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(80), nullable=False, index=True),
    sa.Column("status", sa.String(16), nullable=False),  # running, complete, failed, abandoned
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("holder", sa.String(200), nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("heartbeat_at", UtcTime, nullable=False),
    sa.Column("ended_at", UtcTime),
)
streams = sa.Table(
    "extraction_streams",
    metadata,
    sa.Column("run_id", sa.String(64), sa.ForeignKey("extraction_runs.run_id"), primary_key=True),
    sa.Column("stream", sa.String(64), primary_key=True),
    sa.Column("remaining", sa.JSON, nullable=False),
    sa.Column("part_bytes", sa.BigInteger, nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("committed", sa.Boolean, nullable=False),
)
sublists = sa.Table(
    "extraction_sublists",
    metadata,
    sa.Column("run_id", sa.String(64), sa.ForeignKey("extraction_runs.run_id"), primary_key=True),
    sa.Column("stream", sa.String(64), primary_key=True),
    sa.Column("parent", sa.String(255), primary_key=True),
    sa.Column("work", sa.JSON, nullable=False),
)
accounts = sa.Table(
    "extraction_accounts",
    metadata,
    sa.Column("key_print", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(80), nullable=False),
    sa.Column("floor", sa.BigInteger, nullable=False),
)
cursors = sa.Table(
    "extraction_cursors",
    metadata,
    sa.Column("account", sa.String(80), primary_key=True),
    sa.Column("events_from", sa.BigInteger, nullable=False),  # seconds; everything before is in the tables
    sa.Column("routed", sa.Boolean, nullable=False),  # false until the scan after the first load is done
    sa.Column("newest_read", sa.BigInteger, nullable=False),  # microseconds on Stripe's clock
    sa.Column("loaded", sa.JSON, nullable=False),  # stream -> microseconds of its last full load
    sa.Column("runs_since_sweep", sa.Integer, nullable=False, default=0),  # not used any more
)
pace = sa.Table(
    "extraction_pace",
    metadata,
    sa.Column("account", sa.String(80), primary_key=True),
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("expires_at", UtcTime, nullable=False),
    sa.Column("learned", sa.JSON, nullable=False),  # operation -> rate, lower after refusals
)

_HEARTBEAT_GRACE = timedelta(seconds=60)


def _boot_tick(pid: int) -> str:
    """When a process began, in the kernel's ticks: tells a process from a later one with the same number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"


def this_holder() -> str:
    """This process, told apart from any other."""
    return f"{socket.gethostname()}:{os.getpid()}:{_boot_tick(os.getpid())}"


def holder_alive(holder: str, heartbeat_at: datetime, now: datetime) -> bool:
    """Whether the process that holds a run lives: asked of the kernel here, told by the heartbeat elsewhere."""
    host, _, rest = holder.partition(":")
    pid, _, tick = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return now - heartbeat_at < _HEARTBEAT_GRACE
    if int(pid) == os.getpid():
        return tick == _boot_tick(os.getpid())
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _boot_tick(int(pid)) == tick


@dataclass(frozen=True)
class RunRow:
    """A run as the state knows it; `plan` is what `ingest` decided when it began."""

    run_id: str
    account: str
    plan: dict[str, Any]


@dataclass(frozen=True)
class Journalled:
    """What is known to be on disk of one stream of a run."""

    remaining: list[dict[str, Any]]
    part_bytes: int
    counts: dict[str, Any]
    committed: bool
    sublists: dict[str, dict[str, Any]]


def _upsert(state: State, table: sa.Table, keys: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """An insert that updates instead when the key is there; the same words on both databases."""
    insert = (sqlite if state.is_sqlite else postgresql).insert(table)
    return insert.values(**keys, **values).on_conflict_do_update(index_elements=list(keys), set_=dict(values))


class ExtractionState:
    """The extraction's queries. `now` gives aware UTC times."""

    def __init__(self, state: State, now: Callable[[], datetime]) -> None:
        self._state, self._now = state, now

    def account_of(self, key_print: str) -> tuple[str, int] | None:
        """Account and its floor (creation, seconds) that a key was seen to belong to."""
        with self._state.read() as connection:
            row = connection.execute(sa.select(accounts).where(accounts.c.key_print == key_print)).first()
        return None if row is None else (row.account, row.floor)

    def remember_account(self, key_print: str, account: str, floor: int) -> None:
        """Keep which account a key belongs to."""
        with self._state.begin() as connection:
            connection.execute(
                _upsert(self._state, accounts, {"key_print": key_print}, {"account": account, "floor": floor})
            )

    def begin_run(self, run_id: str, account: str, plan: Mapping[str, Any]) -> RunRow:
        """Record a run before its first list call."""
        now = self._now()
        with self._state.begin() as connection:
            connection.execute(
                runs.insert().values(
                    run_id=run_id,
                    account=account,
                    status="running",
                    plan=dict(plan),
                    holder=this_holder(),
                    started_at=now,
                    heartbeat_at=now,
                )
            )
        return RunRow(run_id, account, dict(plan))

    def unfinished(self, account: str) -> RunRow | None:
        """Take over the newest run of the account that ended without an end; None if there is none.

        Runs whose process lives are left alone. A run that failed is unfinished as well: the next does the rest.
        """
        now = self._now()
        with self._state.begin() as connection:
            rows = connection.execute(
                sa.select(runs)
                .where(runs.c.account == account, runs.c.status.in_(("running", "failed")))
                .order_by(runs.c.started_at.desc())
            ).all()
            free = [
                row
                for row in rows
                if row.status == "failed" or not holder_alive(row.holder, row.heartbeat_at, now)
            ]
            if not free:
                return None
            taken, *older = free
            connection.execute(
                runs.update()
                .where(runs.c.run_id == taken.run_id)
                .values(holder=this_holder(), heartbeat_at=now, status="running")
            )
            for row in older:
                connection.execute(runs.update().where(runs.c.run_id == row.run_id).values(status="abandoned"))
        return RunRow(taken.run_id, taken.account, dict(taken.plan))

    def over(self, among: Collection[str]) -> frozenset[str]:
        """Of some runs those whose staged parts nobody will read."""
        ended = runs.c.status.in_(("abandoned", "complete"))
        with self._state.read() as connection:
            return frozenset(connection.scalars(sa.select(runs.c.run_id).where(runs.c.run_id.in_(among), ended)))

    def forget_runs(self, *, before: datetime) -> int:
        """Forget runs that were last heard of before `before` and that no run will go on with; how many.

        The newest complete run of an account stays: it tells when its tables were last brought up to date.
        """
        later = runs.alias()
        outdone = sa.exists().where(
            later.c.account == runs.c.account, later.c.status == "complete", later.c.ended_at > runs.c.ended_at
        )
        beside = runs.c.account.contains("/")  # such a run is not gone on with when it was killed
        over = sa.or_(
            runs.c.status == "abandoned",
            sa.and_(runs.c.status == "complete", outdone),
            sa.and_(runs.c.status == "running", beside),
        )
        gone = sa.select(runs.c.run_id).where(runs.c.heartbeat_at < before, over)
        with self._state.begin() as connection:
            for journal in (sublists, streams):
                connection.execute(journal.delete().where(journal.c.run_id.in_(gone)))
            return connection.execute(runs.delete().where(runs.c.run_id.in_(gone))).rowcount

    def replan(self, run_id: str, plan: Mapping[str, Any]) -> None:
        """Keep what a run has decided since it began."""
        with self._state.begin() as connection:
            connection.execute(
                runs.update().where(runs.c.run_id == run_id).values(plan=dict(plan), heartbeat_at=self._now())
            )

    def beat(self, run_id: str) -> None:
        """Tell other hosts that this run lives."""
        with self._state.begin() as connection:
            connection.execute(runs.update().where(runs.c.run_id == run_id).values(heartbeat_at=self._now()))

    def end_run(self, run_id: str, status: str) -> None:
        """Record how a run ended, and forget its journal unless the next run goes on from it."""
        now = self._now()
        with self._state.begin() as connection:
            connection.execute(
                runs.update().where(runs.c.run_id == run_id).values(status=status, ended_at=now, heartbeat_at=now)
            )
            if status != "failed":
                for journal in (sublists, streams):
                    connection.execute(journal.delete().where(journal.c.run_id == run_id))

    def journal(self, run_id: str) -> dict[str, Journalled]:
        """The journal of a run, by stream."""
        with self._state.read() as connection:
            pending: dict[str, dict[str, dict[str, Any]]] = {}
            for row in connection.execute(sa.select(sublists).where(sublists.c.run_id == run_id)):
                pending.setdefault(row.stream, {})[row.parent] = row.work
            return {
                row.stream: Journalled(
                    row.remaining, row.part_bytes, row.counts, row.committed, pending.get(row.stream, {})
                )
                for row in connection.execute(sa.select(streams).where(streams.c.run_id == run_id))
            }

    def write_journal(
        self,
        run_id: str,
        entries: Mapping[str, Mapping[str, Any]],
        added: Sequence[tuple[str, str, Mapping[str, Any]]] = (),
        done: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Book pages that are on disk: per stream what remains, with the sub-lists they opened and closed."""
        with self._state.begin() as connection:
            for stream, values in entries.items():
                connection.execute(_upsert(self._state, streams, {"run_id": run_id, "stream": stream}, values))
            for stream, parent, work in added:
                connection.execute(
                    _upsert(
                        self._state,
                        sublists,
                        {"run_id": run_id, "stream": stream, "parent": parent},
                        {"work": dict(work)},
                    )
                )
            for stream, parent in done:
                connection.execute(
                    sublists.delete().where(
                        sublists.c.run_id == run_id, sublists.c.stream == stream, sublists.c.parent == parent
                    )
                )

    def committed(self, run_id: str, stream: str) -> None:
        """Record that the rows of a stream are in the lake."""
        with self._state.begin() as connection:
            connection.execute(
                streams.update()
                .where(streams.c.run_id == run_id, streams.c.stream == stream)
                .values(committed=True)
            )

    def accounts(self) -> frozenset[str]:
        """Accounts that have been loaded."""
        with self._state.read() as connection:
            return frozenset(connection.scalars(sa.select(cursors.c.account)))

    def cursor(self, account: str) -> sa.Row[Any] | None:
        """The account's events cursor and what has been loaded."""
        with self._state.read() as connection:
            return connection.execute(sa.select(cursors).where(cursors.c.account == account)).first()

    def save_cursor(
        self,
        account: str,
        *,
        events_from: int,
        routed: bool,
        newest_read: int,
        loaded: Mapping[str, int],
    ) -> None:
        """Move the cursor; a run that ends after a newer one does not move it back."""
        with self._state.begin() as connection:
            old = connection.execute(sa.select(cursors).where(cursors.c.account == account)).first()
            merged = dict(old.loaded) if old is not None else {}
            for stream, at in loaded.items():
                merged[stream] = max(at, merged.get(stream, 0))
            if old is not None:
                newest_read = max(newest_read, old.newest_read)
                if routed and old.routed:
                    events_from = max(events_from, old.events_from)
            connection.execute(
                _upsert(
                    self._state,
                    cursors,
                    {"account": account},
                    {
                        "events_from": events_from,
                        "routed": routed,
                        "newest_read": newest_read,
                        "loaded": merged,
                    },
                )
            )

    def note_read(self, account: str, newest_read: int) -> None:
        """Keep the newest time of a read beside the extraction: what is read later is newer than it."""
        with self._state.begin() as connection:
            connection.execute(
                cursors.update()
                .where(cursors.c.account == account, cursors.c.newest_read < newest_read)
                .values(newest_read=newest_read)
            )


class SharedPace:
    """How many runs read one account at once, and what each has learned of its limits.

    One short transaction a second per run: a run asks for its part of the pace, not for each request.
    """

    def __init__(self, state: State, account: str, run_id: str, now: Callable[[], datetime]) -> None:
        self._state, self._account, self._run_id, self._now = state, account, run_id, now

    def exchange(self, learned: Mapping[str, float], *, seconds: float = 5.0) -> tuple[int, dict[str, float]]:
        """Say that this run goes on for `seconds`; the number of runs, and the lowest shares others learned."""
        now = self._now()
        with self._state.begin() as connection:
            connection.execute(pace.delete().where(pace.c.account == self._account, pace.c.expires_at < now))
            connection.execute(
                _upsert(
                    self._state,
                    pace,
                    {"account": self._account, "run_id": self._run_id},
                    {"expires_at": now + timedelta(seconds=seconds), "learned": dict(learned)},
                )
            )
            rows = connection.execute(sa.select(pace).where(pace.c.account == self._account)).all()
        lowest: dict[str, float] = {}
        for row in rows:
            if row.run_id != self._run_id:
                for operation, rate in row.learned.items():
                    lowest[operation] = min(rate, lowest.get(operation, rate))
        return len(rows), lowest

    def leave(self) -> None:
        """Give this run's part back."""
        with self._state.begin() as connection:
            connection.execute(pace.delete().where(pace.c.account == self._account, pace.c.run_id == self._run_id))
