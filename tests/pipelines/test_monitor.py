"""The monitor: figures as metrics and the report, read when asked; a source that is away hides nothing."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import httpx
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest.tables import QUARANTINE
from pipelines.definitions import build_definitions
from pipelines.monitor import create_monitor, monitor_beside
from pipelines.report.asset import REPORT, report
from pipelines.settings import Settings
from resources.lake import Lake
from resources.state import State
from resources.state.extraction import cursors, runs
from resources.state.inbox import InboxRow, insert_events
from segments.tables import SEGMENT_TABLES
from tests.pipelines.ledger_rows import held_row

SettingsFor = Callable[..., Settings]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


Get = Callable[[str], httpx.Response]


def served(settings: Settings, instance: dg.DagsterInstance) -> Get:
    """The answers of a monitor."""
    app = create_monitor(settings, instance=lambda: instance, clock=lambda: NOW)

    async def ask(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://m", follow_redirects=True) as client:
            return await client.get(path)

    return lambda path: asyncio.run(ask(path))


def samples(get: Get) -> dict[tuple[str, ...], float]:
    """Each sample by its name and label values."""
    answer = get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name.removeprefix("stripe_mavera_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def tiers(*mrr: tuple[str, int]) -> pa.Table:
    rows = [
        {
            "customer": f"cus_{number}",
            "tier": tier,
            "mrr_minor": minor,
            "reporting_currency": "usd",
            "subscriptions": 1,
            "complete": True,
            "since": NOW,
            "movement": "none",
            "amounts": "",
            "as_of": NOW,
        }
        for number, (tier, minor) in enumerate(mrr)
    ]
    return pa.Table.from_pylist(rows, schema=SEGMENT_TABLES["mrr_tiers"])


def test_before_anything_was_made_there_are_metrics_and_a_page_that_says_what_to_do(
    settings_for: SettingsFor, instance: dg.DagsterInstance
) -> None:
    get = served(settings_for(), instance)
    assert samples(get) == {
        ("credits_counted", "day"): 0,
        ("credits_counted", "month"): 0,
        ("credits_unsettled",): 0,
        ("intents", "held"): 0,
        ("intents", "unknown"): 0,
    }
    page = get("/report")
    assert (page.status_code, "make run" in page.text) == (404, True)
    assert get("/healthz").text == "ok\n"


def test_every_figure_is_read_when_it_is_asked_for(
    settings_for: SettingsFor, instance: dg.DagsterInstance
) -> None:
    settings = settings_for(mavera_credit_budget=2_000)
    get = served(settings, instance)
    assert ("mrr_minor", "usd") not in samples(get)
    state, lake = State(settings.state_url), Lake(settings.lake)
    held_row(state, environment=settings.environment, credits=300, at=NOW)
    lake.replace("segments/mrr_tiers", tiers(("smb", 900), ("smb", 100), ("none", 0)), SEGMENT_TABLES["mrr_tiers"])
    lake.replace(
        "stripe/quarantine",
        pa.Table.from_pylist(
            [
                {"raw_hash": str(age), "table": "charges", "reason": "x", "source": "api", "fetched_at": NOW - age}
                for age in (timedelta(hours=1), timedelta(days=3))
            ],
            schema=QUARANTINE,
        ),
        QUARANTINE,
    )
    ended = NOW - timedelta(hours=2)
    with state.begin() as connection:
        connection.execute(
            runs.insert().values(
                run_id="r1",
                account="acct_1:test",
                status="complete",
                plan={},
                holder="",
                started_at=ended,
                heartbeat_at=ended,
                ended_at=ended,
            )
        )
        connection.execute(
            cursors.insert().values(
                account="acct_1:test",
                events_from=0,
                routed=True,
                newest_read=0,
                loaded={"charges": 1},
            )
        )
    waits = InboxRow(
        **dict.fromkeys(("object_type", "object_id", "account", "api_version", "livemode", "created")),
        origin="stripe",
        event_id="evt_1",
        type="t",
        received_at=ended,
        status="pending",
    )
    insert_events(state, [waits])
    instance.report_runless_asset_event(dg.AssetMaterialization(["segments", "mrr_tiers"]))
    found = samples(get)
    made = found.pop(("table_made_timestamp_seconds", "segments/mrr_tiers"))
    assert made == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert found == {
        ("credits_counted", "day"): 300,
        ("credits_counted", "month"): 300,
        ("credits_unsettled",): 300,
        ("credit_budget",): 2_000,
        ("intents", "held"): 1,
        ("intents", "unknown"): 0,
        ("inbox_events", "pending"): 1,
        ("inbox_oldest_pending_timestamp_seconds",): ended.timestamp(),
        ("extraction_complete_timestamp_seconds", "charges"): ended.timestamp(),
        ("quarantine_rows", "ever"): 2,
        ("quarantine_rows", "last_day"): 1,
        ("mrr_minor", "usd"): 1_000,
        ("customers_paying",): 2,
    }


def test_a_lake_that_cannot_be_read_hides_nothing_else(
    settings_for: SettingsFor, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = settings_for()
    for table in ("segments/mrr_tiers", "stripe/quarantine"):
        log = Path(settings.lake) / table / "_delta_log"
        log.mkdir(parents=True)
        (log / "00000000000000000000.json").write_text("no json\n")
    found = samples(served(settings, instance))
    assert found["source_unread", "revenue"] == found["source_unread", "quarantine"] == 1
    assert found["intents", "held"] == 0


def test_the_report_is_made_from_the_tables_of_the_moment(
    settings_for: SettingsFor, instance: dg.DagsterInstance
) -> None:
    settings = settings_for()
    get = served(settings, instance)
    for customers in (2, 3):
        lake = Lake(settings.lake)
        rows = tiers(*(("smb", 50_000) for _ in range(customers)))
        lake.replace("segments/mrr_tiers", rows, SEGMENT_TABLES["mrr_tiers"])
        answer = get("/")
        assert answer.url.path == "/report"
        assert f"{customers * 500:,}" in answer.text
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == (
            "no-store",
            "nosniff",
        )


def test_the_asset_writes_the_page_and_links_to_where_it_is_served(settings_for: SettingsFor) -> None:
    settings = settings_for(monitor_url="https://ops.example/monitor/")
    Lake(settings.lake).replace("segments/mrr_tiers", tiers(("smb", 50_000)), SEGMENT_TABLES["mrr_tiers"])
    resources = build_definitions(settings).resources or {}
    with dg.DagsterInstance.ephemeral() as opened:
        result = dg.materialize(
            [report], instance=opened, resources={name: resources[name] for name in ("lake", "edition")}
        )
    (made,) = result.asset_materializations_for_node("report__page")
    assert made.asset_key == dg.AssetKey(REPORT.split("/"))
    values = {name: entry.value for name, entry in made.metadata.items()}
    assert values["report"] == "https://ops.example/monitor/report"
    assert (values["mrr_minor"], values["customers_paying"]) == (50_000, 1)
    assert "<html" in Path(values["file"]).read_text(encoding="utf-8")


def test_beside_the_ui_it_serves_on_loopback_and_a_taken_port_stops_nothing(settings_for: SettingsFor) -> None:
    said: list[str] = []
    with monitor_beside(settings_for(), port=0, note=said.append):
        address = said[0].split()[1].removesuffix("/report")
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(f"{address}/healthz").text == "ok\n"
        port = int(address.rpartition(":")[2])
        with monitor_beside(settings_for(), port=port, note=said.append):
            assert said[1].startswith(f"The report is not served: cannot listen on 127.0.0.1:{port}")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")
