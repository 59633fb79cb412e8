"""Daily reference rates in the layout of the European Central Bank's history file, made up but plausible.

`Date,USD,JPY,…`, newest first, base EUR, working days only: what a reader of
https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip expects. The same seed gives the same rate on a
date, however long the history.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Final

__all__ = ["eurofxref_csv"]

# Level, daily volatility, decimals as the ECB prints them.
_CURRENCIES: Final = {
    "USD": (1.1200, 0.0045, 4),
    "JPY": (158.00, 0.0050, 2),
    "GBP": (0.8550, 0.0035, 5),
    "CHF": (0.9450, 0.0030, 4),
    "SEK": (11.2000, 0.0035, 4),
    "CAD": (1.5200, 0.0040, 4),
    "AUD": (1.6800, 0.0050, 4),
    "SGD": (1.4700, 0.0030, 4),
    "INR": (95.0000, 0.0040, 4),
    "BRL": (6.1000, 0.0080, 4),
}
_ORIGIN: Final = date(2008, 1, 1)
_PULL: Final = 0.01


def eurofxref_csv(*, seed: int, first: date, last: date) -> bytes:
    """Rates from `first` to `last`, both included."""
    rng = Random(f"fx:{seed}")
    drift = dict.fromkeys(_CURRENCIES, 0.0)
    rows: list[str] = []
    day = min(_ORIGIN, first)
    while day <= last:
        if day.weekday() < 5:
            for name, (_, volatility, _) in _CURRENCIES.items():
                drift[name] += rng.gauss(0, volatility) - _PULL * drift[name]
            if day >= first:
                rates = (
                    f"{level * (1 + drift[name]):.{places}f}" for name, (level, _, places) in _CURRENCIES.items()
                )
                rows.append(f"{day.isoformat()},{','.join(rates)},")
        day += timedelta(days=1)
    return "\n".join([f"Date,{','.join(_CURRENCIES)},", *reversed(rows), ""]).encode()
