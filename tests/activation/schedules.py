"""Schedules: where a run is cut, how, and what happens to each paid call; and what must hold after re-runs.

The real plan, ledger and dispatcher run against a model of Mavera in virtual time. A KILL ends all writes and
calls at once, a TERM cancels the run, an exception unwinds it.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from activation.account import Account
from activation.apply import apply
from activation.edges import LABELS, nothing
from activation.plan import build_plan
from activation.policy import Caps
from activation.rate_window import RateWindow
from activation.reconcile import reconcile
from resources.mavera import MaveraApi, NotFoundError, RateState
from resources.state import State, metadata
from resources.state.ledger import attempts, intents
from tests.activation.kit import IDENTITY, Timeline, a_source, quick_policy, tier
from tests.activation.model_mavera import FAULTS, ModelMavera

WAYS = ("kill", "term", "exception")
CAP = 1_500
_STATES = sa.text("SELECT segment_key, state FROM mavera_intents")
_OBJECTS = sa.text("SELECT segment_key, remote_id FROM mavera_objects")


class Killed(BaseException):
    """The process is gone: nothing of it may act any more."""


class Mortal(State):
    """A state database that a killed process can no longer reach."""

    dead = False

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        if self.dead:
            raise Killed
        with super().begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        if self.dead:
            raise Killed
        with super().read() as connection:
            yield connection


@dataclass(frozen=True)
class Cut:
    """The n-th passing of a label ends the run."""

    label: str
    way: str
    nth: int = 1


@dataclass(frozen=True)
class Schedule:
    """Cuts of the first runs and faults of the first paid calls; afterwards three clean runs."""

    cuts: tuple[Cut, ...]
    faults: tuple[str, ...]
    resend: bool = False
    lag: float = 5.0
    late: float = 10.0
    briefs: tuple[str, ...] = ("mid_market", "smb")
    thorough: bool = False
    """Plays all three clean runs, also when nothing is open after the first."""


@dataclass
class Verdict:
    """What a schedule came to."""

    duplicates: int = 0
    lost: list[str] = field(default_factory=list)
    over_cap: int = 0
    held: int = 0
    capped: int = 0
    done: int = 0
    paid: int = 0
    kills: int = 0
    labels: set[str] = field(default_factory=set)


class _NoLimit(RateWindow):
    """No waiting and no rows: the rate window has tests of its own."""

    def __init__(self) -> None:
        self.key_hash = "k"

    async def acquire(self) -> None:
        return None

    def observe(self, rate: RateState) -> None:
        return None

    def set_limit(self, per_minute: int) -> None:
        return None


class _Direct(MaveraApi):
    """Reads the model without building HTTP messages; paid calls go over the transport as always."""

    model: ModelMavera

    async def _read(self, operation: str, path: str, params: Mapping[str, str], **_: Any) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        answer = self.model.read(f"/{path}")
        if answer.status_code == 404:
            raise NotFoundError(operation, status=404)
        return json.loads(answer.content)


class Theatre:
    """One history: a state database, a model of Mavera, and runs one after the other on one time line."""

    def __init__(self, state: Mortal, *, resend: bool = False, watch: Callable[[str], None] = nothing) -> None:
        self.state = state
        self.time = Timeline()
        self.server = ModelMavera(clock=self.time.unix, credits=CAP * 10)
        self.labels: set[str] = set()
        self.told: dict[str, tuple[str, str]] = {}
        self._watch = watch
        self._policy = quick_policy(
            auto_resend_after_settle=resend, caps=Caps(per_month=CAP), claim_seconds=5, attempts=2
        )

    def run(
        self,
        *,
        number: int,
        cut: Cut | None = None,
        tiers: tuple[str, ...] = ("mid_market", "smb"),
        customers: int = 200,
        workers: int = 1,
        sweep: bool = False,
    ) -> bool:
        """One run, or several side by side; True when it was cut."""
        self.state.dead = False
        passed: dict[str, int] = {}
        cut_down = False
        main: asyncio.Task[None]

        def probe(label: str) -> None:
            nonlocal cut_down
            if self.state.dead:
                raise Killed
            self.labels.add(label)
            self._watch(label)
            passed[label] = passed.get(label, 0) + 1
            if cut is None or cut_down or label != cut.label or passed[label] != cut.nth:
                return
            cut_down = True
            if cut.way == "kill":
                self.state.dead = True
                raise Killed
            if cut.way == "exception":
                raise RuntimeError("cut here")
            main.cancel()

        async def worker(index: int) -> None:
            account = self._account(probe)
            run_id = f"run-{number}-{index}"
            async with account.mavera:
                if sweep:
                    await reconcile(account, run_id=run_id, actor="test")
                briefs = [tier(name, customers=customers) for name in tiers]
                plan = await build_plan(account, briefs, source=a_source())
                report = await apply(account, plan, run_id=run_id, actor="test")
                self.told |= {row.operation.segment_key: (row.ending, row.code) for row in report.rows}

        async def inside() -> None:
            nonlocal main
            main = asyncio.current_task()  # type: ignore[assignment]
            await asyncio.gather(*(worker(index) for index in range(workers)))

        try:
            self.time.run(inside())
        except (Killed, RuntimeError, asyncio.CancelledError):
            if not cut_down:
                raise
        self.state.dead = False
        return cut_down

    def _account(self, probe: Callable[[str], None]) -> Account:
        window = _NoLimit()
        mavera = _Direct(
            base_url="http://127.0.0.1/api/v1",
            api_key=SecretStr("k"),
            throttle=window,
            transport=self.server,
            clock=self.time.now,
        )
        mavera.model = self.server
        return Account(
            state=self.state,
            mavera=mavera,
            window=window,
            identity=IDENTITY,
            policy=self._policy,
            clock=self.time.now,
            probe=probe,
        )

    def counted(self) -> int:
        """Credits spent or reserved."""
        with self.state.engine.connect() as connection:
            return int(
                connection.execute(sa.select(sa.func.coalesce(sa.func.sum(attempts.c.credits), 0))).scalar_one()
            )

    def open_rows(self) -> int:
        """Rows that are not at their end."""
        wanted = sa.select(sa.func.count()).select_from(intents).where(intents.c.state.not_in(("done", "held")))
        with self.state.engine.connect() as connection:
            return int(connection.execute(wanted).scalar_one())

    def undecided(self) -> list[str]:
        """Segments that a clean run neither brought to an end nor explained."""
        ended = {"done", "unchanged", "held"}
        return [
            key
            for key, (ending, code) in self.told.items()
            if ending not in ended and code not in ("cap", "stale")
        ]


class Stage:
    """Where schedules play; the database is emptied between them, as making one takes most of the time."""

    def __init__(self) -> None:
        self.state = Mortal("sqlite://")
        metadata.create_all(self.state.engine)
        self._tables = [table for table in reversed(metadata.sorted_tables) if table.name.startswith("mavera_")]

    def empty(self) -> None:
        """Forget everything."""
        with self.state.engine.begin() as connection:
            for table in self._tables:
                connection.execute(table.delete())

    def play(self, schedule: Schedule, *, watch: Callable[[str], None] = nothing, empty: bool = True) -> Verdict:
        """Play one schedule; `watch` hears every label."""
        if empty:
            self.empty()
        theatre = Theatre(self.state, resend=schedule.resend, watch=watch)
        server = theatre.server
        server.faults, server.lag, server.late = list(schedule.faults), schedule.lag, schedule.late
        verdict = Verdict()
        for number in range(len(schedule.cuts) + 3):
            cut = schedule.cuts[number] if number < len(schedule.cuts) else None
            if cut is None and number > 0:
                server.faults.clear()
            verdict.kills += theatre.run(number=number, cut=cut, tiers=schedule.briefs, sweep=schedule.thorough)
            verdict.over_cap += theatre.counted() > CAP or server.charged > CAP
            if cut is None and not theatre.open_rows() and not schedule.thorough:
                break
        verdict.labels = theatre.labels
        verdict.duplicates, verdict.paid = server.duplicates(), server.charged
        self._final(verdict, theatre, schedule)
        return verdict

    def _final(self, verdict: Verdict, theatre: Theatre, schedule: Schedule) -> None:
        with self.state.engine.connect() as connection:
            states = {row[0]: row[1] for row in connection.execute(_STATES)}
            objects = {row[0]: row[1] for row in connection.execute(_OBJECTS)}
        there = {one["id"] for one in theatre.server.personas}
        for name in schedule.briefs:
            key = f"tier:{name}"
            if objects.get(key) in there:
                verdict.done += 1
            elif states.get(key) == "held":
                verdict.held += 1
            elif theatre.told.get(key) == ("skipped", "cap"):
                verdict.capped += 1
            else:
                verdict.lost.append(f"{key}: {states.get(key)}")


def schedules(count: int, *, seed: int, cuts: int = 2) -> list[Schedule]:
    """Every label with every way and fault once, then seeded combinations, `count` in all."""
    chance = random.Random(seed)
    labels = [label for label in LABELS if not label.startswith(("not_sent", "result"))]
    all_single = [
        Schedule(cuts=(Cut(label, way),), faults=(fault,), resend=chance.random() < 0.5)
        for label in labels
        for way in WAYS
        for fault in FAULTS
    ]
    chance.shuffle(all_single)
    out = all_single[: count // 2]
    while len(out) < count:
        first, second = chance.choice(LABELS), chance.choice(LABELS)
        out.append(
            Schedule(
                cuts=tuple(Cut(label, chance.choice(WAYS), chance.choice((1, 1, 2))) for label in (first, second))[
                    : chance.choice((1, cuts))
                ],
                faults=tuple(chance.choice(FAULTS) for _ in range(chance.randint(1, 5))),
                resend=chance.random() < 0.5,
                lag=chance.choice((0.0, 5.0, 12.0)),
                late=chance.choice((1.0, 10.0, 15.0)),
                thorough=chance.random() < 0.2,
            )
        )
    return out
