"""Reading a CSV of subscription histories: one row per subscription, in plain values.

The account that is made of them is in `histories`.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from sandbox.accounts.country_codes import ALPHA2

__all__ = ["History", "read_histories"]

_COLUMNS: Final = ("row", "created", "canceled_at", "plan_id", "interval", "quantity", "country_iso3")


@dataclass(frozen=True, slots=True)
class History:
    """One row: a subscription from its first day to its last, if it had one."""

    row: int
    created: date
    canceled_at: date | None
    plan_id: str
    interval: str
    quantity: int
    country: str | None


def read_histories(path: Path) -> Iterator[History]:
    """Raises ValueError with file and line for a row that cannot be read."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{path}: column {', '.join(missing)} is missing")
    for line in reader:
        try:
            yield History(
                row=int(line["row"]),
                created=date.fromisoformat(line["created"]),
                canceled_at=date.fromisoformat(line["canceled_at"]) if line["canceled_at"] else None,
                plan_id=line["plan_id"],
                interval=line["interval"],
                quantity=int(line["quantity"]),
                country=ALPHA2.get(line["country_iso3"]),
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}:{reader.line_num}: {error}") from error
