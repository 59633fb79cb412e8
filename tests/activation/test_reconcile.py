"""The sweep: what a callback of Mavera leads to."""

import pytest

from activation.account import Account, PinError
from activation.approval import approval_status, approve
from activation.intents import Claim, Entry
from activation.policy import Caps
from activation.reconcile import ReconcileReport, reconcile, resolve_unknown
from activation.results import objects_tables
from tests.activation.kit import IDENTITY, Bench, market, quick_policy, retention, tier


def test_it_collects_texts_that_were_finished_since_and_pays_nothing() -> None:
    slow = {"generations": {"timing": "async", "seconds": 300}}
    bench = Bench(options=slow, policy=quick_policy(await_results_seconds=10))
    bench.refresh([tier(), retention()])
    paid = len(bench.paid_calls())

    async def sweep(account: Account) -> ReconcileReport:
        return await reconcile(account, run_id="sweep", actor="test")

    async def results(account: Account) -> list[str]:
        found: list[str] = objects_tables(account)["generations"].column("result").to_pylist()
        return found

    assert (bench.run(sweep).collected, bench.run(results)) == (0, ["pending"])
    bench.time.seconds += 400
    assert (bench.run(sweep).collected, bench.run(results)) == (1, ["completed"])
    assert bench.run(sweep).collected == 0
    assert len(bench.paid_calls()) == paid


def test_it_refuses_the_state_of_another_account() -> None:
    bench = Bench()
    bench.refresh([tier()])
    other = Bench(state=bench.state, identity=IDENTITY.model_copy(update={"stripe_account": "acct_2"}))

    async def sweep(account: Account) -> ReconcileReport:
        return await reconcile(account, run_id="sweep", actor="test")

    with pytest.raises(PinError, match="belongs to stripe_account acct_1"):
        other.run(sweep)


def _killed_in_the_call(bench: Bench) -> None:
    """A run that died with its request at Mavera, which made the persona."""
    operation = bench.plan([tier()]).operations[0]

    async def die(account: Account) -> None:
        entry = Entry(
            kind=operation.kind,
            segment_key=operation.segment_key,
            spec_version=operation.spec_version,
            token=operation.token,
            template_version=operation.template_version,
            content=operation.content,
            body=operation.body,
            credits=300,
        )
        run = account.acting("killed", "test")
        claim = account.ledger.claim(entry, run=run, caps=Caps())
        assert isinstance(claim, Claim)
        account.ledger.sent(claim, settle_seconds=30)
        async with account.mavera.write_client(timeout_seconds=5) as http:
            await http.post("personas", json=dict(operation.body))

    bench.run(die)


def test_a_sweep_finds_what_a_dead_run_made_and_says_so() -> None:
    bench = Bench()
    _killed_in_the_call(bench)
    bench.time.seconds += 31

    async def sweep(account: Account) -> ReconcileReport:
        return await reconcile(account, run_id="sweep", actor="test")

    bench.requests.clear()
    found = bench.run(sweep)
    assert (found.looked_up, found.adopted, found.held, found.waiting, found.orphans) == (1, 1, 0, 0, ())
    # Ten thousand rows cost no more reads than one: the list is read once, and no row asks for itself.
    assert [one.url.path.endswith("/personas") for one in bench.requests].count(True) == 1
    assert [row.ending for row in bench.refresh([tier()]).rows] == ["unchanged"]


@pytest.mark.parametrize(
    ("wait", "found"), [(False, (1, 0, 1)), (True, (1, 1, 0))], ids=["at once", "waiting for the window"]
)
def test_a_row_whose_sender_may_live_waits_or_is_waited_for(wait: bool, found: tuple[int, int, int]) -> None:
    bench = Bench(options={"list_lag_seconds": 20})
    _killed_in_the_call(bench)

    async def sweep(account: Account) -> ReconcileReport:
        return await reconcile(account, run_id="sweep", actor="test", wait=wait)

    report = bench.run(sweep)
    assert (report.looked_up, report.adopted, report.waiting) == found


def test_what_was_taken_over_by_its_token_after_the_state_was_lost_is_no_orphan() -> None:
    lost = Bench()
    lost.refresh([tier(), market()])
    bench = Bench(time=lost.time)
    bench.app = lost.app

    async def sweep(account: Account) -> ReconcileReport:
        return await reconcile(account, run_id="sweep", actor="test")

    assert len(bench.run(sweep).orphans) == 2
    bench.refresh([tier(), market()])
    assert bench.run(sweep).orphans == ()


def test_what_is_unknown_is_resolved_before_the_plan_so_that_the_approved_plan_still_fits() -> None:
    """The plan of a person's approval shows what was found; carrying it out makes the same plan again."""
    bench = Bench(policy=quick_policy(auto_approve_credits=0))
    _killed_in_the_call(bench)
    briefs = [tier(), market("DE")]
    assert [one.action for one in bench.plan(briefs).operations] == ["create", "held"]
    bench.time.seconds += 31
    bench.run(lambda account: resolve_unknown(account, run=account.acting("plan", "test")))
    shown = bench.plan(briefs)
    assert [(one.action, one.credits) for one in shown.operations] == [("create", 300), ("unchanged", 0)]

    async def say_yes(account: Account) -> None:
        approval_status(account, shown)
        approve(account, shown.hash, approver="dana")

    bench.run(say_yes)
    report = bench.refresh(briefs)
    assert (report.plan_hash, report.counts) == (shown.hash, {"done": 1, "unchanged": 1})
    assert len(bench.created()) == 2


def test_resolving_reads_nothing_while_nothing_is_unknown() -> None:
    bench = Bench()
    bench.refresh([tier()])
    bench.requests.clear()
    bench.run(lambda account: resolve_unknown(account, run=account.acting("plan", "test")))
    assert bench.requests == []
