"""A whole extraction against the sandbox: what is in the lake is what the server has."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ingest.completeness import read_to_the_end, seen_equals_rows
from ingest.report import ExtractionFailed, StreamProgress
from sandbox.launch import Sandbox
from tests.ingest.account import Account, differences

_EVERY = ("customers", "subscriptions", "invoices", "charges", "payment_methods", "coupons", "prices")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(customers=60, only="stripe", account_rate=0, operation_rate=0) as running:
        yield running


def test_first_load_holds_every_object_once_with_its_links(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    report = account.extract(sandbox.stripe)
    assert report.mode == "backfill"
    assert report.complete
    assert differences(account, sandbox) == []
    assert {row["status"] for row in account.rows("subscriptions")} >= {"active", "canceled"}
    assert all(row["invoice"] for row in account.rows("charges") if row["payment_intent"])


def test_progress_tells_pages_rows_pace_and_the_share_of_the_limit(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path, rate=200)
    told: list[tuple[StreamProgress, ...]] = []
    report = account.extract(sandbox.stripe, progress=told.append)
    ended = {stream.stream: stream for stream in told[-1]}
    assert {stream.state for stream in ended.values()} == {"done"}
    assert {stream.eta_seconds for stream in ended.values()} == {0.0}
    assert ended["charges"].rows == len(account.rows("charges"))
    assert ended["charges"].pages >= 1
    (charges,) = [stream for stream in report.streams if stream.stream == "charges"]
    assert charges.requests_per_second is not None
    assert charges.share == charges.requests_per_second / 200 > 0


def test_an_unchanged_account_costs_two_requests_and_no_commit(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    first = account.extract(sandbox.stripe)
    again = account.extract(sandbox.stripe)
    assert (again.mode, again.requests) == ("unchanged", 2)
    assert [t.version for t in again.tables] == [t.version for t in first.tables if t.table != "quarantine"]


def test_changes_arrive_by_one_scan_of_events(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    for name in _EVERY:
        sandbox.control(mutate=[{"resource": name, "update": 4, "create": 2}])
    for name in ("customers", "subscriptions", "invoices", "payment_methods"):
        sandbox.control(mutate=[{"resource": name, "delete": 2}])
    report = account.extract(sandbox.stripe)
    assert report.mode == "incremental"
    assert differences(account, sandbox) == []
    assert sum(row["deleted"] for row in account.rows("customers")) == 2
    gone = {row["id"] for row in account.rows("invoices") if row["deleted"]}
    assert gone
    assert all(row["deleted"] for row in account.rows("invoice_lines") if row["invoice"] in gone)


def test_changes_and_a_full_load_give_equal_tables(sandbox: Sandbox, tmp_path: Path) -> None:
    changed, whole = Account(tmp_path / "changed"), Account(tmp_path / "whole")
    changed.extract(sandbox.stripe)
    sandbox.advance(40)
    changed.extract(sandbox.stripe)
    whole.extract(sandbox.stripe)
    assert differences(changed, sandbox) == []
    assert differences(whole, sandbox) == []
    provenance = {"version_at", "fetched_at", "source"}
    for table in ("subscriptions", "customers", "coupons", "prices"):
        both = [
            sorted(
                ({k: v for k, v in row.items() if k not in provenance} for row in account.rows(table)),
                key=lambda row: row["id"],
            )
            for account in (changed, whole)
        ]
        assert both[0] == both[1]


def test_a_cursor_older_than_28_days_loads_everything_again(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    sandbox.control(mutate=[{"resource": "customers", "delete": 3}])
    sandbox.advance(45)
    report = account.extract(sandbox.stripe)
    assert report.mode == "backfill"
    assert differences(account, sandbox) == []
    assert sum(row["deleted"] for row in account.rows("customers")) == 3


def test_missing_permissions_are_named_together_before_anything_is_read(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.control(faults={"forbidden": ["disputes", "refunds"]})
    account = Account(tmp_path)
    with pytest.raises(ExtractionFailed, match=r"disputes.*rak_dispute_read.*refunds.*rak_charge_read"):
        account.extract(sandbox.stripe)
    assert not account.lake.exists("stripe/customers")
    sandbox.control(faults={"forbidden": []})
    assert account.extract(sandbox.stripe).complete
    assert differences(account, sandbox) == []


def test_malformed_objects_are_set_aside_with_a_reason(sandbox: Sandbox, tmp_path: Path) -> None:
    kinds = [
        "missing_id",
        "number_id",
        "text_created",
        "huge_created",
        "wrong_object",
        "text_amount",
        "list_customer",
    ]
    more = ["null_in_items", "text_items", "null_items", "null_customer", "not_an_object", "null", "empty_object"]
    sandbox.control(faults={"malformed": {"charges": kinds, "subscriptions": more, "invoices": more}})
    account = Account(tmp_path)
    report = account.extract(sandbox.stripe)
    assert differences(account, sandbox) == []
    aside = account.rows("quarantine")
    count = {name: sum(row["table"] == name for row in aside) for name in ("charges", "subscriptions", "invoices")}
    assert count == {"charges": 7, "subscriptions": 7, "invoices": 7}
    assert all(row["reason"] for row in aside)
    assert {row["reason"] for row in aside} >= {
        "charge.amount is str, not a whole number",
        "subscriptions: customer is missing",
        "subscription.items is missing",
        "charges: object is not charge",
    }
    assert sum(stream.quarantined for stream in report.streams) >= len(aside)


def test_an_unreachable_api_ends_with_one_line_and_tables_as_they_were(tmp_path: Path) -> None:
    account = Account(tmp_path)
    with pytest.raises(ExtractionFailed, match=r"^Stripe is not reachable at http://127\.0\.0\.1:9 "):
        account.extract("http://127.0.0.1:9")
    assert not account.lake.exists("stripe/customers")


def test_payment_methods_are_asked_per_active_customer_where_no_list_is_given(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.control(faults={"payment_methods_need_customer": True})
    account = Account(tmp_path)
    assert account.extract(sandbox.stripe).complete
    assert differences(account, sandbox) == []


def test_the_fan_out_stops_at_the_budget_and_the_next_run_goes_on(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.control(faults={"payment_methods_need_customer": True})
    account = Account(tmp_path)
    held = 0
    for budget, under_way in ((70, 30), (10, 20)):
        account.budget = budget
        report = account.extract(sandbox.stripe)
        (stream,) = [s for s in report.streams if s.stream == "payment_methods"]
        assert report.complete
        assert f"stopped at the request budget of {budget}" in str(stream.unfinished)
        assert report.requests <= budget + under_way
        assert seen_equals_rows(report, "payment_methods").passed, "a choice of the operator's stops nothing"
        assert not read_to_the_end(report, "payment_methods").passed
        assert len(account.rows("payment_methods")) > held
        held = len(account.rows("payment_methods"))
    account.budget = None
    again = account.extract(sandbox.stripe)
    assert again.table("payment_methods").mode == "backfill"
    assert read_to_the_end(again, "payment_methods").passed
    assert differences(account, sandbox) == []


def test_a_list_left_at_the_budget_is_not_whole_for_a_run_that_goes_on(sandbox: Sandbox, tmp_path: Path) -> None:
    fails_once = {"operation": "GET /v1/refunds", "status": 400, "skip": 1, "times": 1}
    sandbox.control(faults={"payment_methods_need_customer": True, "scripts": [fails_once]})
    account = Account(tmp_path, budget=70)
    with pytest.raises(ExtractionFailed, match="refunds"):
        account.extract(sandbox.stripe)
    account.budget = None
    assert account.extract(sandbox.stripe).resumed
    assert differences(account, sandbox) == []


def test_a_table_lost_from_the_lake_is_loaded_again(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    shutil.rmtree(account.lake.path("stripe/charges"))
    report = account.extract(sandbox.stripe)
    assert report.table("charges").mode == "backfill"
    assert report.table("customers").mode == "unchanged"
    assert differences(account, sandbox) == []


def test_a_key_of_another_account_is_refused_before_any_table_is_touched(sandbox: Sandbox, tmp_path: Path) -> None:
    account = Account(tmp_path)
    account.extract(sandbox.stripe)
    versions = {table: account.lake.version(f"stripe/{table}") for table in ("customers", "charges")}
    with (
        Sandbox(only="stripe", customers=5, seed=99) as other,
        pytest.raises(ExtractionFailed, match="give each account its own LAKE_URI and STATE_DATABASE_URL"),
    ):
        account.extract(other.stripe)
    assert {table: account.lake.version(f"stripe/{table}") for table in versions} == versions


def test_a_key_that_may_not_read_its_account_learns_the_id_from_the_refusal(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    account = Account(tmp_path)
    first = account.extract(sandbox.stripe)
    sandbox.control(faults={"forbidden": ["account"]})
    rotated = Account(tmp_path, key=SecretStr("rk_test_rotated00000000"))
    again = rotated.extract(sandbox.stripe)
    assert (again.account, again.mode) == (first.account, "unchanged")
