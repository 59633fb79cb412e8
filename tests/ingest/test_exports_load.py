"""Loading: what is set aside, what is left out, what wins, and that a second time changes nothing."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.exports import Delivery, ExportReport, Layout, deliveries_in, list_files, load_delivery
from ingest.exports import merge as merge_module
from ingest.tables import RAW_TABLES
from resources.lake import Lake

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LAYOUT = Layout(livemode=True)
MADE = datetime(2026, 11, 20, 18, tzinfo=UTC)
VERSION = MADE - timedelta(hours=12)
ZERO = {"jpy": 0, "kwd": 3}
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - Data Pipeline writes UTC without saying so


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return tmp_path / "exports"


def deliver(
    exports: Path, tables: Mapping[str, list[dict[str, Any]]], *, run: str = "r1", made: datetime = MADE
) -> Delivery:
    base = exports / "livemode" / run
    for name, rows in tables.items():
        (base / name).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), base / name / "part-0.parquet")
    marker = base / "coreapi_SUCCESS"
    marker.touch()
    os.utime(marker, (made.timestamp(), made.timestamp()))
    return next(one for one in deliveries_in(list_files(str(exports)), layout=LAYOUT) if f"/{run}:" in one.id)


def csv(exports: Path, name: str, text: str, *, made: datetime = MADE) -> Delivery:
    exports.mkdir(parents=True, exist_ok=True)
    path = exports / name
    path.write_text(text, encoding="utf-8")
    os.utime(path, (made.timestamp(), made.timestamp()))
    return next(
        one
        for one in deliveries_in(list_files(str(exports)), layout=LAYOUT)
        if any(file.path == name for file in one.files)
    )


def load(exports: Path, delivery: Delivery, lake: Lake, **options: Any) -> ExportReport:
    return load_delivery(str(exports), delivery, lake, **{"now": NOW, "exponents": ZERO, **options})


def rows(lake: Lake, table: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in lake.read_or_empty(f"stripe/{table}", RAW_TABLES[table]).to_pylist()}


def quarantine(lake: Lake) -> list[tuple[str, str, str]]:
    if not lake.exists("stripe/quarantine"):
        return []
    found = lake.read("stripe/quarantine").to_pylist()
    return sorted((row["table"], row["object_id"] or "", row["reason"]) for row in found)


def customer(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"cus_{number}", "created": NAIVE, "currency": "usd", "delinquent": False, **more}


def stored(lake: Lake, table: str, *given: dict[str, Any], version_at: datetime) -> None:
    """Rows as the API left them."""
    blank = dict.fromkeys(RAW_TABLES[table].names)
    common = {"livemode": True, "deleted": False, "version_at": version_at, "fetched_at": NOW, "source": "api"}
    table_rows = pa.Table.from_pylist([{**blank, **common, **one} for one in given], schema=RAW_TABLES[table])
    lake.merge(f"stripe/{table}", table_rows, RAW_TABLES[table], newer="version_at")


def test_rows_carry_where_they_come_from_and_what_time_they_are_true_for(exports: Path, lake: Lake) -> None:
    report = load(exports, deliver(exports, {"customers": [customer(1, address_country="DE")]}), lake)
    assert [(one.table, one.rows, one.version) for one in report.tables] == [("customers", 1, 0)]
    row = rows(lake, "customers")["cus_1"]
    assert row["country"] == "DE"
    assert (row["source"], row["livemode"], row["deleted"]) == ("export", True, False)
    assert (row["version_at"], row["fetched_at"]) == (VERSION, NOW)


def test_a_row_that_cannot_be_read_is_set_aside_and_the_others_load(exports: Path, lake: Lake) -> None:
    bad = [
        customer(1, created="2026-01-01 10:00:00", delinquent="yes"),
        customer(2, created="yesterday", delinquent="no"),
        customer(3, created="2026-01-01", delinquent="perhaps"),
        customer(4, created="2026-01-01T10:00:00+02:00", delinquent=None),
        {**customer(5, created="2026-01-01", delinquent="false"), "id": None},
    ]
    report = load(exports, deliver(exports, {"customers": bad}), lake)
    assert (report.rows, report.quarantined, report.refused) == (5, 3, {})
    assert set(rows(lake, "customers")) == {"cus_1", "cus_4"}
    assert rows(lake, "customers")["cus_4"]["created"] == datetime(2026, 1, 1, 8, tzinfo=UTC)
    assert quarantine(lake) == [
        ("customers", "", "id is missing"),
        ("customers", "cus_2", "created cannot be read"),
        ("customers", "cus_3", "delinquent cannot be read"),
    ]


def test_an_id_that_occurs_twice_is_kept_once(exports: Path, lake: Lake) -> None:
    twice = [customer(1, address_country="DE"), customer(2), customer(1, address_country="FR")]
    report = load(exports, deliver(exports, {"customers": twice}), lake)
    assert (report.quarantined, set(rows(lake, "customers"))) == (1, {"cus_1", "cus_2"})
    assert quarantine(lake) == [("customers", "cus_1", "id occurs more than once")]
    first = rows(lake, "customers")["cus_1"]
    load(exports, deliver(exports, {"customers": twice}), lake)
    assert rows(lake, "customers")["cus_1"] == first


@pytest.mark.parametrize(
    "also",
    [
        pytest.param([], id="no price of that id"),
        pytest.param([{"id": "plan_1", "currency": "usd", "unit_amount": "a lot"}], id="its price is malformed"),
    ],
)
def test_a_plan_without_price_stays_one_row_however_often_it_comes(
    exports: Path, lake: Lake, also: list[dict[str, Any]]
) -> None:
    price = {"id": "price_1", "currency": "usd", "unit_amount": "100"}
    for day in range(3):
        tables = {
            "prices": [price, *also],
            "plans": [{"id": "plan_1", "currency": "usd", "amount": 100 + day}],
        }
        load(exports, deliver(exports, tables, run=f"r{day}", made=MADE + timedelta(days=day)), lake)
    stored_rows = lake.read("stripe/prices", columns=["id", "unit_amount"]).to_pylist()
    assert sorted((row["id"], row["unit_amount"]) for row in stored_rows) == [("plan_1", 102), ("price_1", 100)]


def test_a_malformed_file_leaves_its_table_and_what_needs_it_as_they_were(exports: Path, lake: Lake) -> None:
    tables = {
        "customers": [customer(1)],
        "subscriptions": [{"id": "sub_1", "created": NAIVE, "customer_id": "cus_1", "status": "active"}],
        "subscription_items": [{"id": "si_1", "subscription_id": "sub_1", "price_id": "price_1", "quantity": 1}],
        "prices": [{"id": "price_1", "created": NAIVE, "currency": "usd", "unit_amount": 100}],
    }
    delivery = deliver(exports, tables)
    broken = exports / "livemode" / "r1" / "subscription_items" / "part-1.parquet"
    broken.write_bytes(b"PAR1 this is no Parquet file PAR1")
    (delivery,) = deliveries_in(list_files(str(exports)), layout=LAYOUT)
    report = load(exports, delivery, lake)
    assert set(report.refused) == {"subscriptions", "subscription_items"}
    assert all("subscription_items/part-1.parquet is not readable" in why for why in report.refused.values())
    assert set(rows(lake, "customers")) == {"cus_1"}
    assert set(rows(lake, "prices")) == {"price_1"}
    assert not lake.exists("stripe/subscriptions")
    assert len(quarantine(lake)) == 2


@pytest.mark.parametrize("place", [0, 9], ids=["at the start", "at the end"])
@pytest.mark.parametrize("column", ["id", "delinquent", "address_country"])
def test_a_file_that_breaks_in_the_middle_leaves_the_table_as_it_was(
    exports: Path, lake: Lake, column: str, place: int
) -> None:
    load(exports, deliver(exports, {"customers": [customer(1)]}), lake)
    many = [customer(number, address_country=f"{number:x}") for number in range(20_000)]
    deliver(exports, {"customers": many}, run="r2", made=MADE + timedelta(hours=6))
    path = exports / "livemode" / "r2" / "customers" / "part-0.parquet"
    pq.write_table(pa.Table.from_pylist(many), path, row_group_size=2_000)
    group = pq.read_metadata(path).row_group(place)
    chunk = next(group.column(n) for n in range(group.num_columns) if group.column(n).path_in_schema == column)
    content = bytearray(path.read_bytes())
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    content[first : first + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)
    delivery = next(one for one in deliveries_in(list_files(str(exports)), layout=LAYOUT) if "/r2:" in one.id)
    report = load(exports, delivery, lake)
    assert set(report.refused) == {"customers"}
    assert set(rows(lake, "customers")) == {"cus_1"}


def test_a_table_without_id_column_is_refused_by_name(exports: Path, lake: Lake) -> None:
    report = load(exports, deliver(exports, {"customers": [{"email": "a@b.c"}]}), lake)
    assert report.refused == {"customers": "livemode/r1/customers/part-0.parquet has no column id"}


def test_a_fresher_api_row_wins_and_an_older_one_loses(exports: Path, lake: Lake) -> None:
    stored(lake, "customers", {"id": "cus_1", "country": "FR"}, version_at=VERSION + timedelta(seconds=1))
    stored(lake, "customers", {"id": "cus_2", "country": "FR"}, version_at=VERSION - timedelta(seconds=1))
    stored(lake, "customers", {"id": "cus_9", "country": "FR"}, version_at=VERSION - timedelta(days=9))
    given = [customer(number, address_country="DE") for number in (1, 2, 3)]
    load(exports, deliver(exports, {"customers": given}), lake)
    found = {object_id: (row["country"], row["source"]) for object_id, row in rows(lake, "customers").items()}
    assert found == {
        "cus_1": ("FR", "api"),
        "cus_2": ("DE", "export"),
        "cus_3": ("DE", "export"),
        "cus_9": ("FR", "api"),  # missing from a full copy is not deleted: the sweep decides
    }


def test_a_tombstone_stays_unless_people_name_such_objects(exports: Path, lake: Lake) -> None:
    older = VERSION - timedelta(days=1)
    stored(lake, "customers", {"id": "cus_1", "deleted": True}, version_at=older)
    stored(lake, "coupons", {"id": "SUMMER", "deleted": True}, version_at=older)
    stored(lake, "subscriptions", {"id": "sub_1", "deleted": True}, version_at=older)
    stored(lake, "subscription_items", {"id": "si_1", "subscription": "sub_1", "deleted": True}, version_at=older)
    items = [
        {"id": f"si_{number}", "subscription_id": "sub_1", "price_id": "price_1", "quantity": 1}
        for number in (1, 2)
    ]
    tables = {
        "customers": [customer(1)],
        "coupons": [{"id": "SUMMER", "created": NAIVE, "duration": "once", "percent_off": 10.0}],
        "subscriptions": [{"id": "sub_1", "created": NAIVE, "customer_id": "cus_1", "status": "active"}],
        "subscription_items": items,
    }
    delivery = deliver(exports, tables)
    for _ in range(2):
        load(exports, delivery, lake)
        assert {(table, key): row["deleted"] for table in tables for key, row in rows(lake, table).items()} == {
            ("customers", "cus_1"): True,
            ("coupons", "SUMMER"): False,
            ("subscriptions", "sub_1"): True,
            ("subscription_items", "si_1"): True,
        }


def test_a_file_that_tells_some_columns_leaves_the_time_of_a_row_of_the_api(exports: Path, lake: Lake) -> None:
    older = VERSION - timedelta(days=1)
    for number, source in enumerate(("api", "event", "export")):
        one = {"id": f"cus_{number}", "country": "FR", "delinquent": True, "source": source}
        stored(lake, "customers", one, version_at=older)
    lines = "".join(f"cus_{number},DE\n" for number in range(4))
    delivery = csv(exports, "customers.csv", f"id,Address Country Code\n{lines}")
    shown = MADE - LAYOUT.csv_lag
    for _ in range(2):
        load(exports, delivery, lake)
        columns = ("country", "delinquent", "source", "version_at")
        found = {key: tuple(row[name] for name in columns) for key, row in rows(lake, "customers").items()}
        assert found == {
            "cus_0": ("DE", True, "api", older),
            "cus_1": ("DE", True, "event", older),
            "cus_2": ("DE", True, "export", shown),
            "cus_3": ("DE", None, "export", shown),
        }


def test_a_nested_list_is_replaced_as_a_set_with_its_parent(exports: Path, lake: Lake) -> None:
    older, newer = VERSION - timedelta(days=1), VERSION + timedelta(hours=1)
    stored(lake, "subscriptions", {"id": "sub_old"}, version_at=older)
    stored(lake, "subscriptions", {"id": "sub_new"}, {"id": "sub_gone"}, version_at=newer)
    for owner, version_at in (("sub_old", older), ("sub_new", newer), ("sub_gone", older)):
        items = [
            {"id": f"si_{owner}_kept", "subscription": owner},
            {"id": f"si_{owner}_left", "subscription": owner},
        ]
        stored(lake, "subscription_items", *items, version_at=version_at)
    tables = {
        "subscriptions": [
            {"id": name, "created": NAIVE, "customer_id": "cus_1", "status": "active"}
            for name in ("sub_old", "sub_new", "sub_fresh")
        ],
        "subscription_items": [
            {"id": f"si_{name}_kept", "subscription_id": name, "price_id": "price_1", "quantity": 1}
            for name in ("sub_old", "sub_new", "sub_fresh")
        ]
        + [{"id": "si_sub_new_removed", "subscription_id": "sub_new", "price_id": "price_1", "quantity": 1}],
    }
    delivery = deliver(exports, tables)
    for _ in range(2):
        load(exports, delivery, lake)
        assert set(rows(lake, "subscription_items")) == {
            "si_sub_old_kept",  # its neighbour left with the parent's new version
            "si_sub_new_kept",
            "si_sub_new_left",  # the stored parent is newer: its list stands
            "si_sub_gone_kept",
            "si_sub_gone_left",  # the parent is not in the export
            "si_sub_fresh_kept",
        }


def test_an_item_that_cannot_be_read_leaves_its_subscription_incomplete_and_no_item_removed(
    exports: Path, lake: Lake
) -> None:
    stored(lake, "subscriptions", {"id": "sub_1"}, {"id": "sub_2"}, version_at=VERSION - timedelta(days=1))
    items = [{"id": f"si_{n}", "subscription": f"sub_{n}"} for n in (1, 2)]
    stored(lake, "subscription_items", *items, version_at=VERSION - timedelta(days=1))
    tables = {
        "subscriptions": [
            {"id": f"sub_{n}", "created": NAIVE, "customer_id": "cus_1", "status": "active"} for n in (1, 2)
        ],
        "subscription_items": [
            {"id": "si_1", "subscription_id": "sub_1", "price_id": "price_1", "quantity": "many"},
            {"id": "si_3", "subscription_id": "sub_2", "price_id": "price_1", "quantity": "2"},
        ],
    }
    report = load(exports, deliver(exports, tables), lake)
    assert report.quarantined == 1
    assert set(rows(lake, "subscription_items")) == {"si_1", "si_3"}
    found = {
        key: (row["items_complete"], json.loads(row["billing"]))
        for key, row in rows(lake, "subscriptions").items()
    }
    assert (found["sub_1"][0], found["sub_1"][1]["items"]["has_more"]) == (False, True)
    assert (found["sub_2"][0], found["sub_2"][1]["items"]["has_more"]) == (True, False)


def test_a_time_beyond_the_calendar_sets_one_row_aside(exports: Path, lake: Lake) -> None:
    given = [customer(1, created=1_700_000_000), customer(2, created=2**62), customer(3, created=-5)]
    report = load(exports, deliver(exports, {"customers": given}), lake)
    assert (report.refused, report.quarantined) == ({}, 2)
    assert rows(lake, "customers")["cus_1"]["created"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_loading_again_changes_no_row(exports: Path, lake: Lake) -> None:
    delivery = deliver(exports, {"customers": [customer(1), customer(2)]})
    load(exports, delivery, lake)
    before = rows(lake, "customers")
    load(exports, delivery, lake, now=NOW + timedelta(days=1))
    assert rows(lake, "customers") == before


def test_a_table_that_changes_meanwhile_is_computed_again(
    exports: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(lake, "customers", {"id": "cus_1", "country": "FR"}, version_at=VERSION - timedelta(days=1))
    interfering = iter([True])
    real = merge_module._stored

    def interfere(*given: Any) -> None:
        real(*given)
        if next(interfering, False):
            stored(lake, "customers", {"id": "cus_2", "country": "FR"}, version_at=VERSION + timedelta(days=1))

    monkeypatch.setattr(merge_module, "_stored", interfere)
    given = [customer(number, address_country="DE") for number in (1, 2)]
    load(exports, deliver(exports, {"customers": given}), lake)
    found = {object_id: row["country"] for object_id, row in rows(lake, "customers").items()}
    assert found == {"cus_1": "DE", "cus_2": "FR"}


def test_an_unread_item_table_makes_the_subscription_incomplete_not_free(exports: Path, lake: Lake) -> None:
    given = [{"id": "sub_1", "created": NAIVE, "customer_id": "cus_1", "status": "active"}]
    load(exports, deliver(exports, {"subscriptions": given}), lake)
    row = rows(lake, "subscriptions")["sub_1"]
    assert row["items_complete"] is False
    assert json.loads(row["billing"])["items"] == {"object": "list", "data": [], "has_more": True}


@pytest.mark.parametrize(
    ("columns", "discounts"),
    [
        pytest.param({"discounts": '["di_1"]'}, ["di_1"], id="listed but not delivered: a bare id is unknown"),
        pytest.param({"discounts": "di_1, di_2"}, ["di_1", "di_2"], id="a list between commas"),
        pytest.param({"discounts": "[]"}, [], id="an empty list"),
        pytest.param(
            {"discounts": '["di_1", "di_2"]', "discount_coupon_id": "HALF"},
            ["di_1", "di_2"],
            id="two listed and one coupon: which is whose is unknown",
        ),
        pytest.param(
            {"discounts": '["di_1"]', "discount_coupon_id": "HALF"}, ["HALF"], id="one listed, one coupon"
        ),
        pytest.param({"discounts": None}, [], id="no list"),
        pytest.param({"discount_coupon_id": "HALF"}, ["HALF"], id="the coupon in a column of its own"),
        pytest.param({"discounts": "[]", "discount_coupon_id": None}, [], id="neither"),
    ],
)
def test_discounts_of_a_subscription_are_found_or_unknown(
    exports: Path, lake: Lake, columns: dict[str, Any], discounts: list[str]
) -> None:
    given = [{"id": "sub_1", "created": NAIVE, "customer_id": "cus_1", "status": "active", **columns}]
    load(exports, deliver(exports, {"subscriptions": given}), lake)
    found = json.loads(rows(lake, "subscriptions")["sub_1"]["billing"])["discounts"]
    assert [one if isinstance(one, str) else one["source"]["coupon"] for one in found] == discounts


def test_an_email_is_kept_only_salted_and_only_if_asked(exports: Path, lake: Lake, tmp_path: Path) -> None:
    delivery = deliver(exports, {"customers": [customer(1, email="Ada@example.com")]})
    load(exports, delivery, lake)
    assert rows(lake, "customers")["cus_1"]["email_hash"] is None
    hashes = []
    for salt in ("one", "two"):
        other = Lake(str(tmp_path / salt))
        load(exports, delivery, other, email_salt=salt)
        hashes.append(rows(other, "customers")["cus_1"]["email_hash"])
    assert len(set(hashes)) == 2
    assert all(len(one) == 64 for one in hashes)


PAYMENTS = "ID,created (utc),AMOUNT,Amount Refunded,Currency,Captured,Status,Mode,Description,Customer ID\n"


def payment(object_id: str, amount: str, currency: str, status: str = "Paid", mode: str = "Live") -> str:
    return f'{object_id},2026-10-01 09:30,{amount},0,{currency},true,{status},{mode},"Dear, Ada",cus_1\n'


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.34", "usd", 1234),
        ("12.3", "USD", 1230),
        ("12", "eur", 1200),
        ("0.07", "usd", 7),
        ("1234567890123.45", "usd", 123456789012345),
        ("500", "jpy", 500),
        ("1.234", "kwd", 1234),
        ("500", "isk", 50000),
        ("-3.50", "usd", -350),
    ],
)
def test_major_units_become_minor_ones_exactly(
    exports: Path, lake: Lake, amount: str, currency: str, minor: int
) -> None:
    load(exports, csv(exports, "payments.csv", PAYMENTS + payment("ch_1", amount, currency)), lake)
    row = rows(lake, "charges")["ch_1"]
    assert (row["amount"], row["currency"]) == (minor, currency.lower())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(payment("ch_1", "12.345", "usd"), "amount cannot be read", id="more decimals than cents"),
        pytest.param(payment("ch_1", "500.5", "jpy"), "amount cannot be read", id="half a yen"),
        pytest.param(
            payment("ch_1", '"1,234"', "usd"), "amount cannot be read", id="a comma that may mean two things"
        ),
        pytest.param(payment("ch_1", "$12", "usd"), "amount cannot be read", id="a sign"),
        pytest.param(payment("ch_1", "9" * 25, "usd"), "amount cannot be read", id="more than there is money"),
        pytest.param(payment("ch_1", "1e3", "usd"), "amount cannot be read", id="an exponent"),
        pytest.param(payment("ch_1", "NaN", "usd"), "amount cannot be read", id="not a number"),
        pytest.param(payment("ch_1", "12", ""), "amount cannot be read", id="no currency"),
        pytest.param(payment("ch_1", "12", "dollars"), "amount cannot be read", id="no code of a currency"),
        pytest.param(payment("ch_1", "12", "usd", "Mostly paid"), "status cannot be read", id="an unknown status"),
        pytest.param(payment("ch_1", "12", "usd", mode="Dream"), "mode cannot be read", id="an unknown mode"),
    ],
)
def test_a_payment_that_cannot_be_read_exactly_is_set_aside(
    exports: Path, lake: Lake, line: str, reason: str
) -> None:
    report = load(exports, csv(exports, "payments.csv", PAYMENTS + line + payment("ch_2", "1", "usd")), lake)
    assert (report.rows, report.quarantined) == (2, 1)
    assert set(rows(lake, "charges")) == {"ch_2"}
    assert quarantine(lake) == [("charges", "ch_1", reason)]


def test_what_is_no_charge_of_our_side_is_skipped(exports: Path, lake: Lake) -> None:
    lines = [
        payment("ch_1", "1", "usd"),
        payment("ch_2", "1", "usd", mode="Test"),
        payment("pi_3", "1", "usd", status="Incomplete"),
        payment("ch_4", "1", "usd", status="Canceled"),
        payment("py_5", "1", "usd", status="Failed"),
    ]
    report = load(exports, csv(exports, "unified_payments.csv", PAYMENTS + "".join(lines)), lake)
    assert (report.tables[0].skipped, report.quarantined) == (3, 0)
    assert {key: row["status"] for key, row in rows(lake, "charges").items()} == {
        "ch_1": "succeeded",
        "py_5": "failed",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("Email,Created (UTC)\na@b.c,2026-01-01\n", "has no column id", id="no id column"),
        pytest.param("", "customers.csv", id="an empty file"),
        pytest.param("\x00\x01\x02", "customers.csv", id="no text at all"),
        pytest.param('id,Email\ncus_1,"open', "customers.csv", id="a quote that never closes"),
        pytest.param("id,Email\ncus_1,a,b,c,d\n", "customers.csv", id="a ragged line"),
    ],
)
def test_a_malformed_csv_file_is_refused_and_quarantined_by_name(
    exports: Path, lake: Lake, text: str, reason: str
) -> None:
    delivery = csv(exports, "customers.csv", text)
    for _ in range(2):
        report = load(exports, delivery, lake)
        assert reason in report.refused["customers"]
        assert "customers.csv" in report.refused["customers"]
    assert len(quarantine(lake)) == 1
    assert not lake.exists("stripe/customers")


def test_columns_may_be_absent_and_headers_alone_are_no_rows(exports: Path, lake: Lake) -> None:
    load(exports, csv(exports, "customers.csv", "id\ncus_1\n"), lake)
    assert rows(lake, "customers")["cus_1"]["created"] is None
    report = load(exports, csv(exports, "disputes.csv", "id,Amount,Currency\n"), lake)
    assert (report.rows, report.refused) == (0, {})


def test_a_delivery_is_loaded_from_a_bucket(lake: Lake, tmp_path: Path) -> None:
    import fsspec

    deliver(tmp_path / "exports", {"customers": [customer(1), customer(2)]})
    memory = fsspec.filesystem("memory")
    for path in (tmp_path / "exports").rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/load/{path.relative_to(tmp_path / 'exports')}", path.read_bytes())
    (delivery,) = deliveries_in(list_files("memory://load"), layout=LAYOUT)
    report = load_delivery("memory://load", delivery, lake, now=NOW, exponents={})
    assert (report.rows, report.refused) == (2, {})
    assert set(rows(lake, "customers")) == {"cus_1", "cus_2"}
