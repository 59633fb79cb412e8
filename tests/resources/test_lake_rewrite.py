"""Rewriting a table from a stream: all or nothing, and never over somebody else's commit."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from resources.lake import Lake, LakeConflictError, LakeError, TableMissingError
from resources.schema import column, table

SCHEMA = table(
    "Things.",
    [column("id", pa.string(), "id", required=True), column("size", pa.int64(), "size")],
    key=("id",),
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def rows(*pairs: tuple[str | None, int]) -> pa.Table:
    return pa.table({"size": [size for _, size in pairs], "id": [name for name, _ in pairs]})


def stream(*pairs: tuple[str | None, int]) -> pa.RecordBatchReader:
    whole = rows(*pairs)
    return pa.RecordBatchReader.from_batches(whole.schema, whole.to_batches(max_chunksize=1))


def found(lake: Lake) -> dict[str, int]:
    return {row["id"]: row["size"] for row in lake.read("things").to_pylist()}


def test_a_stream_replaces_what_was_read(lake: Lake) -> None:
    assert lake.rewrite("things", stream(("a", 1), ("b", 2)), SCHEMA, read_version=None) == 0
    assert lake.rewrite("things", stream(("b", 3)), SCHEMA, read_version=0) == 1
    assert found(lake) == {"b": 3}
    assert lake.version("things") == 1


@pytest.mark.parametrize("how", ["append", "merge", "replace"])
def test_a_commit_in_between_is_a_conflict_and_stays(lake: Lake, how: str) -> None:
    lake.replace("things", rows(("a", 1)), SCHEMA)
    getattr(lake, how)("things", rows(("b", 2)), SCHEMA)
    before = found(lake)
    with pytest.raises(LakeConflictError, match="things was changed"):
        lake.rewrite("things", stream(("a", 9)), SCHEMA, read_version=0)
    assert found(lake) == before


def test_a_table_that_appeared_in_between_is_a_conflict(lake: Lake) -> None:
    lake.replace("things", rows(("a", 1)), SCHEMA)
    with pytest.raises(LakeConflictError, match="things was created"):
        lake.rewrite("things", stream(("b", 2)), SCHEMA, read_version=None)
    assert found(lake) == {"a": 1}


def test_a_stream_that_breaks_leaves_the_table_as_it_was(lake: Lake) -> None:
    def breaking() -> Iterator[pa.RecordBatch]:
        yield from rows(("b", 2)).to_batches()
        raise OSError("the source is gone")

    lake.replace("things", rows(("a", 1)), SCHEMA)
    with pytest.raises(LakeError, match="things cannot be written"):
        lake.rewrite(
            "things", pa.RecordBatchReader.from_batches(rows(("b", 2)).schema, breaking()), SCHEMA, read_version=0
        )
    assert found(lake) == {"a": 1}


def test_a_null_where_none_may_be_is_refused_with_the_column(lake: Lake) -> None:
    lake.replace("things", rows(("a", 1)), SCHEMA)
    with pytest.raises(LakeError, match="Casting field 'id' with null values") as refused:
        lake.rewrite("things", stream(("b", 2), (None, 3)), SCHEMA, read_version=0)
    assert "Traceback" not in str(refused.value)
    assert found(lake) == {"a": 1}


def test_streamed_rows_are_those_of_the_version(lake: Lake) -> None:
    lake.replace("things", rows(("a", 1), ("b", 2)), SCHEMA)
    lake.replace("things", rows(("c", 3)), SCHEMA)
    assert sorted(lake.stream("things", version=0).read_all()["id"].to_pylist()) == ["a", "b"]
    assert lake.stream("things", columns=["size"]).read_all().to_pydict() == {"size": [3]}
    with pytest.raises(TableMissingError):
        lake.stream("nothing")
