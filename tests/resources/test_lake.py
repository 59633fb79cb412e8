"""The lake: atomic writes, conditional merges, children that leave, and streams that fail."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from resources.lake import Lake, LakeConflictError, LakeError, TableMissingError
from resources.schema import TIMESTAMP, column, table

_SCHEMA = table(
    "Things.",
    [
        column("id", pa.string(), "id", required=True),
        column("parent", pa.string(), "parent"),
        column("value", pa.int64(), "value"),
        column("version_at", TIMESTAMP, "version", required=True),
    ],
    key=("id",),
)


def _rows(*rows: tuple[str, str, int, int]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(("id", "parent", "value", "version_at"), row, strict=True)) for row in rows], schema=_SCHEMA
    )


def _held(lake: Lake) -> dict[str, int]:
    return {row["id"]: row["value"] for row in lake.read("t/things").to_pylist()}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def test_a_table_that_was_never_written_is_not_an_empty_one(lake: Lake) -> None:
    with pytest.raises(TableMissingError, match="t/things is not in"):
        lake.read("t/things")
    assert lake.version("t/things") is None
    assert lake.row_count("t/things") == 0
    assert len(lake.find("t/things", "id", ["a"], _SCHEMA)) == 0
    assert len(lake.read_or_empty("t/things", _SCHEMA)) == 0


@pytest.mark.parametrize(
    ("version", "ties_replace", "value"),
    [(4, False, 1), (4, True, 1), (5, False, 1), (5, True, 2), (6, False, 2), (6, True, 2)],
    ids=["older", "older with ties", "as late", "as late with ties", "later", "later with ties"],
)
def test_a_merge_never_overwrites_newer_by_older(lake: Lake, version: int, ties_replace: bool, value: int) -> None:
    lake.replace("t/things", _rows(("a", "p", 1, 5)), _SCHEMA)
    lake.merge("t/things", _rows(("a", "p", 2, version)), _SCHEMA, newer="version_at", ties_replace=ties_replace)
    assert _held(lake) == {"a": value}


def test_children_leave_in_the_commit_that_brings_the_others(lake: Lake) -> None:
    lake.replace("t/things", _rows(("a", "p", 1, 5), ("b", "p", 1, 5), ("c", "q", 1, 5)), _SCHEMA)
    version = lake.merge(
        "t/things",
        _rows(("a", "p", 2, 6), ("d", "p", 2, 6)),
        _SCHEMA,
        newer="version_at",
        gone=pa.array(["b", "never there"]),
    )
    assert version == 1
    assert _held(lake) == {"a": 2, "c": 1, "d": 2}
    assert lake.row_count("t/things") == 3


def test_rows_are_found_by_a_column_before_and_after_a_merge(lake: Lake) -> None:
    lake.replace("t/things", _rows(("a", "p", 1, 5), ("b", "q", 2, 5)), _SCHEMA)
    lake.merge("t/things", _rows(("c", "p", 3, 6)), _SCHEMA, newer="version_at")
    found = lake.find("t/things", "parent", ["p"], _SCHEMA, ("id", "value"))
    assert sorted(found.to_pylist(), key=lambda row: row["id"]) == [
        {"id": "a", "value": 1},
        {"id": "c", "value": 3},
    ]
    assert lake.find("t/things", "id", [], _SCHEMA).num_rows == 0


def test_a_stream_is_written_whole_or_not_at_all(lake: Lake) -> None:
    lake.replace("t/things", _rows(("a", "p", 1, 5)), _SCHEMA)

    def broken() -> Iterator[pa.RecordBatch]:
        yield _rows(("b", "p", 1, 5)).to_batches()[0]
        raise OSError(28, "No space left on device")

    rows: Any = pa.RecordBatchReader.from_batches(_SCHEMA, broken())
    with pytest.raises((LakeError, OSError), match="No space left"):
        lake.rewrite("t/things", rows, _SCHEMA, read_version=0)
    assert _held(lake) == {"a": 1}


def test_a_rewrite_of_a_table_that_changed_meanwhile_is_a_conflict(lake: Lake) -> None:
    lake.replace("t/things", _rows(("a", "p", 1, 5)), _SCHEMA)
    lake.append("t/things", _rows(("b", "p", 1, 5)), _SCHEMA)
    rows = _rows(("c", "p", 1, 5))
    with pytest.raises(LakeConflictError):
        lake.rewrite(
            "t/things", pa.RecordBatchReader.from_batches(_SCHEMA, rows.to_batches()), _SCHEMA, read_version=0
        )
    assert _held(lake) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "rows",
    [
        pa.table({"id": ["a"]}),
        pa.table({"id": ["a"], "parent": ["p"], "value": ["x"], "version_at": pa.array([5], TIMESTAMP)}),
        pa.table({"id": [None], "parent": ["p"], "value": [1], "version_at": pa.array([5], TIMESTAMP)}),
    ],
    ids=["a column is missing", "a type does not fit", "a null where none may be"],
)
def test_rows_that_do_not_fit_are_refused_before_the_write(lake: Lake, rows: pa.Table) -> None:
    with pytest.raises(LakeError):
        lake.replace("t/things", rows, _SCHEMA)
    assert not lake.exists("t/things")
