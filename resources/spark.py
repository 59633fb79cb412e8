"""Apache Spark as an engine: its session, its way to the tables of the lake, and Python functions over partitions.

Here: what a session needs to give the same results as the other engines, reading Delta tables with and without
the Delta connector, Python functions over partitions. Not here: when Spark pays (docs/scale.md) and any rule. The
connector is an archive for the JVM (https://docs.delta.io/quick-start/); without it the active Parquet files of
the Delta log are read. That is right for tables whose files hold all rows and columns, as those of this product.
"""

import importlib.util
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from resources.engines import EngineError, InParts
from resources.lake import beyond_files

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from resources.lake import Lake

__all__ = ["SparkChoices", "SparkEngine", "check", "connector_at_hand", "plain_files", "session", "stop"]

_NEEDS_PYSPARK: Final = "SEGMENT_ENGINE=pyspark needs PySpark: install the extra, `uv sync --extra spark`"
_NEEDS_JAVA: Final = (
    "SEGMENT_ENGINE=pyspark needs Java 17 or newer: install a JRE (Debian: openjdk-17-jre-headless) "
    "or point JAVA_HOME to one"
)
# Without these, results could differ: times are UTC, and a sum that leaves 64 bits is an error, no other sum.
_REQUIRED: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
_CONNECTOR: Final = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_FIRST_ON_PATH: Final = "python3"
_JARS: Final = ("spark.jars", "spark.jars.packages", "spark.driver.extraClassPath")


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkChoices:
    """Where Spark runs, and any option of Spark's own (https://spark.apache.org/docs/latest/configuration.html)."""

    master: str = "local[2]"
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def configuration(self, jars: Path | None = None) -> dict[str, str]:
        """All options: defaults, then those chosen, then those without which results would differ."""
        defaults = {
            "spark.app.name": "stripe-mavera",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.log.level": "ERROR",
            # Segment tables are collected whole: they have rows by customer, not by charge.
            "spark.driver.maxResultSize": "0",
        }
        if self.master.startswith("local"):
            defaults |= {"spark.driver.memory": "4g", "spark.sql.shuffle.partitions": "16"}
            defaults |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
        connector = _CONNECTOR if connector_at_hand(self.options, jars) else {}
        return {**defaults, **connector, **self.options, **_REQUIRED}


def connector_at_hand(options: Mapping[str, str], jars: Path | None = None) -> bool:
    """Whether the Delta connector is among the archives that the options name or that Spark's own folder holds."""
    named = any("delta-spark" in options.get(name, "") for name in _JARS)
    return named or (jars is not None and any(jars.glob("delta-spark*.jar")))


def session(choices: SparkChoices) -> Any:
    """The Spark session of this process; the first call starts it. Raises: EngineError."""
    try:
        import pyspark
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ModuleNotFoundError:
        raise EngineError(_NEEDS_PYSPARK) from None
    # Rows travel as Arrow, never through PySpark's own conversion to pandas.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    builder = SparkSession.builder.master(choices.master)
    for name, value in choices.configuration(Path(pyspark.__file__).parent / "jars").items():
        builder = builder.config(name, value)
    try:
        found = builder.getOrCreate()
    except PySparkRuntimeError as error:
        if error.getCondition() == "JAVA_GATEWAY_EXITED":
            raise EngineError(_NEEDS_JAVA) from None
        raise
    # Unless PYSPARK_PYTHON says otherwise, workers would run whatever Python comes first on their path.
    if found.sparkContext.pythonExec == _FIRST_ON_PATH:
        found.sparkContext.pythonExec = sys.executable
    return found


def check(choices: SparkChoices) -> None:
    """Whether PySpark and Java are here. Raises: EngineError."""
    if importlib.util.find_spec("pyspark") is None:
        raise EngineError(_NEEDS_PYSPARK)
    if shutil.which("java") is None:
        # JAVA_HOME may still name one: PySpark knows where to look.
        session(choices)
        stop()


def stop() -> None:
    """End the session of this process, if there is one."""
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError:
        return
    active = SparkSession.getActiveSession()
    if active is not None:
        active.stop()


def plain_files(table: "DeltaTable", name: str) -> list[str]:
    """The active Parquet files of a Delta table, if they alone are the table.

    Raises: EngineError: rows or columns are kept beside the files.
    """
    features = beyond_files(table)
    if features:
        raise EngineError(
            f"{name} uses {', '.join(sorted(features))}, which its Parquet files alone do not show: give Spark "
            "the Delta connector (SPARK_OPTIONS, spark.jars.packages)"
        )
    return [_hadoop(uri) for uri in table.file_uris()]


def _hadoop(uri: str) -> str:
    """The address as Hadoop's file systems spell it."""
    return re.sub(r"^s3://", "s3a://", uri)


class SparkEngine:
    """Spark frames over the tables of the lake; the session starts with the first table."""

    def __init__(self, choices: SparkChoices) -> None:
        self._choices = choices

    @property
    def in_parts(self) -> InParts | None:
        """See `Engine`."""
        return _in_parts

    def table(self, lake: "Lake", table: str, schema: pa.Schema, *, version: int) -> Any:
        """See `Engine`."""
        stored = lake.open(table, version=version)
        spark = session(self._choices)
        if "delta" in spark.conf.get("spark.sql.catalog.spark_catalog", "").lower():
            reader = spark.read.format("delta").option("versionAsOf", version)
            return reader.load(_hadoop(stored.table_uri)).select(*schema.names)
        files = plain_files(stored, table)
        columns = spark_schema(schema)
        return spark.read.schema(columns).parquet(*files) if files else spark.createDataFrame([], columns)


def spark_schema(schema: pa.Schema) -> Any:
    """The schema in Spark's types; times are instants."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(pa.schema([pa.field(each.name, each.type) for each in schema]))


def _in_parts(
    function: Callable[[pa.Table, pa.Table], pa.Table],
    left: Any,
    right: Any,
    *,
    keys: tuple[str, str],
    parts: int,
    schema: pa.Schema,
) -> pa.Table:
    from pyspark.sql import functions as F

    grouped = (
        frame.groupBy(F.pmod(F.xxhash64(F.col(key)), F.lit(parts)))
        for frame, key in zip((left, right), keys, strict=True)
    )
    one, other = grouped

    def part(first: pa.Table, second: pa.Table) -> pa.Table:
        return function(first, second)

    found: pa.Table = one.cogroup(other).applyInArrow(part, spark_schema(schema)).toArrow()
    return found.cast(schema)
