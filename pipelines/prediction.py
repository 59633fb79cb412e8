"""The command `predict`: chances of churn for a file of subscription histories.

Here: reading the CSV and writing the answer, whole or not at all. Not here: the model (`segments.prediction`).
"""

from datetime import date
from pathlib import Path

import pandas as pd
from rich.console import Console

from pipelines.answer import Answer
from segments.prediction import fit, predict, usable_lines

__all__ = ["predict_histories"]


def predict_histories(histories: Path, *, snapshot: date, out: Path) -> Answer:
    """Fit on what was known at the snapshot, and write `row, p_30d` for every history that is live then.

    Lines without an identifier or a readable day are left out and counted. Raises: OSError; ValueError for a file
    that is no CSV of histories.
    """
    lines_read = pd.read_csv(histories, dtype=str, keep_default_na=False)
    usable = usable_lines(lines_read)
    # A file of nothing but such lines is no file of histories: its first one says why.
    known = lines_read[usable] if usable.any() else lines_read
    model = fit(known, snapshot=snapshot)
    chances = predict(model, known, snapshot=snapshot, horizons=(30,))[["row", "p_30d"]]
    half = out.with_name(f".{out.name}.part")
    chances.to_csv(half, index=False)
    half.replace(out)
    payload = {
        "histories": len(known),
        "left_out": len(lines_read) - len(known),
        "live": len(chances),
        "expected_churn": round(float(chances["p_30d"].sum()), 1),
        "method": model.method,
        "fallback": model.fallback,
        "fitted_from": str(model.first_day),
        "fitted_to": str(model.last_day),
        "model": model.hash,
        "out": str(out),
    }
    left_out = [f"{payload['left_out']:,} lines without an identifier or a readable day were left out."]
    lines = [
        f"{len(chances):,} of {len(known):,} subscriptions are live on {snapshot}; "
        f"{payload['expected_churn']:,} are expected to churn within 30 days.",
        *(left_out if payload["left_out"] else []),
        f"Model: {model.method}" + (f" ({model.fallback})" if model.fallback else ""),
        f"Written to {out}",
    ]

    def page(console: Console) -> None:
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return Answer(payload=payload, page=page)
