"""The receiver as it is started by hand, and the way of an event from there to a fresh segment."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import orjson
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from ingest.webhooks import sign_stripe
from pipelines.answer import Exit
from pipelines.cli import app
from pipelines.definitions import build_definitions, resources_of
from pipelines.runner import run_job
from pipelines.sensors import webhook_inbox
from pipelines.settings import Settings
from resources.lake import Lake
from resources.progress import Silent
from resources.state import State
from resources.state.inbox import inbox, insert_events
from sandbox.launch import Sandbox
from tests.ingest.test_inbox import row
from tests.ingest.webhook_events import event_bytes

SettingsFor = Callable[..., Settings]
_ROOT = Path(__file__).parent.parent.parent
SECRET, OLD_SECRET = "whsec_" + "n" * 24, "whsec_" + "o" * 24


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`stripe-mavera webhooks` with its local data in a folder."""
    clean = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "webhooks", *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(_ROOT), "DATA_DIR": str(folder), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def receiver(folder: Path, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running receiver: its address and its process."""
    given = {"STRIPE_WEBHOOK_SECRETS": f"{SECRET},{OLD_SECRET}", **environment}
    process = command(folder, "--port", "0", **given)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, line + process.stderr.read()
        yield found.group(), process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def post(base: str, body: bytes, *, secret: str = SECRET) -> int:
    signature = sign_stripe(body, secret=secret, at=datetime.now(UTC))
    return httpx.post(f"{base}/webhooks/stripe", content=body, headers={"Stripe-Signature": signature}).status_code


def stored(settings: Settings) -> dict[str, str]:
    state = State(settings.state_url)
    with state.read() as connection:
        found = dict(connection.execute(sa.select(inbox.c.event_id, inbox.c.status)).tuples().all())
    state.close()
    return found


def test_it_serves_its_paths_and_ends_when_told_with_everything_stored(
    tmp_path: Path, settings_for: SettingsFor
) -> None:
    with receiver(tmp_path) as (base, process):
        body = event_bytes(event_id="evt_1")
        assert [post(base, body), post(base, body, secret=OLD_SECRET)] == [200, 200]
        assert post(base, event_bytes(event_id="evt_2"), secret="whsec_other") == 400
        assert post(base, event_bytes(event_id="evt_3", livemode=True)) == 200
        assert httpx.post(f"{base}/webhooks/mavera").status_code == 404, "no secret, no path"
        assert httpx.get(f"{base}/healthz").text == "ok\n"
        assert 'outcome="duplicate"' in httpx.get(f"{base}/metrics").text
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    refused, stopped = said.splitlines()
    assert "webhook refused" in refused
    assert refused.endswith("reason='signature: no match' status=400 times=1")
    assert stopped == "Stopped; every answered event is stored."
    assert stored(settings_for()) == {"evt_1": "pending", "evt_3": "quarantined"}


@pytest.mark.parametrize(
    ("named", "exit_code", "told", "waiting"),
    [
        pytest.param([], Exit.DONE, {"replayed": 1, "not_replayed": 0}, {"evt_poison"}, id="all that is poison"),
        pytest.param(["evt_done"], Exit.DONE, {"replayed": 1, "not_replayed": 0}, {"evt_done"}, id="by its id"),
        pytest.param(
            ["evt_poison", "evt_none"],
            Exit.FAILED,
            {"replayed": 1, "not_replayed": 1},
            {"evt_poison"},
            id="one that is not there",
        ),
    ],
)
def test_a_person_lets_events_wait_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings_for: SettingsFor,
    named: list[str],
    exit_code: Exit,
    told: dict[str, int],
    waiting: set[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    state = resources_of(settings_for(), Silent())["state"].open()
    insert_events(state, [row(f"evt_{status}", object_id=status, status=status) for status in ("done", "poison")])
    state.close()
    result = CliRunner().invoke(app, ["webhooks", "replay", *named, "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (exit_code, told)
    assert {event for event, status in stored(settings_for()).items() if status == "pending"} == waiting


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        pytest.param({}, "no webhook secret is set: set STRIPE_WEBHOOK_SECRETS", id="nothing could be checked"),
        pytest.param(
            {"STRIPE_WEBHOOK_SECRETS": SECRET, "STRIPE_EXPORTS_URI": "/exports"},
            "STRIPE_API_KEY is not set",
            id="the objects could not be read",
        ),
        pytest.param(
            {"STRIPE_WEBHOOK_SECRETS": SECRET, "STATE_DATABASE_URL": "sqlite:////proc/none/state.db"},
            "/proc/none",
            id="nothing could be stored",
        ),
    ],
)
def test_it_says_in_one_line_why_it_cannot_start(tmp_path: Path, environment: dict[str, str], line: str) -> None:
    process = command(tmp_path, "--port", "0", **environment)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    assert line in said
    assert SECRET not in said


@pytest.fixture
def a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensor's clock, so that no test waits until a burst is over."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(minutes=1)

    monkeypatch.setattr("pipelines.sensors.datetime", Later)


@pytest.mark.usefixtures("a_minute_later")
def test_an_event_becomes_a_fresh_segment_and_costs_nothing(tmp_path: Path, settings_for: SettingsFor) -> None:
    with Sandbox(customers=60, seed=7) as sandbox:
        settings = settings_for(sandbox)
        for job in ("extract", "segment"):
            assert run_job(settings, job, progress=Silent()).success
        lake = Lake(settings.lake)
        before = {row["id"]: row["status"] for row in lake.read("stripe/subscriptions").to_pylist()}
        tiers = lake.read("segments/mrr_tiers").to_pylist()
        untouched = lake.version("segments/disputes_by_reason")
        known = {one["id"] for one in sandbox.objects("events")}
        sandbox.advance(21)

        kinds = ("customer.subscription.", "price.")
        happened = [
            one for one in sandbox.objects("events") if one["id"] not in known and one["type"].startswith(kinds)
        ]
        assert happened
        with receiver(tmp_path) as (base, _):
            assert {post(base, orjson.dumps(one)) for one in happened} == {200}

        doors = build_definitions(settings).resources or {}
        given = {name: doors[name] for name in ("lake", "state")}

        def look(cursor: str | None) -> Any:
            with dg.build_sensor_context(cursor=cursor, resources=given) as context:
                return webhook_inbox(context)

        tick = look(None)
        again = look(tick.cursor)
        (request,) = tick.run_requests
        assert not again.run_requests
        keys = {"/".join(key.path) for key in request.asset_selection}
        assert {"stripe/subscriptions", "segments/churn_risk", "mavera/plan"} <= keys

        result = (
            build_definitions(settings, progress=Silent())
            .resolve_job_def(request.job_name)
            .execute_in_process(
                asset_selection=list(request.asset_selection),
                run_config=request.run_config,
                instance=dg.DagsterInstance.ephemeral(),
            )
        )
        assert result.success
        made = {"/".join(one.asset_key.path) for one in result.get_asset_materialization_events()}
        assert made == keys
        truth = {one["id"]: one["status"] for one in sandbox.objects("subscriptions")}
        after = {row["id"]: row["status"] for row in lake.read("stripe/subscriptions").to_pylist()}
        assert after == truth != before
        fresh = lake.read("segments/mrr_tiers").to_pylist()
        assert fresh[0]["as_of"] > tiers[0]["as_of"]
        assert {row["customer"]: row["mrr_minor"] for row in fresh} != {
            row["customer"]: row["mrr_minor"] for row in tiers
        }
        assert lake.version("segments/disputes_by_reason") == untouched
        assert set(stored(settings).values()) == {"done"}
        charges = httpx.get(f"{sandbox.mavera.removesuffix('/api/v1')}/_sandbox/ledger").json()["charges"]
        assert charges == []
        idle = look(tick.cursor)
        assert idle.skip_reason.skip_message == "the inbox is empty"
