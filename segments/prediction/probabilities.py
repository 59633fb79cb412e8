"""The table `churn_probability`: the chance of each running subscription, its MRR and a sentence about it.

Here: who is listed, chances to the millionth, amounts. Not here: the chances themselves (`record`), sums by cohort
(`at_risk`). An end that is decided but not reached is no chance any more: it falls within the horizon or it
doesn't.
"""

from datetime import datetime
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from segments.money import round_half_even
from segments.prediction.cycles import next_renewal
from segments.prediction.histories import Histories, as_histories, day_number
from segments.prediction.payments import SIGN_WORDS, Payments
from segments.prediction.record import HORIZONS, KINDS, ModelRecord, live_rows, predict
from segments.tables import SEGMENT_TABLES

__all__ = ["MILLION", "churn_probability", "exact_mrr"]

MILLION: Final = 1_000_000
_SOON_DAYS: Final = 30
_CHANCES: Final = [f"p_{days}d{part}" for days in HORIZONS for part in ("", *(f"_{kind}" for kind in KINDS))]


def churn_probability(
    model: ModelRecord,
    histories: pd.DataFrame,
    payments: Payments,
    subscription_mrr: pa.Table,
    *,
    as_of: datetime,
) -> pa.Table:
    """A row for each subscription that runs: at risk with its chance, or leaving on a day that is decided.

    `histories` as `from_stripe` makes them; of `subscription_mrr` the columns subscription, currency and mrr.
    """
    today = as_of.date()
    checked = as_histories(histories)
    live = live_rows(checked, today)
    chances = predict(model, checked, snapshot=today, payments=payments).set_index("row")
    chances = chances.assign(explanation=_explained(live, chances, payments, day_number(today)), state="at_risk")
    chances = pd.concat([chances, _leaving(histories, day_number(today))])
    mrr = subscription_mrr.select(["subscription", "currency", "mrr"]).to_pandas().set_index("subscription")
    customers = histories.set_index("row")["customer"]
    table = chances.join(mrr).join(customers).rename_axis("subscription").reset_index()
    table[_CHANCES] = table[_CHANCES].astype("float64").round(6)
    amounts = [exact_mrr(value) for value in table["mrr"]]
    for days in HORIZONS:
        millionths = (table[f"p_{days}d"] * MILLION).round().astype("int64")
        risked = [
            None if amount is None else round_half_even(Fraction(part * amount, MILLION))
            for part, amount in zip(millionths.tolist(), amounts, strict=True)
        ]
        table[f"at_risk_{days}d_minor"] = pd.array(risked, dtype="Int64")
    table = table.assign(model=model.hash, as_of=pd.Timestamp(as_of)).sort_values("subscription")
    schema = SEGMENT_TABLES["churn_probability"]
    return pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False)


def exact_mrr(text: Any) -> Fraction | int | None:
    """An amount as `subscription_mrr` writes it; None when it is unknown."""
    if not isinstance(text, str):
        return None
    return Fraction(text) if "/" in text else int(text)


def _leaving(histories: pd.DataFrame, today: int) -> pd.DataFrame:
    """Those whose end is decided and not reached: certain within the horizon that holds the day, else nought."""
    going = histories[histories["ends_on"].notna()]
    ends = pd.to_datetime(going["ends_on"])
    left = (ends - pd.Timestamp(today, unit="D")).dt.days.to_numpy()
    kind = going["reason"].where(going["reason"].isin(KINDS), "unknown").to_numpy()
    chances: dict[str, Any] = {}
    for days in HORIZONS:
        certain = (left <= days).astype(np.float64)
        chances[f"p_{days}d"] = certain
        chances |= {f"p_{days}d_{name}": np.where(kind == name, certain, 0.0) for name in KINDS}
    told = [f"Its end on {day:%Y-%m-%d} is decided." for day in ends]
    return pd.DataFrame({**chances, "explanation": told, "state": "leaving"}, index=pd.Index(going["row"]))


def _explained(live: Histories, chances: pd.DataFrame, payments: Payments, today: int) -> list[str]:
    """The chance beside the average, and what is known: renewal, tenure, payment signs."""
    near = chances["p_30d"].to_numpy(dtype=np.float64)
    average = float(near.mean()) if len(near) else 1.0
    renewal = next_renewal(live, today)
    shown = payments.at(live.row, today)
    months = np.rint(np.maximum(today - live.created, 0) / 30.4375).astype(np.int64)
    signs = {word: shown[sign].to_numpy() for sign, word in SIGN_WORDS.items()}
    texts = []
    for at, chance in enumerate(near.tolist()):
        parts = [f"{months[at]} months a customer"]
        if renewal[at] <= today + _SOON_DAYS:
            parts.append(f"renews on {np.datetime64(int(renewal[at]), 'D')}")
        parts += [word for word, marks in signs.items() if marks[at]]
        texts.append(f"{chance:.1%} within 30 days, {chance / average:.1f} times the average: {'; '.join(parts)}.")
    return texts
