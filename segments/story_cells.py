"""Cells of the case studies and of the copy fixes: what grew, and what was disputed.

Here: groups of growth candidates by tier, product and band, and disputes by reason and product. Not here: who is a
candidate (`segments.growth`) and what counts as a dispute (`segments.disputes`). A product leaves under the name
that the operator gave it; one without a name is in no cell.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from statistics import median_low
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segments.cells import TIERS, Codes, Family, Group, Hidden, Population
from segments.disclosure import rounded_count, whole_percent
from segments.thresholds import DisclosureThresholds, ReleaseThresholds
from segments.tier_cells import Revenue

__all__ = ["BANDS", "band_of", "case_study_cells", "copy_fix_cells"]

BANDS: Final = {
    "TO_20": "below 20 percent",
    "TO_50": "20 to 50 percent",
    "TO_100": "50 to 100 percent",
    "TO_200": "100 to 200 percent",
    "OVER_200": "over 200 percent",
}
"""Bands of growth and expansion, the lowest first."""
_BOUNDS: Final = (0.2, 0.5, 1.0, 2.0)
_NO_NAME: Final = "no approved name for the product"


def band_of(share: float) -> str:
    """Name of the band; a bound belongs to the band above it."""
    return list(BANDS)[bisect_right(_BOUNDS, share)]


def case_study_cells(
    population: Population,
    revenue: Revenue,
    growth: pa.Table,
    *,
    products: Mapping[str, str],
    consented: frozenset[str] | None,
    as_of: datetime,
    limits: ReleaseThresholds,
    rules: DisclosureThresholds,
) -> Family:
    """The family `case_study`: the largest groups of candidates.

    The band is that of growth in a year. A band with too few candidates goes into the largest of the same tier and
    product; nobody is told of another tier or product than their own.
    """
    candidates = growth.filter(growth["candidate"])
    if consented is not None:
        candidates = candidates.filter(
            pc.is_in(candidates["customer"].cast(pa.string()), value_set=pa.array(sorted(consented), pa.string()))
        )
    codes = population.codes(candidates["customer"])
    parts: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    hidden: dict[str, list[Any]] = {}
    names = ("product", "monthly_growth", "expansion", "months")
    rows = list(zip(*(candidates[name].to_pylist() for name in names), strict=True))
    for number, (product, monthly, _, _) in enumerate(rows):
        slug, place = products.get(product or ""), int(revenue.tier[codes[number]])
        if place < 0 or slug is None or monthly is None:
            key = f"case_study:{TIERS[place] if place >= 0 else 'none'}:{slug or 'unnamed'}"
            reason = "no tier with revenue" if place < 0 else _NO_NAME if slug is None else "growth unknown"
            hidden.setdefault(key, [reason, 0])[1] += 1
            continue
        parts[TIERS[place], slug][band_of((1 + monthly) ** 12 - 1)].append(number)
    gone = [(Hidden(key, reason), size) for key, (reason, size) in sorted(hidden.items())]
    found: list[tuple[str, str, str, list[int]]] = []
    for (tier, slug), bands in sorted(parts.items()):
        found += ((tier, slug, band, members) for band, members in _pooled(tier, slug, bands, limits, gone))
    found.sort(key=lambda one: (-len(one[3]), one[:3]))
    gone += ((Hidden(_key(*one[:3]), "beyond the cap"), len(one[3])) for one in found[limits.case_studies :])
    groups = []
    for tier, slug, band, members in found[: limits.case_studies]:
        base = {
            "kind": "case_study",
            "tier": tier,
            "product": slug,
            "growth_band": BANDS[band],
            "period": f"{as_of:%Y-%m}",
        }
        numbers = None
        if len(members) >= rules.k:
            expansions = [rows[number][2] for number in members if rows[number][2] is not None]
            numbers = base | {
                "customers": rounded_count(len(members), rules),
                "months": min(median_low(rows[number][3] for number in members), 120),
            }
            if len(expansions) >= rules.k:
                numbers["expansion_band"] = BANDS[band_of(median_low(expansions))]
        groups.append(
            Group(
                key=_key(tier, slug, band),
                members=np.sort(codes[members]),
                numbers=numbers,
                bare=base | {"fewer_than": rules.k},
                size=len(members),
            )
        )
    return Family(kind="case_study", groups=tuple(groups), hidden=tuple(gone))


def _key(tier: str, slug: str, band: str) -> str:
    return f"case_study:{tier}:{slug}:{band}"


def _pooled(
    tier: str,
    slug: str,
    bands: Mapping[str, list[int]],
    limits: ReleaseThresholds,
    hidden: list[tuple[Hidden, int]],
) -> list[tuple[str, list[int]]]:
    """Candidates of a tier and product by band; bands with too few go into the largest, the lower among equals."""
    order = list(BANDS)
    parts = {band: list(bands[band]) for band in order if band in bands}
    reason = f"fewer than {limits.least_candidates} candidates"
    if sum(map(len, parts.values())) < limits.least_candidates:
        hidden += ((Hidden(_key(tier, slug, band), reason), len(members)) for band, members in parts.items())
        return []
    largest = max(parts, key=lambda band: (len(parts[band]), -order.index(band)))
    for band in [name for name in parts if len(parts[name]) < limits.least_candidates and name != largest]:
        members = parts.pop(band)
        parts[largest] += members
        hidden.append((Hidden(_key(tier, slug, band), reason, _key(tier, slug, largest)), len(members)))
    return list(parts.items())


def copy_fix_cells(
    population: Population,
    disputes_by_reason: pa.Table,
    disputers: pa.Table | None,
    *,
    products: Mapping[str, str],
    as_of: datetime,
    limits: ReleaseThresholds,
    rules: DisclosureThresholds,
) -> Family:
    """The family `copy_fix`: disputes of the last months by reason and product, where better copy can help.

    `disputers` names the customers behind them. Without it no more customers are sure to be different ones than
    the month with the most had. Disputes that may come from fewer than k customers leave without numbers.
    """
    this_month = as_of.year * 12 + as_of.month - 1
    year, month = divmod(this_month - limits.dispute_months + 1, 12)
    recent = pc.greater_equal(disputes_by_reason["month"], pa.scalar(date(year, month + 1, 1), pa.date32()))
    payments: dict[str, dict[tuple[str, date, str], int]] = defaultdict(dict)
    parts: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    unnamed: dict[str, int] = defaultdict(int)
    for row in disputes_by_reason.filter(recent).to_pylist():
        slug = products.get(row["product"])
        if slug is not None:
            # A payment counts once, whatever the reasons of that month's disputes are.
            payments[slug][row["product"], row["month"], row["currency"]] = row["payments"]
        if row["copy_fixable_disputes"] and slug is None:
            unnamed[row["reason"]] += row["customers"]
        elif row["copy_fixable_disputes"] and slug is not None:
            parts[row["reason"], slug].append(row)
    members = {} if disputers is None else _disputers(population, disputers, products)
    hidden = [(Hidden(f"copy_fix:{reason}:unnamed", _NO_NAME), size) for reason, size in sorted(unnamed.items())]
    groups = []
    for (reason, slug), rows in sorted(parts.items()):
        base = {"kind": "copy_fix", "reason": reason, "product": slug, "period": f"{as_of:%Y-%m}"}
        disputes = sum(row["copy_fixable_disputes"] for row in rows)
        who = members.get((reason, slug), np.empty(0, dtype=np.int64))
        size = max(row["customers"] for row in rows) if disputers is None else who.size
        numbers = None
        if size >= rules.k and disputes >= rules.k:
            paid = sum(payments[slug].values())
            rate = {"rate_percent": whole_percent(disputes, paid)} if paid >= disputes else {}
            numbers = base | {"disputes": rounded_count(disputes, rules)} | rate
        bare = base | {"fewer_than": rules.k} if disputes < rules.k else None
        key = f"copy_fix:{reason}:{slug}"
        groups.append(Group(key=key, members=who, numbers=numbers, bare=bare, size=size))
    return Family(kind="copy_fix", groups=tuple(groups), hidden=tuple(hidden), disjoint=False)


def _disputers(
    population: Population, disputers: pa.Table, products: Mapping[str, str]
) -> dict[tuple[str, str], Codes]:
    """Customers by reason and name of the product."""
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    columns = (disputers["reason"].to_pylist(), disputers["product"].to_pylist())
    for reason, product, code in zip(*columns, population.codes(disputers["customer"]).tolist(), strict=True):
        if product in products and code >= 0:
            found[reason, products[product]].add(code)
    return {key: np.array(sorted(codes), dtype=np.int64) for key, codes in found.items()}
