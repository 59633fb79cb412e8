"""The revenue step on tables of a lake: a repeated run computes what changed, and nothing else."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets.segments.revenue import subscription_mrr
from ingest.tables import RAW_TABLES
from pipelines.definitions import build_definitions
from pipelines.settings import Settings
from resources.lake import Lake
from resources.state import State
from resources.state.exports import remember_delivery
from segments import mrr_table
from tests.segments.billing import AS_OF, item, price, subscription
from tests.segments.raw import raw

FIRST = datetime.fromtimestamp(AS_OF, UTC)
SECOND = FIRST + timedelta(days=1)


def _subscription(number: int, amount: int, fetched_at: datetime) -> dict[str, Any]:
    billing = subscription(item(price(amount)), id=f"sub_{number}", customer=f"cus_{number}")
    return {
        "id": f"sub_{number}",
        "customer": f"cus_{number}",
        "status": "active",
        "currency": "usd",
        "billing": json.dumps(billing),
        "items_complete": True,
        "fetched_at": fetched_at,
    }


def _store(lake: Lake, table: str, *rows: dict[str, Any]) -> None:
    lake.replace(f"stripe/{table}", raw(table, *rows), RAW_TABLES[table])


def _read_up_to(state: State, time: datetime) -> None:
    remember_delivery(state, f"{time:%Y%m%d}", livemode=False, version_at=time, loaded_at=time)


def _run(settings: Settings) -> pa.Table:
    result = dg.materialize([subscription_mrr], resources=build_definitions(settings).resources)
    assert result.success
    return Lake(settings.lake).read("segments/subscription_mrr")


def test_a_repeated_run_computes_only_the_subscription_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    lake, state = Lake(settings.lake), State(settings.state_url)
    state.migrate()
    computed: list[list[str]] = []
    table = mrr_table._Calculation.table

    def counted(calculation: Any, rows: pa.Table) -> pa.Table:
        computed.append(rows["id"].to_pylist())
        return table(calculation, rows)

    monkeypatch.setattr(mrr_table._Calculation, "table", counted)
    before = FIRST - timedelta(hours=1)
    for name in ("prices", "coupons", "invoice_lines"):
        _store(lake, name)
    _store(lake, "customers", *({"id": f"cus_{number}", "fetched_at": before} for number in range(50)))
    _store(lake, "subscriptions", *(_subscription(number, 2_900, before) for number in range(50)))
    _read_up_to(state, FIRST)
    first = _run(settings)

    rows = [_subscription(number, 2_900, before) for number in range(50)]
    rows[7] = _subscription(7, 4_900, FIRST + timedelta(hours=1))
    _store(lake, "subscriptions", *rows, _subscription(50, 900, FIRST + timedelta(hours=2)))
    _read_up_to(state, SECOND)
    second = _run(settings)

    assert [len(computed[0]), *map(sorted, computed[1:])] == [50, ["sub_50", "sub_7"]]
    figures = dict(zip(second["subscription"].to_pylist(), second["mrr_minor"].to_pylist(), strict=True))
    assert figures == {f"sub_{number}": 2_900 for number in range(50)} | {"sub_7": 4_900, "sub_50": 900}
    assert set(first["as_of"].to_pylist()) == {FIRST}
    assert set(second["as_of"].to_pylist()) == {SECOND}
