"""Many rows: unknown outcomes settled by a few reads, and plans carried out at the key's rate limit."""

import time as real_time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from activation.account import Account
from activation.apply import apply
from activation.intents import Claim, Entry, Run
from activation.plan import build_plan
from activation.policy import Caps, Kind
from activation.rate_window import RateWindow
from activation.reconcile import reconcile
from resources.mavera import MaveraApi, ReadPolicy
from resources.state import State
from tests.activation.kit import IDENTITY, Timeline, a_source, market, memory_state, quick_policy
from tests.activation.model_mavera import ModelMavera
from tests.activation.processes import an_account, run


def _account(time: Timeline, server: ModelMavera, *, per_minute: int, **policy: Any) -> Account:
    state, key = memory_state(), SecretStr("k")
    window = RateWindow(state, api_key=key, clock=time.now, per_minute=per_minute)
    mavera = MaveraApi(
        base_url="http://127.0.0.1/api/v1",
        api_key=key,
        throttle=window,
        transport=server,
        clock=time.now,
        policy=ReadPolicy(max_bytes=2**26),
    )
    return Account(
        state=state,
        mavera=mavera,
        window=window,
        identity=IDENTITY,
        policy=quick_policy(**policy),
        clock=time.now,
    )


def _unknown_rows_settle(count: int) -> None:
    time = Timeline()
    server = ModelMavera(clock=time.unix, credits=10**9, lag=0)
    account = _account(time, server, per_minute=600)
    run = Run(run_id="r", actor="test", plan_hash="p", policy_version="1")
    for number in range(count):
        token = f"{number:08d}".translate(str.maketrans("0189", "abcd"))
        entry = Entry(
            kind=Kind.PERSONA,
            segment_key=f"market:{number}",
            spec_version="v1",
            token=token,
            template_version="t",
            content={},
            body={"name": f"Market [{token}]"},
            credits=300,
        )
        claim = account.ledger.claim(entry, run=run, caps=Caps())
        assert isinstance(claim, Claim)
        account.ledger.sent(claim, settle_seconds=30)
        if number % 2:
            server.personas.append({"id": f"clx{number}", "is_custom": True, "created_at": 0.0, **entry.body})
    time.seconds += 31

    async def sweep() -> Any:
        async with account.mavera:
            return await reconcile(account, run_id="r", actor="test")

    report = time.run(sweep())
    assert (report.looked_up, report.adopted, report.held) == (count, count // 2, count - count // 2)
    assert time.seconds <= 31 + 60


def test_two_hundred_unknown_outcomes_are_settled_within_the_rate_limit() -> None:
    _unknown_rows_settle(200)


@pytest.mark.soak
def test_ten_thousand_unknown_outcomes_are_settled_within_a_minute() -> None:
    started = real_time.monotonic()
    _unknown_rows_settle(10_000)
    assert real_time.monotonic() - started < 600


def _markets(count: int) -> list[dict[str, Any]]:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    codes = [a + b for a in letters for b in letters]
    return [
        market(codes[number % len(codes)], currency=("eur", "usd")[number // len(codes)])
        for number in range(count)
    ]


def rate_reached(operations: int, *, per_minute: int, seconds_each: float) -> float:
    """Calls a minute over a whole plan of new personas, as a share of the key's limit, in virtual time."""
    time = Timeline()
    server = ModelMavera(clock=time.unix, credits=10**9, seconds=seconds_each, per_minute=per_minute)
    account = _account(
        time, server, per_minute=per_minute, auto_approve_credits=10**9, settle_seconds=60, deadline_seconds=60
    )

    async def both() -> Any:
        async with account.mavera:
            plan = await build_plan(account, _markets(operations), source=a_source())
            return await apply(account, plan, run_id="r", actor="test")

    assert time.run(both()).counts == {"done": operations}
    arrivals = server.arrivals[:-1]  # the last one reads the usage when all is done
    most = max(sum(start <= at < start + 60 for at in arrivals) for start in arrivals[:: max(1, per_minute // 10)])
    assert most <= per_minute
    return len(arrivals) / (arrivals[-1] - arrivals[0]) * 60 / per_minute


@dataclass(frozen=True)
class Pace:
    """A plan carried out in real time: its calls, how long they took, and how many the server refused."""

    calls: int
    seconds: float
    refused: int

    def share(self, per_minute: int) -> float:
        """Calls a minute, as a share of the limit. A minute's calls may go at once, so it can be above one."""
        return self.calls / self.seconds * 60 / per_minute


class _Counted(httpx.AsyncBaseTransport):
    """When each request left, and how many were refused."""

    def __init__(self) -> None:
        self.inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=100))
        self.left: list[float] = []
        self.refused = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.left.append(real_time.monotonic())
        answer = await self.inner.handle_async_request(request)
        self.refused += answer.status_code == 429
        return answer

    async def aclose(self) -> None:
        await self.inner.aclose()


def pace_measured(database: str, url: str, operations: int, *, per_minute: int) -> Pace:
    """Carry out a plan of new personas against a server that enforces its limit, in real time."""
    state, wire = State(database), _Counted()
    account = an_account(
        state, url, quick_policy(auto_approve_credits=10**9), per_minute=per_minute, transport=wire
    )

    async def both() -> Any:
        async with account.mavera:
            plan = await build_plan(account, _markets(operations), source=a_source())
            return await apply(account, plan, run_id="r", actor="test")

    assert run(both()).counts == {"done": operations}
    state.close()
    left = wire.left[:-1]  # the last one reads the usage when all is done
    return Pace(calls=len(left), seconds=left[-1] - left[0], refused=wire.refused)


def test_a_plan_is_carried_out_at_ninety_five_percent_of_the_rate_limit() -> None:
    assert rate_reached(130, per_minute=30, seconds_each=4) >= 0.95


@pytest.mark.soak
@pytest.mark.parametrize("per_minute", [60, 240, 600])
def test_a_plan_of_a_thousand_operations_is_carried_out_at_ninety_five_percent(per_minute: int) -> None:
    assert rate_reached(1_000, per_minute=per_minute, seconds_each=5) >= 0.95
