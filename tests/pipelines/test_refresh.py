"""The whole job against the sandbox, as the command line runs it: what it makes, and what is paid once."""

from collections import Counter
from collections.abc import Callable
from io import StringIO
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from dagster import DagsterEventType, DagsterInstance
from pydantic import SecretStr
from rich.console import Console

from pipelines.answer import Answer, Exit
from pipelines.settings import Settings
from pipelines.tasks import apply_plan, approve_plan, list_held, make_plan, refresh
from resources.lake import Lake
from resources.state import open_state
from resources.state.ledger import objects
from sandbox.launch import Sandbox

SettingsFor = Callable[..., Settings]
_SURFACES = {"brand_voice", "persona", "generation", "case_study", "copy_fix"}


def _run(settings: Settings) -> Answer:
    return refresh(settings, Console(quiet=True))


def _page(answer: Answer) -> str:
    """What a person reads."""
    console = Console(file=StringIO(), width=200)
    answer.page(console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def _charges(sandbox: Sandbox) -> list[dict[str, Any]]:
    base = sandbox.mavera.removesuffix("/api/v1")
    charges: list[dict[str, Any]] = httpx.get(f"{base}/_sandbox/ledger").json()["charges"]
    return charges


_CHARTED = {
    "stripe/charges": {"dagster/row_count", "upserted", "requests", "rate_limited", "retried"},
    "segments/mrr_tiers": {"dagster/row_count", "mrr_minor"},
    "segments/churn_risk": {"mrr_at_risk_minor"},
    "segments/subscription_mrr": {"incomplete"},
    "segments/growth": {"candidates"},
    "segments/disputes_by_reason": {"disputes"},
    "mavera/plan": {"credits_at_worst", "to_create", "to_update", "held", "suppressed"},
    "mavera/outcomes": {"credits_counted", "credits_settled", "done", "unchanged", "failed", "held", "skipped"},
    "mavera/spend": {"dagster/row_count", "credits_counted"},
    "report/page": {"mrr_minor", "customers_paying", "credits_of_month"},
}
"""Numbers that Dagster draws over time, by table."""


def _charted(run_id: str) -> dict[str, set[str]]:
    with DagsterInstance.get() as instance:
        found = instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION).records
    made = [record.asset_materialization for record in found]
    return {
        "/".join(one.asset_key.path): {
            name for name, entry in one.metadata.items() if isinstance(entry.value, int | float)
        }
        for one in made
        if one is not None
    }


