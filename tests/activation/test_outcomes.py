"""What each answer of Mavera leads to, for every surface: an ending with a reason, and never a blind repeat."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from activation.account import Account
from activation.held import HeldError, HeldRow, held, resolve_held
from activation.intents import Run
from activation.policy import Kind
from activation.reconcile import reconcile
from activation.remote import read_remote
from activation.settling import resolve_by, resolve_in_time
from tests.activation.kit import (
    Bench,
    all_surfaces,
    brand_voice,
    case_study,
    copy_fix,
    market,
    quick_policy,
    retention,
    tier,
)

_OPERATIONS = {
    "createPersona": [market("DE")],
    "createGeneration": [tier(), retention()],
    "sendMaveMessage": [case_study()],
    "createResponse": [tier(), copy_fix()],
    "createBrandVoice": [tier(), brand_voice()],
}
_AMBIGUOUS = (
    "lost_answer",
    "error_before",
    "error_after",
    "lost_request",
    "late_commit",
    "redirect",
    "html",
    "empty",
    "no_id",
    "wrong_types",
    "truncated",
    "oversized",
    "gzip_bomb",
)


def _of(report: Any, operation: str) -> Any:
    kind = {
        "createPersona": "persona",
        "createGeneration": "generation",
        "sendMaveMessage": "case_study",
        "createResponse": "copy_fix",
        "createBrandVoice": "brand_voice",
    }[operation]
    return next(row for row in report.rows if row.operation.kind == kind)


def _calls(bench: Bench, operation: str) -> int:
    path = {
        "createPersona": "/personas",
        "createGeneration": "/generations",
        "sendMaveMessage": "/mave/chat",
        "createResponse": "/responses",
        "createBrandVoice": "/brand-voices",
    }[operation]
    kinds = [request for request in bench.paid_calls() if request.url.path.endswith(path)]
    return len(kinds)


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("kind", _AMBIGUOUS)
def test_an_answer_that_may_hide_a_commit_is_looked_up_and_never_sent_again(operation: str, kind: str) -> None:
    bench = Bench(
        options={"faults": [{"operation": operation, "kind": kind, "times": 1, "delay_seconds": 5}]},
    )
    briefs = _OPERATIONS[operation]
    report = bench.refresh(briefs)
    first = _of(report, operation)
    assert first.ending in ("done", "held")
    assert first.ending == "done" or (first.reason and first.next_action)
    bench.refresh(briefs, run_id="run-2")
    assert _calls(bench, operation) == 1
    committed = kind not in ("error_before", "lost_request")
    if operation == "createResponse":
        assert first.ending == "held"  # a response cannot be looked up
    else:
        assert first.ending == ("done" if committed else "held")


@pytest.mark.parametrize(
    ("status", "body_code", "ending", "code"),
    [
        (400, "invalid_field", "failed", "invalid_field"),
        (402, "credits_exhausted", "skipped", "no_credits"),
        (401, "invalid_api_key", "failed", "unauthorized"),
        (403, "forbidden", "failed", "forbidden"),
    ],
)
def test_a_definite_refusal_gives_its_credits_back(status: int, body_code: str, ending: str, code: str) -> None:
    bench = Bench(wrap=lambda inner: _Refusing(inner, status, body_code))
    report = bench.refresh([tier(), market("DE")])
    first = report.rows[0]
    assert (first.ending, first.code) == (ending, code)
    assert report.credits_counted == 0
    assert len(bench.paid_calls()) <= 2
    assert all(row.next_action for row in report.rows)


class _Refusing:
    """Refuses every POST."""

    def __init__(self, inner: Any, status: int, code: str, *, html: bool = False) -> None:
        self.inner, self.status, self.code, self.html = inner, status, code, html

    async def handle_async_request(self, request: Any) -> Any:
        import httpx

        if request.method == "GET":
            return await self.inner.handle_async_request(request)
        if self.html:
            return httpx.Response(self.status, text="<h1>no</h1>", headers={"content-type": "text/html"})
        error = {"message": "no", "type": "x", "code": self.code, "param": None}
        return httpx.Response(self.status, json={"error": error})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 500, 502])
def test_a_refusal_without_mavera_s_error_body_may_come_from_a_proxy_and_is_not_definite(status: int) -> None:
    bench = Bench(wrap=lambda inner: _Refusing(inner, status, "", html=True))
    report = bench.refresh([tier()])
    assert [row.ending for row in report.rows] == ["held"]
    assert report.credits_counted == 300
    assert len(bench.paid_calls()) == 1


def test_no_credits_stop_paid_work_and_the_next_run_goes_on() -> None:
    bench = Bench(options={"credits": 400}, policy=quick_policy(concurrency=1))
    first = bench.refresh([tier("smb"), tier("mid_market"), tier("enterprise")])
    assert first.counts == {"done": 1, "skipped": 2}
    assert all(row.next_action for row in first.rows if row.ending == "skipped")
    bench.control(options={"credits": 10_000})
    assert bench.refresh([tier("smb"), tier("mid_market"), tier("enterprise")], run_id="run-2").counts == {
        "unchanged": 1,
        "done": 2,
    }


def test_a_402_in_the_middle_skips_the_rest_of_the_paid_part() -> None:
    bench = Bench(
        options={"billing": "budget_exceeded"},
        policy=quick_policy(concurrency=1, allow_unknown_balance=True),
    )
    report = bench.refresh(all_surfaces())
    assert {row.ending for row in report.rows} == {"skipped"}
    assert {row.code for row in report.rows} <= {"no_credits", "dependency", "cap"}
    assert len(bench.paid_calls()) <= 2  # one of them a Mave call, which does not queue behind the others


def test_a_429_is_waited_out_and_looked_up_before_it_is_sent_again() -> None:
    bench = Bench(options={"requests_per_minute": 6})
    report = bench.refresh([tier("smb"), tier("mid_market"), tier("enterprise"), market("DE")])
    assert report.counts == {"done": 4}
    assert len(bench.created()) == 4
    assert bench.time.seconds > 60


@pytest.mark.parametrize("answer", ["conflict_409", "unprocessable_422", "return_existing"])
def test_a_name_that_exists_is_adopted_not_doubled(answer: str) -> None:
    bench = Bench(options={"duplicate_name": answer, "list_lag_seconds": 20})
    bench.refresh([tier()])
    fresh = Bench(options={}, time=bench.time)  # the state was lost, and the list does not show the persona yet
    fresh.app = bench.app
    report = fresh.refresh([tier()])
    assert [row.ending for row in report.rows] == ["done"]
    assert len(fresh.created()) == 1
    assert report.credits_counted == 0


def test_an_older_object_under_the_name_with_other_content_shows_a_difference_in_the_next_plan() -> None:
    bench = Bench(options={"duplicate_name": "return_existing", "list_lag_seconds": 20})
    bench.refresh([tier()])
    fresh = Bench(time=bench.time)
    fresh.app = bench.app
    fresh.refresh([tier(customers=900)])
    plan = fresh.plan([tier(customers=900)])
    assert [one.action for one in plan.operations] == ["update"]


def test_texts_made_in_the_background_are_awaited_and_otherwise_read_by_the_next_run() -> None:
    slow = {"generations": {"timing": "async", "seconds": 300}}
    bench = Bench(options=slow, policy=quick_policy(await_results_seconds=10))
    first = bench.refresh([tier(), retention()])
    assert first.tables["generations"].column("result").to_pylist() == ["pending"]
    bench.time.seconds += 400
    second = bench.refresh([tier(), retention()], run_id="run-2")
    assert second.tables["generations"].column("result").to_pylist() == ["completed"]
    assert second.tables["generations"].column("text")[0].as_py()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"brand_voices": {"outcome": "failed"}}, "it is failed at Mavera"),
        ({"brand_voices": {"outcome": "stuck"}}, "it is pending at Mavera"),
    ],
)
def test_a_generation_waits_for_a_usable_brand_voice(options: dict[str, Any], reason: str) -> None:
    bench = Bench(options=options, policy=quick_policy(await_results_seconds=5))
    report = bench.refresh([tier(), brand_voice(), retention()])
    row = _of(report, "createGeneration")
    assert (row.ending, row.code) == ("skipped", "dependency")
    assert reason in row.reason


@pytest.mark.parametrize(
    ("option", "expected"),
    [("refusal", "refused"), ("broken_json", "invalid"), ("not_completed", "incomplete"), ("schema", "completed")],
)
def test_a_copy_fix_is_used_only_when_it_fits_the_schema(option: str, expected: str) -> None:
    bench = Bench(options={"response_output": option})
    report = bench.refresh([tier(), copy_fix()])
    row = report.tables["copy_fixes"].to_pylist()[0]
    assert row["result"] == expected
    assert (row["rewritten"] is not None) == (expected == "completed")


def test_a_question_instead_of_a_draft_is_not_stored_as_a_case_study() -> None:
    bench = Bench(options={"mave_answer": "question"})
    report = bench.refresh([case_study()])
    assert report.tables["case_studies"].column("result").to_pylist() == ["question"]


# ---- sandbox mode ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "said", "calls"),
    [
        ({"sandbox_header": "honoured"}, None, 4),
        ({"sandbox_header": "ignored"}, "300 credits were charged although MAVERA_SANDBOX is set", 1),
        (
            {"faults": [{"operation": "getUsage", "kind": "error_before", "nth": list(range(3, 50))}]},
            "used credits cannot be read",
            1,
        ),
    ],
    ids=["the header is heeded", "the header is ignored", "nobody can tell"],
)
def test_calls_that_should_be_free_stop_at_the_first_that_is_not(
    options: dict[str, Any], said: str | None, calls: int
) -> None:
    bench = Bench(options={"sandbox_header": "honoured", **options}, compare_usage=True)
    with capture_logs() as logs:
        report = bench.refresh([tier(), tier("smb"), market(), case_study()])
    assert len(bench.paid_calls()) == calls
    assert report.counts == ({"done": 4} if said is None else {"done": 1, "skipped": 3})
    assert [alert.startswith(said or "") for alert in report.alerts] == [True] * (said is not None)
    stopped = [row for row in report.rows if row.ending == "skipped"]
    assert {(row.code, row.reason) for row in stopped} == {("sandbox_charged", alert) for alert in report.alerts}
    assert [one["reason"] for one in logs if one["event"] == "sandbox charged"] == list(report.alerts)


# ---- held rows --------------------------------------------------------------------------------------------------
def _a_held_bench(kind: str = "lost_request", **options: Any) -> Bench:
    bench = Bench(options={"faults": [{"operation": "createPersona", "kind": kind, "times": 1}], **options})
    assert [row.ending for row in bench.refresh([tier()]).rows] == ["held"]
    return bench


async def _list(account: Account) -> list[HeldRow]:
    return held(account)


def _decide(bench: Bench, decision: Any, key: str = "persona/tier:mid_market", **more: Any) -> str:
    async def work(account: Account) -> str:
        return await resolve_held(account, key, decision, actor="ada", run_id="cli", **more)

    return bench.run(work)


def test_a_held_row_tells_what_it_is_what_it_may_have_cost_and_what_was_looked_for() -> None:
    row = _a_held_bench().run(_list)[0]
    assert (row.key, row.credits, row.code) == ("persona/tier:mid_market", 300, "not_found")
    assert row.token in row.reason
    assert row.next_action


def test_a_held_row_is_released_and_made_with_one_payment() -> None:
    bench = _a_held_bench()
    _decide(bench, "release")
    assert bench.refresh([tier()], run_id="run-2").counts == {"done": 1}
    assert len(bench.created()) == 1
    assert bench.run(_spend_month) == 300


def test_a_held_row_that_is_sent_again_counts_both_attempts() -> None:
    bench = _a_held_bench()
    _decide(bench, "resend")
    bench.refresh([tier()], run_id="run-2")
    assert bench.run(_spend_month) == 600


def test_a_held_row_adopts_the_object_that_a_person_names() -> None:
    bench = _a_held_bench(kind="lost_answer", list_lag_seconds=500)
    persona = bench.created()[0]["id"]
    assert persona in _decide(bench, "adopt", remote_id=persona)
    assert bench.refresh([tier()], run_id="run-2").counts == {"unchanged": 1}
    assert len(bench.created()) == 1


@pytest.mark.parametrize("by_token", [False, True], ids=["by the listed key", "by the token alone"])
def test_two_held_versions_of_one_thing_are_decided_one_by_one(by_token: bool) -> None:
    bench = Bench(options={"faults": [{"operation": "createResponse", "kind": "lost_request", "times": 2}]})
    bench.refresh([tier(), copy_fix()])
    bench.refresh([tier(), copy_fix(disputes=60)], run_id="run-2")
    key, rows = "copy_fix/copy_fix:subscription_canceled:team-plan", bench.run(_list)
    assert [row.key for row in rows] == [f"{key}@{row.token}" for row in rows]
    with pytest.raises(HeldError, match=f"2 rows have the key {key}: name one, {rows[0].key} or {rows[1].key}"):
        _decide(bench, "release", key)
    _decide(bench, "release", rows[0].token if by_token else rows[0].key)
    assert [(row.key, row.token) for row in bench.run(_list)] == [(key, rows[1].token)]
    _decide(bench, "release", key)
    assert bench.run(_list) == []
    report = bench.refresh([tier(), copy_fix(disputes=60)], run_id="run-3")
    assert (report.counts, report.waits_for_a_person) == ({"unchanged": 1, "done": 1}, False)


@pytest.mark.parametrize(
    ("decision", "key", "more"),
    [
        ("adopt", "persona/tier:mid_market", {"remote_id": "clx_not_there"}),
        ("adopt", "persona/tier:mid_market", {}),
        ("adopt", "persona/tier:mid_market", {"remote_id": "../usage"}),
        ("release", "persona/tier:smb", {}),
    ],
    ids=["an object that is not there", "no id", "an id that is a path", "a row that is not held"],
)
def test_a_decision_that_does_not_fit_is_refused(decision: str, key: str, more: dict[str, Any]) -> None:
    bench = _a_held_bench()
    with pytest.raises(HeldError):
        _decide(bench, decision, key, **more)


# ---- results that are of no use ---------------------------------------------------------------------------------
_FAILED = {"timing": "async", "outcome": "failed"}
_MESSAGE = "generation/retention:payment_recovery:mid_market"
_DRAFT = "case_study/case_study:mid_market:team-plan:TO_50"
_FIX = "copy_fix/copy_fix:subscription_canceled:team-plan"


@pytest.mark.parametrize(
    ("option", "bad", "good", "brief", "key", "status"),
    [
        ("generations", _FAILED, {}, retention(), _MESSAGE, "failed"),
        ("mave_answer", "question", "draft", case_study(), _DRAFT, "question"),
        ("response_output", "refusal", "schema", copy_fix(), _FIX, "refused"),
        ("response_output", "broken_json", "schema", copy_fix(), _FIX, "invalid"),
    ],
    ids=["a message that failed", "a question for a draft", "a refused copy fix", "a broken copy fix"],
)
def test_a_result_of_no_use_is_told_in_each_run_and_paid_again_only_when_a_person_releases_it(
    option: str, bad: Any, good: Any, brief: Any, key: str, status: str
) -> None:
    bench = Bench(options={option: bad})
    wanted = [tier(), brief]
    told = (f"paid for, but of no use ({status})", f"stripe-mavera held release {key} has it made anew")
    for number, ending in enumerate(("done", "unchanged", "unchanged")):
        report = bench.refresh(wanted, run_id=f"run-{number}")
        row = next(one for one in report.rows if one.operation.kind == key.partition("/")[0])
        assert (row.ending, row.reason, row.next_action) == (ending, *told)
    calls, spent = len(bench.paid_calls()), bench.run(_spend_month)

    bench.control(options={option: good})
    assert bench.plan(wanted).credits == 0
    assert "makes it anew" in _decide(bench, "release", key)
    assert bench.run(_spend_month) == spent
    assert bench.refresh(wanted, run_id="run-4").counts == {"done": 1, "unchanged": 1}
    assert len(bench.paid_calls()) == calls + 1
    last = bench.refresh(wanted, run_id="run-5")
    assert [(row.ending, row.next_action) for row in last.rows] == [("unchanged", "")] * 2


def test_a_released_voice_is_replaced_and_the_message_that_waited_for_it_is_made() -> None:
    key, briefs = "brand_voice/brand_voice:default", [tier(), brand_voice(), retention()]
    bench = Bench(options={"brand_voices": {"outcome": "failed"}})
    for run_id, ending in (("run-1", "done"), ("run-2", "unchanged")):
        report = bench.refresh(briefs, run_id=run_id)
        voice, message = _of(report, "createBrandVoice"), _of(report, "createGeneration")
        assert (voice.ending, message.ending) == (ending, "skipped")
        assert key in voice.next_action
        assert f"held release {key}" in message.reason

    bench.control(options={"brand_voices": {}})
    _decide(bench, "release", key)
    assert bench.refresh(briefs, run_id="run-3").counts == {"unchanged": 1, "done": 2}
    failed, good = [one for one in bench.created() if one["kind"] == "brand_voice"]
    (made,) = [one for one in bench.created() if one["kind"] == "generation"]
    assert made["request"]["brand_voice_id"] == good["id"] != failed["id"]
    assert bench.refresh(briefs, run_id="run-4").counts == {"unchanged": 3}


def test_a_voice_with_another_label_stays_until_a_person_releases_it() -> None:
    bench = Bench()
    relabelled = [tier(), brand_voice(label="Short and kind")]
    bench.refresh([tier(), brand_voice()])
    report = bench.refresh(relabelled, run_id="run-2")
    said = "changed, but a voice is made once: stripe-mavera held release brand_voice/brand_voice:default"
    assert report.counts == {"unchanged": 2}
    assert said in _of(report, "createBrandVoice").reason
    _decide(bench, "release", "brand_voice/brand_voice:default")
    assert bench.refresh(relabelled, run_id="run-3").counts == {"unchanged": 1, "done": 1}
    assert bench.created()[-1]["name"].startswith("Short and kind [")


@pytest.mark.parametrize("decision", ["adopt", "resend"])
@pytest.mark.parametrize("key", [_FIX, "persona/tier:mid_market", "nothing/tier:mid_market"])
def test_an_object_that_nothing_waits_for_can_only_be_released(decision: str, key: str) -> None:
    bench = Bench()
    bench.refresh([tier(), copy_fix()])
    with pytest.raises(HeldError):
        _decide(bench, decision, key, remote_id="resp_1")


async def _spend_month(account: Account) -> int:
    return account.ledger.spend().month


# ---- reconciliation ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "ending", "reason"),
    [
        ("lost_answer", "done", "found after an unclear outcome"),
        ("error_after", "done", "found after an unclear outcome"),
        ("late_commit", "done", "found after an unclear outcome"),
        ("lost_request", "held", "does not show the change"),
        ("error_before", "held", "does not show the change"),
    ],
)
def test_an_unclear_update_is_recognised_by_its_effect(kind: str, ending: str, reason: str) -> None:
    bench = Bench()
    bench.refresh([tier()])
    bench.control(
        options={"faults": [{"operation": "updatePersona", "kind": kind, "times": 1, "delay_seconds": 5}]}
    )
    report = bench.refresh([tier(customers=900)], run_id="run-2")
    assert [(row.ending, reason in row.reason) for row in report.rows] == [(ending, True)]
    version = 2 if ending == "done" else 1
    assert report.tables["personas"].column("version").to_pylist() == [version]
    again = bench.refresh([tier(customers=900)], run_id="run-3")
    assert [row.ending for row in again.rows] == ["unchanged" if ending == "done" else "held"]
    assert [request.method for request in bench.paid_calls()] == ["POST", "PATCH"]


def test_an_unclear_update_of_a_persona_that_is_gone_is_a_persons_case() -> None:
    bench = Bench(policy=quick_policy(await_unknown=False))
    bench.refresh([tier()])
    persona = bench.created()[0]["id"]
    bench.control(options={"faults": [{"operation": "updatePersona", "kind": "lost_request", "times": 1}]})
    bench.refresh([tier(customers=900)], run_id="run-2")

    async def delete_then_sweep(account: Account) -> Any:
        await account.mavera.write_client(timeout_seconds=5).delete(f"personas/{persona}")
        return await reconcile(account, run_id="r", actor="test", wait=True)

    assert bench.run(delete_then_sweep).held == 1
    assert [(row.key, row.code) for row in bench.run(_list)] == [("persona_update/tier:mid_market", "gone")]


def test_an_adopted_object_shows_what_it_cost_or_its_worst_price() -> None:
    for kind, surface, cost in (("createPersona", "personas", 300), ("createBrandVoice", None, 300 + 50)):
        bench = Bench(options={"faults": [{"operation": kind, "kind": "lost_answer", "times": 1}]})
        report = bench.refresh(_OPERATIONS[kind])
        assert {row.ending for row in report.rows} == {"done"}
        assert report.credits_counted == cost
        if surface is not None:
            assert report.tables[surface].column("credits").to_pylist() == [cost]


def test_a_resend_needs_the_account_to_agree_that_nothing_was_charged() -> None:
    for kind, ended in (("lost_request", "done"), ("lost_answer", "held")):
        bench = Bench(
            options={
                "faults": [{"operation": "createPersona", "kind": kind, "times": 1}],
                "list_lag_seconds": 500,
            },
            policy=quick_policy(auto_resend_after_settle=True),
        )
        report = bench.refresh([tier()])
        assert [row.ending for row in report.rows] == [ended]
        assert len(bench.created()) == 1


def test_reconciliation_adopts_what_appeared_and_reports_orphans_and_drift() -> None:
    bench = Bench(
        options={
            "faults": [{"operation": "createPersona", "kind": "lost_answer", "times": 1}],
            "list_lag_seconds": 10,
        },
        policy=quick_policy(await_unknown=False),
    )
    assert [row.ending for row in bench.refresh([tier()]).rows] == ["held"]

    async def sweep(account: Account) -> Any:
        return await reconcile(account, run_id="r", actor="test", wait=True)

    first = bench.run(sweep)
    assert (first.looked_up, first.adopted, first.waiting, first.orphans) == (1, 1, 0, ())

    async def by_hand(account: Account) -> None:
        body = {"pipeline_type": "north_star", "type": "B2B", "description": "made elsewhere"}
        http = account.mavera.write_client(timeout_seconds=5)
        await http.post("personas", json={**body, "name": "Somebody's persona [abcdefgh]"})

    bench.run(by_hand)
    bench.time.seconds += 60
    second = bench.run(sweep)
    assert [orphan.label for orphan in second.orphans] == ["Somebody's persona [abcdefgh]"]
    assert second.drift == 300


def test_two_objects_with_one_token_are_a_persons_case() -> None:
    bench = Bench(
        options={
            "duplicate_name": "allow_second",
            "faults": [{"operation": "createPersona", "kind": "lost_answer", "times": 1}],
            "list_lag_seconds": 12,
        },
        policy=quick_policy(await_unknown=False),
    )
    bench.refresh([tier()])

    async def twice_then_sweep(account: Account) -> Any:
        sent = bench.paid_calls()[0]
        http = account.mavera.write_client(timeout_seconds=5)
        await http.post("personas", content=sent.content, headers={"content-type": "application/json"})
        return await reconcile(account, run_id="r", actor="test", wait=True)

    report = bench.run(twice_then_sweep)
    assert (report.adopted, report.held) == (0, 1)
    assert bench.run(_list)[0].code == "conflict"


@pytest.mark.parametrize("resend", [False, True], ids=["hold", "resend"])
def test_a_list_that_was_read_before_the_window_ended_decides_nothing_afterwards(resend: bool) -> None:
    bench = Bench(
        options={"faults": [{"operation": "createPersona", "kind": "lost_request", "times": 1}]},
        policy=quick_policy(await_unknown=False, auto_resend_after_settle=resend),
    )
    bench.refresh([tier()])

    async def read_early_decide_late(account: Account) -> Any:
        run = Run(run_id="r", actor="test", plan_hash="", policy_version="1")
        view = await read_remote(account.mavera, [Kind.PERSONA], now=account.clock())
        await asyncio.sleep(40)
        row = account.ledger.recover(run=run)[0]
        return await resolve_by(account, row, view, run=run), account.ledger.intents()[0].state

    assert bench.run(read_early_decide_late) == ("waits", "unknown")


def test_a_window_that_ends_during_a_look_up_is_followed_by_another_look_up() -> None:
    bench = Bench(
        options={
            "faults": [{"operation": "createPersona", "kind": "lost_request", "times": 1}],
            "latency": {"personas": {"low": 5, "high": 5}},
            "latency_scale": 1,
        },
        policy=quick_policy(await_unknown=False),
    )
    bench.refresh([tier()])

    async def look_just_before_its_end(account: Account) -> Any:
        run = Run(run_id="r", actor="test", plan_hash="", policy_version="1")
        (row,) = account.ledger.intents(states=("unknown",))
        assert row.settle_at is not None
        await asyncio.sleep((row.settle_at - account.clock()).total_seconds() - 2)
        return await resolve_in_time(account, row, run=run), account.ledger.intents()[0].state

    assert bench.run(look_just_before_its_end) == ("held", "held")
