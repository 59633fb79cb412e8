"""Schedules: where a run is cut, how, and what happens to each paid call; and what must hold after re-runs.

The real plan, ledger and dispatcher run against a model of Mavera in virtual time. A KILL ends all writes and
calls at once, a TERM cancels the run, an exception unwinds it.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa
from pydantic import SecretStr

from activation.account import Account
from activation.apply import apply
from activation.edges import LABELS, nothing
from activation.plan import build_plan
from activation.policy import Caps, Policy
from activation.rate_window import RateWindow
from activation.reconcile import reconcile
from resources.mavera import MaveraApi, RateState
from resources.state import State, metadata
from resources.state.ledger import attempts, intents
from tests.activation.kit import IDENTITY, Timeline, a_source, quick_policy, tier
from tests.activation.model_mavera import FAULTS, ModelMavera

WAYS = ("kill", "term", "exception")
CAP = 1_500


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


class Stage:
    """Where schedules play; the database is emptied between them, as making one takes most of the time."""

    def __init__(self) -> None:
        self.state = Mortal("sqlite://")
        metadata.create_all(self.state.engine)
        self._watch: Callable[[str], None] = nothing
        self._told: dict[str, tuple[str, str]] = {}
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
        self._watch = watch
        time = Timeline()
        server = ModelMavera(
            clock=time.unix, faults=list(schedule.faults), lag=schedule.lag, late=schedule.late, credits=CAP * 10
        )
        verdict = Verdict()
        policy = quick_policy(
            auto_resend_after_settle=schedule.resend, caps=Caps(per_month=CAP), claim_seconds=5, attempts=2
        )
        for number in range(len(schedule.cuts) + 3):
            cut = schedule.cuts[number] if number < len(schedule.cuts) else None
            if cut is None and number > 0:
                server.faults.clear()
            verdict.kills += self._run(time, server, policy, schedule, cut, verdict, number)
            self._check_cap(verdict, server)
            if cut is None and not self._open() and not schedule.thorough:
                break
        self._final(verdict, server, schedule)
        return verdict

    def _run(
        self,
        time: Timeline,
        server: ModelMavera,
        policy: Policy,
        schedule: Schedule,
        cut: Cut | None,
        verdict: Verdict,
        number: int,
    ) -> int:
        self.state.dead = False
        passed: dict[str, int] = {}
        cut_down = False

        def probe(label: str) -> None:
            nonlocal cut_down
            if self.state.dead:
                raise Killed
            verdict.labels.add(label)
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

        async def inside() -> None:
            nonlocal main
            main = asyncio.current_task()  # type: ignore[assignment]
            window = _NoLimit()
            mavera = MaveraApi(
                base_url="http://127.0.0.1/api/v1",
                api_key=SecretStr("k"),
                throttle=window,
                transport=server,
                clock=time.now,
            )
            account = Account(
                state=self.state,
                mavera=mavera,
                window=window,
                identity=IDENTITY,
                policy=policy,
                clock=time.now,
                probe=probe,
            )
            async with mavera:
                if schedule.thorough:
                    await reconcile(account, run_id=f"run-{number}", actor="test")
                briefs = [tier(name) for name in schedule.briefs]
                plan = await build_plan(account, briefs, source=a_source())
                report = await apply(account, plan, run_id=f"run-{number}", actor="test")
                self._told = {row.operation.segment_key: (row.ending, row.code) for row in report.rows}

        main: asyncio.Task[None]
        try:
            time.run(inside())
        except (Killed, RuntimeError, asyncio.CancelledError):
            if not cut_down:
                raise
        self.state.dead = False
        return int(cut_down)

    def _check_cap(self, verdict: Verdict, server: ModelMavera) -> None:
        with self.state.engine.connect() as connection:
            counted = connection.execute(
                sa.select(sa.func.coalesce(sa.func.sum(attempts.c.credits), 0))
            ).scalar_one()
        verdict.over_cap += counted > CAP or server.charged > CAP

    def _open(self) -> int:
        """Rows that are not at their end."""
        wanted = sa.select(sa.func.count()).select_from(intents).where(intents.c.state.not_in(("done", "held")))
        with self.state.engine.connect() as connection:
            return int(connection.execute(wanted).scalar_one())

    def _final(self, verdict: Verdict, server: ModelMavera, schedule: Schedule) -> None:
        verdict.duplicates = server.duplicates()
        verdict.paid = server.charged
        with self.state.engine.connect() as connection:
            rows = connection.execute(sa.text("select segment_key, state from mavera_intents")).all()
            objects = {
                row.segment_key: row.remote_id
                for row in connection.execute(sa.text("select segment_key, remote_id from mavera_objects"))
            }
        states = {row.segment_key: row.state for row in rows}
        there = {one["id"] for one in server.personas}
        for name in schedule.briefs:
            key = f"tier:{name}"
            if objects.get(key) in there:
                verdict.done += 1
            elif states.get(key) == "held":
                verdict.held += 1
            elif self._told.get(key) == ("skipped", "cap"):
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
