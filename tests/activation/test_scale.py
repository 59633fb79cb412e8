"""Many rows: unknown outcomes settled by a few reads, and plans carried out at the key's rate limit."""

import time as real_time
from typing import Any

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
from tests.activation.kit import IDENTITY, Timeline, a_source, market, memory_state, quick_policy
from tests.activation.model_mavera import ModelMavera


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


def rate_reached(operations: int, *, per_minute: int, seconds_each: float) -> float:
    """Calls a minute over a whole plan of new personas, as a share of the key's limit, in virtual time."""
    time = Timeline()
    server = ModelMavera(clock=time.unix, credits=10**9, seconds=seconds_each, per_minute=per_minute)
    account = _account(
        time, server, per_minute=per_minute, auto_approve_credits=10**9, settle_seconds=60, deadline_seconds=60
    )
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    codes = [a + b for a in letters for b in letters]
    briefs = [
        market(codes[number % len(codes)], currency=("eur", "usd")[number // len(codes)])
        for number in range(operations)
    ]

    async def both() -> Any:
        async with account.mavera:
            plan = await build_plan(account, briefs, source=a_source())
            return await apply(account, plan, run_id="r", actor="test")

    assert time.run(both()).counts == {"done": operations}
    arrivals = server.arrivals[:-1]  # the last one reads the usage when all is done
    most = max(sum(start <= at < start + 60 for at in arrivals) for start in arrivals[:: max(1, per_minute // 10)])
    assert most <= per_minute
    return len(arrivals) / (arrivals[-1] - arrivals[0]) * 60 / per_minute


def test_a_plan_is_carried_out_at_ninety_five_percent_of_the_rate_limit() -> None:
    assert rate_reached(130, per_minute=30, seconds_each=4) >= 0.95


@pytest.mark.soak
@pytest.mark.parametrize("per_minute", [60, 240, 600])
def test_a_plan_of_a_thousand_operations_is_carried_out_at_ninety_five_percent(per_minute: int) -> None:
    assert rate_reached(1_000, per_minute=per_minute, seconds_each=5) >= 0.95
