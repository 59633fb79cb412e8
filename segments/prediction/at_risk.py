"""The table `churn_cohorts`: what is at stake in each retention cohort. It says which are worth a message.

Expected MRR at risk is chance x MRR: the chance in millionths, the MRR and the exchange rate exact, summed exactly
and rounded once, half to even. An MRR or rate that is unknown counts nought and is counted beside. Who has left is
no chance any more: their last MRR counts whole, as what winning them back is worth. Here: the sums. Not here: the
chances (`probabilities`), who is in which cohort (`segments.retention_cells`), what is done about it (activation).
"""

from collections import defaultdict
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from segments.cells import TIERS, Population
from segments.money import round_half_even
from segments.prediction.probabilities import MILLION, exact_mrr
from segments.rates import Rates
from segments.retention_cells import retention_groups
from segments.tables import SEGMENT_TABLES
from segments.thresholds import Thresholds
from segments.tier_cells import Revenue

__all__ = ["churn_cohorts"]

_SUMS: Final = {
    "expected_30d_minor": "p_30d",
    "expected_30d_voluntary_minor": "p_30d_voluntary",
    "expected_30d_involuntary_minor": "p_30d_involuntary",
    "expected_90d_minor": "p_90d",
}


def churn_cohorts(
    churn_probability: pa.Table,
    churn_risk: pa.Table,
    mrr_tiers: pa.Table,
    customer_mrr_months: pa.Table,
    *,
    rates: Rates,
    reporting_currency: str,
    as_of: datetime,
    thresholds: Thresholds | None = None,
) -> pa.Table:
    """A row for each cohort and tier that has customers enough, most at stake first."""
    limits = thresholds or Thresholds()
    population = Population(mrr_tiers["customer"], churn_risk["customer"])
    codes = population.codes(churn_risk["customer"])
    groups, _ = retention_groups(codes, Revenue(population, mrr_tiers), churn_risk, as_of=as_of, thresholds=limits)
    worth = {currency: rate for currency, (rate, _) in rates.items()} | {reporting_currency: Fraction(1)}
    running = _by_customer(churn_probability)
    left = _last_mrr(customer_mrr_months)
    names = churn_risk["customer"].to_pylist()
    ended = pc.equal(churn_risk["state"].cast(pa.string()), "canceled").to_pylist()
    rows: list[dict[str, Any]] = []
    for cohort, tier, members in groups:
        inside = [row for member in members.tolist() for row in running.get(names[member], ())]
        gone = [names[member] for member in members.tolist() if ended[member]]
        lost, unknown_lost = _lost(gone, left, worth)
        sums, unknown = _expected(inside, worth)
        rows.append(
            {
                "segment_key": f"retention:{cohort}:{tier}",
                "cohort": cohort,
                "tier": tier,
                "customers": len(members),
                "subscriptions": len(inside),
                "unknown_mrr": unknown + unknown_lost,
                **sums,
                "lost_minor": lost,
                "at_stake_minor": (sums["expected_30d_minor"] or 0) + lost,
                "reporting_currency": reporting_currency,
                "as_of": as_of,
            }
        )
    rows.sort(key=lambda row: (-row["at_stake_minor"], TIERS.index(row["tier"]), row["cohort"]))
    return pa.Table.from_pylist(rows, schema=SEGMENT_TABLES["churn_cohorts"])


def _by_customer(churn_probability: pa.Table) -> dict[str, list[dict[str, Any]]]:
    wanted = ["customer", "currency", "mrr", *_SUMS.values()]
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in churn_probability.select(wanted).to_pylist():
        found[row["customer"]].append(row)
    return found


def _expected(
    subscriptions: list[dict[str, Any]], worth: dict[str, Fraction]
) -> tuple[dict[str, int | None], int]:
    """The sums of a cohort and its MRR, and how many subscriptions have no known worth."""
    totals: dict[str, Fraction | None] = dict.fromkeys(_SUMS, Fraction(0))
    mrr, unknown = Fraction(0), 0
    for row in subscriptions:
        amount, rate = exact_mrr(row["mrr"]), worth.get(row["currency"])
        if amount is None or rate is None:
            unknown += 1
            continue
        mrr += amount * rate
        for name, chance in _SUMS.items():
            total, part = totals[name], row[chance]
            known = total is not None and part is not None
            totals[name] = total + round(part * MILLION) * amount * rate if known else None
    sums = {name: None if total is None else round_half_even(total / MILLION) for name, total in totals.items()}
    return {"mrr_minor": round_half_even(mrr), **sums}, unknown


def _last_mrr(customer_mrr_months: pa.Table) -> dict[str, tuple[Any, list[tuple[str, int]]]]:
    """By customer: the last month with revenue, and its amounts by currency."""
    last: dict[str, tuple[Any, list[tuple[str, int]]]] = {}
    columns = customer_mrr_months.select(["customer", "month", "currency", "mrr_minor"])
    for row in columns.filter(pc.greater(columns["mrr_minor"], 0)).to_pylist():
        month, amounts = last.get(row["customer"], (None, []))
        if month is None or row["month"] > month:
            month, amounts = row["month"], []
        if row["month"] == month:
            amounts = [*amounts, (row["currency"], row["mrr_minor"])]
        last[row["customer"]] = (month, amounts)
    return last


def _lost(
    customers: list[str], last: dict[str, tuple[Any, list[tuple[str, int]]]], worth: dict[str, Fraction]
) -> tuple[int, int]:
    """What those who left paid last, in the reporting currency, and how many amounts are unknown."""
    total, unknown = Fraction(0), 0
    for customer in customers:
        for currency, amount in last.get(customer, (None, []))[1]:
            if currency in worth:
                total += amount * worth[currency]
            else:
                unknown += 1
    return round_half_even(total), unknown
