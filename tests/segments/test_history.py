"""One row for each segment and day."""

from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest

from segments.history import segment_history
from tests.segments.raw import AS_OF, ENGINES, at, by_key, on, raw, segment


def _history(engine: str = "pandas", *, previous: pa.Table | None = None, **changes: Any) -> pa.Table:
    sources = on(
        engine,
        mrr_tiers=segment(
            "mrr_tiers",
            {"customer": "cus_1", "tier": "smb", "mrr_minor": 500},
            {"customer": "cus_2", "tier": "smb", "mrr_minor": 300},
            {"customer": "cus_3", "tier": "unknown", "mrr_minor": None},
        ),
        churn_risk=segment(
            "churn_risk", {"customer": "cus_1", "state": "healthy"}, {"customer": "cus_2", "state": "past_due"}
        ),
        customer_markets=segment(
            "customer_markets",
            *({"customer": f"cus_{n}", "country": country} for n, country in enumerate(("DE", "DE", "FR"), 1)),
        ),
        growth=segment(
            "growth", {"customer": "cus_1", "candidate": True}, {"customer": "cus_2", "candidate": False}
        ),
        disputes=raw(
            "disputes",
            *(
                {"charge": charge, "reason": reason, "status": status, "created": created}
                for charge, reason, status, created in (
                    ("ch_1", "duplicate", "won", at("2026-05-01")),
                    ("ch_1", "duplicate", "lost", at("2026-05-02")),
                    ("ch_2", "duplicate", "warning_closed", at("2026-05-02")),
                    ("ch_2", "general", "lost", at("2024-05-02")),
                    ("ch_2", None, "lost", at("2026-01-02")),
                )
            ),
        ),
        charges=raw("charges", {"id": "ch_1", "customer": "cus_1"}, {"id": "ch_2", "customer": "cus_2"}),
    )
    return segment_history(**sources, previous=previous, reporting_currency="usd", as_of=AS_OF, **changes)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_family_is_counted_once_a_day(engine: str) -> None:
    found = by_key(_history(engine), "family", "segment")
    assert {key: (row["customers"], row["mrr_minor"]) for key, row in found.items()} == {
        ("tier", "smb"): (2, 800),
        ("tier", "unknown"): (1, 0),
        ("risk", "healthy"): (1, 500),
        ("risk", "past_due"): (1, 300),
        ("market", "DE"): (2, 800),
        ("market", "FR"): (1, 0),
        ("growth", "candidate"): (1, 500),
        ("growth", "other"): (1, 300),
        ("dispute", "duplicate"): (1, 500),
        ("dispute", "unknown"): (1, 300),
    }
    assert {row["day"] for row in found.values()} == {AS_OF.date()}


def test_a_second_run_of_a_day_replaces_the_day_and_no_other() -> None:
    earlier = segment(
        "segment_history",
        *(
            {"day": day, "family": "tier", "segment": name, "customers": 9, "mrr_minor": 9}
            for day, name in ((AS_OF.date() - timedelta(days=1), "smb"), (AS_OF.date(), "enterprise"))
        ),
    )
    found = by_key(_history(previous=earlier), "day", "family", "segment")
    assert found[date(2026, 5, 14), "tier", "smb"]["customers"] == 9
    assert (AS_OF.date(), "tier", "enterprise") not in found
    assert found[AS_OF.date(), "tier", "smb"]["customers"] == 2
