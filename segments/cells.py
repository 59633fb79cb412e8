"""What a release is made of: customers as numbers, groups that ask to leave, cells that may, groups that may not.

Here: the records that families and the release exchange, and the names that all families share. Not here: rules
(`segments.disclosure`), families (`segments.*_cells`), decisions (`segments.release`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["TIERS", "Cell", "Codes", "Family", "Group", "Hidden", "Population", "too_small"]

TIERS: Final = ("enterprise", "mid_market", "smb")
"""Tiers of customers with revenue, the highest first."""

Codes = npt.NDArray[np.int64]


class Population:
    """All customers of a run, each as a number, so that groups are arrays and not sets of ids."""

    def __init__(self, *columns: pa.ChunkedArray) -> None:
        chunks = [chunk for column in columns for chunk in column.cast(pa.string()).chunks]
        self._ids = pc.drop_null(pc.unique(pa.chunked_array(chunks, pa.string())))

    def __len__(self) -> int:
        return len(self._ids)

    def codes(self, customers: pa.ChunkedArray) -> Codes:
        """Their numbers; -1 for none."""
        found = pc.index_in(customers.cast(pa.string()), value_set=self._ids)
        return np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)

    def ids(self, codes: Codes) -> pa.Array:
        """The ids again."""
        return self._ids.take(pa.array(codes))

    def spread(self, codes: Codes, values: npt.NDArray[Any], missing: Any) -> npt.NDArray[Any]:
        """One value for each customer of the population."""
        out = np.full(len(self._ids), missing, dtype=values.dtype)
        known = codes >= 0
        out[codes[known]] = values[known]
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of customers that asks to leave.

    `numbers` are its fields when it has at least k members; `bare` those that may leave of a smaller one, None
    when nothing may. `size` counts members where they are not listed.
    """

    key: str
    members: Codes
    numbers: Mapping[str, Any] | None = None
    bare: Mapping[str, Any] | None = None
    size: int


@dataclass(frozen=True, slots=True)
class Hidden:
    """A group that may not leave: why, and into which other it was merged. For the operator only."""

    segment_key: str
    reason: str
    merged_into: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All groups of one kind. `disjoint`: no customer is in two of them, so groups can be added up."""

    kind: str
    groups: tuple[Group, ...]
    hidden: tuple[tuple[Hidden, int], ...] = field(default=())
    disjoint: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """A group that may leave: its kind, its key, its fields in the form of a brief, its exact size.

    `status`: `released` with fields of this run, or `kept` word for word as they last left.
    """

    kind: str
    segment_key: str
    fields: Mapping[str, Any]
    members: int
    status: str


def too_small(k: int) -> str:
    """The reason of a group under k."""
    return f"fewer than {k} customers"
