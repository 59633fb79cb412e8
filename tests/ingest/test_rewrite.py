"""A rewrite gives the rows that a merge gives, from streams: by version, with ties, and with rows that leave."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ingest.rewrite as rewriting
from ingest.rewrite import Mask, rewrite, rewriting_pays
from resources.lake import Lake
from resources.schema import TIMESTAMP, column, table

_SCHEMA = table(
    "Things.",
    [
        column("id", pa.string(), "id", required=True),
        column("value", pa.int64(), "value"),
        column("version_at", TIMESTAMP, "version", required=True),
    ],
    key=("id",),
)
_IDS = st.text("abz0", min_size=1, max_size=2)
_ROWS = st.dictionaries(_IDS, st.integers(1, 4), max_size=12)


def _table(rows: dict[str, int], value: int) -> pa.Table:
    given_rows = [{"id": name, "value": value, "version_at": at} for name, at in rows.items()]
    return pa.Table.from_pylist(given_rows, _SCHEMA)


def _held(lake: Lake, name: str) -> list[dict[str, object]]:
    return sorted(lake.read(name).to_pylist(), key=lambda row: str(row["id"]))


@pytest.mark.parametrize("ids_at_once", [1, 100], ids=["a part of the ids at a time", "all ids at once"])
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(stored=_ROWS, staged=_ROWS, gone=st.sets(_IDS, max_size=3), unkept=st.sets(_IDS, max_size=3))
def test_a_rewrite_gives_what_a_merge_gives(
    monkeypatch: pytest.MonkeyPatch,
    ids_at_once: int,
    stored: dict[str, int],
    staged: dict[str, int],
    gone: set[str],
    unkept: set[str],
) -> None:
    monkeypatch.setattr(rewriting, "_IDS_AT_ONCE", ids_at_once)
    new = _table(staged, 2)
    kept = np.array([name not in unkept for name in staged], dtype=bool)
    leaving = pa.array(sorted(gone - staged.keys()), pa.string())

    def chosen(mask: Mask) -> Iterator[pa.RecordBatch]:
        yield from new.filter(pa.array(mask)).to_batches()

    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        for name in ("merged", "rewritten"):
            halves = list(stored.items())[::2], list(stored.items())[1::2]
            for half in halves:  # two files
                lake.append(name, _table(dict(half), 1), _SCHEMA)
        lake.merge(
            "merged", new.filter(pa.array(kept)), _SCHEMA, newer="version_at", ties_replace=True, gone=leaving
        )
        version = rewrite(lake, "rewritten", _SCHEMA, new, kept, chosen, gone=leaving, facts={"run_id": "r"})
        assert lake.version("rewritten") == version == 2
        assert _held(lake, "rewritten") == _held(lake, "merged")


def test_another_writer_in_between_is_not_written_over(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    lake.append("things", _table({"a": 1, "b": 1}, 1), _SCHEMA)
    new = _table({"a": 2}, 2)
    tries = 0

    def chosen(mask: Mask) -> Iterator[pa.RecordBatch]:
        nonlocal tries
        tries += 1
        if tries == 1:
            with ThreadPoolExecutor() as other:
                other.submit(lake.append, "things", _table({"c": 1}, 3), _SCHEMA).result()
        yield from new.filter(pa.array(mask)).to_batches()

    rewrite(lake, "things", _SCHEMA, new, np.array([True]), chosen, gone=None, facts={})
    assert tries == 2
    assert {row["id"]: row["value"] for row in _held(lake, "things")} == {"a": 2, "b": 1, "c": 3}


@pytest.mark.parametrize(
    ("staged", "stored", "pays"),
    [(1_000_000, 1_000_000, True), (2_000, 2_000, False), (200_000, 50_000_000, False)],
    ids=["a full load again", "a small table", "some changes of a huge table"],
)
def test_what_is_rewritten(staged: int, stored: int, pays: bool) -> None:
    assert rewriting_pays(staged, stored) is pays
