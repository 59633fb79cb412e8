"""The same account through the API's parsers and through its exports: the raw tables agree object by object."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.exports import ExportReport, Layout, deliveries_in, list_files, load_delivery
from ingest.rows import Provenance, parse
from ingest.tables import RAW_TABLES
from resources.lake import Lake
from sandbox.exports.writers import write_dashboard_csv, write_pipeline_run
from sandbox.simulation.business import Business
from sandbox.stripe.store import Store

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LAYOUT = Layout(livemode=False)
_RESOURCES = {
    "customers": None,
    "subscriptions": "subscription_items",
    "prices": None,
    "coupons": None,
    "charges": None,
    "payment_methods": None,
    "invoices": "invoice_lines",
    "invoice_payments": None,
    "disputes": None,
    "refunds": None,
}
_PROVENANCE = {"version_at", "fetched_at", "source"}
# What the tables of the export do not have, or have under another name than the object itself.
_ELSEWHERE = {
    # In this API version the link is in invoice payments; the export repeats it in the row.
    "charges": {"invoice"},
    "invoices": {"charge", "payment_intent"},
}


@dataclass(frozen=True)
class Account:
    store: Store
    folder: Path
    rows: dict[str, dict[str, dict[str, Any]]]


def _expanded(store: Store, name: str, obj: dict[str, Any]) -> dict[str, Any]:
    """An object with what the extraction expands: tiers, currency options, discounts."""
    expanded = {**obj, **store.expandable.get(obj["id"], {})}
    if name == "subscriptions":
        expanded["discounts"] = [store.discounts[one] for one in obj["discounts"]]
        for item in expanded["items"]["data"]:
            item["discounts"] = [store.discounts[one] for one in item["discounts"]]
    return expanded


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Account:
    """An account of 400 customers, as exports on disk and as the rows that the API's parsers give."""
    store = Business(seed=7, customers=400, end=datetime(2026, 11, 20, tzinfo=UTC), months=14).store
    folder = tmp_path_factory.mktemp("exports")
    write_pipeline_run(store, folder, run="2026112006", livemode=False, rows_per_file=300)
    write_dashboard_csv(store, folder / "dashboard")
    rows: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in RAW_TABLES}
    provenance = Provenance(0, 0, "api", False)
    for name, child in _RESOURCES.items():
        for object_id in list(store[name].ids()):
            parsed = parse(name, _expanded(store, name, store[name].get(object_id)), provenance)
            rows[name][object_id] = parsed.row
            for row in parsed.children:
                assert child is not None
                rows[child][row["id"]] = row
    return Account(store, folder, rows)


