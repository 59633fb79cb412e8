"""Spark in tests: whether this machine can run it, and a small session of its own."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from resources.spark import SparkChoices, SparkEngine, stop

__all__ = ["needs_spark", "spark_engine"]

# Few rows are done before Spark has planned again, written and compiled the code for many.
_SMALL = {
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.default.parallelism": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "2",
}


def _missing() -> str | None:
    if importlib.util.find_spec("pyspark") is None:
        return "PySpark is not installed: uv sync --extra spark"
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        return "there is no Java on this machine"
    return None


needs_spark = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")


@contextmanager
def spark_engine(*, small: bool = True) -> Iterator[SparkEngine]:
    """Spark on two threads of this machine, stopped afterwards."""
    try:
        yield SparkEngine(SparkChoices(options=_SMALL if small else {}))
    finally:
        stop()
