"""One row's steps, by scripted outcomes of its calls: what is sent, waited for, written, and how the row ends."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from activation.account import Account
from activation.endings import Ended
from activation.intents import Claim, Entry, Run
from activation.outcomes import Outcome, Verdict
from activation.plan_model import Operation
from activation.policy import Caps, Kind
from activation.worker import Stops, Worker
from resources.mavera import RateState
from tests.activation.kit import Bench, quick_policy, tier
from tests.activation.test_ledger import made_for

RUN = Run(run_id="run-1", actor="test", plan_hash="p", policy_version="1")
MADE = Outcome(verdict=Verdict.DONE, body={"id": "clx1", "name": "P", "is_custom": True})


class Script:
    """A dispatcher that commits `sent` and answers as it was told; remembers when it was asked."""

    def __init__(
        self,
        account: Account,
        outcomes: list[Outcome],
        meanwhile: Callable[[Account, Claim], object] | None = None,
    ) -> None:
        self._account = account
        self._outcomes = outcomes
        self._meanwhile = meanwhile
        self.sent: list[tuple[float, str, str]] = []
        self.leases = 0

    async def place(self) -> None:
        await self._account.window.acquire()

    def learn(self, outcome: Outcome) -> None:
        assert "sent" not in {row.state for row in self._account.ledger.intents()}  # recorded before
        self._account.window.observe(outcome.rate)

    @asynccontextmanager
    async def lease(self, _kind: Kind, _holder: str) -> AsyncIterator[None]:
        self.leases += 1
        yield

    async def send(self, claim: Claim, *, method: str, path: str, **_: Any) -> Outcome:
        outcome = self._outcomes.pop(0)
        self.sent.append((asyncio.get_running_loop().time(), method, path))
        if outcome.code != "lost_claim":
            self._account.ledger.sent(claim, settle_seconds=30)
        if self._meanwhile is not None:
            self._meanwhile(self._account, claim)
        return outcome


async def carried_out(
    account: Account,
    operation: Operation,
    outcomes: list[Outcome],
    *,
    stops: Stops | None = None,
    caps: Caps | None = None,
    meanwhile: Callable[[Account, Claim], object] | None = None,
) -> tuple[Ended, Script]:
    """Carry one row out; `meanwhile` happens during each call."""
    script = Script(account, outcomes, meanwhile)
    worker = Worker(
        account,
        dispatcher=script,  # type: ignore[arg-type]
        run=RUN,
        caps=caps or Caps(),
        before=None,
        stops=stops or Stops(),
        jitter=random.Random(1),
    )
    return await worker.carry_out(operation, operation.body), script


def played(
    *outcomes: Outcome, bench: Bench | None = None, stops: Stops | None = None, caps: Caps | None = None
) -> tuple[Ended, Script, list[Any]]:
    """Carry one new persona out; its ending, what was sent, and the ledger's rows."""
    bench = bench or Bench(policy=quick_policy(backoff_seconds=2))
    operation = bench.plan([tier()]).operations[0]

    async def inside(account: Account) -> tuple[Ended, Script]:
        return await carried_out(account, operation, list(outcomes), stops=stops, caps=caps)

    ended, script = bench.run(inside)
    return ended, script, bench.run(_rows)


def _entry(operation: Operation) -> Entry:
    return Entry(
        kind=operation.kind,
        segment_key=operation.segment_key,
        spec_version=operation.spec_version,
        token=operation.token,
        template_version=operation.template_version,
        content=operation.content,
        body=operation.body,
        credits=300,
    )


async def _rows(account: Account) -> list[Any]:
    return account.ledger.intents()


def outcome(verdict: Verdict, code: str = "", *, retry_after: float | None = None) -> Outcome:
    rate = RateState(retry_after=retry_after)
    return Outcome(verdict=verdict, code=code, reason=f"said {verdict.value}", rate=rate)


@pytest.mark.parametrize(
    ("seen", "ending", "code", "next_action", "state"),
    [
        (outcome(Verdict.NO_CREDITS), "skipped", "no_credits", "add credits; the next run goes on", "failed"),
        (outcome(Verdict.UNAUTHORIZED), "failed", "unauthorized", "set a valid MAVERA_API_KEY", "failed"),
        (
            outcome(Verdict.FORBIDDEN),
            "failed",
            "forbidden",
            "give the key the scope personas:write",
            "failed",
        ),
        (
            outcome(Verdict.REJECTED, "invalid_field"),
            "failed",
            "invalid_field",
            "correct the named field; a changed request is sent again",
            "failed",
        ),
    ],
    ids=lambda value: value.verdict.value if isinstance(value, Outcome) else "",
)
def test_a_definite_refusal_ends_the_row_with_its_remedy(
    seen: Outcome, ending: str, code: str, next_action: str, state: str
) -> None:
    ended, script, rows = played(seen)
    assert (ended.ending, ended.code, ended.next_action) == (ending, code, next_action)
    assert ended.reason == seen.reason
    assert [(row.state, row.code, row.next_action) for row in rows] == [(state, code, next_action)]
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    ("seen", "paid", "kinds"),
    [
        (Verdict.NO_CREDITS, "no credits are left at Mavera", {}),
        (Verdict.UNAUTHORIZED, "Mavera does not accept the key", {}),
        (
            Verdict.FORBIDDEN,
            None,
            {Kind.PERSONA: "the key may not write here: give the key the scope personas:write"},
        ),
        (Verdict.REJECTED, None, {}),
    ],
)
def test_a_refusal_stops_as_much_as_it_speaks_for(seen: Verdict, paid: str | None, kinds: dict[Kind, str]) -> None:
    stops = Stops()
    played(outcome(seen), stops=stops)
    assert (stops.paid, stops.kinds) == (paid, kinds)


