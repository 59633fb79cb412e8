"""A simulated account whose hazards are known, as subscription histories."""

import numpy as np
import pandas as pd

from segments.prediction.cycles import exposure, phases
from segments.prediction.histories import as_histories, day_number

RENEWAL = {"cheap": 0.10, "dear": 0.03}
UNPAID = 0.05
PER_DAY = 0.0005


def simulate(
    number: int, *, seed: int, first: str = "2024-01-01", last: str = "2024-12-31", collection: int = 12
) -> pd.DataFrame:
    """Sign-ups evenly from two years before `first` to `last`, with ends up to `last`.

    A tenth (cheap plan) or 3 % (dear plan) leave on a renewal day, 5 % `collection` days after one, and a few
    on any day. Nobody ends before `first`: it is an extract of those alive then.
    """
    rng = np.random.default_rng(seed)
    begin, finish = (pd.Timestamp(day).date() for day in (first, last))
    created = rng.integers(day_number(begin) - 730, day_number(finish) - 5, number)
    frame = pd.DataFrame(
        {
            "row": np.arange(number),
            "created": pd.to_datetime(created, unit="D").strftime("%Y-%m-%d"),
            "canceled_at": None,
            "plan_id": np.where(rng.random(number) < 0.5, "cheap", "dear"),
            "interval": np.where(rng.random(number) < 0.7, "month", "year"),
            "quantity": 1,
            "country": np.where(rng.random(number) < 0.5, "FR", "JP"),
        }
    )
    parts = phases([collection])
    time = exposure(as_histories(frame), parts, first=day_number(begin), last=day_number(finish))
    name = np.array([part.name for part in parts])[time.phase]
    plan = frame["plan_id"].map(RENEWAL).to_numpy()[time.subject]
    daily = np.select([name == "renewal", name == f"collection+{collection}"], [plan, UNPAID], PER_DAY)
    ends = rng.random(len(daily)) < 1 - (1 - daily) ** time.days
    # Within a phase the day is drawn evenly; the first end of a subscription counts.
    day = time.first + rng.integers(0, time.days)
    hits = pd.DataFrame({"at": time.subject[ends], "day": day[ends]}).drop_duplicates("at")
    frame.loc[hits["at"], "canceled_at"] = pd.to_datetime(hits["day"], unit="D").dt.strftime("%Y-%m-%d").to_numpy()
    return frame
