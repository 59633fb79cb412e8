"""The plan: reads only, the same for the same inputs, priced at worst, and refused once anything changed."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from structlog.testing import capture_logs

from activation.account import Account, PinError
from activation.apply import apply
from activation.approval import ApprovalError, approval_status, approve, recorded_plan
from activation.audit import export
from activation.briefs import Suppressed
from activation.plan import build_plan
from activation.policy import Caps, Identity, Kind, Mode, Policy
from tests.activation.kit import (
    Bench,
    a_source,
    all_surfaces,
    brand_voice,
    case_study,
    copy_fix,
    market,
    quick_policy,
    retention,
    tier,
)


def test_a_plan_sends_gets_only_and_reserves_the_worst_price_of_each_surface() -> None:
    bench = Bench()
    plan = bench.plan(all_surfaces())
    assert {request.method for request in bench.requests} == {"GET"}
    assert {one.kind: one.credits for one in plan.operations} == {
        Kind.BRAND_VOICE: 50,
        Kind.PERSONA: 300,
        Kind.GENERATION: 30,
        Kind.CASE_STUDY: 75,
        Kind.COPY_FIX: 5,
    }
    assert plan.credits == 300 + 300 + 50 + 30 + 75 + 5


def test_the_same_inputs_give_the_same_hash_at_another_time_in_another_order() -> None:
    first = Bench()
    second = Bench()
    second.time.seconds = 86_400 * 3
    assert first.plan(all_surfaces()).hash == second.plan(list(reversed(all_surfaces()))).hash


@pytest.mark.parametrize(
    "change",
    [
        {"briefs": [tier(customers=210)]},
        {"policy": {"prices": {"persona": 301}}},
        {"policy": {"k": 30}},
        {"policy": {"caps": {"per_month": 900}}},
        {"identity": {"workspace": "other"}},
    ],
    ids=[
        "another number",
        "another price",
        "another k",
        "another cap",
        "another workspace",
    ],
)
def test_whatever_decides_what_is_sent_or_paid_is_part_of_the_hash(change: dict[str, Any]) -> None:
    bench = Bench()
    before = bench.plan([tier()]).hash
    bench = Bench(
        policy=quick_policy(**change.get("policy", {})),
        identity=Identity(
            **{"environment": "test", "stripe_account": "acct_1", "workspace": "default"}
            | change.get("identity", {})
        ),
    )
    assert bench.plan(change.get("briefs", [tier()])).hash != before


def test_data_written_anew_and_another_number_of_customers_are_shown_but_not_part_of_the_hash() -> None:
    before = Bench().plan([tier()])
    after = Bench().plan([tier()], customers=1_001, versions={"segments/mrr_tiers": 2})
    assert after.hash == before.hash
    assert (after.source.customers, after.source.versions) == (1_001, {"segments/mrr_tiers": 2})


_briefs = st.lists(
    st.one_of(
        st.builds(
            tier,
            st.sampled_from(["smb", "mid_market", "enterprise"]),
            customers=st.integers(6, 90).map(lambda n: n * 5),
        ),
        st.builds(market, st.sampled_from(["DE", "FR", "US"]), customers=st.integers(6, 90).map(lambda n: n * 5)),
        st.builds(retention, st.sampled_from(["win_back", "save_offer"]), st.sampled_from(["smb", "mid_market"])),
        st.builds(case_study, months=st.integers(6, 30)),
        st.builds(copy_fix),
        st.builds(brand_voice),
    ),
    max_size=6,
    unique_by=lambda brief: (brief["kind"], brief.get("tier"), brief.get("country"), brief.get("cohort")),
).filter(lambda briefs: [brief["kind"] for brief in briefs] != ["brand_voice"])  # which waits for a person


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(briefs=_briefs)
def test_any_plan_is_what_is_applied_costs_at_most_its_estimate_and_is_unchanged_afterwards(
    briefs: list[dict[str, Any]],
) -> None:
    bench = Bench()

    async def both(account: Account) -> Any:
        plan = await build_plan(account, briefs, source=a_source())
        seen = len(bench.paid_calls())
        report = await apply(account, plan, run_id="run-1", actor="test")
        again = await build_plan(account, briefs, source=a_source())
        calls = len(bench.paid_calls())
        second = await apply(account, again, run_id="run-2", actor="test")
        return plan, seen, report, second, len(bench.paid_calls()) - calls

    plan, seen, report, second, later = bench.run(both)
    assert seen == 0
    assert bench.committed()["credits_charged"] <= plan.credits
    creates = [one for one in plan.operations if one.action == "create"]
    ended = {row.operation.segment_key: row.ending for row in report.rows}
    assert len(bench.paid_calls()) == sum(ended[one.segment_key] == "done" for one in creates)
    tiers = {brief["tier"] for brief in briefs if brief["kind"] == "tier"}
    for one in creates:
        needed = {"smb", "mid_market"} & set(json.dumps(one.body).split("tier:")[-1].split('"')[:1])
        assert ended[one.segment_key] == ("done" if needed <= tiers else "skipped")
    assert later == 0
    assert {row.ending for row in second.rows} <= {"unchanged", "skipped"}


# ---- approval ---------------------------------------------------------------------------------------------------
def test_a_plan_above_the_automatic_limit_waits_and_pays_nothing_until_its_hash_is_approved() -> None:
    bench = Bench(policy=quick_policy(auto_approve_credits=100))
    waiting = bench.refresh([tier()])
    assert [(row.ending, row.code, row.next_action) for row in waiting.rows] == [
        ("skipped", "unapproved", "approve the plan's hash")
    ]
    assert waiting.waits_for_a_person
    assert bench.paid_calls() == []

    async def decide(account: Account) -> Any:
        return approve(account, waiting.plan_hash[:12], approver="ada"), recorded_plan(account, waiting.plan_hash)

    status, document = bench.run(decide)
    assert (status.approver, status.mode, status.plan_hash) == ("ada", "person", waiting.plan_hash)
    assert [one["segment_key"] for one in document["operations"]] == ["tier:mid_market"]
    approved = bench.refresh([tier()], run_id="run-2")
    assert [row.ending for row in approved.rows] == ["done"]
    assert approved.approval.approver == "ada"


def test_a_plan_that_approved_itself_is_held_to_the_limit_of_the_day_it_is_applied() -> None:
    bench = Bench(policy=quick_policy(auto_approve_credits=2_000))

    async def ask(account: Account) -> Any:
        return approval_status(account, await build_plan(account, [tier()], source=a_source()))

    planned = bench.run(ask)
    bench.policy = quick_policy(auto_approve_credits=0)
    applied = bench.refresh([tier()])
    assert (planned.mode, planned.plan_hash) == ("automatic", applied.plan_hash)
    assert applied.approval.reason == "300 credits at worst, above the automatic limit of 0"
    assert [row.code for row in applied.rows] == ["unapproved"]
    assert (bench.paid_calls(), applied.credits_counted) == ([], 0)


@pytest.mark.parametrize(
    "changed", [[tier(customers=300)], [tier(), market()]], ids=["a number changed", "a segment came"]
)
def test_an_approval_does_not_fit_a_plan_of_changed_data(changed: list[Any]) -> None:
    bench = Bench(policy=quick_policy(auto_approve_credits=0))
    first = bench.refresh([tier()])

    async def decide(account: Account) -> None:
        approve(account, first.plan_hash, approver="ada")

    bench.run(decide)
    report = bench.refresh(changed, run_id="run-2")
    assert not report.approval.approved
    assert report.approval.reason.startswith(f"plan {first.plan_hash[:12]}, which ada approved, no longer fits: ")
    assert bench.paid_calls() == []


def test_an_approval_that_was_carried_out_is_not_said_to_fit_no_longer() -> None:
    bench = Bench(policy=quick_policy(auto_approve_credits=0))
    first = bench.refresh([tier()])

    async def decide(account: Account) -> None:
        approve(account, first.plan_hash, approver="ada")

    bench.run(decide)
    assert bench.refresh([tier()], run_id="run-2").counts == {"done": 1}
    reason = bench.refresh([tier(), market()], run_id="run-3").approval.reason
    assert reason == "300 credits at worst, above the automatic limit of 0"


@pytest.mark.parametrize("edit", ["description", "deleted", "renamed"])
def test_a_persona_that_was_edited_at_mavera_since_the_plan_is_not_touched(edit: str) -> None:
    bench = Bench()
    bench.refresh([tier()])
    persona = bench.created()[0]["id"]

    async def with_an_edit_between(account: Account) -> Any:
        plan = await build_plan(account, [tier(customers=400)], source=a_source())
        http = account.mavera.write_client(timeout_seconds=5)
        if edit == "deleted":
            await http.delete(f"personas/{persona}")
        else:
            body = {"description": "by hand"} if edit == "description" else {"name": "Renamed by hand"}
            await http.patch(f"personas/{persona}", json=body)
        calls = len(bench.paid_calls())
        report = await apply(account, plan, run_id="run-2", actor="test")
        return report, len(bench.paid_calls()) - calls

    report, calls = bench.run(with_an_edit_between)
    assert [(row.ending, row.code) for row in report.rows] == [("skipped", "stale")]
    assert calls == 0


@pytest.mark.parametrize("given_hash", ["0" * 64, "abc"], ids=["unknown", "too short"])
def test_a_hash_that_no_plan_has_is_not_approved(given_hash: str) -> None:
    bench = Bench()

    async def decide(account: Account) -> None:
        approve(account, given_hash, approver="ada")

    with pytest.raises(ApprovalError):
        bench.run(decide)


# ---- what stands in the way -------------------------------------------------------------------------------------
def test_a_list_that_cannot_be_read_is_not_an_empty_list() -> None:
    bench = Bench(
        options={"faults": [{"operation": "listPersonas", "kind": "error_before", "status": 503}]},
    )
    plan = bench.plan([tier()])
    assert [(one.action, one.credits) for one in plan.operations] == [("held", 0)]
    assert "cannot look first" in plan.operations[0].reason


def test_case_studies_wait_for_the_customers_consent() -> None:
    bench = Bench(policy=quick_policy(case_studies_consented=False))
    plan = bench.plan([case_study()])
    assert [(one.action, one.reason) for one in plan.operations] == [
        ("held", "case studies need the customers' consent: the operator has not given it")
    ]


def test_create_only_never_updates_and_update_only_never_creates() -> None:
    bench = Bench(policy=quick_policy(modes={Kind.PERSONA: Mode.UPDATE_ONLY}))
    assert bench.plan([tier()]).operations[0].action == "held"
    bench = Bench(policy=quick_policy(modes={Kind.PERSONA: Mode.CREATE_ONLY}))
    bench.refresh([tier()])
    assert bench.plan([tier(customers=900)]).operations[0].action == "unchanged"


def test_a_lost_state_database_is_rebuilt_by_look_up_without_paying() -> None:
    first = Bench()
    first.refresh(all_surfaces())
    fresh = Bench(time=first.time)
    fresh.app = first.app
    plan = fresh.plan(all_surfaces())
    actions = {one.segment_key.split(":")[0]: one.action for one in plan.operations}
    # A response cannot be looked up: it alone is asked for again.
    assert actions == {
        "brand_voice": "adopt",
        "tier": "adopt",
        "market": "adopt",
        "retention": "adopt",
        "case_study": "adopt",
        "copy_fix": "create",
    }
    report = fresh.refresh(all_surfaces())
    assert {row.ending for row in report.rows} == {"done"}
    assert len(fresh.paid_calls()) == 1
    assert fresh.refresh(all_surfaces(), run_id="run-2").counts == {"unchanged": 6}
    assert fresh.plan(all_surfaces()).counts == {"unchanged": 6}


def test_suppressed_cells_are_shown_to_the_operator_and_never_sent() -> None:
    bench = Bench()

    async def both(account: Account) -> Any:
        cell = Suppressed(
            segment_key="market:country:LI:chf", reason="fewer than 25", merged_into="market:region:other:chf"
        )
        plan = await build_plan(account, [tier()], source=a_source(), suppressed=[cell])
        return plan, await apply(account, plan, run_id="run-1", actor="test")

    plan, _ = bench.run(both)
    assert plan.suppressed[0].segment_key == "market:country:LI:chf"
    assert all(b"LI" not in request.content for request in bench.paid_calls())


def test_a_state_that_belongs_to_another_account_is_refused_with_the_settings_name() -> None:
    bench = Bench()
    bench.refresh([tier()])
    bench.identity = Identity(environment="test", stripe_account="acct_2")
    with pytest.raises(PinError, match="STRIPE_API_KEY"):
        bench.plan([tier()])


def test_two_briefs_of_one_segment_and_unrounded_numbers_are_refused() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="two briefs"):
        bench.plan([tier(), tier(customers=300)])
    with pytest.raises(ValidationError):
        bench.plan([tier(customers=201)])


def test_an_unknown_balance_pays_nothing_unless_the_operator_allows_it() -> None:
    bench = Bench(options={"faults": [{"operation": "getUsage", "kind": "error_before"}]})
    report = bench.refresh([tier()])
    assert [(row.ending, row.code) for row in report.rows] == [("skipped", "balance")]
    allowed = Bench(
        options={"faults": [{"operation": "getUsage", "kind": "error_before"}]},
        policy=quick_policy(allow_unknown_balance=True),
    )
    assert [row.ending for row in allowed.refresh([tier()]).rows] == ["done"]


def test_a_cap_lets_through_what_fits_and_names_itself_for_the_rest() -> None:
    bench = Bench(policy=quick_policy(caps=Caps(per_run=650)))
    report = bench.refresh([tier("smb"), tier("mid_market"), tier("enterprise")])
    assert report.counts == {"done": 2, "skipped": 1}
    skipped = next(row for row in report.rows if row.ending == "skipped")
    assert "cap of 650 credits a run" in skipped.reason
    assert report.credits_counted <= 650


def test_the_estimate_of_a_plan_that_approved_itself_is_on_record() -> None:
    bench = Bench()

    async def ask(account: Account) -> Any:
        plan = await build_plan(account, [tier()], source=a_source())
        return approval_status(account, plan), approval_status(account, plan)

    first, second = bench.run(ask)
    assert (first.mode, second.mode, second.reason) == ("automatic", "automatic", "within the limit")
    acts = [json.loads(row.event) for row in export(bench.state)]
    assert [(act["event"], act["credits"]) for act in acts] == [("approved", 300)]


@pytest.mark.parametrize(
    ("policy", "level", "said"),
    [
        (quick_policy(), "info", "plan carried out"),
        (quick_policy(caps=Caps(per_month=299)), "warning", "budget refused"),
    ],
    ids=["carried out", "over the month's budget"],
)
def test_the_log_has_the_end_of_a_run(policy: Policy, level: str, said: str) -> None:
    with capture_logs() as lines:
        Bench(policy=policy).refresh([tier()])
    assert (level, said) in {(one["log_level"], one["event"]) for one in lines}


def test_half_of_the_months_budget_is_told_from_exactly_half_on() -> None:
    counted = Bench().refresh([tier()]).credits_counted
    for cap, told in ((2 * counted, 1), (2 * counted + 1, 0)):
        report = Bench(policy=quick_policy(caps=Caps(per_month=cap))).refresh([tier()])
        assert (report.counts, len(report.alerts)) == ({"done": 1}, told)


def test_a_row_over_what_the_account_has_left_says_so_and_not_that_a_cap_was_set() -> None:
    report = Bench(options={"credits": 20}).refresh([tier()])
    assert [(row.ending, row.code, row.reason) for row in report.rows] == [
        ("skipped", "cap", "300 credits more would pass the 20 that the account has left for this run (0 counted)")
    ]
