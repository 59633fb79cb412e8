"""From segment tables to the cells that may leave: tiers, markets, retention cohorts, case studies, copy fixes.

Here: one entry point that puts disclosure control over all families, compares with earlier releases, and says of
each group what became of it and why. Not here: the rules (`segments.disclosure`), who was in which
earlier release (`segments.release_memory`), what the groups are (`segments.*_cells`), the operator's words and the
closed form of a brief, which take the cells as mappings.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa

from segments.cells import Cell, Codes, Family, Group, Hidden, Population, too_small
from segments.disclosure import OUTSIDE, Labels, telling
from segments.frames import to_table
from segments.market_cells import market_cells
from segments.release_memory import Memory
from segments.retention_cells import retention_cells
from segments.story_cells import case_study_cells, copy_fix_cells
from segments.tables import SEGMENT_TABLES
from segments.thresholds import Thresholds
from segments.tier_cells import Revenue, tier_cells, with_shares

__all__ = ["FAMILIES", "Cell", "Hidden", "Release", "release_cells"]

FAMILIES: Final = ("tier", "market", "retention", "case_study", "copy_fix")


@dataclass(frozen=True, slots=True)
class Release:
    """What may leave, what may not and why, and the two tables that later runs compare with."""

    cells: tuple[Cell, ...]
    suppressed: tuple[Hidden, ...]
    released_cells: pa.Table
    released_members: pa.Table
    counts: Mapping[str, Mapping[str, int]]
    """For each family how many groups were released, kept and suppressed."""


@dataclass(frozen=True, slots=True)
class _Left:
    """What last left of a group with numbers."""

    family: str
    fields: str
    released_at: datetime


@dataclass(frozen=True, slots=True)
class _Decided:
    """What becomes of a group now."""

    family: str
    key: str
    members: int
    status: str
    fields: Mapping[str, Any] | None = None
    reason: str | None = None
    merged_into: str | None = None
    fresh: Codes | None = None
    """Its members, when numbers leave anew."""


def release_cells(
    *,
    mrr_tiers: pa.Table,
    subscription_mrr: pa.Table,
    subscription_items: pa.Table,
    markets: pa.Table,
    customer_markets: pa.Table,
    churn_risk: pa.Table,
    growth: pa.Table,
    disputes_by_reason: pa.Table,
    disputers: pa.Table | None = None,
    last_cells: pa.Table | None = None,
    last_members: pa.Table | None = None,
    as_of: datetime,
    reporting_currency: str,
    products: Mapping[str, str],
    consented: frozenset[str] | None = None,
    thresholds: Thresholds | None = None,
) -> Release:
    """Decide for every group whether it may leave.

    The tables are segment tables, and the raw `subscription_items`; `disputers` has a row (reason, product,
    customer) for each customer behind a dispute of the window that copy can help. `products` names products by id;
    `consented` are the customers whose growth may be told, None for all. `last_cells` and `last_members` are the
    tables as the last release left them, None when there was none; the second holds all earlier ones.
    """
    limits = thresholds or Thresholds()
    rules = limits.disclosure
    columns = [table["customer"] for table in (mrr_tiers, customer_markets, churn_risk, growth)]
    columns += [table["customer"] for table in (last_members, disputers) if table is not None]
    population = Population(*columns)
    memory, left = Memory(population, last_members), _left(last_cells)
    revenue = Revenue(population, mrr_tiers)

    tiers = tier_cells(
        population,
        revenue,
        subscription_items,
        subscription_mrr,
        reporting_currency=reporting_currency,
        rules=rules,
    )
    withheld = _withheld(tiers, memory, population, rules.k)
    # MRR of a cohort that once left can be taken from that of a tier.
    with_mrr = [one for one in _asking(tiers) if one.key not in withheld and "mrr_minor" in (one.numbers or {})]
    withheld |= _telling(with_mrr, memory.layers("retention", with_mrr=True), population, rules.k)
    if withheld:
        # A tier that did not change stays as it left, so that nothing new is said beside an older brief.
        withheld |= {group.key for group in tiers.groups if _unchanged(group, left, memory)}
    tiers = with_shares(tiers, revenue, withheld=withheld, rules=rules)
    decided = _decided(tiers, withheld, left, memory, rules.k)

    leaving = [one.members for one in _asking(tiers) if one.key not in withheld]
    known_tiers = chain([_labels(leaving, len(population))], memory.layers("tier"))
    others = (
        market_cells(population, revenue, markets, customer_markets, most=limits.release.markets, rules=rules),
        retention_cells(
            population,
            revenue,
            churn_risk,
            tiers=known_tiers,
            reporting_currency=reporting_currency,
            as_of=as_of,
            thresholds=limits,
        ),
        case_study_cells(
            population,
            revenue,
            growth,
            products=products,
            consented=consented,
            as_of=as_of,
            limits=limits.release,
            rules=rules,
        ),
        copy_fix_cells(
            population,
            disputes_by_reason,
            disputers,
            products=products,
            as_of=as_of,
            limits=limits.release,
            rules=rules,
        ),
    )
    for family in others:
        decided += _decided(family, _withheld(family, memory, population, rules.k), left, memory, rules.k)
    decided += _gone(left, {one.key for one in decided})
    decided = _settled(decided)
    return _release(decided, left, memory, as_of)


def _left(cells: pa.Table | None) -> dict[str, _Left]:
    """What last left with numbers, by key."""
    return {
        row["segment_key"]: _Left(row["family"], row["last_fields"], row["released_at"])
        for row in ([] if cells is None else cells.to_pylist())
        if row["last_fields"] is not None
    }


def _labels(groups: Iterable[Codes], size: int) -> Labels:
    labels = np.full(size, OUTSIDE, dtype=np.int64)
    for number, members in enumerate(groups):
        labels[members] = number
    return labels


def _asking(family: Family) -> list[Group]:
    return [group for group in family.groups if group.numbers is not None and group.members.size]


def _withheld(family: Family, memory: Memory, population: Population, k: int) -> set[str]:
    """Keys of groups whose new numbers, with those that left before, would single out fewer than k customers."""
    asking = _asking(family)
    if family.disjoint:
        return _telling(asking, memory.layers(family.kind), population, k)
    return {
        group.key
        for group in asking
        if any(0 < np.setxor1d(group.members, earlier).size < k for earlier in memory.all(group.key))
    }


def _telling(groups: Sequence[Group], layers: Iterable[Labels], population: Population, k: int) -> set[str]:
    labels = _labels((group.members for group in groups), len(population))
    return {groups[number].key for number in telling(labels, layers, k=k)}


def _unchanged(group: Group, left: Mapping[str, _Left], memory: Memory) -> bool:
    return group.key in left and np.array_equal(group.members, memory.last(group.key))


def _decided(
    family: Family, withheld: set[str], left: Mapping[str, _Left], memory: Memory, k: int
) -> list[_Decided]:
    out = []
    for group in family.groups:
        before = left.get(group.key)
        about = (family.kind, group.key, group.size)
        if group.numbers is None and group.bare is None:
            out.append(_Decided(*about, "suppressed", reason=too_small(k)))
        elif group.numbers is None:
            out.append(_Decided(*about, "released", group.bare))
        elif group.key not in withheld:
            out.append(_Decided(*about, "released", group.numbers, fresh=group.members))
        else:
            kept = None
            if before is not None and memory.last(group.key).size >= k:
                kept = json.loads(before.fields)
            reason = f"differs from what left before by {too_small(k)}"
            out.append(_Decided(*about, "suppressed" if kept is None else "kept", kept, reason=reason))
    seen = {group.key for group in family.groups}
    sizes: Counter[str] = Counter()
    first: dict[str, Hidden] = {}
    for one, size in family.hidden:
        if one.segment_key not in seen:
            first.setdefault(one.segment_key, one)
            sizes[one.segment_key] += size
    out += (
        _Decided(family.kind, key, sizes[key], "suppressed", reason=one.reason, merged_into=one.merged_into)
        for key, one in first.items()
    )
    return out


def _gone(left: Mapping[str, _Left], seen: set[str]) -> list[_Decided]:
    """Groups that left once and hold nobody now."""
    return [
        _Decided(one.family, key, 0, "suppressed", reason="nobody is in it now")
        for key, one in left.items()
        if key not in seen
    ]


def _settled(decided: list[_Decided]) -> list[_Decided]:
    """`merged_into` followed to a group that leaves; None when there is none."""
    leaves = {one.key for one in decided if one.status != "suppressed"}
    into = {one.key: one.merged_into for one in decided}
    out = []
    for one in decided:
        target = one.merged_into
        while target is not None and target not in leaves:
            target = into.get(target)
        out.append(replace(one, merged_into=target))
    return out


def _release(decided: list[_Decided], left: Mapping[str, _Left], memory: Memory, as_of: datetime) -> Release:
    cells, hidden, rows = [], [], []
    fresh: list[tuple[str, bool, Codes]] = []
    counts = {family: dict.fromkeys(("released", "kept", "suppressed"), 0) for family in FAMILIES}
    for one in decided:
        counts[one.family][one.status] += 1
        fields = None if one.fields is None else json.dumps(one.fields, sort_keys=True)
        if one.fields is None:
            hidden.append(Hidden(one.key, one.reason or "", one.merged_into))
        else:
            cells.append(Cell(one.family, one.key, one.fields, one.members, one.status))
        before = left.get(one.key)
        if one.fresh is not None:
            before = _Left(one.family, fields or "", as_of)
            fresh.append((one.key, "mrr_at_risk_minor" in (one.fields or {}), one.fresh))
        rows.append(
            {
                "segment_key": one.key,
                "family": one.family,
                "fields": fields,
                "members": one.members,
                "status": one.status,
                "reason": one.reason,
                "merged_into": one.merged_into,
                "last_fields": None if before is None else before.fields,
                "released_at": None if before is None else before.released_at,
                "as_of": as_of,
            }
        )
    table = pa.Table.from_pylist(rows, schema=SEGMENT_TABLES["released_cells"])
    return Release(
        cells=tuple(cells),
        suppressed=tuple(hidden),
        released_cells=to_table(table, SEGMENT_TABLES["released_cells"]),
        released_members=memory.then(fresh),
        counts=counts,
    )
