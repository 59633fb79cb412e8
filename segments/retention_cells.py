"""Cells of the retention cohorts: failed payments, cancellations, signs of leaving, each by tier.

Here: who is in which cohort, folding of tiers, the signals that many members show. Not here: states and signals
(`segments.churn`). A customer whose subscription ended for a failed payment is asked to renew the payment, not won
back; one who was never in a tier with revenue is in no cohort.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segments.cells import TIERS, Codes, Family, Group, Hidden, Population, too_small
from segments.disclosure import OUTSIDE, Labels, dominated, rounded_amount, rounded_count, telling
from segments.thresholds import LEAST_K, Thresholds
from segments.tier_cells import Revenue, top_two

__all__ = ["COHORTS", "retention_cells", "retention_groups"]

COHORTS: Final = ("payment_recovery", "win_back", "save_offer")

_WORDS: Final = MappingProxyType(
    {
        **{
            word: word
            for word in (
                *("past_due", "failed_payment", "card_expiring", "contraction", "downgrade", "open_dispute"),
                *("renewal_due", "coupon_ending", "open_invoices", "too_expensive", "missing_features"),
                *("switched_service", "unused", "customer_service", "too_complex", "low_quality"),
            )
        },
        **dict.fromkeys(("dunning", "no_retry_left", "uncollectible", "unpaid", "incomplete"), "failed_payment"),
    }
)
"""What a message may answer, by signal."""
_OTHER: Final = "other"
_NO_SIGN: Final = ("", "expansion", "new_customer", "never_started", "scheduled_cancel")
"""Signals that a message cannot answer: growth, youth, and the state that the cohort is made of."""


def retention_cells(
    population: Population,
    revenue: Revenue,
    churn_risk: pa.Table,
    *,
    tiers: Iterable[Labels],
    reporting_currency: str,
    as_of: datetime,
    thresholds: Thresholds,
) -> Family:
    """The family `retention`.

    `tiers` are the tiers as they leave and ever left: MRR of a cohort leaves only where it cannot be taken from
    that of a tier to leave fewer than k customers.
    """
    rules = thresholds.disclosure
    codes = population.codes(churn_risk["customer"])
    at_risk = pc.fill_null(churn_risk["mrr_at_risk_minor"], 0).to_numpy()
    known = pc.is_valid(churn_risk["mrr_at_risk_minor"]).to_numpy()
    found, hidden = retention_groups(codes, revenue, churn_risk, as_of=as_of, thresholds=thresholds)
    labels = np.full(len(population), OUTSIDE, dtype=np.int64)
    for number, (_, _, rows) in enumerate(found):
        labels[codes[rows]] = number
    without_mrr = telling(labels, tiers, k=rules.k)
    signals = _top_signals(churn_risk["signals"], [rows for _, _, rows in found], thresholds.release.signals)
    groups = []
    for number, (name, place, rows) in enumerate(found):
        numbers: dict[str, Any] = {
            "kind": "retention",
            "cohort": name,
            "tier": place,
            "period": f"{as_of:%Y-%m}",
            "currency": reporting_currency,
            "customers": rounded_count(rows.size, rules),
            "signals": signals[number],
        }
        total, largest, second = top_two(at_risk[rows])
        if number not in without_mrr and known[rows].all() and not dominated(total, largest, second, rules):
            numbers["mrr_at_risk_minor"] = rounded_amount(total, rules)
        groups.append(Group(key=f"retention:{name}:{place}", members=codes[rows], numbers=numbers, size=rows.size))
    return Family(kind="retention", groups=tuple(groups), hidden=tuple(hidden))


def retention_groups(
    codes: Codes, revenue: Revenue, churn_risk: pa.Table, *, as_of: datetime, thresholds: Thresholds
) -> tuple[list[tuple[str, str, Codes]], list[tuple[Hidden, int]]]:
    """Who is in which group: cohort, tier and rows of `churn_risk`, small tiers folded; and what is too small.

    `codes` are the customers of `churn_risk` as numbers of the population of `revenue`.
    """
    cohort = _cohorts(churn_risk, as_of, thresholds)
    hidden: list[tuple[Hidden, int]] = []
    found: list[tuple[str, str, Codes]] = []
    for number, name in enumerate(COHORTS):
        tier = np.where(cohort == number, _tiers(churn_risk, codes, revenue), OUTSIDE)
        parts = _by_tier(tier, name, thresholds.disclosure.k, hidden)
        found += ((name, TIERS[place], rows) for place, rows in parts)
    return found, hidden


def _cohorts(churn_risk: pa.Table, as_of: datetime, thresholds: Thresholds) -> Codes:
    """Position in COHORTS of each row, or OUTSIDE."""
    state = churn_risk["state"].cast(pa.string())
    ended = pc.equal(state, "canceled").to_numpy()
    since = as_of - timedelta(days=thresholds.churn.window_days)
    recent = pc.greater_equal(
        churn_risk["since"], pa.scalar(since, churn_risk.schema.field("since").type)
    ).to_numpy()
    unpaid = pc.equal(churn_risk["kind"], "involuntary").to_numpy()
    leaving = pc.is_in(state, value_set=pa.array(["at_risk", "scheduled_cancel"])).to_numpy()
    cohort = np.full(churn_risk.num_rows, OUTSIDE, dtype=np.int64)
    cohort[leaving] = COHORTS.index("save_offer")
    cohort[ended & recent & ~unpaid] = COHORTS.index("win_back")
    cohort[(ended & recent & unpaid) | pc.equal(state, "past_due").to_numpy()] = COHORTS.index("payment_recovery")
    return cohort


def _tiers(churn_risk: pa.Table, codes: Codes, revenue: Revenue) -> Codes:
    """The tier of each row; of those who left, or lost their revenue, the one before."""
    ended = pc.equal(churn_risk["state"], "canceled").to_numpy()
    now, before = revenue.tier[codes], revenue.previous_tier[codes]
    return np.where((ended | (now < 0)) & (before >= 0), before, now)


def _by_tier(tier: Codes, cohort: str, k: int, hidden: list[tuple[Hidden, int]]) -> list[tuple[int, Codes]]:
    """Rows of a cohort by tier; tiers under k go into its largest. None when the whole cohort is under k."""
    parts = {place: np.flatnonzero(tier == place) for place in range(len(TIERS))}
    parts = {place: rows for place, rows in parts.items() if rows.size}
    if sum(rows.size for rows in parts.values()) < k:
        hidden += (
            (Hidden(f"retention:{cohort}:{TIERS[place]}", f"{too_small(k)} in the whole cohort"), rows.size)
            for place, rows in parts.items()
        )
        return []
    largest = max(parts, key=lambda place: parts[place].size)
    for place in [place for place, rows in parts.items() if rows.size < k and place != largest]:
        rows = parts.pop(place)
        parts[largest] = np.concatenate([parts[largest], rows])
        key, into = (f"retention:{cohort}:{TIERS[name]}" for name in (place, largest))
        hidden.append((Hidden(key, too_small(k), into), rows.size))
    return [(place, np.sort(rows)) for place, rows in sorted(parts.items())]


def _top_signals(column: pa.ChunkedArray, groups: Sequence[Codes], most: int) -> list[list[str]]:
    """For each group the signs that most members show; one that few show would be a cell of its own."""
    parts = pc.split_pattern(column.cast(pa.string()).combine_chunks(), "; ")
    rows = pc.list_parent_indices(parts).to_numpy()
    codes = pc.list_flatten(parts).dictionary_encode()
    words = [None if name in _NO_SIGN else _WORDS.get(name, _OTHER) for name in codes.dictionary.to_pylist()]
    names = sorted({word for word in words if word is not None})
    number = np.array([names.index(word) if word is not None else -1 for word in words], dtype=np.int64)
    signs = number[codes.indices.to_numpy()] if len(words) else np.empty(0, dtype=np.int64)
    pairs = np.unique(rows[signs >= 0] * max(len(names), 1) + signs[signs >= 0])
    found = []
    for group in groups:
        inside = np.zeros(len(column), dtype=bool)
        inside[group] = True
        shown = pairs[inside[pairs // max(len(names), 1)]] % max(len(names), 1)
        counts = np.bincount(shown, minlength=len(names))
        ranked = sorted(range(len(names)), key=lambda sign: (names[sign] == _OTHER, -counts[sign], names[sign]))
        found.append([names[sign] for sign in ranked if counts[sign] >= LEAST_K][:most])
    return found
