"""The revenue step on tables of a lake: a repeated run computes what changed, and nothing else."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from assets.segments.revenue import mrr_movements, subscription_mrr
from ingest.tables import RAW_TABLES
from pipelines.definitions import build_definitions
from pipelines.settings import Settings
from resources.lake import Lake
from resources.state import State
from resources.state.exports import remember_delivery
from segments import mrr_table
from segments.tables import SEGMENT_TABLES
from tests.segments.billing import AS_OF, item, price, subscription
from tests.segments.raw import raw, segment

FIRST = datetime.fromtimestamp(AS_OF, UTC)
BEFORE = FIRST - timedelta(hours=1)
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


_SUBSCRIPTIONS = [_subscription(number, 2_900, BEFORE) for number in range(50)]
_CUSTOMERS = [{"id": f"cus_{number}", "fetched_at": BEFORE} for number in range(50)]


def _store(lake: Lake, table: str, *rows: dict[str, Any]) -> None:
    lake.replace(f"stripe/{table}", raw(table, *rows), RAW_TABLES[table])


def _read_up_to(state: State, time: datetime) -> None:
    remember_delivery(state, f"{time:%Y%m%d}", livemode=False, version_at=time, loaded_at=time)


def _run(settings: Settings) -> pa.Table:
    result = dg.materialize([subscription_mrr], resources=build_definitions(settings).resources)
    assert result.success
    return Lake(settings.lake).read("segments/subscription_mrr")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An account of fifty subscriptions and customers, read up to `FIRST`, nothing made of it yet."""
    settings = Settings(_env_file=None, data_dir=tmp_path)
    lake, state = Lake(settings.lake), State(settings.state_url)
    state.migrate()
    for name in ("prices", "coupons", "invoice_lines"):
        _store(lake, name)
    _store(lake, "customers", *_CUSTOMERS)
    _store(lake, "subscriptions", *_SUBSCRIPTIONS)
    _read_up_to(state, FIRST)
    return settings


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The subscriptions that each computation took."""
    found: list[list[str]] = []
    table = mrr_table._Calculation.table

    def counted(calculation: Any, rows: pa.Table) -> pa.Table:
        found.append(rows["id"].to_pylist())
        return table(calculation, rows)

    monkeypatch.setattr(mrr_table._Calculation, "table", counted)
    return found


def test_a_repeated_run_computes_only_the_subscription_that_changed(
    settings: Settings, computed: list[list[str]]
) -> None:
    first = _run(settings)

    rows = list(_SUBSCRIPTIONS)
    rows[7] = _subscription(7, 4_900, FIRST + timedelta(hours=1))
    _store(Lake(settings.lake), "subscriptions", *rows, _subscription(50, 900, FIRST + timedelta(hours=2)))
    _read_up_to(State(settings.state_url), SECOND)
    second = _run(settings)

    assert [len(computed[0]), *map(sorted, computed[1:])] == [50, ["sub_50", "sub_7"]]
    figures = dict(zip(second["subscription"].to_pylist(), second["mrr_minor"].to_pylist(), strict=True))
    assert figures == {f"sub_{number}": 2_900 for number in range(50)} | {"sub_7": 4_900, "sub_50": 900}
    assert set(first["as_of"].to_pylist()) == {FIRST}
    assert set(second["as_of"].to_pylist()) == {SECOND}


_EARLIER = BEFORE - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("table", "row", "recomputed"),
    [
        pytest.param(
            "subscriptions",
            _subscription(7, 4_900, _EARLIER),
            ["sub_7"],
            id="read by an extraction that failed, stored by the one that went on after the segments",
        ),
        pytest.param("customers", {"id": "cus_9", "fetched_at": _EARLIER}, ["sub_9"], id="the same of a customer"),
        pytest.param(
            "customers", {"id": "cus_9", "fetched_at": BEFORE, "deleted": True}, ["sub_9"], id="a tombstone"
        ),
        pytest.param("subscriptions", _SUBSCRIPTIONS[7], [], id="the same row in another file"),
    ],
)
def test_what_was_stored_since_is_computed_however_long_ago_it_was_read(
    table: str, row: dict[str, Any], recomputed: list[str], settings: Settings, computed: list[list[str]]
) -> None:
    _run(settings)

    rows = {each["id"]: each for each in (_CUSTOMERS if table == "customers" else _SUBSCRIPTIONS)}
    _store(Lake(settings.lake), table, *{**rows, row["id"]: row}.values())
    _read_up_to(State(settings.state_url), SECOND)
    _run(settings)

    assert computed[1:] == [recomputed]


@pytest.mark.parametrize("lost", ["*.parquet", "_delta_log/*0.json"])
def test_all_is_computed_when_the_version_that_it_was_made_from_is_gone(
    lost: str, settings: Settings, computed: list[list[str]]
) -> None:
    _run(settings)
    lake = Lake(settings.lake)
    old = sorted(Path(lake.path("stripe/subscriptions")).glob(lost))
    _store(lake, "subscriptions", *_SUBSCRIPTIONS)
    lake.open("stripe/subscriptions").create_checkpoint()
    for file in old:
        file.unlink()
    _run(settings)

    assert [len(rows) for rows in computed] == [50, 50]


def test_movements_name_the_currencies_that_they_leave_out(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    lake, state = Lake(settings.lake), State(settings.state_url)
    state.migrate()
    _read_up_to(state, FIRST)
    month = (FIRST.replace(day=1) - timedelta(days=1)).date().replace(day=1)
    amounts = {"month": month, "mrr_minor": 500, "mrr_list_minor": 500}
    people = [{"customer": f"cus_{number}", "currency": "xaf", **amounts} for number in range(3)]
    months = [{"customer": "cus_0", "currency": settings.reporting_currency, **amounts}, *people]
    old = {"date": month.replace(year=month.year - 2), "source": "a file"}
    rates = [{"currency": "usd", "rate": "1.1", **old}, {"currency": "aed", "rate": "3.97", **old}]
    for name, made in (("customer_mrr_months", months), ("fx_rates", rates)):
        lake.replace(f"segments/{name}", segment(name, *made), SEGMENT_TABLES[name])

    result = dg.materialize([mrr_movements], resources=build_definitions(settings).resources)

    (made,) = result.asset_materializations_for_node("segments__mrr_movements")
    assert made.metadata["customers_without_rate"].value == {"xaf": 3}
