"""What reads the lake: each engine hands over the columns asked for at the version asked for."""

import sys
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from resources.engines import EngineError, EngineName, check_engine, open_engine
from resources.lake import Lake
from resources.schema import TIMESTAMP, column, table
from resources.spark import SparkChoices, connector_at_hand, plain_files
from tests.resources.delta_log import write_delta_log

_WIDE = table(
    "Rows.",
    [
        column("id", pa.string(), "id"),
        column("at", TIMESTAMP, "time"),
        column("amount", pa.int64(), "minor units"),
    ],
    key=("id",),
)
_WANTED = pa.schema({"amount": pa.int64(), "id": pa.string()})


def _lake(folder: Path) -> Lake:
    lake = Lake(str(folder))
    for rows in ([("a", 1), ("b", 2)], [("c", 3)]):
        ids, amounts = zip(*rows, strict=True)
        data = pa.table({"id": ids, "at": pa.nulls(len(ids), TIMESTAMP), "amount": amounts})
        lake.replace("rows", data, _WIDE)
    return lake


@pytest.mark.parametrize("name", ["pandas", "duckdb"])
def test_a_table_is_read_as_it_was_at_a_version(tmp_path: Path, name: EngineName) -> None:
    lake, engine = _lake(tmp_path), open_engine(name)

    def read(version: int) -> list[dict[str, Any]]:
        frame: Any = nw.from_native(engine.table(lake, "rows", _WANTED, version=version)).lazy()
        rows = frame.sort("id").collect("pyarrow").to_native()
        assert rows.column_names == _WANTED.names
        return rows.to_pylist()

    assert read(0) == [{"amount": 1, "id": "a"}, {"amount": 2, "id": "b"}]
    assert read(1) == [{"amount": 3, "id": "c"}]


@pytest.mark.parametrize("name", ["pandas", "duckdb"])
@pytest.mark.parametrize("files", [(0,), (0, 1)], ids=["old files alone", "old and new files"])
def test_a_column_that_was_added_later_is_empty_in_older_rows(
    tmp_path: Path, name: EngineName, files: tuple[int, ...]
) -> None:
    lake, engine = Lake(str(tmp_path)), open_engine(name)
    narrow = pa.table({"id": ["a"], "at": pa.nulls(1, TIMESTAMP)})
    lake.replace("rows", narrow, table("Rows.", [_WIDE.field("id"), _WIDE.field("at")], key=("id",)))
    for number in files:
        rows = pa.table({"id": ["b"], "at": pa.nulls(1, TIMESTAMP), "amount": [2]}).slice(0, number)
        write_deltalake(lake.path("rows"), rows.cast(_WIDE), mode="append", schema_mode="merge")
    frame: Any = nw.from_native(engine.table(lake, "rows", _WANTED, version=len(files))).lazy()
    found = frame.sort("id").collect("pyarrow").to_native()
    assert found["amount"].type == pa.int64()
    assert found.to_pylist() == [{"amount": None, "id": "a"}, {"amount": 2, "id": "b"}][: len(files)]


def test_duckdb_reads_a_table_that_is_more_than_its_files(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a", "b"], "at": pa.nulls(2, TIMESTAMP), "amount": [1, 2]})
    write_deltalake(str(tmp_path / "rows"), rows, partition_by=["amount"])
    lake, engine = Lake(str(tmp_path)), open_engine("duckdb")
    for wanted in (_WANTED, pa.schema({"id": pa.string()})):
        frame: Any = nw.from_native(engine.table(lake, "rows", wanted, version=0)).lazy()
        found = frame.sort("id").collect("pyarrow").to_native()
        assert found.equals(rows.select(wanted.names))


@pytest.mark.parametrize("name", ["pandas", "duckdb"])
def test_a_column_that_the_table_has_not_is_an_error(tmp_path: Path, name: EngineName) -> None:
    wanted = pa.schema({"id": pa.string(), "colour": pa.string()})
    with pytest.raises(Exception, match="colour"):
        open_engine(name).table(_lake(tmp_path), "rows", wanted, version=0)


def test_spark_without_pyspark_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    lake = _lake(tmp_path)
    with pytest.raises(EngineError, match="uv sync --extra spark"):
        open_engine("pyspark").table(lake, "rows", _WANTED, version=0)


def test_an_engine_that_cannot_run_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    check_engine("pandas")
    check_engine("duckdb")
    with pytest.raises(EngineError, match="needs PySpark"):
        check_engine("pyspark")


def test_chosen_options_replace_defaults_but_not_what_results_rest_on() -> None:
    chosen = {"spark.driver.memory": "9g", "spark.sql.session.timeZone": "Europe/Berlin"}
    found = SparkChoices(options=chosen).configuration()
    assert found["spark.driver.memory"] == "9g"
    assert found["spark.sql.session.timeZone"] == "UTC"
    assert found["spark.sql.ansi.enabled"] == "true"
    assert found["spark.sql.shuffle.partitions"] == "16"


def test_a_cluster_keeps_its_own_defaults() -> None:
    found = SparkChoices(master="spark://spark:7077").configuration()
    assert not found.keys() & {"spark.driver.memory", "spark.sql.shuffle.partitions", "spark.driver.host"}


@pytest.mark.parametrize(
    ("options", "archives", "expected"),
    [
        ({}, [], False),
        ({}, ["hadoop-client-api-3.4.2.jar"], False),
        ({}, ["delta-spark_2.13-4.4.1.jar"], True),
        ({"spark.jars.packages": "io.delta:delta-spark_2.13:4.4.1"}, [], True),
        ({"spark.jars": "/opt/delta-spark_2.13-4.4.1.jar,/opt/delta-storage-4.4.1.jar"}, [], True),
        ({"spark.jars": "/opt/other.jar"}, [], False),
    ],
    ids=[
        "nothing named, nothing there",
        "other archives alone",
        "in Spark's own folder",
        "named as a package",
        "named as a file",
        "another file named",
    ],
)
def test_the_connector_is_used_where_its_archive_is(
    tmp_path: Path, options: dict[str, str], archives: list[str], *, expected: bool
) -> None:
    for archive in archives:
        (tmp_path / archive).touch()
    assert connector_at_hand(options, tmp_path) is expected
    configured = SparkChoices(options=options).configuration(tmp_path)
    assert ("spark.sql.catalog.spark_catalog" in configured) is expected


def test_plain_files_are_those_of_the_version_read(tmp_path: Path) -> None:
    lake = _lake(tmp_path)
    first, second = (plain_files(lake.open("rows", version=version), "rows") for version in (0, 1))
    assert len(first) == len(second) == 1
    assert first != second


@pytest.mark.parametrize(
    ("log", "named"),
    [
        ({"features": ["deletionVectors"]}, "deletionVectors"),
        ({"features": ["columnMapping"]}, "columnMapping"),
        ({"configuration": {"delta.columnMapping.mode": "name"}}, "columnMapping"),
        ({"partitions": ["id"]}, "partition columns"),
    ],
    ids=["deletion vectors", "column mapping", "column mapping of an old protocol", "partition columns"],
)
def test_tables_that_are_more_than_their_files_need_the_connector(
    tmp_path: Path, log: dict[str, Any], named: str
) -> None:
    write_delta_log(tmp_path / "rows", **log)
    with pytest.raises(EngineError, match=f"rows uses {named}.*Delta connector"):
        plain_files(Lake(str(tmp_path)).open("rows"), "rows")
