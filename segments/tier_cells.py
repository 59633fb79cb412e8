"""Cells of the MRR tiers: one for each tier that has customers.

Here: their numbers, and when shares of revenue may leave. A tier under k keeps its cell without any number. Not
here: the tiers themselves (`segments.tiers`).
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segments.cells import TIERS, Codes, Family, Group, Population
from segments.disclosure import (
    dominated,
    remainder_is_safe,
    rounded_amount,
    rounded_count,
    safe_mix,
    whole_percent,
)
from segments.thresholds import DisclosureThresholds

__all__ = ["Revenue", "tier_cells", "top_two", "with_shares"]

_MONTH, _YEAR, _OTHER = 1, 2, 4
_INTERVALS: Final = {"month": (_MONTH,), "year": (_YEAR,), "other": (_OTHER, 3, 5, 6, 7)}
"""Names of what a customer's items add up to: one interval, or several, which is `other`."""


class Revenue:
    """Tier and MRR of each customer of the population."""

    def __init__(self, population: Population, mrr_tiers: pa.Table) -> None:
        codes = population.codes(mrr_tiers["customer"])
        self.tier = _tier_numbers(population, codes, mrr_tiers["tier"])
        self.previous_tier = _tier_numbers(population, codes, mrr_tiers["previous_tier"])
        minor = pc.fill_null(mrr_tiers["mrr_minor"], 0).to_numpy().astype(np.int64)
        self.mrr = population.spread(codes, minor, 0)

    def top(self, members: Codes) -> tuple[int, int, int]:
        """Sum, largest and second largest MRR of a group."""
        return top_two(self.mrr[members])


def _tier_numbers(population: Population, codes: Codes, column: pa.ChunkedArray) -> Codes:
    """Position in TIERS, -1 for no revenue and for unknown."""
    found = pc.fill_null(pc.index_in(column.cast(pa.string()), value_set=pa.array(TIERS)), -1)
    spread: Codes = population.spread(codes, found.to_numpy().astype(np.int64), -1)
    return spread


def top_two(amounts: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    """Sum, largest and second largest."""
    if amounts.size < 2:
        return int(amounts.sum()), int(amounts.sum()), 0
    second, first = np.partition(amounts, -2)[-2:]
    return int(amounts.sum()), int(first), int(second)


def tier_cells(
    population: Population,
    revenue: Revenue,
    subscription_items: pa.Table,
    subscription_mrr: pa.Table,
    *,
    reporting_currency: str,
    rules: DisclosureThresholds,
) -> Family:
    """The family `tier`, without shares of revenue: those depend on what becomes of the other tiers."""
    intervals = _intervals(population, subscription_items, subscription_mrr)
    groups = []
    for number, tier in enumerate(TIERS):
        members = np.flatnonzero(revenue.tier == number)
        if not members.size:
            continue
        base: dict[str, Any] = {"kind": "tier", "tier": tier, "currency": reporting_currency}
        numbers = None
        if members.size >= rules.k:
            numbers = base | {"customers": rounded_count(members.size, rules)}
            total, largest, second = revenue.top(members)
            if not dominated(total, largest, second, rules):
                numbers["median_mrr_minor"] = rounded_amount(_median(revenue.mrr[members]), rules)
                numbers["mrr_minor"] = rounded_amount(total, rules)
            billed = intervals[members]
            mix = {name: int(np.isin(billed, codes).sum()) for name, codes in _INTERVALS.items()}
            if shares := safe_mix(mix, rules):
                numbers["interval_mix"] = shares
        groups.append(
            Group(
                key=f"tier:{tier}",
                members=members,
                numbers=numbers,
                bare=base | {"fewer_than": rules.k},
                size=members.size,
            )
        )
    return Family(kind="tier", groups=tuple(groups))


def with_shares(
    family: Family, revenue: Revenue, *, withheld: Collection[str], rules: DisclosureThresholds
) -> Family:
    """The tiers with their share of revenue, where no share of a tier without one can be told from the rest.

    The shares add up to 100, so together they give back the tiers that have none; these must be a group that could
    leave itself. A withheld tier left with an older share: the new ones would tell what changed in it.
    """
    if withheld:
        return family
    shown = [group for group in family.groups if group.numbers is not None and "mrr_minor" in group.numbers]
    hidden = [revenue.mrr[group.members] for group in family.groups if group not in shown]
    total = sum(int(revenue.mrr[group.members].sum()) for group in family.groups)
    if not shown or not remainder_is_safe(np.concatenate([*hidden, np.empty(0, dtype=np.int64)]), rules):
        return family
    shares = {
        group.key: {"share_percent": whole_percent(int(revenue.mrr[group.members].sum()), total)}
        for group in shown
    }
    return replace(
        family,
        groups=tuple(
            replace(group, numbers={**group.numbers, **shares[group.key]})
            if group.numbers is not None and group.key in shares
            else group
            for group in family.groups
        ),
    )


def _median(amounts: npt.NDArray[np.int64]) -> int:
    ordered = np.sort(amounts)
    middle = ordered.size // 2
    return int(ordered[middle]) if ordered.size % 2 else int(ordered[middle - 1] + ordered[middle]) // 2


def _intervals(population: Population, items: pa.Table, mrr: pa.Table) -> Codes:
    """For each customer the intervals of the items of subscriptions with revenue, as bits."""
    paying = mrr.filter(pc.greater(pc.fill_null(mrr["mrr_minor"], 0), 0))
    usable = pc.is_valid(items["interval"])
    if "deleted" in items.column_names:
        usable = pc.and_(usable, pc.invert(pc.fill_null(items["deleted"], False)))
    items = items.filter(usable)
    place = pc.index_in(
        items["subscription"].cast(pa.string()), value_set=paying["subscription"].cast(pa.string())
    )
    items, place = items.filter(pc.is_valid(place)), pc.drop_null(place)
    owners = population.codes(paying["customer"])[place.to_numpy()]
    count = pc.fill_null(items["interval_count"], 1).to_numpy()
    month = pc.equal(items["interval"], "month").to_numpy()
    year = pc.equal(items["interval"], "year").to_numpy()
    bits = np.full(items.num_rows, _OTHER, dtype=np.int64)
    bits[month & (count == 1)] = _MONTH
    bits[(year & (count == 1)) | (month & (count == 12))] = _YEAR
    found = np.zeros(len(population), dtype=np.int64)
    np.bitwise_or.at(found, owners[owners >= 0], bits[owners >= 0])
    return found
