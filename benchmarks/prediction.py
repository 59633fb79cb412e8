"""How good and how fast the churn model is on a file of subscription histories.

    python -m benchmarks.prediction --histories FILE

Prints the back-test at every month end that the file allows, and 30 days ahead from other days, as a Markdown
table, then the time to fit and predict at the last day with known outcomes, on one core.
"""

import argparse
import time
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from segments.prediction import backtest, fit, month_splits, predict

HORIZON, STEP, MOST = 30, 10, 6
COLUMNS = {
    "snapshot": "fitted up to",
    "horizon_days": "tested, days",
    "forecast": "forecast",
    "group": "interval",
    "n": "n",
    "events": "ends",
    "auc": "AUC",
    "brier": "Brier",
    "brier_constant": "constant",
    "lift_10": "lift 10 %",
    "capture_10": "capture 10 %",
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=Path, required=True, help="CSV of subscription histories")
    histories = pd.read_csv(parser.parse_args().histories)
    last = date.fromisoformat(str(histories["canceled_at"].max())[:10])
    with threadpool_limits(1):
        start = time.perf_counter()
        model = fit(histories, snapshot=last)
        chance = predict(model, histories, snapshot=last)
        seconds = time.perf_counter() - start
        first = date.fromisoformat(model.first_day or last.isoformat())
        latest = last - timedelta(days=HORIZON)
        others = [(first + timedelta(days=after), HORIZON) for after in range(14, (latest - first).days, STEP)]
        record = backtest(histories, splits=[*month_splits(first, last), *others[-MOST:], (latest, HORIZON)])
    table = record.table()[list(COLUMNS)].rename(columns=COLUMNS)
    print("| " + " | ".join(table.columns) + " |\n" + "|---" * len(table.columns) + "|")
    for values in table.itertuples(index=False):
        print("| " + " | ".join(_text(value) for value in values) + " |")
    print(f"\n{len(histories):,} histories, {len(chance):,} live at {last}")
    print(f"fit and predict: {seconds:.1f} s on one core")
    print(f"method {model.method}, collection days {model.collection_days}, record {model.hash[:12]}")


def _text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
