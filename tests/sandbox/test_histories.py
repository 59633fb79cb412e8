"""Accounts made of subscription histories: a customer and a subscription per row, nothing invented but prices."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sandbox.accounts.country_codes import ALPHA2
from sandbox.accounts.histories import account_of_histories
from sandbox.accounts.history_prices import AssumedPrices
from sandbox.accounts.history_rows import read_histories
from sandbox.simulation.billing_calendar import clock_of
from tests.sandbox.stripe_serving import Asked, serve

HEAD = "row,created,canceled_at,plan_id,interval,quantity,country_iso3\n"
ROWS = """1,2017-11-15,,pro-monthly,month,1,USA
2,2016-04-06,,pro-annual,year,2,GBR
3,2018-01-10,2018-03-20,small_business,month,3,DEU
4,2018-03-30,,a-plan-nobody-knows,month,1,
5,2018-03-31,2018-03-31,pro-monthly,month,1,OTHER
"""
END = clock_of("2018-03-31")


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return serve(account_of_histories(written(tmp_path), end=END))


def written(folder: Path, rows: str = ROWS, name: str = "histories.csv") -> Path:
    path = folder / name
    content = (HEAD + rows).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def by_row(asked: Asked, resource: str) -> dict[str, dict[str, object]]:
    params = {"status": "all"} if resource == "subscriptions" else {}
    return {row["metadata"]["history_row"]: row for row in asked.rows(f"/v1/{resource}", **params)}


def test_the_clock_stands_at_the_end_of_the_last_day(asked: Asked) -> None:
    assert datetime(2018, 4, 1, tzinfo=UTC) == END
    assert asked.get("/v1/customers").headers["date"] == "Sun, 01 Apr 2018 00:00:00 GMT"


def test_each_row_is_a_customer_with_its_country_and_a_subscription(asked: Asked) -> None:
    customers, subscriptions = by_row(asked, "customers"), by_row(asked, "subscriptions")
    assert set(customers) == set(subscriptions) == {"1", "2", "3", "4", "5"}
    countries = {row: (obj["address"] or {}).get("country") for row, obj in customers.items()}
    assert countries == {"1": "US", "2": "GB", "3": "DE", "4": None, "5": None}
    for row, obj in subscriptions.items():
        assert obj["customer"] == customers[row]["id"]
    assert {row: obj["items"]["data"][0]["quantity"] for row, obj in subscriptions.items()} == {
        "1": 1, "2": 2, "3": 3, "4": 1, "5": 1,
    }  # fmt: skip
    assert subscriptions["2"]["items"]["data"][0]["price"]["recurring"]["interval"] == "year"


def test_ended_ones_are_canceled_on_their_day_without_a_made_up_reason(asked: Asked) -> None:
    subscriptions = by_row(asked, "subscriptions")
    assert {row: obj["status"] for row, obj in subscriptions.items()} == {
        "1": "active", "2": "active", "3": "canceled", "4": "active", "5": "canceled",
    }  # fmt: skip
    ended = datetime.fromtimestamp(subscriptions["3"]["ended_at"], UTC)
    assert ended.date() == date(2018, 3, 20)
    assert subscriptions["3"]["cancellation_details"] == {"comment": None, "feedback": None, "reason": None}
    assert subscriptions["5"]["ended_at"] > subscriptions["5"]["created"]


def test_current_periods_hold_the_clock(asked: Asked) -> None:
    for obj in by_row(asked, "subscriptions").values():
        item = obj["items"]["data"][0]
        last = obj["ended_at"] or END.timestamp()
        assert item["current_period_start"] <= last <= item["current_period_end"]


def test_every_period_of_the_last_months_has_an_invoice_a_charge_and_their_link(asked: Asked) -> None:
    subscriptions = by_row(asked, "subscriptions")
    invoices = asked.rows("/v1/invoices")
    counts = Counter(row["parent"]["subscription_details"]["subscription"] for row in invoices)
    assert {row: counts[obj["id"]] for row, obj in subscriptions.items()} == {
        "1": 5,
        "2": 0,
        "3": 3,
        "4": 1,
        "5": 1,
    }
    assert {row["status"] for row in invoices} == {"paid"}
    charges = {row["payment_intent"]: row for row in asked.rows("/v1/charges")}
    payments = {row["invoice"]: row for row in asked.rows("/v1/invoice_payments")}
    assert len(charges) == len(payments) == len(invoices)
    for row in invoices:
        charge = charges[payments[row["id"]]["payment"]["payment_intent"]]
        assert row["amount_paid"] == charge["amount"] == row["lines"]["data"][0]["amount"]
        assert row["created"] <= charge["created"] < END.timestamp()
    assert subscriptions["3"]["latest_invoice"] in {row["id"] for row in invoices}


def test_amounts_are_the_assumed_price_times_seats(asked: Asked) -> None:
    amounts = {row["amount"] for row in asked.rows("/v1/charges", customer=by_row(asked, "customers")["3"]["id"])}
    assert amounts == {3 * AssumedPrices().of("small_business", "month")}
    prices = asked.rows("/v1/prices")
    assert all("assumed" in row["nickname"] for row in prices)
    unknown = next(row for row in prices if row["nickname"].startswith("a-plan-nobody-knows"))
    assert unknown["unit_amount"] == AssumedPrices().of("anything else", "month")


def test_months_of_invoices_are_a_choice(tmp_path: Path) -> None:
    asked = serve(account_of_histories(written(tmp_path), end=END, months=12))
    assert len(asked.rows("/v1/invoices", customer=by_row(asked, "customers")["2"]["id"])) == 1
    assert serve(account_of_histories(written(tmp_path), end=END, months=0)).rows("/v1/invoices") == []


def test_an_earlier_clock_knows_nothing_of_what_came_later(tmp_path: Path) -> None:
    asked = serve(account_of_histories(written(tmp_path), end=clock_of("2018-02-01")))
    subscriptions = by_row(asked, "subscriptions")
    assert {row: obj["status"] for row, obj in subscriptions.items()} == {
        "1": "active",
        "2": "active",
        "3": "active",
    }


def test_the_last_month_has_events(asked: Asked) -> None:
    events = asked.rows("/v1/events")
    assert [event["type"] for event in events] == [
        "customer.subscription.deleted",
        "customer.subscription.created",
        "customer.subscription.created",
        "customer.subscription.deleted",
    ]


def test_compressed_files_and_the_same_account_twice(tmp_path: Path) -> None:
    plain = serve(account_of_histories(written(tmp_path), end=END)).rows("/v1/charges")
    packed = serve(account_of_histories(written(tmp_path, name="h.csv.gz"), end=END)).rows("/v1/charges")
    assert plain == packed


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param("row,created\n1,2018-01-01\n", "column canceled_at, plan_id", id="missing columns"),
        pytest.param(HEAD + "1,2018-13-01,,pro,month,1,USA\n", r"h\.csv:2: ", id="an impossible date"),
        pytest.param(HEAD + "1,2018-01-01,,pro,month,many,USA\n", r"h\.csv:2: ", id="seats in words"),
    ],
)
def test_unreadable_rows_are_refused_with_the_place(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "h.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=complaint):
        list(read_histories(path))


def test_an_interval_without_any_price_is_refused() -> None:
    with pytest.raises(ValueError, match="interval 'decade'"):
        AssumedPrices().of("pro", "decade")


def test_the_country_table_is_whole() -> None:
    assert len(ALPHA2) == 250, "249 countries and Kosovo's user-assigned code"
    assert len(set(ALPHA2.values())) == 250
    assert (ALPHA2["ZAF"], ALPHA2["GBR"], ALPHA2["XKX"]) == ("ZA", "GB", "XK")


def test_the_real_histories_can_be_read() -> None:
    beside = Path(__file__).parents[3] / "shared" / "real" / "subscriptions_2018.csv.gz"
    path = Path(os.environ.get("HISTORIES_FILE", beside))
    if not path.is_file():
        pytest.skip("the real histories are not here: set HISTORIES_FILE to a file of them")
    histories = list(read_histories(path))
    assert len(histories) == 64_282
    assert sum(history.country is None for history in histories) < 4_000
