"""Frames in, tables out: how segment functions run unchanged on pandas, DuckDB and PySpark.

Here: reading a source as a lazy Narwhals frame with the columns and types of `segments.inputs`, placing small
results beside the large frames, integer calendar arithmetic, and turning a result into its declared Arrow table.
Not here: any rule. Times travel as whole seconds since 1970 and months as year * 12 + month - 1, because the
calendar functions of DuckDB follow the time zone of the connection and would move month ends with it.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import reduce
from typing import Any, Final

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from segments.inputs import COLUMNS

__all__ = [
    "DAY",
    "LARGEST_AMOUNT",
    "InputError",
    "beside",
    "divide_half_up",
    "first_of",
    "frames",
    "last_of",
    "latest_of",
    "month_of",
    "next_of",
    "rows",
    "settled",
    "to_table",
    "whole",
    "with_months",
]

DAY: Final = 86_400
LARGEST_AMOUNT: Final = 999_999_999_999
"""Stripe's amounts have at most twelve digits (https://docs.stripe.com/api/charges/object).
Within them, sums fit 64 bits."""

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class InputError(ValueError):
    """A source cannot serve a segment; the message names the table and the column."""


def frames(**sources: Any) -> dict[str, nw.LazyFrame[Any]]:
    """Each source as a lazy frame of the columns that segments read, without unusable rows.

    Times are seconds, dates are month numbers.

    A source is an Arrow table, a pandas frame, a DuckDB relation, a PySpark or a Narwhals frame; None stands for
    a table without rows. When one lives in DuckDB or Spark, all others are placed beside it.

    Raises:
        InputError: a column is missing or has values of another type.
    """
    anchor: Any = None
    natives: dict[str, Any] = {}
    for name, source in sources.items():
        native = nw.to_native(source, pass_through=True)
        natives[name] = native
        if anchor is None and not isinstance(native, pa.Table | pd.DataFrame | None):
            anchor = nw.from_native(native).lazy()
    return {name: _frame(name, native, anchor) for name, native in natives.items()}


def _frame(name: str, native: Any, anchor: nw.LazyFrame[Any] | None) -> nw.LazyFrame[Any]:
    wanted = COLUMNS[name]
    if native is None:
        native = wanted.empty_table()
    if isinstance(native, pd.DataFrame):
        native = _from_pandas(name, native, wanted)
    if isinstance(native, pa.Table):
        return _usable(beside(anchor, _from_arrow(name, native, wanted)))
    frame = nw.from_native(native).lazy()
    _require(name, wanted, frame.collect_schema().names())
    if frame.implementation.is_duckdb():
        frame = _duckdb_seconds(native, wanted)
    elif frame.implementation.is_pyspark():
        frame = _spark_seconds(native, wanted)
    return _usable(frame.select(*(_column(field, frame.implementation) for field in wanted)))


def _duckdb_seconds(native: Any, wanted: pa.Schema) -> nw.LazyFrame[Any]:
    """The relation with times as seconds: DuckDB subtracts times by the calendar of the connection's zone."""
    columns = (
        f'epoch_us("{field.name}") // 1000000 AS "{field.name}"'
        if pa.types.is_timestamp(field.type)
        else f'"{field.name}"'
        for field in wanted
    )
    frame: nw.LazyFrame[Any] = nw.from_native(native.project(", ".join(columns))).lazy()
    return frame


def _spark_seconds(native: Any, wanted: pa.Schema) -> nw.LazyFrame[Any]:
    """The frame with times as seconds: Narwhals has no durations on Spark."""
    columns = (
        f"unix_seconds(`{field.name}`) AS `{field.name}`"
        if pa.types.is_timestamp(field.type)
        else f"`{field.name}`"
        for field in wanted
    )
    frame: nw.LazyFrame[Any] = nw.from_native(native.selectExpr(*columns)).lazy()
    return frame


