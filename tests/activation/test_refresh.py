"""The whole paid side against the pretend Mavera: first run, second run, changed run."""

from tests.activation.kit import Bench, all_surfaces, retention, tier


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
