"""An account from a folder of files: every layout, whole nested lists, and rows that are no objects."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.accounts.dataset import has_stripe_files, read_dataset
from tests.sandbox.stripe_serving import END, Asked, serve

NOW = int(END.timestamp())


def customer(number: int, created: int = 1_700_000_000) -> dict[str, Any]:
    return {"id": f"cus_{number}", "object": "customer", "created": created + number, "livemode": False}


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def served(folder: Path) -> Asked:
    return serve(read_dataset(folder, end=END, livemode=False))


ROWS = [customer(1), customer(3), customer(2)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("stripe/customers.jsonl", lines(ROWS), id="lines in the stripe folder"),
        pytest.param("customers.jsonl", lines(ROWS), id="lines at the top"),
        pytest.param("stripe/customers.jsonl.gz", lines(ROWS), id="compressed lines"),
        pytest.param("customers.json", json.dumps(ROWS).encode(), id="a list"),
        pytest.param(
            "stripe/customers.json.gz",
            json.dumps({"object": "list", "data": ROWS, "has_more": False}).encode(),
            id="a compressed Stripe list",
        ),
        pytest.param("customers.ndjson", b"\n" + lines(ROWS) + b"\n\n", id="with empty lines"),
    ],
)
def test_every_layout_serves_the_same_list(tmp_path: Path, name: str, content: bytes) -> None:
    write(tmp_path, name, content)
    asked = served(tmp_path)
    assert asked.rows("/v1/customers") == [customer(3), customer(2), customer(1)]
    assert asked.rows("/v1/charges") == []
    assert asked.rows("/v1/events") == []
    assert asked.get("/v1/customers/cus_2").json() == customer(2)


def test_the_clock_stands_at_the_end_or_after_the_newest_object(tmp_path: Path) -> None:
    write(tmp_path, "customers.jsonl", lines(ROWS))
    assert served(tmp_path).control.world.now == NOW
    write(tmp_path, "customers.jsonl", lines([customer(1, NOW + 50)]))
    assert served(tmp_path).control.world.now == NOW + 52


def test_account_and_mode_come_from_the_files(tmp_path: Path) -> None:
    write(tmp_path, "stripe/customers.jsonl", lines([row | {"livemode": True} for row in ROWS]))
    write(
        tmp_path, "stripe/account.json", json.dumps({"id": "acct_9", "object": "account", "created": 1}).encode()
    )
    asked = served(tmp_path)
    assert asked.get("/v1/account").json()["id"] == "acct_9"
    assert asked.get("/v1/balance").json()["livemode"] is True


def test_embedded_items_over_ten_are_cut_and_paged(tmp_path: Path) -> None:
    items = [{"id": f"si_{n}", "object": "subscription_item", "subscription": "sub_1"} for n in range(25)]
    row = {"id": "sub_1", "object": "subscription", "created": 5, "status": "active"}
    write(tmp_path, "subscriptions.jsonl", lines([row | {"items": {"object": "list", "data": items}}]))
    asked = served(tmp_path)
    shown = asked.get("/v1/subscriptions").json()["data"][0]["items"]
    assert (shown["data"], shown["has_more"]) == (items[:10], True)
    assert asked.rows("/v1/subscription_items", subscription="sub_1", limit=10) == items
    assert asked.get("/v1/subscription_items/si_24").json() == items[24]


@pytest.mark.parametrize("name", ["invoice_lines.jsonl", "stripe/invoice_line_items.jsonl.gz"])
def test_lines_may_come_in_a_file_of_their_own(tmp_path: Path, name: str) -> None:
    rows = [{"id": f"il_{n}", "object": "line_item", "invoice": "in_1"} for n in range(12)]
    nested = {"object": "list", "data": rows[:10], "has_more": True}
    write(tmp_path, "invoices.jsonl", lines([{"id": "in_1", "object": "invoice", "created": 5, "lines": nested}]))
    write(tmp_path, name, lines(rows))
    assert served(tmp_path).rows("/v1/invoices/in_1/lines", limit=5) == rows


def test_tiers_in_the_file_are_sent_on_request_only(tmp_path: Path) -> None:
    price = {"id": "price_1", "object": "price", "created": 5, "active": True}
    tiers = [{"up_to": None, "unit_amount": 5}]
    write(tmp_path, "prices.jsonl", lines([price | {"tiers": tiers}]))
    asked = served(tmp_path)
    assert asked.rows("/v1/prices") == [price]
    assert asked.rows("/v1/prices", expand=["data.tiers"]) == [price | {"tiers": tiers}]


BAD = [
    None,
    "text",
    [],
    {},
    {"id": None, "created": 5},
    {"id": "cus_x", "created": "yesterday"},
    {"id": "cus_x", "created": True},
    {"id": "cus_y", "created": -1},
    {"object": "customer", "created": 5},
]


def test_rows_that_are_no_objects_are_served_beside_good_ones(tmp_path: Path) -> None:
    write(tmp_path, "customers.jsonl", lines([BAD[0], ROWS[0], *BAD[1:], *ROWS[1:]]))
    asked = served(tmp_path)
    rows = asked.rows("/v1/customers", limit=1)
    assert [row for row in rows if row in ROWS] == [customer(3), customer(2), customer(1)]
    assert [row for row in rows if row not in ROWS] == BAD
    assert rows[-1] == customer(1), "a page must end on an object that can be a cursor"


def test_a_file_without_any_good_row_is_served_too(tmp_path: Path) -> None:
    write(tmp_path, "customers.jsonl", lines(BAD))
    page = served(tmp_path).get("/v1/customers").json()
    assert (page["data"], page["has_more"]) == (BAD, False)


def test_changes_by_hand_work_on_files_too(tmp_path: Path) -> None:
    write(tmp_path, "customers.jsonl", lines([row | {"delinquent": False} for row in ROWS]))
    asked = served(tmp_path)
    asked.control.mutate("customers", update=1, delete=1)
    asked.control.advance(1)
    kinds = [event["type"] for event in asked.rows("/v1/events")]
    assert sorted(kinds) == ["customer.deleted", "customer.updated"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        pytest.param(
            "customers.jsonl", b'{"id": 1}\n{oops\n', r"customers\.jsonl:2: not JSON", id="a broken line"
        ),
        pytest.param("customers.json", b"[", r"customers\.json: not JSON", id="a broken file"),
        pytest.param("notes.txt", b"", "has no Stripe files", id="no Stripe file"),
    ],
)
def test_unreadable_folders_are_refused_with_the_place(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    write(tmp_path, name, content)
    with pytest.raises(ValueError, match=complaint):
        read_dataset(tmp_path, end=END, livemode=False)


def test_a_folder_may_be_about_something_else(tmp_path: Path) -> None:
    write(tmp_path, "mavera/personas.jsonl", b"")
    assert not has_stripe_files(tmp_path)
    with pytest.raises(ValueError, match="no such dataset folder"):
        has_stripe_files(tmp_path / "nowhere")
