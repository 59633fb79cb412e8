"""Exports in place of the API, as the command line runs them: the same tables, loaded once, problems shown."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ingest.position import position
from pipelines.answer import Exit
from pipelines.sandboxes import with_sandboxes
from pipelines.settings import Mode, Settings
from pipelines.tasks import extract_tables, refresh
from resources.lake import Lake
from resources.state import State
from resources.state.exports import loaded_deliveries
from sandbox.exports.writers import write_dashboard_csv, write_pipeline_run
from sandbox.launch import Sandbox
from sandbox.simulation.business import Business
from sandbox.stripe.fx import eurofxref_csv
from sandbox.stripe.store import Store

SettingsFor = Callable[..., Settings]
END = datetime(2026, 11, 20, tzinfo=UTC)
QUIET = Console(quiet=True)
RUN = "testmode/2026112006:coreapi"


@pytest.fixture(scope="module")
def store() -> Store:
    return Business(seed=7, customers=60, end=END, months=14).store


@pytest.fixture
def exports_settings(tmp_path: Path, settings_for: SettingsFor) -> Callable[..., Settings]:
    """Settings without any key: files are all there is."""
    rates = tmp_path / "rates.csv"
    rates.write_bytes(eurofxref_csv(seed=7, first=date(2025, 1, 1), last=END.date()))

    def make(folder: Path, **values: Any) -> Settings:
        return settings_for(
            stripe_exports_uri=str(folder), stripe_exports_mode="test", fx_rates_uri=str(rates), **values
        )

    return make


def _deliver(store: Store, folder: Path, *, run: str = "2026112006", at: datetime = END) -> Path:
    """A Data Pipeline run that shows the account as it is at `at`."""
    made = write_pipeline_run(store, folder, run=run, livemode=False)
    _touch(made / "coreapi_SUCCESS", at + timedelta(hours=12))
    return made


def _touch(path: Path, at: datetime) -> None:
    os.utime(path, (at.timestamp(), at.timestamp()))


def test_files_alone_make_every_table_and_are_loaded_once(
    store: Store, exports_settings: SettingsFor, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    _deliver(store, folder)
    with Sandbox(only="mavera") as mavera:
        settings = exports_settings(folder, mavera_api_base=mavera.mavera)

        first = refresh(settings, QUIET)
        assert first.exit is Exit.DONE, first.payload
        lake, state = Lake(settings.lake), State(settings.state_url)
        for table in ("customers", "subscriptions", "invoice_lines", "charges", "disputes"):
            assert lake.row_count(f"stripe/{table}") > 0, table
        assert sum(line["customers"] for line in first.payload["tiers"]) > 0
        assert (position(state).account, position(state).as_of) == ("exports:test", END)
        assert loaded_deliveries(state) == {RUN}
        assert lake.read("segments/subscription_mrr")["as_of"][0].as_py() == END

        before = {name: lake.version(f"stripe/{name}") for name in ("customers", "charges")}
        again = extract_tables(settings, QUIET, full=False)
        assert again.exit is Exit.DONE, again.payload
        assert {name: lake.version(f"stripe/{name}") for name in before} == before


def test_dashboard_files_alone_say_what_they_can_and_leave_the_rest_empty(
    store: Store, exports_settings: SettingsFor, tmp_path: Path
) -> None:
    folder = tmp_path / "csv"
    for path in write_dashboard_csv(store, folder):
        _touch(path, END + timedelta(hours=1))
    (folder / "notes.csv").write_text("a,b\n")
    settings = exports_settings(folder)

    answer = extract_tables(settings, QUIET, full=False)
    assert answer.exit is Exit.DONE, answer.payload
    rows = answer.payload["rows"]
    assert rows["stripe/customers"] > 0
    assert rows["stripe/prices"] == 0
    assert [
        line.partition("export_files_are_known: ")[2] for line in answer.payload["warnings"] if "notes" in line
    ] == ["notes.csv is not named like an export that is known"]
    assert len(loaded_deliveries(State(settings.state_url))) == 5


def test_a_damaged_file_is_told_and_set_aside_and_the_other_tables_load(
    store: Store, exports_settings: SettingsFor, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    run = _deliver(store, folder)
    (run / "refunds" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    settings = exports_settings(folder)

    answer = extract_tables(settings, QUIET, full=False)
    assert answer.exit is Exit.DONE, answer.payload
    (line,) = [line for line in answer.payload["warnings"] if "export_is_readable" in line]
    assert "stripe/refunds" in line
    assert "refunds/part-00000.parquet is not readable as parquet" in line
    lake = Lake(settings.lake)
    assert [row["table"] for row in lake.read("stripe/quarantine").to_pylist()] == ["refunds"]
    assert (lake.row_count("stripe/refunds"), lake.row_count("stripe/charges") > 0) == (0, True)


def test_without_a_complete_export_the_run_says_so_in_one_line(
    store: Store, exports_settings: SettingsFor, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    write_pipeline_run(store, folder, run="r1", livemode=False, tables=["customers"], marker=False)
    answer = extract_tables(exports_settings(folder), QUIET, full=False)
    assert answer.exit is Exit.FAILED
    assert answer.payload["errors"] == [f"{folder} holds no complete export yet (testmode/, CSV)"]


def test_exports_alone_start_no_pretend_stripe_and_have_a_folder_of_their_own(
    exports_settings: SettingsFor, settings_for: SettingsFor, tmp_path: Path
) -> None:
    settings = exports_settings(tmp_path, mavera_api_base="http://127.0.0.1:9/api/v1")
    notes: list[str] = []
    with with_sandboxes(settings, note=notes.append) as ready:
        assert (ready, notes) == (settings, [])
    assert (settings.mode, settings.livemode, settings.home.name) == (Mode.TEST, False, "test-exports")
    live = settings_for(stripe_exports_uri=str(tmp_path))
    assert (live.mode, live.home.name, live.targets.nothing_leaves) == (Mode.LIVE, "live-exports", True)
    beside = exports_settings(tmp_path, stripe_api_key="rk_test_x")
    assert (beside.exports_only, beside.home.name) == (False, "test")


def test_real_test_exports_never_meet_the_real_mavera(exports_settings: SettingsFor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="MAVERA_SANDBOX"):
        exports_settings(tmp_path, mavera_api_key="mvra_x")


def test_beside_the_api_both_are_read_into_the_same_tables(
    store: Store, settings_for: SettingsFor, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    _deliver(store, folder)
    with Sandbox(customers=60, only="stripe") as sandbox:
        settings = settings_for(
            stripe_api_key="rk_test_beside", stripe_api_base=sandbox.stripe, stripe_exports_uri=str(folder)
        )
        answer = extract_tables(settings, QUIET, full=False)
        assert answer.exit is Exit.DONE, answer.payload
        listed = {one["id"] for one in sandbox.objects("customers")}
    rows = {row["id"]: row["source"] for row in Lake(settings.lake).read("stripe/customers").to_pylist()}
    assert rows.keys() == listed | set(store["customers"].ids())
    assert {rows[one] for one in listed} == {"api"}
    state = State(settings.state_url)
    assert position(state).account.startswith("acct_")
    assert loaded_deliveries(state) == {RUN}
