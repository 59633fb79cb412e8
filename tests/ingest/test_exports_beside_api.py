"""A Dashboard file beside the API: it undoes no deletion, and what happened before it is still read."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.exports import Layout, deliveries_in, list_files, load_delivery
from tests.ingest.account import differences
from tests.ingest.in_process import MortalAccount, Server

LAYOUT = Layout(livemode=False)


@pytest.fixture
def server() -> Server:
    return Server(seed=1, customers=12)


@pytest.fixture
def account(server: Server, tmp_path: Path) -> MortalAccount:
    opened = MortalAccount(tmp_path, server, seed=1)
    opened.extract()
    return opened


def load_file(account: MortalAccount, server: Server, folder: Path, table: str, ids: Sequence[str]) -> None:
    """A file with a column that the API has too; it tells the account as it is five seconds from now."""
    folder.mkdir(exist_ok=True)
    made = {one["id"]: datetime.fromtimestamp(one["created"], UTC) for one in server.objects(table)}
    lines = [f"{one},{made.get(one, datetime(2026, 1, 1, tzinfo=UTC)):%Y-%m-%d %H:%M:%S}" for one in ids]
    path = folder / f"{table}.csv"
    path.write_text("\n".join(["id,Created (UTC)", *lines]) + "\n", encoding="utf-8")
    shown = server.now + LAYOUT.csv_lag.total_seconds() + 5
    os.utime(path, (shown, shown))
    (delivery,) = deliveries_in(list_files(str(folder)), layout=LAYOUT)
    load_delivery(str(folder), delivery, account.lake, now=datetime.now(UTC), exponents={})


@pytest.mark.parametrize("times", [1, 2], ids=["loaded once", "loaded twice"])
@pytest.mark.parametrize(
    ("table", "change"),
    [
        pytest.param("customers", {"update": 2}, id="customers that changed"),
        pytest.param("customers", {"create": 1}, id="a customer of whom the API has yet to hear"),
        pytest.param("subscriptions", {"update": 1}, id="a subscription with another quantity"),
    ],
)
def test_what_changed_before_a_file_is_read_although_the_file_is_newer(
    server: Server, account: MortalAccount, tmp_path: Path, table: str, change: dict[str, Any], times: int
) -> None:
    server.control(mutate=[{"resource": table, **change}])
    assert differences(account, server, [table]) != []
    for _ in range(times):
        load_file(account, server, tmp_path / "exports", table, [one["id"] for one in server.objects(table)])
    server.advance(1)
    account.extract()
    assert differences(account, server, [table]) == []


def test_a_file_does_not_bring_back_what_was_deleted_before_it(
    server: Server, account: MortalAccount, tmp_path: Path
) -> None:
    gone, known = [row["id"] for row in account.rows("customers")][:2]
    server.control(mutate=[{"resource": "customers", "delete": 1, "ids": [gone]}])
    account.extract()
    load_file(account, server, tmp_path / "exports", "customers", [gone, known])
    assert {row["id"]: row["deleted"] for row in account.rows("customers") if row["id"] in (gone, known)} == {
        gone: True,
        known: False,
    }
    server.advance(1)
    account.extract()
    assert differences(account, server, ["customers"]) == []