def test_what_is_stopped_is_not_claimed() -> None:
    ended, script, rows = played(MADE, stops=Stops(paid="no credits are left at Mavera", code="no_credits"))
    assert (ended.ending, ended.code, ended.next_action) == ("skipped", "no_credits", "the next run goes on")
    assert (script.sent, rows) == ([], [])


def test_over_a_cap_nothing_is_sent_and_the_cap_is_named() -> None:
    ended, script, rows = played(MADE, caps=Caps(per_day=299))
    assert (ended.ending, ended.code) == ("skipped", "cap")
    assert "cap of 299 credits a day" in ended.reason
    assert (script.sent, rows) == ([], [])


@pytest.mark.parametrize(
    ("first", "least"),
    [
        (outcome(Verdict.RATE_LIMITED, retry_after=17.0), 17.0),
        (outcome(Verdict.RATE_LIMITED), 2.0),
        (outcome(Verdict.NOT_SENT, "not_sent"), 2.0),
        (outcome(Verdict.NOT_SENT, "lost_claim"), 15.0),
    ],
    ids=["as long as a 429 asks", "a 429 that says nothing", "not sent", "a claim that another has"],
)
def test_what_did_not_run_is_sent_again_after_a_wait(first: Outcome, least: float) -> None:
    ended, script, rows = played(first, MADE)
    assert (ended.ending, ended.remote_id) == ("done", "clx1")
    assert [(method, path) for _, method, path in script.sent] == [("POST", "personas")] * 2
    waited = script.sent[1][0] - script.sent[0][0]
    assert least <= waited <= least * 1.5 + 3
    assert [(row.state, row.attempt) for row in rows] == [("done", 2)]


def test_tries_are_used_up_in_the_end_and_each_waits_longer() -> None:
    limited = [outcome(Verdict.RATE_LIMITED) for _ in range(4)]
    ended, script, rows = played(*limited)
    assert (ended.ending, ended.next_action) == ("skipped", "the next run tries again")
    assert ended.reason == "nothing ran so far; tries are used up"
    gaps = [later[0] - earlier[0] for earlier, later in zip(script.sent, script.sent[1:], strict=False)]
    assert [gap >= least for gap, least in zip(gaps, (2, 4, 8), strict=True)] == [True] * 3
    assert [gap <= least * 1.5 + 1 for gap, least in zip(gaps, (2, 4, 8), strict=True)] == [True] * 3
    assert [(row.state, row.code, row.credits) for row in rows] == [("failed", "rate_limited", 0)]


def test_what_is_there_after_all_is_not_sent_a_second_time() -> None:
    bench = Bench()
    operation = bench.plan([tier()]).operations[0]
    elsewhere = Bench(time=bench.time)
    elsewhere.app = bench.app
    elsewhere.refresh([tier()])  # with a state of its own

    async def inside(account: Account) -> tuple[Ended, Script]:
        return await carried_out(account, operation, [outcome(Verdict.RATE_LIMITED), MADE])

    ended, script = bench.run(inside)
    assert (ended.ending, ended.code) == ("skipped", "exists")
    assert (ended.reason, ended.next_action) == ("it is at Mavera already", "the next plan takes it over")
    assert len(script.sent) == 1


def test_without_a_look_first_nothing_is_sent_a_second_time() -> None:
    bench = Bench()
    operation = bench.plan([tier()]).operations[0]
    fault = {"operation": "listPersonas", "kind": "error_before", "status": 503}
    bench.control(options={"requests_per_minute": 600, "faults": [fault]})

    async def inside(account: Account) -> tuple[Ended, Script]:
        return await carried_out(account, operation, [outcome(Verdict.RATE_LIMITED), MADE])

    ended, script = bench.run(inside)
    assert (ended.ending, ended.next_action) == ("skipped", "the next run tries again")
    assert ended.reason.startswith("cannot look first: ")
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    "seen", [outcome(Verdict.RATE_LIMITED), outcome(Verdict.NOT_SENT, "not_sent")], ids=["429", "not sent"]
)
def test_only_the_backoff_is_waited_for_where_nobody_asks_for_more(seen: Outcome) -> None:
    ended, script, _ = played(seen, MADE, bench=Bench(policy=quick_policy(backoff_seconds=0.1)))
    assert ended.ending == "done"
    assert 0.1 <= script.sent[1][0] - script.sent[0][0] <= 0.15 + 0.01


