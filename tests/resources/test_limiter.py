"""The limiter's pace, on a clock of its own: bursts, nesting, what each refusal cuts, and sharing."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.limiter import Limiter, key_kind
from resources.state import State, metadata
from resources.state.extraction import SharedPace

_LIST = "GET /v1/charges"
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.now + seconds, future))
        await future

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run to the end, moving the clock to the next sleeper whenever nobody else can go on."""

        async def drive() -> None:
            task = asyncio.ensure_future(work)
            while not task.done():
                for _ in range(20):
                    await asyncio.sleep(0)
                if not task.done() and self._waiting:
                    self._waiting.sort(key=lambda entry: entry[0])
                    at, future = self._waiting.pop(0)
                    if not future.done():  # its sleeper was not cancelled
                        self.now = max(self.now, at)
                        future.set_result(None)
            task.result()

        asyncio.run(drive())


def _limiter(time: Time, account: float, operation: float = 25.0, **options: Any) -> Limiter:
    return Limiter(
        requests_per_second=account, operation_per_second=operation, clock=time, sleep=time.sleep, **options
    )


def _sent(time: Time, limiter: Limiter, operations: list[str], each: Callable[[str], None]) -> list[float]:
    departures: list[float] = []

    async def one(operation: str) -> None:
        async with limiter.slot(operation):
            departures.append(time.now)
            each(operation)

    async def everything() -> None:
        await asyncio.gather(*(one(operation) for operation in operations))

    time.run(everything())
    return departures


def test_an_operation_never_passes_its_rate_in_any_second_and_bursts_a_quarter() -> None:
    time = Time()
    limiter = _limiter(time, 100)
    departures = _sent(time, limiter, [_LIST] * 120, lambda _: limiter.succeeded(_LIST, 0.1))
    for begin in departures:
        assert sum(begin <= at < begin + 1.0 for at in departures) <= 25
    assert sum(at < 0.01 for at in departures) <= 7
    assert 4.5 < departures[-1] < 6.5


def test_the_account_binds_when_many_operations_run() -> None:
    time = Time()
    limiter = _limiter(time, 25)
    operations = [f"GET /v1/{name}" for name in ("charges", "invoices", "customers", "refunds")] * 25
    departures = _sent(time, limiter, operations, lambda name: limiter.succeeded(name, 0.1))
    for begin in departures:
        assert sum(begin <= at < begin + 1.0 for at in departures) <= 31  # the rate, and a quarter second's burst
    assert departures[-1] > 3.5


@pytest.mark.parametrize(
    ("reason", "operation_cut", "account_cut", "cap_cut"),
    [
        ("endpoint-rate", True, False, False),
        ("global-rate", False, True, False),
        ("global-concurrency", False, False, True),
        ("endpoint-concurrency", False, False, False),
        ("resource-specific", False, False, False),
        (None, False, False, False),
    ],
)
def test_a_refusal_cuts_what_its_reason_names(
    reason: str | None, operation_cut: bool, account_cut: bool, cap_cut: bool
) -> None:
    time = Time()
    limiter = _limiter(time, 100, concurrency=40)
    limiter.in_flight = 40
    before = (limiter.pace_of(_LIST).rate, limiter.account.rate, limiter.concurrency)
    limiter.refused(_LIST, reason)
    after = (limiter.pace_of(_LIST).rate, limiter.account.rate, limiter.concurrency)
    assert [now < then for now, then in zip(after, before, strict=True)] == [operation_cut, account_cut, cap_cut]
    assert limiter.total.limited == 1


def test_an_operation_over_its_concurrency_waits_for_its_own_places_only() -> None:
    time = Time()
    limiter = _limiter(time, 100)
    limiter._operation_flights[_LIST] = 4
    limiter.refused(_LIST, "endpoint-concurrency")
    assert not limiter._has_place(_LIST)
    assert limiter._has_place("GET /v1/invoices")


def test_many_refusals_of_one_burst_are_one_lesson() -> None:
    time = Time()
    limiter = _limiter(time, 100)
    limiter.refused(_LIST, "endpoint-rate")
    once = limiter.pace_of(_LIST).rate
    for _ in range(20):
        limiter.refused(_LIST, "endpoint-rate")
    assert limiter.pace_of(_LIST).rate == once


def test_success_climbs_back_to_the_ceiling_and_not_beyond() -> None:
    time = Time()
    limiter = _limiter(time, 100)
    for _ in range(400):
        time.now += 0.1
        limiter.succeeded(_LIST, 0.1)
    assert limiter.account.rate == pytest.approx(95.0)
    assert limiter.pace_of(_LIST).rate == pytest.approx(24.0)


