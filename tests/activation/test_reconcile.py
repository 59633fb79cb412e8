"""The sweep: what a callback of Mavera leads to."""

from activation.account import Account
from activation.reconcile import ReconcileReport, reconcile
from activation.results import objects_tables
from tests.activation.kit import Bench, quick_policy, retention, tier


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
