"""Disclosure control: which groups of customers may be described at all, with which numbers, in which form.

Here, as pure functions: the least size k, dominance and the p% rule, what a remainder gives away, the difference
to what was released before, rounding. Not here: what the groups are (`segments.*_cells`) and what becomes of one
that may not leave (`segments.release`). Sources: no cell of 1 to 10, nor anything it can be derived from (US CMS,
https://resdac.org/node/1506); dominance and p% for sums
(https://sdctools.github.io/HandbookSDC/04-magnitude-tabular-data.html). k-anonymity alone does not prevent that a
property which all members share becomes known of each.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from segments.thresholds import DisclosureThresholds

__all__ = [
    "OUTSIDE",
    "Labels",
    "dominated",
    "remainder_is_safe",
    "rounded_amount",
    "rounded_count",
    "safe_mix",
    "small_differences",
    "telling",
    "whole_percent",
]

Labels = npt.NDArray[np.int64]
"""For each customer the number of the group that holds it, or `OUTSIDE`."""
OUTSIDE: Final = -1

_Weights = npt.NDArray[np.int64]


def rounded_count(count: int, rules: DisclosureThresholds) -> int:
    """A count to the nearest step, never to below k. Raises: ValueError for a count under k."""
    if count < rules.k:
        raise ValueError("a count under k has no rounded form")
    step = rules.count_step
    least = -(-rules.k // step) * step
    return max((2 * count + step) // (2 * step) * step, least)


def rounded_amount(minor: int, rules: DisclosureThresholds) -> int:
    """Minor units to the significant digits that may leave; a half goes up."""
    step: int = 10 ** max(len(str(abs(minor))) - rules.significant_digits, 0)
    return (2 * minor + step) // (2 * step) * step


def whole_percent(part: int, of: int) -> int:
    """A share in whole percent, between 0 and 100; a half goes up."""
    return min(max((200 * part + of) // (2 * of), 0), 100)


def dominated(total: int, largest: int, second: int, rules: DisclosureThresholds) -> bool:
    """Whether a sum says too much of one member.

    True when the largest holds more than its share, or when the second largest could take itself off the sum and
    know the largest within p percent. A sum that is not positive says nothing fit to leave.
    """
    if total <= 0 or largest > rules.dominance_share * total:
        return True
    return total - largest - second < rules.p_percent * largest


def remainder_is_safe(amounts: npt.NDArray[np.int64], rules: DisclosureThresholds) -> bool:
    """Whether a group that shares of the whole would give back could be released on its own; an empty one is."""
    if not amounts.size:
        return True
    top = np.sort(amounts)[-2:]
    return amounts.size >= rules.k and not dominated(int(amounts.sum()), int(top[-1]), int(top[0]), rules)


def safe_mix(members: Mapping[str, int], rules: DisclosureThresholds, *, rest: str = "other") -> dict[str, int]:
    """Shares of a group in whole percents that add up to 100, the largest first.

    Parts under k go into the rest; when the rest is under k too, the shares would give it back and there are none.
    """
    kept = {name: count for name, count in members.items() if count >= rules.k and name != rest}
    total = sum(members.values())
    left = total - sum(kept.values())
    if 0 < left < rules.k or not total:
        return {}
    if left:
        kept[rest] = left
    ranked = sorted(kept, key=lambda name: (-kept[name], name))
    shares = {name: 100 * kept[name] // total for name in ranked}
    by_rest = sorted(ranked, key=lambda name: (-(100 * kept[name] % total), name))
    for name in by_rest[: 100 - sum(shares.values())]:
        shares[name] += 1
    return shares


def small_differences(now: Labels, before: Labels, *, k: int) -> frozenset[int]:
    """Groups of `now` that may not be released, as with `before` they would single out 1 to k - 1 customers.

    `before` was released earlier, or is released besides. Whoever has both can add up groups of either side and
    take the sums from each other. Groups of one side are disjoint, so what a difference singles out is a cut
    through the graph whose nodes are all groups and the outside, and whose edges are the customers between a group
    of each side: no cut may hold 1 to k - 1 of them. A single group is such a cut, so groups under k are named.
    """
    groups, earlier = int(now.max(initial=OUTSIDE)) + 1, int(before.max(initial=OUTSIDE)) + 1
    shape = (groups + 1, earlier + 1)
    together = np.bincount((now + 1) * shape[1] + (before + 1), minlength=shape[0] * shape[1]).reshape(shape)
    weights = np.zeros((1 + groups + earlier,) * 2, dtype=np.int64)
    weights[1 : groups + 1, 0] = together[1:, 0]
    weights[0, groups + 1 :] = together[0, 1:]
    weights[1 : groups + 1, groups + 1 :] = together[1:, 1:]
    weights += weights.T
    sizes = weights.sum(axis=1)
    withheld: set[int] = set()
    while (side := _small_cut(weights, k)) is not None:
        fresh = [node for node in side if 1 <= node <= groups]
        if fresh:
            node = min(fresh, key=lambda node: (sizes[node], node))
            withheld.add(node - 1)
            _merge(weights, node, 0)
        else:
            # A group released under a smaller k: what is known is known, and is no reason to hide others.
            _merge(weights, side[0], int(weights[side[0]].argmax()))
    return frozenset(withheld)


def telling(now: Labels, layers: Iterable[Labels], *, k: int) -> frozenset[int]:
    """The same for several layers. A group that one of them withholds does not leave, so the others need not."""
    leaving = now.copy()
    withheld: set[int] = set()
    for layer in layers:
        found = small_differences(leaving, layer, k=k)
        leaving[np.isin(leaving, list(found))] = OUTSIDE
        withheld |= found
    return frozenset(withheld)


def _merge(weights: _Weights, node: int, into: int) -> None:
    weights[into] += weights[node]
    weights[:, into] += weights[:, node]
    weights[node] = weights[:, node] = 0
    weights[into, into] = 0


def _small_cut(weights: _Weights, k: int) -> list[int] | None:
    """One side of a cut of 1 to k - 1 customers, the one without the outside; None when there is no such cut."""
    for nodes in _components(weights):
        side = _cut_below(weights, nodes, k)
        if side is not None:
            return sorted(side if 0 not in side else set(nodes) - side)
    return None


def _components(weights: _Weights) -> list[list[int]]:
    open_nodes = {int(node) for node in np.flatnonzero(weights.any(axis=1))}
    found = []
    while open_nodes:
        reached, edge = set(), {min(open_nodes)}
        while edge:
            reached |= edge
            edge = {int(node) for node in np.flatnonzero(weights[sorted(edge)].any(axis=0))} - reached
        open_nodes -= reached
        found.append(sorted(reached))
    return found


def _cut_below(weights: _Weights, nodes: list[int], k: int) -> set[int] | None:
    """A cut below k through connected nodes (Stoer and Wagner, https://doi.org/10.1145/263867.263872)."""
    inner = weights[np.ix_(nodes, nodes)].copy()
    merged: list[set[int]] = [{node} for node in nodes]
    active = list(range(len(nodes)))
    while len(active) > 1:
        reach: Any = inner[active[0]].copy()
        order, rest = [active[0]], active[1:]
        while rest:
            last = max(rest, key=lambda node: reach[node])
            rest.remove(last)
            order.append(last)
            if rest:
                reach += inner[last]
        if reach[last] < k:
            return merged[last]
        into = order[-2]
        merged[into] |= merged[last]
        _merge(inner, last, into)
        active.remove(last)
    return None
