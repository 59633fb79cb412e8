"""The one call of a claim: what it is refused for before the socket, and what each failure of it is taken for."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from activation.account import Account
from activation.dispatch import Dispatcher
from activation.intents import Claim, Run
from activation.leases import Leases
from activation.outcomes import Outcome, Verdict
from activation.policy import Caps, Kind
from resources.mavera import RateState
from tests.activation.kit import Bench, quick_policy
from tests.activation.test_ledger import an_entry

RUN = Run(run_id="run-1", actor="test", plan_hash="p", policy_version="1")
HEADERS = {"X-RateLimit-Limit": "120", "X-RateLimit-Remaining": "119"}


class Wire(httpx.AsyncBaseTransport):
    """Answers as told, and remembers that it was asked."""

    def __init__(self, answer: Callable[[httpx.Request], Any]) -> None:
        self._answer = answer
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answer(request)
        if isinstance(answer, BaseException):
            raise answer
        if asyncio.iscoroutine(answer):
            answer = await answer
        assert isinstance(answer, httpx.Response)
        return answer


def made(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"id": "clx1"}, headers=HEADERS)


def sent(
    wire: Wire,
    *,
    meanwhile: Callable[[Account, Claim], None] = lambda *_: None,
    clock: Callable[[Account], Callable[[], datetime]] = lambda account: account.clock,
    probe: Callable[[str], None] = lambda _: None,
    cancel_after: float | None = None,
) -> tuple[Outcome | None, list[Any], int]:
    """Send one claim; its outcome, the ledger's rows and the limit that the pace has learnt."""
    bench = Bench(policy=quick_policy(send_within_seconds=5), wrap=lambda _inner: wire)

    async def inside(account: Account) -> tuple[Outcome | None, list[Any], int]:
        claim = account.ledger.claim(an_entry(), run=RUN, caps=Caps())
        assert isinstance(claim, Claim)
        meanwhile(account, claim)
        leases = Leases(account.state, key_hash="k", slots=1, seconds=60, clock=account.clock)
        dispatcher = Dispatcher(
            mavera=account.mavera,
            ledger=account.ledger,
            window=account.window,
            leases=leases,
            policy=account.policy,
            clock=clock(account),
            probe=probe,
        )
        outcome = None
        async with dispatcher as entered:
            assert entered is dispatcher
            call = asyncio.ensure_future(
                dispatcher.send(claim, method="POST", path="personas", operation="createPersona", before=None)
            )
            if cancel_after is not None:
                await asyncio.sleep(cancel_after)
                call.cancel()
            try:
                outcome = await call
                dispatcher.learn(outcome)
            except asyncio.CancelledError:
                assert cancel_after is not None
        with account.state.begin() as connection:
            limit, _ = account.window._limit(connection, lock=False)
        return outcome, account.ledger.intents(), limit

    return bench.run(inside)


def test_an_answer_is_handed_on_and_its_headers_teach_the_pace() -> None:
    wire, labels = Wire(made), list[str]()
    outcome, rows, limit = sent(wire, probe=labels.append)
    rate = RateState(limit=120, remaining=119)
    assert outcome == Outcome(verdict=Verdict.DONE, body={"id": "clx1"}, rate=rate)
    assert [request.method for request in wire.requests] == ["POST"]
    assert [row.state for row in rows] == ["sent"]  # the worker writes what came of it
    assert (limit, labels) == (120, ["call:before", "call:after"])


def test_a_worker_that_lost_its_claim_sends_nothing() -> None:
    wire = Wire(made)

    def another_sends(account: Account, claim: Claim) -> None:
        account.ledger.sent(claim, settle_seconds=30)

    outcome, _, _ = sent(wire, meanwhile=another_sends)
    assert outcome is not None
    assert (outcome.verdict, outcome.code) == (Verdict.NOT_SENT, "lost_claim")
    assert outcome.reason == "another worker took the claim over"
    assert wire.requests == []


@pytest.mark.parametrize(("seconds", "sends"), [(5.0, 1), (5.1, 0)])
def test_a_machine_that_slept_between_the_commit_and_the_socket_sends_nothing(seconds: float, sends: int) -> None:
    wire = Wire(made)
    outcome, _, _ = sent(wire, clock=lambda account: lambda: account.clock() + timedelta(seconds=seconds))
    assert outcome is not None
    assert len(wire.requests) == sends
    if not sends:
        assert (outcome.verdict, outcome.code) == (Verdict.NOT_SENT, "not_sent")
        assert outcome.reason == "the machine was suspended"


@pytest.mark.parametrize(
    ("answer", "verdict", "code", "reason"),
    [
        (lambda _: asyncio.sleep(60), Verdict.AMBIGUOUS, "deadline", "Mavera createPersona: no answer in 20 s"),
        (lambda _: OSError(5, "gone"), Verdict.AMBIGUOUS, "no_answer", "Mavera createPersona: OSError"),
        (lambda _: httpx.ReadError("reset"), Verdict.AMBIGUOUS, "ambiguous", "createPersona"),
        (lambda _: httpx.ConnectError("refused"), Verdict.NOT_SENT, "not_sent", "createPersona"),
    ],
    ids=["no answer in time", "an error of the socket", "a broken connection", "no connection"],
)
def test_a_failure_is_taken_for_what_it_may_hide(answer: Any, verdict: Verdict, code: str, reason: str) -> None:
    outcome, rows, _ = sent(Wire(answer))
    assert outcome is not None
    assert (outcome.verdict, outcome.code) == (verdict, code)
    assert reason in outcome.reason
    assert [row.state for row in rows] == ["sent"]


def test_a_cancelled_call_leaves_an_unknown_row() -> None:
    outcome, rows, _ = sent(Wire(lambda _: asyncio.sleep(60)), cancel_after=3)
    assert outcome is None
    assert [(row.state, row.code, row.reason) for row in rows] == [
        ("unknown", "cancelled", "the run was cancelled during the call")
    ]


@pytest.mark.parametrize(("kind", "waits"), [(Kind.CASE_STUDY, True), (Kind.PERSONA, False)])
def test_only_a_chat_takes_one_of_the_places_in_flight(kind: Kind, waits: bool) -> None:
    bench = Bench()

    async def inside(account: Account) -> float:
        leases = Leases(account.state, key_hash="k", slots=1, seconds=60, clock=account.clock)
        leases.take("another")
        dispatcher = Dispatcher(
            mavera=account.mavera,
            ledger=account.ledger,
            window=account.window,
            leases=leases,
            policy=account.policy,
            clock=account.clock,
        )
        started = account.clock()
        async with dispatcher.lease(kind, "me"):
            return (account.clock() - started).total_seconds()

    assert (bench.run(inside) >= 60) is waits


def test_a_dispatcher_that_was_not_entered_refuses_to_send() -> None:
    bench = Bench()

    async def inside(account: Account) -> None:
        claim = account.ledger.claim(an_entry(), run=RUN, caps=Caps())
        assert isinstance(claim, Claim)
        leases = Leases(account.state, key_hash="k", slots=1, seconds=60, clock=account.clock)
        dispatcher = Dispatcher(
            mavera=account.mavera,
            ledger=account.ledger,
            window=account.window,
            leases=leases,
            policy=account.policy,
            clock=account.clock,
        )
        await dispatcher.send(claim, method="POST", path="personas", operation="createPersona", before=None)

    with pytest.raises(RuntimeError, match="outside of its context manager"):
        bench.run(inside)
