"""The whole paid side against the pretend Mavera: first run, second run, changed run."""

import httpx
import pytest

from activation.account import Account
from activation.apply import ApplyReport
from activation.intents import Intent
from tests.activation.kit import (
    Bench,
    all_surfaces,
    case_study,
    copy_fix,
    market,
    quick_policy,
    retention,
    tier,
)


def test_a_first_run_makes_one_object_for_each_brief_on_all_five_surfaces() -> None:
    bench = Bench()
    report = bench.refresh(all_surfaces())
    assert {row.operation.segment_key: (row.ending, row.reason) for row in report.rows} == {
        "brand_voice:default": ("done", ""),
        "tier:mid_market": ("done", ""),
        "market:country:DE:eur": ("done", ""),
        "retention:payment_recovery:mid_market": ("done", ""),
        "case_study:mid_market:team-plan:TO_50": ("done", ""),
        "copy_fix:subscription_canceled:team-plan": ("done", ""),
    }
    kinds = sorted(one["kind"] for one in bench.created())
    assert kinds == ["brand_voice", "generation", "mave_thread", "persona", "persona", "response"]


async def _open_rows(account: Account) -> list[Intent]:
    return account.ledger.intents(states=("intent", "sent", "unknown", "held"))


class _TooMany(httpx.AsyncBaseTransport):
    """Answers the first POST with a 429 that asks for a wait, and hands on all others."""

    def __init__(self, inner: httpx.AsyncBaseTransport, retry_after: str) -> None:
        self._inner = inner
        self._retry_after: str | None = retry_after

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked, self._retry_after = self._retry_after, None if request.method == "POST" else self._retry_after
        if asked is None or request.method != "POST":
            return await self._inner.handle_async_request(request)
        error = {"code": "rate_limit_exceeded", "type": "rate_limit_error"}
        return httpx.Response(429, json={"error": error}, headers={"Retry-After": asked})


@pytest.mark.parametrize("retry_after", ["86400", "999999999999"])
def test_a_429_that_asks_for_a_day_ends_the_run_which_says_when_and_the_next_one_goes_on(retry_after: str) -> None:
    bench = Bench(wrap=lambda inner: _TooMany(inner, retry_after), policy=quick_policy(concurrency=1))
    report = bench.refresh([tier(), market()])
    assert report.counts == {"skipped": 2}
    assert all("no call before 2026-11-11 09:00 UTC; run again then" in row.reason for row in report.rows)
    assert (report.credits_counted, bench.time.seconds < 60) == (0, True)
    assert bench.run(_open_rows) == []
    bench.wrap = lambda inner: inner
    bench.time.seconds += 86_400
    assert bench.refresh([tier(), market()], run_id="run-2").counts == {"done": 2}
    assert len(bench.created()) == 2


def test_a_second_run_on_the_same_briefs_sends_no_paid_call_and_spends_nothing() -> None:
    bench = Bench()
    bench.refresh(all_surfaces())
    spent, calls = bench.committed()["credits_charged"], len(bench.paid_calls())
    report = bench.refresh(all_surfaces(), run_id="run-2")
    assert {row.ending for row in report.rows} == {"unchanged"}
    assert len(bench.paid_calls()) == calls
    assert bench.committed()["credits_charged"] == spent
    assert report.credits_counted == 0


def test_the_generation_points_at_its_tiers_persona_and_at_the_finished_brand_voice() -> None:
    bench = Bench()
    report = bench.refresh(all_surfaces())
    made = {one["kind"]: one for one in bench.created() if one["kind"] != "persona"}
    persona = next(one for one in bench.created() if one["name"].startswith("Mid-market customers"))
    sent = made["generation"]["request"]
    assert sent["persona_id"] == persona["id"]
    assert sent["brand_voice_id"] == made["brand_voice"]["id"]
    assert made["response"]["request"]["persona_id"] == persona["id"]
    assert report.tables["generations"].column("text")[0].as_py()
    assert report.tables["copy_fixes"].column("result")[0].as_py() == "completed"


def test_a_material_change_updates_the_persona_and_an_immaterial_one_costs_nothing() -> None:
    bench = Bench()
    bench.refresh([tier()])
    small = bench.refresh([tier(customers=205)], run_id="run-2")
    assert [(row.ending, row.reason) for row in small.rows] == [("unchanged", "changed too little to pay for")]
    large = bench.refresh([tier(customers=260)], run_id="run-3")
    assert [(row.operation.action, row.ending) for row in large.rows] == [("update", "done")]
    patched = bench.paid_calls()[-1]
    assert patched.method == "PATCH"
    assert set(__import__("json").loads(patched.content)) == {"description"}
    assert large.tables["personas"].column("version").to_pylist() == [2]


def test_a_changed_text_brief_makes_a_new_text_and_supersedes_the_old_one() -> None:
    bench = Bench()
    bench.refresh([tier(), retention()])
    report = bench.refresh([tier(), retention(customers=80)], run_id="run-2")
    assert [row.operation.action for row in report.rows] == ["unchanged", "create"]
    assert sorted(report.tables["generations"].column("status").to_pylist()) == ["active", "superseded"]


def test_texts_whose_brief_is_what_it_was_before_count_again_and_are_not_paid_again() -> None:
    bench = Bench()

    def refresh(count: int) -> tuple[ApplyReport, set[str]]:
        """A run an hour later, and the texts that count after it."""
        bench.time.seconds += 3_600
        briefs = [tier(), retention(customers=count), case_study(customers=count), copy_fix(disputes=count)]
        report = bench.refresh(briefs, run_id=f"run-{bench.time.seconds:.0f}")
        texts = [report.tables[name].to_pylist() for name in ("generations", "case_studies", "copy_fixes")]
        return report, {row["mavera_id"] for rows in texts for row in rows if row["status"] == "active"}

    (_, first), (_, other) = refresh(45), refresh(60)
    assert (len(first), len(other), first & other) == (3, 3, set())
    calls = len(bench.paid_calls())
    back, active = refresh(45)
    assert (back.plan.credits, back.counts, active) == (0, {"done": 3, "unchanged": 1}, first)
    settled, active = refresh(45)
    assert (settled.counts, active) == ({"unchanged": 4}, first)
    assert refresh(60)[1] == other
    assert len(bench.paid_calls()) == calls
