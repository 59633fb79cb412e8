"""The doctor: what it finds, what it says to do, and that it does nothing but read."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from ingest.streams import STREAMS
from pipelines.answer import Answer, Exit
from pipelines.cli import app
from pipelines.doctor import examine
from pipelines.doctor.mavera import check_scope
from pipelines.settings import Settings
from resources.mavera import MissingScopeError
from resources.state import State
from sandbox.launch import Sandbox
from tests.postgres import new_database

SettingsFor = Callable[..., Settings]
_OPERATOR = '[products]\nprod_1 = "starter-plan"\n'


@pytest.fixture(scope="module")
def accounts() -> Iterator[Sandbox]:
    """Both sides of a small business; each test puts back what it switches."""
    with Sandbox(customers=30, seed=7) as running:
        yield running


def _lines(answer: Answer) -> dict[str, dict[str, str]]:
    return {line["check"]: line for line in answer.payload["checks"]}


def _bad(answer: Answer) -> dict[str, str]:
    """What is not in order: check and verdict; each says what to do."""
    bad = {name: line for name, line in _lines(answer).items() if line["verdict"] != "ok"}
    assert all(line["todo"] for line in bad.values())
    return {name: line["verdict"] for name, line in bad.items()}


def test_a_fresh_sandbox_is_healthy_and_nothing_was_written_anywhere(
    accounts: Sandbox, settings_for: SettingsFor, tmp_path: Path
) -> None:
    answer = examine(settings_for(accounts))
    assert (answer.exit, _bad(answer)) == (Exit.DONE, {})
    assert {f"read {name}" for name in STREAMS} <= _lines(answer).keys()
    assert all(operation.startswith("GET ") for operation in accounts.stats()["operations"])
    ledger = httpx.get(f"{accounts.mavera.removesuffix('/api/v1')}/_sandbox/ledger").json()
    assert ledger["charges"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_missing_permission_names_stream_and_permission(accounts: Sandbox, settings_for: SettingsFor) -> None:
    accounts.control(faults={"forbidden": ["disputes", "refunds"]})
    try:
        answer = examine(settings_for(accounts))
    finally:
        accounts.control(faults={"forbidden": []})
    assert answer.exit is Exit.FAILED
    assert _bad(answer) == {"read disputes": "failed", "read refunds": "failed"}
    assert "rak_dispute_read" in _lines(answer)["read disputes"]["todo"]


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(0, "ok"), (-45, "attention"), (3_600, "failed")],
    ids=["the same", "a little behind is noted", "an hour ahead refuses webhooks"],
)
def test_the_clock_is_compared_with_stripes(
    accounts: Sandbox, settings_for: SettingsFor, seconds: int, verdict: str
) -> None:
    settings = settings_for(accounts, stripe_api_key="rk_test_0123456789")
    asked = httpx.get(f"{accounts.stripe}/v1/account", headers={"Authorization": "Bearer rk_test_0123456789"})
    stands = parsedate_to_datetime(asked.headers["Date"])

    answer = examine(settings, now=stands + timedelta(seconds=seconds))
    assert _lines(answer)["clock"]["verdict"] == verdict


def test_test_keys_are_told_by_mode_and_right(accounts: Sandbox, settings_for: SettingsFor) -> None:
    restricted = _lines(examine(settings_for(accounts, stripe_api_key="rk_test_0123456789")))["stripe key"]
    assert (restricted["verdict"], "test mode" in restricted["found"]) == ("ok", True)
    assert "Write for nothing" in restricted["todo"]
    unrestricted = _lines(examine(settings_for(accounts, stripe_api_key="sk_test_0123456789")))["stripe key"]
    assert (unrestricted["verdict"], "it can write" in unrestricted["found"]) == ("attention", True)


def test_an_unreachable_side_is_one_line_and_the_other_is_asked_all_the_same(
    accounts: Sandbox, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.doctor.stripe._PATIENCE_SECONDS", 0.2)
    answer = examine(settings_for(accounts, stripe_api_base="http://127.0.0.1:9"))
    assert answer.exit is Exit.FAILED
    assert _bad(answer) == {"stripe": "failed"}
    assert "127.0.0.1:9" in _lines(answer)["stripe"]["found"]
    assert _lines(answer)["mavera"]["verdict"] == "ok"


def test_credits_and_the_key_are_read(accounts: Sandbox, settings_for: SettingsFor) -> None:
    control = f"{accounts.mavera.removesuffix('/api/v1')}/_sandbox/control"
    httpx.post(control, json={"options": {"credits": 0}}).raise_for_status()
    try:
        empty = examine(settings_for(accounts))
        scopes = {"scopes": "enforced", "keys": {"mvra_scopes": {"scopes": []}}}
        httpx.post(control, json={"options": scopes}).raise_for_status()
        unknown = examine(settings_for(accounts, mavera_api_key="mvra_unknown"))
    finally:
        options = {"credits": 10_000, "scopes": "off", "keys": {}}
        httpx.post(control, json={"options": options}).raise_for_status()
    assert (empty.exit, _bad(empty)) == (Exit.WAITS_FOR_PERSON, {"mavera": "attention"})
    assert _bad(unknown) == {"mavera": "failed"}
    assert "MAVERA_API_KEY" in _lines(unknown)["mavera"]["todo"]


def test_a_read_that_is_not_permitted_names_the_scope() -> None:
    async def refused() -> None:
        raise MissingScopeError("listPersonas", status=403)

    finding = asyncio.run(check_scope("personas", refused))
    assert (finding.check, finding.verdict) == ("read personas", "failed")
    assert "personas:write" in finding.todo


@pytest.mark.parametrize(
    ("values", "check", "verdict"),
    [
        ({"stripe_webhook_secrets": "wrong"}, "stripe webhooks", "failed"),
        ({"stripe_webhook_secrets": "whsec_a,whsec_b,whsec_c"}, "stripe webhooks", "attention"),
        ({"stripe_webhook_secrets": "whsec_a,whsec_b"}, "stripe webhooks", "ok"),
        ({"mavera_callback_url": "https://a.example/webhooks/mavera"}, "mavera callbacks", "failed"),
        ({"operator_file": "/nowhere/operator.toml"}, "operator file", "failed"),
        ({"lake_uri": "/dev/null/lake"}, "lake", "failed"),
        ({"state_database_url": "postgresql://nobody:verysecret@127.0.0.1:9/state"}, "state", "failed"),
        ({"dagster_postgres_url": "postgresql://nobody:verysecret@127.0.0.1:9/runs"}, "dagster", "failed"),
    ],
    ids=[
        "a secret that is none",
        "more secrets than a roll needs",
        "two secrets while one is rolled",
        "callbacks that would be refused",
        "a named operator's file that is not there",
        "a lake that cannot be written",
        "a state whose server is away",
        "a Dagster storage whose server is away",
    ],
)
def test_this_side(
    accounts: Sandbox, settings_for: SettingsFor, values: dict[str, Any], check: str, verdict: str
) -> None:
    answer = examine(settings_for(accounts, **values))
    assert _lines(answer)[check]["verdict"] == verdict
    assert _bad(answer).keys() <= {check}
    assert "verysecret" not in json.dumps(answer.payload)


def test_an_operators_file_is_wished_for_a_real_account(
    accounts: Sandbox, settings_for: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_for(accounts, stripe_api_key="rk_test_0123456789")
    assert _lines(examine(settings))["operator file"]["verdict"] == "attention"
    (tmp_path / "operator.toml").write_text(_OPERATOR)
    assert _lines(examine(settings))["operator file"]["verdict"] == "ok"
    (tmp_path / "operator.toml").write_text("[products\n")
    assert _lines(examine(settings))["operator file"]["verdict"] == "failed"


def test_postgresql_and_the_schema_of_the_state(
    accounts: Sandbox, settings_for: SettingsFor, postgres: str
) -> None:
    database = new_database(postgres)
    settings = settings_for(accounts, state_database_url=database, dagster_postgres_url=database)
    new = _lines(examine(settings))
    assert (new["state"]["verdict"], new["state"]["todo"]) == ("ok", "stripe-mavera migrate")
    assert "PostgreSQL" in new["dagster"]["found"]

    state = State(database)
    assert state.revisions()[0] is None, "the doctor migrated"
    state.migrate()
    assert _lines(examine(settings))["state"]["todo"] == ""
    with state.begin() as connection:
        connection.execute(sa.text("UPDATE state_version SET version_num = '9999'"))
    state.close()
    newer = examine(settings)
    assert _bad(newer) == {"state": "failed"}


def test_settings_that_contradict_each_other_are_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRIPE_API_KEY", "rk_live_0123456789")
    monkeypatch.setenv("STRIPE_API_BASE", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == Exit.FAILED
    (line,) = json.loads(result.stdout)["checks"]
    assert (line["verdict"], "STRIPE_API_BASE" in line["found"]) == ("failed", True)
    assert "rk_live_0123456789" not in result.stdout


def test_the_command_says_one_line_a_check(
    accounts: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRIPE_API_BASE", accounts.stripe)
    monkeypatch.setenv("MAVERA_API_BASE", accounts.mavera)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == Exit.DONE, result.output
    lines = result.stdout.splitlines()
    assert len(lines) > 20
    assert all(line.startswith("ok ") for line in lines)