@pytest.mark.parametrize("customers", [800, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_second_run_spends_nothing_and_creates_nothing(customers: int, settings_for: SettingsFor) -> None:
    with Sandbox(customers=customers, seed=7) as business:
        _run_twice(business, settings_for(business))


def _run_twice(business: Sandbox, settings: Settings) -> None:
    first = _run(settings)
    assert first.exit is Exit.DONE, first.payload
    paid = _charges(business)
    assert sum(charge["credits"] for charge in paid) == first.payload["credits_charged"] > 0
    made = Counter(line["kind"] for line in first.payload["actions"] if line["action"] == "create")
    assert made.keys() == _SURFACES

    charted = _charted(first.payload["run_id"])
    assert {
        table: figures - charted[table] for table, figures in _CHARTED.items() if figures - charted[table]
    } == {}
    assert all("lag_seconds" in charted[table] for table in charted if table.startswith("segments/"))

    second = _run(settings)
    assert second.exit is Exit.DONE, second.payload
    assert second.payload["credits_charged"] == 0
    assert {line["ending"] for line in second.payload["actions"]} == {"unchanged"}
    assert _charges(business) == paid

    lake = Lake(settings.lake)
    for table, wanted in (("personas", 4), ("generations", 1), ("case_studies", 1), ("copy_fixes", 1)):
        assert lake.row_count(f"mavera/{table}") >= wanted, table
    tiers = lake.read("segments/mrr_tiers").to_pylist()
    assert {row["movement"] for row in tiers} == {"none"}


def test_a_plan_above_the_automatic_limit_waits_for_its_hash_and_then_runs(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    settings = settings_for(sandbox, mavera_auto_approve_credits=0)

    waiting = _run(settings)
    assert waiting.exit is Exit.WAITS_FOR_PERSON
    assert _charges(sandbox) == []

    plan = make_plan(settings, Console(quiet=True))
    assert plan.exit is Exit.WAITS_FOR_PERSON
    assert "above the automatic limit of 0" in _page(plan), "why it waits"
    approve_plan(settings, plan.payload["plan_hash"][:12], by="a person")
    carried = apply_plan(settings, Console(quiet=True))
    assert carried.exit is Exit.DONE, carried.payload
    assert 0 < carried.payload["credits_charged"] <= plan.payload["credits"]
    assert list_held(settings).payload == {"held": []}


def test_what_a_pretend_mavera_was_given_is_not_taken_for_what_mavera_has(
    sandbox: Sandbox, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this test 127.0.0.1 is the stand-in, and `localhost` is Mavera.
    monkeypatch.setattr("pipelines.settings.is_loopback", lambda host: host == "127.0.0.1")
    pretend = settings_for(
        sandbox,
        stripe_api_key="rk_test_0123456789",
        fx_rates_uri=f"{sandbox.stripe}/fx/eurofxref-hist.csv",
        operator_file=settings_for().operator_path,
    )
    assert _run(pretend).payload["credits_charged"] > 0
    given = _ledger(pretend)

    with Sandbox(customers=1, seed=7, only="mavera") as mavera:
        real = pretend.model_copy(
            update={
                "mavera_api_key": SecretStr("mvra_test_0123456789"),
                "mavera_api_base": mavera.mavera.replace("127.0.0.1", "localhost"),
                "mavera_sandbox": True,
                "mavera_auto_approve_credits": 10_000,
            }
        )
        assert real.state_url == pretend.state_url
        first = make_plan(real, Console(quiet=True)).payload["operations"]
        wanted = [line for line in first if line["action"] != "suppressed"]
        assert {line["action"] for line in wanted} == {"create"}
        assert {line["kind"] for line in wanted} >= {"persona", "brand_voice"}
        assert _ledger(pretend) == given

        assert apply_plan(real, Console(quiet=True)).exit is Exit.DONE
        paid = _ledger(real)
        assert len(paid) == len(wanted)
        assert {line["ending"] for line in _run(pretend).payload["actions"]} == {"unchanged"}
        assert (_ledger(real), _ledger(pretend)) == (paid, given)


def _ledger(settings: Settings) -> list[Any]:
    """The rows of the environment that the settings work in."""
    with open_state(settings.state_url).read() as connection:
        rows = connection.execute(sa.select(objects).where(objects.c.environment == settings.environment))
        return [(row.kind, row.segment_key, row.remote_id, row.credits) for row in rows]


def test_without_credits_paid_work_waits_and_every_table_is_made_all_the_same(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    base = sandbox.mavera.removesuffix("/api/v1")
    httpx.post(f"{base}/_sandbox/control", json={"options": {"credits": 0}}).raise_for_status()
    settings = settings_for(sandbox)

    answer = _run(settings)
    assert answer.exit is Exit.WAITS_FOR_PERSON
    assert answer.payload["credits_charged"] == 0
    assert {line["ending"] for line in answer.payload["actions"]} == {"skipped"}
    assert sum(line["customers"] for line in answer.payload["tiers"]) > 0


def test_rows_that_failed_show_in_the_exit_code_also_when_others_wait(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    base = sandbox.mavera.removesuffix("/api/v1")
    refused = {"operation": "createBrandVoice", "kind": "error_before", "status": 400}
    httpx.post(f"{base}/_sandbox/control", json={"options": {"faults": [refused]}}).raise_for_status()

    answer = _run(settings_for(sandbox, mavera_credit_budget=300))
    assert {"failed", "skipped"} <= {line["ending"] for line in answer.payload["actions"]}
    assert (answer.exit, answer.payload["success"]) == (Exit.FAILED, False)


def test_a_missing_permission_names_the_stream_and_the_permission(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    sandbox.control(faults={"forbidden": ["disputes"]})
    settings = settings_for(sandbox)

    answer = _run(settings)
    assert answer.exit is Exit.FAILED
    (line,) = answer.payload["errors"]
    assert "disputes" in line
    assert "rak_dispute_read" in line


def test_an_unreachable_stripe_ends_with_one_line_and_leaves_the_tables_as_they_were(
    sandbox: Sandbox, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(sandbox)
    _run(settings)
    lake = Lake(settings.lake)
    before = {name: lake.version(name) for name in ("stripe/charges", "segments/mrr_tiers", "mavera/plan")}
    monkeypatch.setattr("resources.wiring.UNREACHABLE_AFTER_SECONDS", 0.2)

    answer = _run(settings.model_copy(update={"stripe_api_base": "http://127.0.0.1:9"}))
    assert answer.exit is Exit.FAILED
    (line,) = answer.payload["errors"]
    assert "127.0.0.1:9" in line
    assert {name: lake.version(name) for name in before} == before


def test_malformed_objects_are_quarantined_with_a_reason_and_the_run_goes_on(
    sandbox: Sandbox, settings_for: SettingsFor
) -> None:
    sandbox.control(faults={"malformed": {"charges": ["missing_created", "text_amount", "not_an_object"]}})
    settings = settings_for(sandbox)

    answer = _run(settings)
    assert answer.exit is Exit.DONE, answer.payload
    rows = Lake(settings.lake).read("stripe/quarantine").to_pylist()
    assert {row["table"] for row in rows} == {"charges"}
    assert all(row["reason"] for row in rows)
    assert any("nothing_quarantined" in line for line in answer.payload["warnings"])
