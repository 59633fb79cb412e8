"""What a release is made of: cells that may leave and groups that may not.

Here: the two records. Not here: rules and families.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Cell", "Hidden"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A group that may be described: its kind, its key, its fields in the form of a brief."""

    kind: str
    segment_key: str
    fields: Mapping[str, Any]
    members: int
    status: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """A group that may not leave: why, and into which other it was merged. For the operator only."""

    segment_key: str
    reason: str
    merged_into: str | None = None
