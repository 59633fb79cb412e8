"""Expected revenue at risk: probability x MRR, summed by cohort. It says which cohorts are worth a message.

Amounts are integers in minor units; a chance enters as millionths, so that the sum is exact and is rounded
once, half to even. Currencies are never added up.
"""

from fractions import Fraction

import pandas as pd

from segments.prediction.record import KINDS

__all__ = ["expected_mrr_at_risk"]


def expected_mrr_at_risk(
    predictions: pd.DataFrame, revenue: pd.DataFrame, *, horizon_days: int = 30
) -> pd.DataFrame:
    """Revenue that is expected to leave within the horizon, per cohort and currency, most at risk first.

    `predictions` as `predict` returns them; `revenue` has row, cohort, currency and mrr_minor (integer, empty
    when unknown). Columns: cohort, currency, subscriptions, unknown_mrr (subscriptions whose MRR is not
    known: they count nought), mrr_minor, expected_ends, at_risk_minor, and per kind `at_risk_<kind>_minor`
    (empty where the kind isn't predicted).
    """
    name = f"p_{horizon_days}d"
    chances = {"at_risk_minor": name, **{f"at_risk_{kind}_minor": f"{name}_{kind}" for kind in KINDS}}
    joined = revenue.merge(predictions, on="row", how="inner", validate="one_to_one")
    rows = []
    for (cohort, currency), group in joined.groupby(["cohort", "currency"], sort=True):
        known = group[group["mrr_minor"].notna()]
        mrr = [int(value) for value in known["mrr_minor"]]
        sums: dict[str, int | None] = {}
        for column, chance in chances.items():
            values = known.get(chance)
            if values is None or values.isna().any():
                sums[column] = None
                continue
            millionths = (values * 1_000_000).round().astype("int64")
            total = sum(part * amount for part, amount in zip(millionths.tolist(), mrr, strict=True))
            sums[column] = round(Fraction(total, 1_000_000))
        rows.append(
            {
                "cohort": cohort,
                "currency": currency,
                "subscriptions": len(group),
                "unknown_mrr": len(group) - len(known),
                "mrr_minor": sum(mrr),
                "expected_ends": round(float(group[name].sum()), 2),
                **sums,
            }
        )
    columns = ["cohort", "currency", "subscriptions", "unknown_mrr", "mrr_minor", "expected_ends", *chances]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(chances, "Int64"))
    return table.sort_values(["at_risk_minor", "cohort"], ascending=[False, True]).reset_index(drop=True)
