"""Who was in each group at every release of its numbers, as whoever kept them all can take one from another.

Here: the table `released_members` as sets of customers, the sets that were known side by side, and the table with
one release more. Not here: what a difference gives away (`segments.disclosure`) and what becomes of a group
(`segments.release`).

Releases are numbered, as two may hold for one time. A row is a customer who was in the set of a group from one
release to another, so that the table grows with those who join and leave and not with every release. Nothing is
ever taken out of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segments.cells import Codes, Population
from segments.disclosure import OUTSIDE, Labels
from segments.tables import SEGMENT_TABLES

__all__ = ["Memory"]

_STILL: Final = int(np.iinfo(np.int64).max)
"""`until` of a customer in the last set."""


@dataclass(frozen=True, slots=True)
class _Sets:
    """The sets of one group: that of a release holds the customers with `since` <= its number < `until`."""

    customers: Codes
    since: Codes
    until: Codes

    def at(self, release: int) -> Codes:
        return self.customers[(self.since <= release) & (release < self.until)]

    @property
    def last(self) -> Codes:
        return np.sort(self.at(_STILL - 1))

    @property
    def changes(self) -> list[int]:
        """Numbers of the releases with another set than the one before."""
        found: list[int] = np.unique(np.concatenate([self.since, self.until])).tolist()
        return [number for number in found if number != _STILL]

    def then(self, members: Codes, release: int) -> "_Sets":
        gone = (self.until == _STILL) & ~np.isin(self.customers, members)
        joined = np.setdiff1d(members, self.last)
        return _Sets(
            np.concatenate([self.customers, joined]),
            np.concatenate([self.since, np.full(joined.size, release)]),
            np.concatenate([np.where(gone, release, self.until), np.full(joined.size, _STILL)]),
        )


_NONE: Final = _Sets(*(np.empty(0, dtype=np.int64),) * 3)


class Memory:
    """All sets of customers of whom numbers left: those of each group, and those of cohorts whose MRR left."""

    def __init__(self, population: Population, members: pa.Table | None) -> None:
        table = SEGMENT_TABLES["released_members"].empty_table() if members is None else _in_full(members)
        keys = table["segment_key"].cast(pa.string()).combine_chunks().dictionary_encode()
        names = keys.dictionary.to_pylist()
        groups = 2 * keys.indices.to_numpy() + table["with_mrr"].to_numpy()
        order = np.argsort(groups, kind="stable")
        columns = (
            population.codes(table["customer"]),
            table["since"].to_numpy(),
            pc.fill_null(table["until"], _STILL).to_numpy(),
        )
        bounds = np.searchsorted(groups[order], np.arange(2 * len(names) + 1))
        self._population = population
        self._sets = {
            (names[number // 2], bool(number % 2)): _Sets(
                *(column[order[bounds[number] : bounds[number + 1]]] for column in columns)
            )
            for number in np.unique(groups).tolist()
        }

    def last(self, key: str) -> Codes:
        """Who was in the group when its numbers last left; nobody if they never did."""
        return self._sets.get((key, False), _NONE).last

    def all(self, key: str) -> Iterator[Codes]:
        """Each set of the group."""
        sets = self._sets.get((key, False), _NONE)
        return (sets.at(release) for release in sets.changes)

    def layers(self, family: str, *, with_mrr: bool = False) -> Iterator[Labels]:
        """The sets of a family that were the last ones after a release, disjoint side by side, the newest first.

        Sets that overlap, as one is older, are in layers of their own. `with_mrr`: those whose MRR left.
        """
        groups = [
            (sets, sets.changes)
            for (key, mrr), sets in self._sets.items()
            if mrr == with_mrr and key.startswith(f"{family}:")
        ]
        seen: set[frozenset[tuple[int, int]]] = set()
        for release in sorted({number for _, changes in groups for number in changes}, reverse=True):
            newest = sorted(
                (
                    (max(number for number in changes if number <= release), place)
                    for place, (_, changes) in enumerate(groups)
                    if changes[0] <= release
                ),
                reverse=True,
            )
            found: list[tuple[set[tuple[int, int]], Labels]] = []
            for one in newest:
                members = groups[one[1]][0].at(release)
                names, labels = next(
                    (beside for beside in found if (beside[1][members] == OUTSIDE).all()), (set(), None)
                )
                if labels is None:
                    labels = np.full(len(self._population), OUTSIDE, dtype=np.int64)
                    found.append((names, labels))
                labels[members] = len(names)
                names.add(one)
            for names, labels in found:
                if frozenset(names) not in seen:
                    seen.add(frozenset(names))
                    yield labels

    def then(self, fresh: Iterable[tuple[str, bool, Codes]]) -> pa.Table:
        """The table `released_members` with one release more: of each group its key, whether MRR left, and who."""
        release = 1 + max((sets.changes[-1] for sets in self._sets.values()), default=0)
        after = dict(self._sets)
        for key, with_mrr, members in fresh:
            for name in {(key, False), (key, with_mrr)}:
                after[name] = after.get(name, _NONE).then(members, release)
        schema = SEGMENT_TABLES["released_members"]
        tables = [
            pa.table(
                [
                    pa.repeat(pa.scalar(key), sets.customers.size),
                    pa.repeat(pa.scalar(with_mrr), sets.customers.size),
                    self._population.ids(sets.customers),
                    pa.array(sets.since),
                    pa.array(sets.until, mask=sets.until == _STILL),
                ],
                schema=schema,
            )
            for (key, with_mrr), sets in sorted(after.items())
        ]
        return pa.concat_tables([schema.empty_table(), *tables])


def _in_full(members: pa.Table) -> pa.Table:
    """A table that knows last sets only, as it was before releases were numbered: MRR may have left with each."""
    if "since" in members.column_names:
        return members
    both = pa.concat_tables(
        members.append_column("with_mrr", pa.array([with_mrr] * members.num_rows, pa.bool_()))
        for with_mrr in (False, True)
    )
    both = both.append_column("since", pa.array(np.ones(both.num_rows, dtype=np.int64)))
    return both.append_column("until", pa.nulls(both.num_rows, pa.int64()))
