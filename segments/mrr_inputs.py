"""The raw tables as the MRR table reads them: needed columns in known types, JSON parsed.

Here: frames of any engine as Arrow, and JSON whatever its flaws. Not here: what the objects mean.
"""

import json
from typing import Any

import narwhals as nw
import orjson
import pyarrow as pa
from narwhals.typing import IntoFrame

__all__ = ["UNREADABLE", "arrow", "objects", "parsed", "subscription_columns", "text_columns"]

UNREADABLE = False
"""Stands for JSON that cannot be read: no rule takes it for an absent part."""


def parsed(text: str | None) -> Any:
    """The JSON value of a text; None when there is none, `UNREADABLE` when it is broken."""
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        # Reads what orjson refuses (NaN, lone surrogates): a flaw in a part that no rule needs does no harm.
        return json.loads(text)
    except (ValueError, RecursionError):
        return UNREADABLE


def objects(rows: pa.Table) -> dict[str, Any]:
    """The parsed second column by id, where it is filled."""
    ids, texts = (column.to_pylist() for column in rows.columns)
    return {key: parsed(text) for key, text in zip(ids, texts, strict=True) if key and text is not None}


def arrow(frame: IntoFrame) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    wrapped = nw.from_native(frame)
    return (wrapped.collect(backend="pyarrow") if isinstance(wrapped, nw.LazyFrame) else wrapped).to_arrow()


def text_columns(frame: IntoFrame, name: str) -> pa.Table:
    table = arrow(frame)
    return pa.table({"id": table["id"].cast(pa.string()), name: table[name].cast(pa.large_string())})


def subscription_columns(table: pa.Table) -> pa.Table:
    """The needed columns in known types; `billing` with wide offsets, as it may pass 2 GB."""
    types = {
        "id": pa.string(),
        "customer": pa.string(),
        "status": pa.string(),
        "currency": pa.string(),
        "deleted": pa.bool_(),
        "items_complete": pa.bool_(),
        "billing": pa.large_string(),
    }
    optional = ("deleted", "items_complete")
    return pa.table(
        {
            name: pa.nulls(len(table), type_)
            if name in optional and name not in table.column_names
            else table[name].cast(type_)
            for name, type_ in types.items()
        }
    )
