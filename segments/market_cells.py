"""Cells of the markets: a country and currency that passes k, else its region, else "other".

Here: folding, the cap, and the payment figures of folded groups. Not here: which country a customer belongs to
(`segments.markets`). A customer of unknown country is in no cell, nor is one who never had a currency. Only groups
of one currency are folded, so that amounts can be added.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segments.cells import Codes, Family, Group, Hidden, Population, too_small
from segments.disclosure import dominated, rounded_amount, rounded_count, safe_mix, whole_percent
from segments.thresholds import DisclosureThresholds
from segments.tier_cells import Revenue

__all__ = ["BEYOND_THE_CAP", "market_cells"]

BEYOND_THE_CAP: Final = "beyond the cap"
_OTHER: Final = "other"
_NO_REGION: Final = ("unknown", "Antarctica")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_CURRENCY: Final = re.compile(r"[a-z]{3}")


@dataclass(slots=True, eq=False)
class _Place:
    """Markets of one currency under one name."""

    key: str
    fields: dict[str, Any]
    region: str
    members: list[Codes] = field(default_factory=list)
    figures: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(part.size for part in self.members)

    @property
    def volume(self) -> int:
        return sum(row["paid_reporting_minor"] or 0 for row in self.figures)


def market_cells(
    population: Population,
    revenue: Revenue,
    markets: pa.Table,
    customer_markets: pa.Table,
    *,
    most: int,
    rules: DisclosureThresholds,
) -> Family:
    """The family `market`: at most `most` groups, countries before regions, the most paid volume first."""
    hidden: list[tuple[Hidden, int]] = []
    countries = []
    for place in _countries(population, markets, customer_markets):
        country, currency = place.fields["country"], place.fields["currency"]
        if not _CURRENCY.fullmatch(currency):
            hidden.append((Hidden(place.key, "without a currency"), place.size))
        elif not _COUNTRY.fullmatch(country):
            hidden.append((Hidden(place.key, "country unknown"), place.size))
        else:
            countries.append(place)
    small = too_small(rules.k)
    passed = _ranked(place for place in countries if place.size >= rules.k)
    regions = _folded((place for place in countries if place.size < rules.k), small, hidden)
    large = [place for place in regions if place.size >= rules.k and place.fields["region"] != _OTHER]
    others = _folded((place for place in regions if place not in large), small, hidden, into=_OTHER)
    cells = passed + _ranked([*large, *(place for place in others if place.size >= rules.k)])
    hidden += [(Hidden(place.key, small), place.size) for place in others if place.size < rules.k]
    hidden += [(Hidden(place.key, BEYOND_THE_CAP), place.size) for place in cells[most:]]
    groups = tuple(_group(place, revenue, rules) for place in cells[:most])
    return Family(kind="market", groups=groups, hidden=tuple(hidden))


def _countries(population: Population, markets: pa.Table, customer_markets: pa.Table) -> list[_Place]:
    """Markets that have customers, with their members and figures."""
    figures = {(row["country"], row["currency"]): row for row in markets.to_pylist()}
    codes = population.codes(customer_markets["customer"])
    columns = [customer_markets[name].cast(pa.string()) for name in ("country", "currency", "region")]
    names = pc.binary_join_element_wise(*columns, ":").combine_chunks().dictionary_encode()
    numbers = names.indices.to_numpy()
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(len(names.dictionary) + 1))
    found = []
    for number, name in enumerate(names.dictionary.to_pylist()):
        country, currency, region = name.split(":")
        row = figures.get((country, currency))
        found.append(
            _Place(
                key=f"market:country:{country}:{currency}",
                fields={"country": country, "currency": currency},
                region=_OTHER if region in _NO_REGION else region,
                members=[codes[order[bounds[number] : bounds[number + 1]]]],
                figures=[] if row is None else [row],
            )
        )
    return found


def _ranked(places: Iterable[_Place]) -> list[_Place]:
    return sorted(places, key=lambda place: (-place.volume, -place.size, place.key))


def _folded(
    places: Iterable[_Place], reason: str, hidden: list[tuple[Hidden, int]], *, into: str | None = None
) -> list[_Place]:
    """Places put together by region, or into one name; each that had another name is hidden for the reason."""
    found: dict[str, _Place] = {}
    for place in places:
        name, currency = into or place.region, place.fields["currency"]
        key = f"market:region:{name.lower().replace(' ', '-')}:{currency}"
        if key not in found:
            found[key] = _Place(key=key, fields={"region": name, "currency": currency}, region=_OTHER)
        found[key].members += place.members
        found[key].figures += place.figures
        if place.key != key:
            hidden.append((Hidden(place.key, reason, key), place.size))
    return list(found.values())


def _group(place: _Place, revenue: Revenue, rules: DisclosureThresholds) -> Group:
    members = np.sort(np.concatenate(place.members))
    numbers: dict[str, Any] = {"kind": "market", **place.fields, "customers": rounded_count(members.size, rules)}
    payers = sum(row["paying_customers"] for row in place.figures)
    if payers >= rules.k:
        numbers |= _payments(place.figures, payers, rules)
        if dominated(*revenue.top(members), rules):
            numbers.pop("paid_minor", None)
    return Group(key=place.key, members=members, numbers=numbers, size=members.size)


def _payments(figures: Sequence[Mapping[str, Any]], payers: int, rules: DisclosureThresholds) -> dict[str, Any]:
    """What at least k customers paid, and how. A rate counts payments, so dominance leaves it alone.

    Rows hold shares of paid charges, which are weighted with those. Methods are judged as if all payers paid
    equally often. Payments count where all of them failed, too.
    """
    found: dict[str, Any] = {}
    paid = sum(row["paid_minor"] for row in figures)
    tops = sorted(
        (row[name] or 0 for row in figures for name in ("largest_paid_minor", "second_paid_minor")), reverse=True
    )
    if len(tops) > 1 and not dominated(paid, tops[0], tops[1], rules):
        found["paid_minor"] = rounded_amount(paid, rules)
    charges = sum(row["paid_charges"] for row in figures)
    methods: dict[str, float] = defaultdict(float)
    for row in figures:
        for method, share in json.loads(row["method_mix"] or "{}").items():
            methods[method] += share * row["paid_charges"]
    mix = safe_mix({name: round(count * payers / charges) for name, count in methods.items()}, rules)
    if mix:
        found["method_mix"] = mix
    attempted = sum(row["attempted"] for row in figures)
    if attempted:
        found["success_percent"] = whole_percent(sum(row["succeeded"] for row in figures), attempted)
    return found