def test_an_answer_for_a_row_that_has_another_object_by_now_waits_for_a_person() -> None:
    bench = Bench()
    operation = bench.plan([tier()]).operations[0]

    def adopted(account: Account, claim: Claim) -> None:
        account.ledger.adopt(account.ledger.intents()[0], run=RUN, made=made_for(claim.entry, "clx2"), charged=0)

    async def inside(account: Account) -> tuple[Ended, Script]:
        return await carried_out(account, operation, [MADE], meanwhile=adopted)

    ended, _ = bench.run(inside)
    assert (ended.ending, ended.reason) == ("held", "two answers for one row")
    assert ended.next_action == "compare the objects at Mavera"
    assert [(row.state, row.code) for row in bench.run(_rows)] == [("held", "conflict")]


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (outcome(Verdict.AMBIGUOUS, "deadline"), "not_found"),
        (Outcome(verdict=Verdict.DONE, body={"no": "id"}), "not_found"),
        (outcome(Verdict.NAME_TAKEN, "duplicate_name"), "not_found"),
    ],
    ids=["no answer", "an answer without an id", "a taken name that nobody has"],
)
def test_an_unclear_outcome_that_is_not_found_waits_for_a_person(seen: Outcome, code: str) -> None:
    ended, script, rows = played(seen)
    assert (ended.ending, ended.code) == ("held", code)
    assert ended.reason
    assert ended.next_action.startswith("look at Mavera")
    assert [(row.state, row.code, row.credits) for row in rows] == [("held", code, 300)]
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (outcome(Verdict.AMBIGUOUS, "deadline"), "deadline"),
        (Outcome(verdict=Verdict.DONE, body={"no": "id"}), "unreadable"),
        (outcome(Verdict.NAME_TAKEN, "duplicate_name"), "name_taken"),
    ],
)
def test_a_run_that_does_not_wait_says_what_the_row_waits_for(seen: Outcome, code: str) -> None:
    ended, _, rows = played(seen, bench=Bench(policy=quick_policy(await_unknown=False)))
    assert (ended.ending, ended.code, ended.next_action) == ("held", "unknown", "reconcile")
    assert ended.reason.endswith("; waits for its settle window")
    assert [(row.state, row.code) for row in rows] == [("unknown", code)]


@pytest.mark.parametrize(
    ("state", "ending", "reason"),
    [("held", "held", "nothing there"), ("failed", "failed", "HTTP 400"), ("done", "done", "done by another run")],
)
def test_a_row_that_another_run_has_ended_ends_as_there(state: str, ending: str, reason: str) -> None:
    bench = Bench()
    operation = bench.plan([tier()]).operations[0]

    async def elsewhere(account: Account) -> None:
        ledger = account.ledger
        entry = _entry(operation)
        claim = ledger.claim(entry, run=RUN, caps=Caps())
        assert isinstance(claim, Claim)
        ledger.sent(claim, settle_seconds=30)
        if state == "failed":
            ledger.failed(claim, code="invalid_field", reason="HTTP 400", next_action="correct it")
        elif state == "done":
            ledger.done(claim, charged=300, answer_hash="a", made=made_for(entry, "clx9"))
        else:
            ledger.unknown(claim, code="deadline", reason="no answer")
            ledger.hold(ledger.intents()[0], run=RUN, code="not_found", reason=reason, next_action="look")

    async def inside(account: Account) -> tuple[Ended, Script]:
        await elsewhere(account)
        return await carried_out(account, operation, [MADE])

    ended, script = bench.run(inside)
    assert (ended.ending, ended.reason) == (ending, reason)
    assert ended.remote_id == ("clx9" if state == "done" else None)
    assert script.sent == []


def test_a_claim_of_another_run_is_waited_for_until_it_is_free_again() -> None:
    bench = Bench()
    operation = bench.plan([tier()]).operations[0]

    async def inside(account: Account) -> tuple[Ended, Script]:
        started = account.clock()
        entry = _entry(operation)
        account.ledger.claim(entry, run=RUN, caps=Caps())
        ended, script = await carried_out(account, operation, [MADE])
        assert timedelta(seconds=15) <= account.clock() - started <= timedelta(seconds=17)
        return ended, script

    ended, script = bench.run(inside)
    assert (ended.ending, len(script.sent)) == ("done", 1)
