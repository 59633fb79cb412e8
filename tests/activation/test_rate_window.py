"""The shared pace: never more than the limit in any window, close to it in steady state, leases that expire."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from activation.leases import Leases
from activation.rate_window import RateWindow, key_hash
from resources.mavera import RateLimitedError, RateState
from resources.state import State
from resources.state.ledger import rate_stamps
from tests.activation.databases import fresh_database
from tests.activation.kit import KEY, Timeline, memory_state


def _window(state: State, time: Timeline, *, per_minute: int = 60) -> RateWindow:
    return RateWindow(state, api_key=KEY, clock=time.now, per_minute=per_minute)


def _most_in_any_window(stamps: list[datetime]) -> int:
    return max(sum(start <= at < start + timedelta(seconds=60) for at in stamps) for start in stamps)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_no_window_of_a_minute_holds_more_calls_than_the_limit_however_many_ask(workers: int) -> None:
    time, state, stamps = Timeline(), memory_state(), []

    async def worker() -> None:
        window = _window(state, time)
        for _ in range(150 // workers):
            await window.acquire()
            stamps.append(time.now())

    async def all_of_them() -> None:
        await asyncio.gather(*(worker() for _ in range(workers)))

    time.run(all_of_them())
    assert _most_in_any_window(stamps) == 60
    # 150 calls at 60 a minute need two full windows after the first burst: at least 95 % of the limit.
    assert time.seconds <= 120 / 0.95


def test_fewer_places_left_than_our_own_calls_explain_are_calls_of_others() -> None:
    time, state = Timeline(), memory_state()
    window = _window(state, time)
    assert window.take() == 0
    window.observe(RateState(limit=60, remaining=2))
    assert [window.take() for _ in range(3)][:2] == [0, 0]
    assert window.take() == pytest.approx(60.2, abs=0.01)


def test_a_429_pauses_everyone_on_the_key_for_as_long_as_it_asks() -> None:
    time, state = Timeline(), memory_state()
    _window(state, time).observe(RateState(retry_after=12.0))
    assert _window(state, time).take() == 12.0
    time.seconds += 12
    assert _window(state, time).take() == 0


@pytest.mark.parametrize(
    ("asked", "held", "until"),
    [
        (301.0, 301.0, "2026-11-10 09:05"),
        (86_400.0, 86_400.0, "2026-11-11 09:00"),
        (999_999_999_999.0, 86_400.0, "2026-11-11 09:00"),
    ],
)
def test_more_than_minutes_are_not_waited_for_and_no_pause_is_longer_than_a_day(
    asked: float, held: float, until: str
) -> None:
    time, state = Timeline(), memory_state()
    window = _window(state, time)
    window.observe(RateState(retry_after=asked))
    with pytest.raises(RateLimitedError, match=f"no call before {until} UTC; run again then") as refused:
        time.run(window.acquire())
    assert (refused.value.retry_after, time.seconds) == (held, 0)
    time.seconds += held
    time.run(window.acquire())


def test_minutes_are_waited_for() -> None:
    time = Timeline()
    window = _window(memory_state(), time)
    window.observe(RateState(retry_after=300.0))
    time.run(window.acquire())
    assert time.seconds == 300


def test_an_absurd_limit_is_bounded() -> None:
    window = _window(memory_state(), Timeline())
    window.observe(RateState(limit=999_999_999_999))
    window.observe(RateState(remaining=0))
    assert window.take() > 0


def test_the_limit_of_the_headers_replaces_the_assumed_one() -> None:
    time, state = Timeline(), memory_state()
    window = _window(state, time, per_minute=600)
    window.observe(RateState(limit=3, remaining=3))
    assert [window.take() > 0 for _ in range(4)] == [False, False, False, True]


def test_calls_that_left_the_window_are_forgotten() -> None:
    time, state = Timeline(), memory_state()
    window = _window(state, time, per_minute=600)
    for _ in range(10):
        assert window.take() == 0
        time.seconds += 60.2
    with state.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(rate_stamps)).scalar_one() == 1


def test_headers_that_say_nothing_change_nothing() -> None:
    time, state = Timeline(), memory_state()
    window = _window(state, time, per_minute=3)
    for rate in (RateState(), RateState(remaining=30), RateState(limit=0)):
        window.observe(rate)
    assert [window.take() > 0 for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("rate", "granted"),
    [(RateState(limit=2), 2), (RateState(remaining=1), 1), (RateState(retry_after=5.0), 0)],
    ids=["a limit", "places left", "a wait"],
)
def test_each_header_counts_alone(rate: RateState, granted: int) -> None:
    window = _window(memory_state(), Timeline(), per_minute=4)
    window.observe(rate)
    assert [window.take() > 0 for _ in range(4)].index(True) == granted


def test_a_place_that_is_free_in_a_moment_is_waited_for_no_longer() -> None:
    time = Timeline()
    window = _window(memory_state(), time, per_minute=1)
    assert window.take() == 0
    time.seconds = 60.1
    assert window.take() == pytest.approx(0.1)


def test_the_state_holds_a_hash_of_the_key_and_never_the_key(tmp_path: Path) -> None:
    url = fresh_database(None, tmp_path)
    state = State(url)
    _window(state, Timeline()).take()
    state.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert KEY.get_secret_value().encode() not in stored
    assert key_hash(KEY).encode() in stored


@settings(max_examples=30, deadline=None)
@given(pauses=st.lists(st.floats(0, 40), min_size=5, max_size=25), limit=st.integers(1, 6))
def test_any_rhythm_of_calls_stays_within_the_limit(pauses: list[float], limit: int) -> None:
    time, stamps = Timeline(), []
    window = _window(memory_state(), time, per_minute=limit)

    async def calls() -> None:
        for pause in pauses:
            await asyncio.sleep(pause)
            await window.acquire()
            stamps.append(time.now())

    time.run(calls())
    assert _most_in_any_window(stamps) <= limit


# ---- leases -----------------------------------------------------------------------------------------------------
def _leases(state: State, time: Timeline, *, slots: int = 10, seconds: float = 210) -> Leases:
    return Leases(state, key_hash="k", slots=slots, seconds=seconds, clock=time.now)


def test_at_most_ten_calls_are_in_flight_over_all_workers() -> None:
    time, state = Timeline(), memory_state()
    flying, most = 0, 0

    async def chat(worker: int) -> None:
        nonlocal flying, most
        async with _leases(state, time).held(f"w{worker}"):
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(30)
            flying -= 1

    async def all_of_them() -> None:
        await asyncio.gather(*(chat(worker) for worker in range(25)))

    time.run(all_of_them())
    assert most == 10


def test_a_lease_of_a_killed_worker_is_free_again_when_it_expires() -> None:
    time, state = Timeline(), memory_state()
    leases = _leases(state, time, slots=1)
    assert leases.take("killed") == 0
    assert leases.take("next") is None
    time.seconds += 210
    assert leases.take("next") == 0


def test_giving_back_a_lease_that_expired_does_not_take_it_from_its_new_holder() -> None:
    time, state = Timeline(), memory_state()
    leases = _leases(state, time, slots=1)
    leases.take("slow")
    time.seconds += 211
    leases.take("next")
    leases.give_back(0, "slow")
    assert leases.take("third") is None
