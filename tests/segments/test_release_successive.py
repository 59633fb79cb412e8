"""Random businesses over successive releases: no cell and no difference ever breaks a rule."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from activation.briefs import Brief
from segments.cells import TIERS
from segments.release import FAMILIES, Release
from segments.thresholds import DisclosureThresholds, ReleaseThresholds, Thresholds
from tests.segments.business import Customer, members_of, release

K = 11
LIMITS = Thresholds(disclosure=DisclosureThresholds(k=K), release=ReleaseThresholds(markets=5))
RUNS = 5
PLACES = (
    ("DE", "Western Europe"),
    ("FR", "Western Europe"),
    ("NL", "Western Europe"),
    ("IT", "Southern Europe"),
    ("ES", "Southern Europe"),
    ("AQ", "Antarctica"),
    ("unknown", "unknown"),
)
MRR = {"enterprise": 2_000_000, "mid_market": 200_000, "smb": 10_000, "none": 0}
SPREAD = (0.02, 0.1, 0.5)

_BRIEFS: TypeAdapter[Any] = TypeAdapter(Brief)

Sent = dict[str, tuple[dict[str, Any], frozenset[str]]]
"""By key: fields and members of the numbers that left in one release."""


def _customer(random: np.random.Generator, number: int) -> Customer:
    tier = str(random.choice([*MRR], p=[0.1, 0.25, 0.55, 0.1]))
    country, region = PLACES[random.choice(len(PLACES), p=[0.35, 0.2, 0.1, 0.15, 0.1, 0.02, 0.08])]
    heavy = 400 if random.random() < 0.004 else 1
    return Customer(
        id=f"cus_{number}",
        tier=tier,
        mrr=int(MRR[tier] * heavy * (1 + random.random())),
        previous_tier=str(random.choice(TIERS)),
        interval=str(random.choice(["month", "year", "week"], p=[0.7, 0.25, 0.05])),
        country=country,
        region=region,
        state=str(random.choice(["healthy", "at_risk", "past_due", "canceled"], p=[0.15, 0.4, 0.3, 0.15])),
        signals=str(random.choice(["dunning; past_due", "unused", "", "no such signal"])),
        growth=float(random.choice([0.01, 0.03])) if random.random() < 0.3 else None,
    )


def _later(random: np.random.Generator, people: list[Customer], run: int) -> list[Customer]:
    """Some left, some changed, some joined: few, a tenth, or half of them."""
    share = float(random.choice(SPREAD))
    stay = [one for one in people if random.random() > share / 3]
    moved = [replace(_customer(random, 0), id=one.id) if random.random() < share / 3 else one for one in stay]
    joined = int(len(people) * share / 3 * random.random() * 2)
    return [*moved, *(_customer(random, run * 10_000 + number) for number in range(joined))]


def _check_history(seed: int) -> None:
    random = np.random.default_rng(seed)
    people = [_customer(random, number) for number in range(int(random.integers(20, 220)))]
    last: Release | None = None
    sent: list[Sent] = []
    for run in range(RUNS):
        found = release(people, last=last, days=run, thresholds=LIMITS)
        now = _numbers_now(found)
        _check_cells(found, people)
        _check_differences(found, now, sent)
        _check_shares(found, people)
        sent.append(now)
        last = found
        people = _later(random, people, run + 1)


def _numbers_now(found: Release) -> Sent:
    """Fields and members of the groups whose numbers left anew."""
    members = members_of(found)
    return {
        cell.segment_key: (dict(cell.fields), frozenset(members[cell.segment_key]))
        for cell in found.cells
        if cell.status == "released" and "customers" in cell.fields
    }


def _text(fields: Any) -> str:
    return json.dumps(fields, sort_keys=True)


def _check_cells(found: Release, people: list[Customer]) -> None:
    by_id = {one.id: one for one in people}
    members = members_of(found)
    for cell in found.cells:
        brief: Any = _BRIEFS.validate_python(cell.fields)
        assert brief.segment_key == cell.segment_key
        assert "cus_" not in _text(cell.fields)
        if cell.status == "kept" or "customers" not in cell.fields:
            continue
        group = members[cell.segment_key]
        assert len(group) >= K
        assert abs(cell.fields["customers"] - len(group)) <= 4
        assert cell.fields["customers"] >= K
        revenue = sorted((by_id[name].mrr for name in group), reverse=True)
        if {"mrr_minor", "paid_minor", "mrr_at_risk_minor"} & cell.fields.keys():
            assert revenue[0] * 2 <= sum(revenue)
            assert sum(revenue[2:]) >= 0.15 * revenue[0]
        if cell.kind == "tier":
            assert group == {one.id for one in people if one.tier == cell.fields["tier"]}
        if cell.kind == "market":
            assert all(by_id[name].country != "unknown" for name in group)
        if cell.kind == "market" and "country" in cell.fields:
            assert group == {one.id for one in people if one.country == cell.fields["country"]}
        for name, share in cell.fields.get("interval_mix", {}).items():
            assert share * len(group) >= 100 * K - len(group), f"{name} shows fewer than k"


def _check_differences(found: Release, now: Sent, sent: list[Sent]) -> None:
    last = {key: fields for earlier in sent for key, (fields, _) in earlier.items()}
    for cell in found.cells:
        if cell.status == "kept":
            assert cell.fields == last[cell.segment_key], "not word for word"
            assert cell.members >= K
    for run, earlier in enumerate(sent):
        for key in now.keys() & earlier.keys():
            assert len(now[key][1] ^ earlier[key][1]) not in range(1, K), (key, run)
        for family in FAMILIES:
            assert not _small(_with(now, family), _with(earlier, family)), (family, run)
    # Both tell MRR, so they can be taken from each other.
    for run, other in enumerate([*sent, now]):
        assert not _small(_with(now, "retention", "mrr_at_risk_minor"), _with(other, "tier", "mrr_minor")), run
        assert not _small(_with(now, "tier", "mrr_minor"), _with(other, "retention", "mrr_at_risk_minor")), run


def _with(sent: Sent, family: str, name: str = "kind") -> list[frozenset[str]]:
    """Members of the groups of a family with a field."""
    return [members for key, (fields, members) in sent.items() if key.startswith(f"{family}:") and name in fields]


def _small(first: list[frozenset[str]], second: list[frozenset[str]]) -> set[int]:
    return _differences(first, second) & set(range(1, K))


def _differences(first: list[frozenset[str]], second: list[frozenset[str]]) -> set[int]:
    """Sizes of the differences between all sums of the one and all sums of the other."""
    everyone = sorted(frozenset[str]().union(*first, *second))
    place = {name: number for number, name in enumerate(everyone)}
    counts = np.zeros((len(first) + 1, len(second) + 1), dtype=np.int64)
    labels = np.zeros((2, len(everyone)), dtype=np.int64)
    for row, groups in enumerate((first, second)):
        for number, group in enumerate(groups, start=1):
            labels[row, [place[name] for name in group]] = number
    np.add.at(counts, (labels[0], labels[1]), 1)
    ours, theirs = _choices(len(first)), _choices(len(second))
    sizes = ours @ counts @ (1 - theirs).T + (1 - ours) @ counts @ theirs.T
    return set(np.unique(sizes).tolist())


def _choices(groups: int) -> np.ndarray:
    """All subsets as rows; the first column is the outside, in none."""
    numbers = np.arange(2**groups)[:, None]
    return np.hstack([np.zeros((2**groups, 1), dtype=np.int64), numbers >> np.arange(groups) & 1])


def _check_shares(found: Release, people: list[Customer]) -> None:
    tiers = {cell.fields["tier"]: cell for cell in found.cells if cell.kind == "tier"}
    if not any("share_percent" in cell.fields for cell in tiers.values() if cell.status == "released"):
        return
    assert all(cell.status == "released" for cell in tiers.values()), "a share beside an older one"
    shown = {tier for tier, cell in tiers.items() if "share_percent" in cell.fields}
    hidden = sorted((one.mrr for one in people if one.tier in set(TIERS) - shown), reverse=True)
    assert not hidden or (len(hidden) >= K and hidden[0] * 2 <= sum(hidden)), "shares give back a hidden tier"


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(60), id="60 histories of 5 releases"),
        pytest.param(range(60, 1_060), id="1,000 histories of 5 releases", marks=pytest.mark.soak),
    ],
)
def test_no_release_breaks_a_rule(seeds: range) -> None:
    for seed in seeds:
        _check_history(seed)
