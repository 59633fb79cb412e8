"""A share of an amount, exact on every engine although the product of two amounts does not fit 64 bits.

Here: `amount * part / whole`, rounded down, for amounts within `segments.frames.LARGEST_AMOUNT`. Not here: what a
share means (`segments.mrr_months`).
"""

from typing import Any, Final

import narwhals as nw

from segments.frames import whole as times

__all__ = ["with_share"]

_PART: Final = 2**20
"""Amounts are multiplied in two parts of this size."""


def with_share(frame: nw.LazyFrame[Any], name: str, *, of: str, part: str, whole: str) -> nw.LazyFrame[Any]:
    """A column with the floor of `of * part / whole`; 0 <= part <= whole, and whole is at least 1."""
    if frame.implementation.is_pyspark():
        return _on_spark(frame, name, of, part, whole)
    column = nw.col
    # Long division: the rest of the high part goes to the low part.
    frame = frame.with_columns(_high=times(column(of), _PART))
    frame = _divided(frame, "_first", column("_high") * column(part), whole)
    rest = column("_high") * column(part) - column("_first") * column(whole)
    frame = frame.with_columns(_low=rest * _PART + (column(of) - column("_high") * _PART) * column(part))
    frame = _divided(frame, "_second", column("_low"), whole)
    share = column("_first") * _PART + column("_second")
    return frame.with_columns(share.alias(name)).drop("_high", "_first", "_low", "_second")


def _divided(frame: nw.LazyFrame[Any], name: str, numerator: nw.Expr, divisor: str) -> nw.LazyFrame[Any]:
    """The floor of a quotient of integers below 2 ** 62: in floating point, and what that missed."""
    below = nw.col(divisor)
    frame = frame.with_columns((numerator / below).floor().cast(nw.Int64).alias(name))
    missed = ((numerator - nw.col(name) * below) / below).floor().cast(nw.Int64)
    return frame.with_columns((nw.col(name) + missed).alias(name))


def _on_spark(frame: nw.LazyFrame[Any], name: str, of: str, part: str, whole: str) -> nw.LazyFrame[Any]:
    """The same in Spark's decimals: it copies an expression for each of its uses, and the steps are many."""
    product = f"CAST(`{of}` AS DECIMAL(18)) * CAST(`{part}` AS DECIMAL(18))"
    divisor = f"CAST(`{whole}` AS DECIMAL(18))"
    share = f"(({product}) - pmod({product}, {divisor})) div {divisor} AS `{name}`"
    shared: nw.LazyFrame[Any] = nw.from_native(frame.to_native().selectExpr("*", share)).lazy()
    return shared
