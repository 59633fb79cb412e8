"""From the segment tables to the cells that may leave: tiers, markets, retention cohorts, case studies, copy fixes.

Here: one entry point that puts disclosure control over all families, compares with the last release, and says
of each group what became of it and why. Not here: the rules (`segments.disclosure`), the operator's words and the
closed form of a brief, which take the cells from here as mappings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from segments.cells import Cell, Hidden

__all__ = ["Release"]


@dataclass(frozen=True, slots=True)
class Release:
    """What may leave, what may not and why, and the two tables that the next run compares with."""

    cells: tuple[Cell, ...]
    suppressed: tuple[Hidden, ...]
    released_cells: pa.Table
    released_members: pa.Table
    counts: Mapping[str, int]