@pytest.fixture(scope="module")
def lake(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    (run,) = [
        one for one in deliveries_in(list_files(str(account.folder)), layout=LAYOUT) if one.kind == "pipeline"
    ]
    report = load_delivery(str(account.folder), run, lake, now=NOW, exponents={})
    assert report.refused == {}
    assert report.quarantined == 0
    return lake


def _read(lake: Lake, table: str) -> dict[str, dict[str, Any]]:
    rows = {row["id"]: row for row in lake.read(f"stripe/{table}").to_pylist()}
    times = [field.name for field in RAW_TABLES[table] if "timestamp" in str(field.type)]
    for row in rows.values():
        for name in times:
            row[name] = None if row[name] is None else int(row[name].timestamp()) * 1_000_000
    return rows


def _plain(value: Any) -> Any:
    """JSON without nulls, and without the order of items, which the API does not promise."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _missing(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where the export's JSON says something that the API's does not."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [gap for key in ours for gap in _missing(ours[key], theirs.get(key), f"{path}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        if all(isinstance(one, dict) and "id" in one for one in [*ours, *theirs]) and path.endswith("data"):
            ours, theirs = (sorted(side, key=lambda one: str(one["id"])) for side in (ours, theirs))
        return [
            gap for mine, other in zip(ours, theirs, strict=True) for gap in _missing(mine, other, f"{path}[]")
        ]
    return [] if ours == theirs else [f"{path}: {ours!r} is not {theirs!r}"]


@pytest.mark.parametrize("table", [name for name in RAW_TABLES if name != "events"])
def test_data_pipeline_gives_the_rows_of_the_api(account: Account, lake: Lake, table: str) -> None:
    exported, wanted = _read(lake, table), account.rows[table]
    assert exported.keys() == wanted.keys()
    assert wanted, "an empty table proves nothing"
    documents = {"billing", "discount"}
    columns = set(RAW_TABLES[table].names) - _PROVENANCE - _ELSEWHERE.get(table, set()) - documents
    for object_id, row in wanted.items():
        mine = exported[object_id]
        assert {name: mine[name] for name in columns} == {name: row[name] for name in columns}
        assert (mine["source"], mine["fetched_at"]) == ("export", int(NOW.timestamp()) * 1_000_000)
        for name in documents & set(RAW_TABLES[table].names):
            assert (mine[name] is None) == (row[name] is None)
            if row[name] is not None:
                assert _missing(_plain(json.loads(mine[name])), _plain(json.loads(row[name]))) == []


def test_the_export_says_all_that_revenue_rules_read(account: Account, lake: Lake) -> None:
    exported, wanted = _read(lake, "subscriptions"), account.rows["subscriptions"]
    discounted = 0
    for object_id, row in wanted.items():
        ours, theirs = json.loads(exported[object_id]["billing"]), json.loads(row["billing"])
        assert ours["items"]["has_more"] is False
        for name in ("status", "currency", "trial_end", "cancel_at_period_end", "pause_collection"):
            assert ours[name] == theirs[name]
        priced = (
            "unit_amount",
            "unit_amount_decimal",
            "billing_scheme",
            "tiers_mode",
            "transform_quantity",
            "product",
        )
        for mine, other in zip(
            *(sorted(doc["items"]["data"], key=lambda item: str(item["id"])) for doc in (ours, theirs)),
            strict=True,
        ):
            assert mine["quantity"] == other.get("quantity")
            assert {name: mine["price"][name] for name in priced} == {
                name: other["price"][name] for name in priced
            }
            discounted += len(mine["discounts"])
        coupons = [[one["source"]["coupon"] for one in doc["discounts"]] for doc in (ours, theirs)]
        assert coupons[0] == coupons[1]
        discounted += len(coupons[0])
    assert discounted > 0
    tiered = [json.loads(row["billing"]) for row in _read(lake, "prices").values()]
    assert any(price.get("tiers") for price in tiered)


def test_links_of_charges_and_invoices_are_those_of_invoice_payments(account: Account, lake: Lake) -> None:
    links = account.rows["invoice_payments"].values()
    payments = {(row["payment_intent"] or row["charge"], row["invoice"]) for row in links}
    payments = {(payment, invoice) for payment, invoice in payments if payment is not None}
    invoices_of = {payment: {invoice for one, invoice in payments if one == payment} for payment, _ in payments}
    charges = _read(lake, "charges")
    for object_id, row in account.rows["charges"].items():
        assert charges[object_id]["invoice"] in invoices_of.get(row["payment_intent"] or object_id, {None})
    linked = 0
    for invoice in _read(lake, "invoices").values():
        payment = invoice["payment_intent"] or invoice["charge"]
        if payment is not None:
            assert (payment, invoice["id"]) in payments
            linked += 1
    assert linked == len({invoice for _, invoice in payments})


def test_nothing_that_names_a_customer_is_kept(account: Account, lake: Lake) -> None:
    kept = "".join(
        str(lake.read(f"stripe/{table}").to_pylist()) for table in RAW_TABLES if table != "events"
    ).lower()
    assert "canary" not in kept
    assert "@" not in kept


# The Dashboard's files tell fewer columns; those they tell agree.
_CSV_COLUMNS = {
    "customers": "created currency delinquent deleted livemode",
    "subscriptions": "created customer status currency start_date ended_at canceled_at cancel_at_period_end"
    " cancellation_reason trial_start trial_end current_period_start current_period_end deleted livemode",
    "charges": "created customer payment_intent amount amount_captured amount_refunded currency status paid"
    " captured refunded disputed outcome_reason deleted livemode",
    "disputes": "created charge payment_intent amount currency reason status evidence_due_by deleted livemode",
    "invoices": "created customer subscription currency status subtotal total amount_due amount_paid"
    " amount_remaining collection_method due_date paid_at deleted livemode",
}


@pytest.fixture(scope="module")
def csv_lake(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(str(tmp_path_factory.mktemp("csv")))
    for report in _load_csv(account, lake):
        assert report.refused == {}
        assert report.quarantined == 0
    return lake


def _load_csv(account: Account, lake: Lake, *, layout: Layout = LAYOUT) -> list[ExportReport]:
    files = [one for one in deliveries_in(list_files(str(account.folder)), layout=layout) if one.kind == "csv"]
    return [load_delivery(str(account.folder), one, lake, now=NOW, exponents={"jpy": 0}) for one in files]


@pytest.mark.parametrize("table", _CSV_COLUMNS)
def test_dashboard_csv_gives_the_rows_of_the_api_in_the_columns_it_has(
    account: Account, csv_lake: Lake, table: str
) -> None:
    exported, wanted = _read(csv_lake, table), account.rows[table]
    assert exported.keys() == wanted.keys()
    columns = _CSV_COLUMNS[table].split()
    for object_id, row in wanted.items():
        assert {name: exported[object_id][name] for name in columns} == {name: row[name] for name in columns}


def test_dashboard_csv_alone_leaves_discounts_unknown_and_keeps_no_name(csv_lake: Lake) -> None:
    for row in _read(csv_lake, "subscriptions").values():
        billing = json.loads(row["billing"])
        assert billing["discounts"] == ["not exported"]
        assert billing["items"]["has_more"] is not row["items_complete"]
    kept = "".join(str(csv_lake.read(f"stripe/{table}").to_pylist()) for table in _CSV_COLUMNS).lower()
    assert "canary" not in kept
    assert "@" not in kept


def test_a_newer_csv_changes_only_what_it_tells(account: Account, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    (run,) = [
        one for one in deliveries_in(list_files(str(account.folder)), layout=LAYOUT) if one.kind == "pipeline"
    ]
    load_delivery(str(account.folder), run, lake, now=NOW, exponents={})
    before = _read(lake, "subscriptions")
    path = account.folder / "dashboard" / "subscriptions.csv"
    lines = path.read_text().splitlines()
    victim = next(line for line in lines if ",active," in line)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "subscriptions.csv").write_text(f"{lines[0]}\n{victim.replace(',active,', ',past_due,')}\n")
    later = (NOW + timedelta(days=1)).timestamp()
    os.utime(fresh / "subscriptions.csv", (later, later))
    (delivery,) = deliveries_in(list_files(str(fresh)), layout=LAYOUT)
    load_delivery(str(fresh), delivery, lake, now=NOW, exponents={"jpy": 0})
    after = _read(lake, "subscriptions")
    object_id = victim.split(",")[0]
    changed = {name for name in after[object_id] if after[object_id][name] != before[object_id][name]}
    assert changed == {"status", "billing", "version_at"}
    old, new = json.loads(before[object_id]["billing"]), json.loads(after[object_id]["billing"])
    assert (new["status"], new["items"], new["discounts"]) == ("past_due", old["items"], old["discounts"])
    assert {key: row for key, row in after.items() if key != object_id} == {
        key: row for key, row in before.items() if key != object_id
    }
