"""Each completeness check passes on whole tables and names what a silent loss leaves behind."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.completeness import (
    KEY_COLUMNS,
    canceled_present,
    documented_fields,
    ids_equal_rows,
    largest_gap,
    lines_sum_to_subtotal,
    lists_whole,
    null_rates,
    seen_equals_rows,
    unknown_fields,
)
from ingest.report import ExtractReport
from ingest.streams import STREAMS
from ingest.tables import RAW_TABLES
from resources.schema import TIMESTAMP
from sandbox.launch import Sandbox
from tests.ingest.account import Account


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Account, ExtractReport]]:
    folder: Path = tmp_path_factory.mktemp("loaded")
    with Sandbox(customers=60, only="stripe", account_rate=0, operation_rate=0) as sandbox:
        account = Account(folder)
        yield account, account.extract(sandbox.stripe)


@pytest.mark.parametrize("table", [name for name in KEY_COLUMNS if name in RAW_TABLES])
def test_a_whole_table_passes(table: str, loaded: tuple[Account, ExtractReport]) -> None:
    account, report = loaded
    rows = account.lake.read(f"stripe/{table}")
    assert ids_equal_rows(rows).passed
    assert seen_equals_rows(report, table).passed, seen_equals_rows(report, table).text
    assert null_rates(table, rows).passed, null_rates(table, rows).text
    assert largest_gap(rows).passed


def test_fields_of_listed_objects_are_documented(loaded: tuple[Account, ExtractReport]) -> None:
    _, report = loaded
    for stream in report.streams:
        assert unknown_fields(stream.stream, stream.fields).numbers == {"unknown_fields": 0}, stream.stream
        assert stream.fields
        assert documented_fields(stream.stream) > {"id", "object"}
    assert unknown_fields("charges", ["id", "colour"]).text == "1 unknown: colour"


def test_every_stream_has_key_columns() -> None:
    assert set(KEY_COLUMNS) == {table for stream in STREAMS.values() for table in stream.tables}


def test_invoice_lines_sum_to_their_subtotals(loaded: tuple[Account, ExtractReport]) -> None:
    account, _ = loaded
    invoices, lines = account.lake.read("stripe/invoices"), account.lake.read("stripe/invoice_lines")
    assert lines_sum_to_subtotal(invoices, lines).passed
    assert lists_whole(invoices, "lines_complete").passed
    lost = lines.slice(1)
    found = lines_sum_to_subtotal(invoices, lost)
    assert not found.passed
    assert found.ids == (lines["invoice"][0].as_py(),)


def test_doubled_ids_are_named() -> None:
    found = ids_equal_rows(pa.table({"id": ["a", "b", "a"]}))
    assert not found.passed
    assert found.ids == ("a",)


def test_a_list_without_canceled_subscriptions_is_suspect() -> None:
    assert not canceled_present(pa.table({"status": ["active"] * 300})).passed
    assert canceled_present(pa.table({"status": ["active"] * 299 + ["canceled"]})).passed
    assert canceled_present(pa.table({"status": ["active"] * 10})).passed


def test_a_column_that_went_null_is_named() -> None:
    rows = pa.table(
        {
            "deleted": [False] * 60,
            "charge": [None] * 60,
            "amount": [1] * 60,
            "reason": ["x"] * 60,
            "status": ["s"] * 60,
        },
        schema=pa.schema(
            [RAW_TABLES["disputes"].field(n) for n in ("deleted", "charge", "amount", "reason", "status")]
        ),
    )
    found = null_rates("disputes", rows)
    assert not found.passed
    assert found.text == "mostly null: charge"
    assert found.numbers["null_charge"] == 1.0


def test_a_lost_window_shows_as_a_hole() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    busy = [begin + timedelta(minutes=10 * step) for step in range(20_000)]
    whole = pa.table({"created": pa.array(busy, TIMESTAMP)})
    holed = pa.table({"created": pa.array(busy[:6_000] + busy[9_000:], TIMESTAMP)})
    assert largest_gap(whole).passed
    assert not largest_gap(holed).passed


def test_a_cut_list_is_named() -> None:
    rows = pa.table({"id": ["in_1", "in_2"], "deleted": [False, False], "lines_complete": [True, False]})
    assert lists_whole(rows, "lines_complete").ids == ("in_2",)