def _usable(frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Rows that are not deleted and whose amounts Stripe could have written."""
    names = frame.collect_schema().names()
    if "deleted" in names:
        frame = frame.filter(~nw.col("deleted").fill_null(False)).drop("deleted")
    amounts = [name for name in names if name == "total" or "amount" in name.split("_")]
    if amounts:
        possible = [nw.col(name).fill_null(0).is_between(-LARGEST_AMOUNT, LARGEST_AMOUNT) for name in amounts]
        frame = frame.filter(*possible)
    return frame


def _require(name: str, wanted: pa.Schema, have: Sequence[str]) -> None:
    missing = [column for column in wanted.names if column not in have]
    if missing:
        raise InputError(f"{name} has no column {', '.join(missing)}")


def _from_pandas(name: str, frame: pd.DataFrame, wanted: pa.Schema) -> pa.Table:
    _require(name, wanted, list(frame.columns))
    try:
        return pa.Table.from_pandas(frame[wanted.names], preserve_index=False)
    except pa.ArrowException as error:
        raise InputError(f"{name} cannot be read: {error}") from error


def _from_arrow(name: str, table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Declared columns with declared types; times as whole seconds."""
    _require(name, wanted, table.column_names)
    columns: list[pa.ChunkedArray] = []
    for field in wanted:
        column = table.column(field.name)
        try:
            column = pc.cast(column, field.type, safe=not pa.types.is_timestamp(field.type))
            if pa.types.is_timestamp(field.type):
                column = pc.cast(pc.cast(column, pa.timestamp("s", tz="UTC"), safe=False), pa.int64())
            elif pa.types.is_date(field.type):
                column = pc.add(pc.multiply(pc.year(column), 12), pc.subtract(pc.month(column), 1))
        except (pa.ArrowException, ValueError) as error:
            raise InputError(f"{name}.{field.name} is not {field.type}: {error}") from error
        columns.append(column)
    return pa.table(dict(zip(wanted.names, columns, strict=True)))


def _column(field: pa.Field, engine: nw.Implementation) -> nw.Expr:
    column = nw.col(field.name)
    if pa.types.is_timestamp(field.type) and not (engine.is_duckdb() or engine.is_pyspark()):
        return (column - nw.lit(_EPOCH)).dt.total_seconds().cast(nw.Int64).alias(field.name)
    if pa.types.is_integer(field.type):
        return column.cast(nw.Int64)
    if pa.types.is_date(field.type):
        return (column.dt.year().cast(nw.Int64) * 12 + column.dt.month().cast(nw.Int64) - 1).alias(field.name)
    return column


def beside(anchor: nw.LazyFrame[Any] | None, small_rows: pa.Table) -> nw.LazyFrame[Any]:
    """Small rows as a frame of the engine that `anchor` lives in; pandas without one."""
    native: Any = None if anchor is None else anchor.to_native()
    if anchor is None or anchor.implementation.is_pandas():
        beside_it: Any = small_rows.to_pandas(types_mapper=pd.ArrowDtype)
    elif anchor.implementation.is_duckdb():
        # The query finds `small_rows` by its name in this function, on the connection of the relation.
        beside_it = native.query("anchor_of_rows", "SELECT * FROM small_rows")
    else:
        beside_it = native.sparkSession.createDataFrame(small_rows)
    frame: nw.LazyFrame[Any] = nw.from_native(beside_it).lazy()
    return frame


def rows(frame: nw.LazyFrame[Any]) -> pa.Table:
    """The frame, computed, with one type for all integers that an engine widened and one for all texts."""
    table: pa.Table = frame.collect("pyarrow").to_native()
    fields = []
    for field in table.schema:
        if field.name.startswith("__index_level_"):
            continue
        type_ = field.type
        if pa.types.is_decimal(type_) or pa.types.is_integer(type_):
            type_ = pa.int64()
        elif pa.types.is_large_string(type_):
            type_ = pa.string()
        fields.append(pa.field(field.name, type_))
    return table.select([field.name for field in fields]).cast(pa.schema(fields))


def settled(frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The same frame with its rows computed once: for reductions that several later steps read."""
    if frame.implementation.is_pyspark():
        # Spark keeps them where they are, on disk if need be, instead of sending them through this process.
        kept: nw.LazyFrame[Any] = nw.from_native(frame.to_native().persist()).lazy()
        return kept
    return beside(frame, rows(frame))


def whole(numerator: nw.Expr, denominator: int) -> nw.Expr:
    """How often a positive number goes into a time or a count: floor of the quotient, for values below 2 ** 45.

    Narwhals' own `//` is exact for all integers but becomes a dozen operations on DuckDB; money uses that.
    """
    return (numerator / denominator).floor().cast(nw.Int64)


def with_months(frame: nw.LazyFrame[Any], **times: str) -> nw.LazyFrame[Any]:
    """Columns with the month of a time in UTC as year * 12 + month - 1, by integer arithmetic: name=time column.

    Days are turned into a calendar that starts in March: https://howardhinnant.github.io/date_algorithms.html.
    One column a step, as an engine copies an expression for each of its uses.
    """
    if times and frame.implementation.is_pyspark():
        return _spark_months(frame, times)
    for name, time in times.items():
        column = nw.col
        frame = frame.with_columns(_days=whole(column(time), DAY) + 719_468)
        frame = frame.with_columns(_era=whole(column("_days"), 146_097))
        frame = frame.with_columns(_day=column("_days") - column("_era") * 146_097)
        leap = whole(column("_day"), 1_460) - whole(column("_day"), 36_524) + whole(column("_day"), 146_096)
        frame = frame.with_columns(_year=whole(column("_day") - leap, 365))
        before = column("_year") * 365 + whole(column("_year"), 4) - whole(column("_year"), 100)
        frame = frame.with_columns(_of_year=(column("_day") - before) * 5 + 2)
        year = column("_year") + column("_era") * 400
        frame = frame.with_columns((year * 12 + whole(column("_of_year"), 153) + 2).alias(name))
    return frame.drop("_days", "_era", "_day", "_year", "_of_year") if times else frame


def _spark_months(frame: nw.LazyFrame[Any], times: Mapping[str, str]) -> nw.LazyFrame[Any]:
    """The same by Spark's dates, which know no zone: it plans each step anew, and the steps are many."""
    kept = [f"`{name}`" for name in frame.collect_schema().names() if name not in times]
    for name, time in times.items():
        day = f"date_add(DATE'1970-01-01', CAST(floor(`{time}` / {DAY}) AS INT))"
        kept.append(f"CAST(year({day}) * 12 + month({day}) - 1 AS BIGINT) AS `{name}`")
    months: nw.LazyFrame[Any] = nw.from_native(frame.to_native().selectExpr(*kept)).lazy()
    return months


def first_of(frame: nw.LazyFrame[Any], name: str, *, order: Sequence[str]) -> nw.Expr:
    """Of a group of rows, the value of the row that comes first by the columns `order`, nulls before all."""
    if frame.implementation.is_pyspark():
        return _ordered(name, order).min().struct.field(name)
    return nw.col(name).first(order_by=order)


def last_of(frame: nw.LazyFrame[Any], name: str, *, order: Sequence[str]) -> nw.Expr:
    """Of a group of rows, the value of the row that comes last by the columns `order`, nulls before all."""
    if frame.implementation.is_pyspark():
        return _ordered(name, order).max().struct.field(name)
    return nw.col(name).last(order_by=order)


def latest_of(frame: nw.LazyFrame[Any], *names: str, by: str, time: str) -> nw.LazyFrame[Any]:
    """For each group the latest value of each column, null where it never has one.

    Of several at the same time it is the last by value.
    """
    timed = frame.with_columns(
        **{f"{name}_at": nw.when(~nw.col(name).is_null()).then(nw.col(time)) for name in names}
    )

    def found(*some: str) -> nw.LazyFrame[Any]:
        return timed.group_by(by).agg(*(last_of(timed, name, order=[f"{name}_at", name]) for name in some))

    if not frame.implementation.is_pandas():
        return found(*names)
    first, *others = map(found, names)  # pandas takes one order a step
    return reduce(lambda left, right: left.join(right, on=by, how="left"), others, first)


def next_of(frame: nw.LazyFrame[Any], time: str, *, within: str, name: str) -> nw.LazyFrame[Any]:
    """Adds `name`: of the rows with the same `within`, the nearest `time` after the row's own, if there is one.

    Narwhals has no frames by range; where there is SQL, one costs half of what two windows cost.
    """
    if not frame.implementation.is_pandas():
        span = "RANGE BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING"
        following = f"min({time}) OVER (PARTITION BY {within} ORDER BY {time} {span}) AS {name}"
        native = frame.to_native()
        found = (
            native.project(f"*, {following}")
            if frame.implementation.is_duckdb()
            else native.selectExpr("*", following)
        )
        with_next: nw.LazyFrame[Any] = nw.from_native(found).lazy()
        return with_next
    shifted = frame.with_columns(nw.col(time).shift(-1).over(within, order_by=time).alias(name))
    # Of rows at one time only the last was shifted to another.
    last = shifted.with_columns(nw.col(name).max().over(within, time))
    return last.with_columns(nw.when(nw.col(name) > nw.col(time)).then(nw.col(name)).alias(name))


def _ordered(name: str, order: Sequence[str]) -> nw.Expr:
    """Spark's own first and last follow no order, but it compares structs field by field."""
    return nw.struct(*dict.fromkeys((*order, name)))


def month_of(time: date) -> int:
    """The month of a day or time as `with_months` counts them."""
    return time.year * 12 + time.month - 1


def divide_half_up(numerator: nw.Expr, denominator: nw.Expr) -> nw.Expr:
    """Integer division to the nearest; a half goes up. Exact as long as twice the numerator fits 64 bits."""
    return (numerator * 2 + denominator) // (denominator * 2)


def to_table(source: nw.LazyFrame[Any] | pa.Table, schema: pa.Schema, *, months: Sequence[str] = ()) -> pa.Table:
    """The result as its declared table, sorted by key. Seconds become times, month numbers first days."""
    key = schema.metadata[b"key"].decode().split(",")
    # DuckDB can spill; Spark would make all rows twice to sort them, and Arrow sorts what is in memory anyway.
    sorts = isinstance(source, nw.LazyFrame) and source.implementation.is_duckdb()
    if isinstance(source, nw.LazyFrame):
        source = source.select(*schema.names)
        table = rows(source.sort(*key) if sorts else source)
    else:
        table = source
    columns = []
    for field in schema:
        column = table.column(field.name)
        if field.name in months:
            column = _first_days(column)
        elif pa.types.is_timestamp(field.type) and pa.types.is_integer(column.type):
            column = pc.cast(pc.cast(column, pa.int64()), pa.timestamp("s", tz="UTC"))
        columns.append(pc.cast(column, field.type))
    result = pa.table(columns, schema=schema)
    return result if sorts else result.sort_by([(name, "ascending") for name in key])


def _first_days(months: pa.ChunkedArray) -> pa.Array:
    since_1970 = pc.subtract(pc.cast(months, pa.int64()), 1970 * 12)
    numbers = since_1970.to_numpy(zero_copy_only=False)
    return pa.array(numbers.astype("datetime64[M]").astype("datetime64[D]"))