def test_runs_of_one_account_share_its_pace_and_get_it_back() -> None:
    time = Time()
    limiter = _limiter(time, 100)
    limiter.share_with(2)
    assert limiter.account.ceiling == pytest.approx(47.5)
    assert limiter.pace_of("GET /v1/invoices").ceiling == pytest.approx(12.0)
    limiter.share_with(1)
    assert limiter.account.ceiling == pytest.approx(95.0)


def test_what_another_run_learned_is_heeded_once() -> None:
    time = Time()
    first, second = _limiter(time, 100), _limiter(time, 100)
    time.now = 5.0
    first.refused(_LIST, "endpoint-rate")
    assert set(first.learned()) == {_LIST}
    second.heed(first.learned())
    assert second.pace_of(_LIST).rate == pytest.approx(first.pace_of(_LIST).rate)


def test_the_budget_stops_optional_requests_only() -> None:
    time = Time()
    limiter = _limiter(time, 100, budget=2)
    assert limiter.within_budget()
    _sent(time, limiter, [_LIST] * 3, lambda _: None)
    assert not limiter.within_budget()
    assert limiter.total.requests == 3


@pytest.mark.parametrize(
    ("key", "live", "restricted", "rate"),
    [
        ("rk_live_x", True, True, 100.0),
        ("sk_live_x", True, False, 100.0),
        ("rk_test_x", False, True, 25.0),
        ("sk_test_x", False, False, 25.0),
    ],
)
def test_the_prefix_of_a_key_tells_mode_and_limit(key: str, live: bool, restricted: bool, rate: float) -> None:
    kind = key_kind(key)
    assert (kind.live, kind.restricted, kind.requests_per_second) == (live, restricted, rate)


@pytest.mark.parametrize("key", ["", "pk_live_abc", "whsec_secret", "sk_secret_abc"])
def test_any_other_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="a Stripe key begins with") as refusal:
        key_kind(key)
    assert not key or key not in str(refusal.value)


def test_those_who_wait_for_a_place_get_it_in_turn_and_one_full_operation_holds_up_no_other() -> None:
    async def scenario() -> list[str]:
        limiter = Limiter(requests_per_second=1e6, operation_per_second=1e6, concurrency=4)
        entered: list[str] = []

        async def one(operation: str, number: int) -> None:
            async with limiter.slot(operation):
                entered.append(f"{operation}{number}")
                await asyncio.sleep(0)

        await asyncio.gather(*(one(operation, number) for number in range(6) for operation in "ab"))
        assert limiter.peak_in_flight <= 4
        return entered

    entered = asyncio.run(scenario())
    for operation in "ab":
        assert [name for name in entered if name[0] == operation] == [f"{operation}{n}" for n in range(6)]


def test_runs_that_share_the_state_keep_one_pace_together(tmp_path: Path) -> None:
    time = Time()
    database = State(f"sqlite:///{tmp_path}/state.db")
    metadata.create_all(database.engine)
    departures: dict[str, list[float]] = {"first": [], "second": []}

    async def run(name: str, seconds: float) -> None:
        limiter = _limiter(time, 100)
        pace = SharedPace(database, "acct", name, lambda: _BEGIN + timedelta(seconds=time.now))

        async def beat() -> None:
            while True:
                count, lowest = pace.exchange(limiter.learned())
                limiter.share_with(count)
                limiter.heed(lowest)
                await time.sleep(1.0)

        async def read() -> None:
            while time.now < seconds:
                async with limiter.slot(_LIST):
                    departures[name].append(time.now)
                    limiter.succeeded(_LIST, 0.1)

        beating = asyncio.ensure_future(beat())
        await asyncio.gather(*(read() for _ in range(8)))
        beating.cancel()
        pace.leave()

    async def both() -> None:
        await asyncio.gather(run("first", 6.0), run("second", 12.0))

    time.run(both())
    together = sorted(departures["first"] + departures["second"])
    shared = [at for at in together if at >= 2.0]  # a run hears of the other within a second
    assert max(sum(begin <= at < begin + 1.0 for at in shared) for begin in shared) <= 25
    halves = [sum(1.0 <= at < 6.0 for at in departures[name]) for name in ("first", "second")]
    assert min(halves) >= 45
    alone = sum(8.0 <= at < 12.0 for at in departures["second"])
    assert alone >= 80  # the pace of a run that left is taken up
