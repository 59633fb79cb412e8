"""Lists and look-ups of the pretend Stripe: order, cursors, windows, filters, nested lists, expansion."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.simulation.world import World
from sandbox.stripe.tables import RESOURCES
from tests.sandbox.stripe_serving import END, Asked, business, serve, still_world

NOW = int(END.timestamp())


@pytest.fixture(scope="module")
def asked() -> Asked:
    return serve(business(400))


def filled(moments: list[int], resource: str = "charges") -> World:
    """One object per moment, in order of arrival: `x0`, `x1`, …"""
    world = still_world()
    for number, created in enumerate(moments):
        world.put(resource, {"id": f"x{number}", "object": RESOURCES[resource].object, "created": created})
    return world


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


def test_a_list_is_newest_first_and_ties_go_by_arrival() -> None:
    asked = serve(filled([5, 9, 7, 9, 1]))
    assert ids(asked.get("/v1/charges")) == ["x3", "x1", "x2", "x0", "x4"]


def test_without_a_limit_ten_rows_come() -> None:
    page = serve(filled(list(range(25)))).get("/v1/charges").json()
    assert (len(page["data"]), page["has_more"], page["object"], page["url"]) == (10, True, "list", "/v1/charges")


def test_cursors_page_both_ways_and_through_ties() -> None:
    asked = serve(filled([3] * 5 + [4]))
    assert ids(asked.get("/v1/charges", limit=2)) == ["x5", "x4"]
    assert ids(asked.get("/v1/charges", limit=2, starting_after="x4")) == ["x3", "x2"]
    back = asked.get("/v1/charges", limit=2, ending_before="x2")
    assert ids(back) == ["x4", "x3"]
    assert back.json()["has_more"] is True
    last = asked.get("/v1/charges", limit=2, ending_before="x4")
    assert (ids(last), last.json()["has_more"]) == (["x5"], False)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param({"created": 7}, ["x2"], id="exactly then"),
        pytest.param({"created__gte": 7}, ["x3", "x2"], id="from then on"),
        pytest.param({"created__gt": 7}, ["x3"], id="after then"),
        pytest.param({"created__lt": 7}, ["x1", "x0"], id="before then"),
        pytest.param({"created__lte": 7}, ["x2", "x1", "x0"], id="until then"),
        pytest.param({"created__gte": 5, "created__lt": 9}, ["x2", "x1"], id="half-open window"),
        pytest.param({"created__gte": 8, "created__lt": 9}, [], id="an empty window"),
        pytest.param({"created__gte": 1, "starting_after": "x2"}, ["x1", "x0"], id="a window and a cursor in it"),
        pytest.param({"created__lt": 9, "starting_after": "x3"}, ["x2", "x1", "x0"], id="a cursor outside of it"),
    ],
)
def test_windows_on_created(window: dict[str, Any], expected: list[str]) -> None:
    assert ids(serve(filled([1, 5, 7, 9])).get("/v1/charges", **window)) == expected


@pytest.mark.parametrize("resource", [name for name in RESOURCES if name != "subscriptions"])
def test_paging_gives_every_object_once(asked: Asked, resource: str) -> None:
    seen = [row["id"] for row in asked.rows(f"/v1/{resource}", limit=37)]
    table = asked.control.world.store[resource]
    assert len(seen) == len(set(seen)) == len(table)
    assert seen == list(table.ids())


def test_subscriptions_hide_the_canceled_unless_asked(asked: Asked) -> None:
    table = asked.control.world.store["subscriptions"]
    statuses = {row_id: table.get(row_id)["status"] for row_id in table.ids()}

    def seen(**params: Any) -> set[str]:
        return {row["id"] for row in asked.rows("/v1/subscriptions", **params)}

    assert seen(status="all") == set(statuses)
    assert seen() == {row_id for row_id, status in statuses.items() if status != "canceled"}
    assert seen(status="canceled") == {row_id for row_id, status in statuses.items() if status == "canceled"}
    ended = ("canceled", "incomplete_expired")
    assert seen(status="ended") == {row_id for row_id, status in statuses.items() if status in ended}


@pytest.mark.parametrize(
    ("path", "params", "belongs"),
    [
        pytest.param("/v1/invoices", {"status": "open"}, lambda row: row["status"] == "open", id="open invoices"),
        pytest.param("/v1/prices", {"active": False}, lambda row: not row["active"], id="inactive prices"),
        pytest.param("/v1/payment_methods", {"type": "card"}, lambda row: row["type"] == "card", id="cards"),
        pytest.param(
            "/v1/events", {"type": "invoice.paid"}, lambda row: row["type"] == "invoice.paid", id="one type"
        ),
        pytest.param(
            "/v1/events",
            {"type": "charge.dispute.*"},
            lambda r: r["type"].startswith("charge.dispute."),
            id="a wildcard",
        ),
        pytest.param(
            "/v1/events",
            {"types": ["invoice.paid", "customer.*"]},
            lambda row: row["type"] == "invoice.paid" or row["type"].startswith("customer."),
            id="several types",
        ),
        pytest.param(
            "/v1/invoice_payments",
            {"payment__type": "charge"},
            lambda row: row["payment"]["type"] == "charge",
            id="payments without an intent",
        ),
    ],
)
def test_filters_give_exactly_what_they_say(asked: Asked, path: str, params: dict[str, Any], belongs: Any) -> None:
    table = asked.control.world.store[path.removeprefix("/v1/")]
    expected = [row_id for row_id in table.ids() if belongs(table.get(row_id))]
    assert expected
    assert [row["id"] for row in asked.rows(path, **params)] == expected


@pytest.mark.parametrize(
    ("path", "parent", "field"),
    [
        pytest.param("/v1/subscriptions", "customer", "customer", id="subscriptions of a customer"),
        pytest.param("/v1/charges", "customer", "customer", id="charges of a customer"),
        pytest.param("/v1/refunds", "charge", "charge", id="refunds of a charge"),
        pytest.param("/v1/invoice_payments", "invoice", "invoice", id="payments of an invoice"),
        pytest.param("/v1/payment_methods", "customer", "customer", id="payment methods of a customer"),
    ],
)
def test_lists_can_be_bound_to_a_parent(asked: Asked, path: str, parent: str, field: str) -> None:
    sample = asked.rows(path, limit=100)[-1][field]
    found = asked.rows(path, **{parent: sample})
    assert found
    assert {row[field] for row in found} == {sample}


def test_invoices_of_a_subscription_are_found_through_their_parent(asked: Asked) -> None:
    row = asked.get("/v1/invoices", limit=1).json()["data"][0]
    subscription = row["parent"]["subscription_details"]["subscription"]
    found = asked.rows("/v1/invoices", subscription=subscription)
    assert row["id"] in [each["id"] for each in found]


def test_nested_lists_are_cut_at_ten_and_paged_by_their_own_operation(asked: Asked) -> None:
    table = asked.control.world.store["subscriptions"]
    whole = next(row for row_id in table.ids() if len((row := table.get(row_id))["items"]["data"]) == 25)
    embedded = asked.get(f"/v1/subscriptions/{whole['id']}").json()["items"]
    assert (len(embedded["data"]), embedded["has_more"]) == (10, True)
    after = embedded["data"][-1]["id"]
    rest = asked.get("/v1/subscription_items", subscription=whole["id"], limit=100, starting_after=after).json()
    assert rest["has_more"] is False
    assert embedded["data"] + rest["data"] == whole["items"]["data"]
    item = whole["items"]["data"][-1]
    assert asked.get(f"/v1/subscription_items/{item['id']}").json() == item


def test_invoice_lines_page_both_ways(asked: Asked) -> None:
    table = asked.control.world.store["invoices"]
    whole = next(row for row_id in table.ids() if len((row := table.get(row_id))["lines"]["data"]) >= 25)
    path, lines = f"/v1/invoices/{whole['id']}/lines", whole["lines"]["data"]
    assert asked.rows(path, limit=7) == lines
    back = asked.get(path, limit=3, ending_before=lines[5]["id"]).json()
    assert (back["data"], back["has_more"], back["url"]) == (lines[2:5], True, path)


def test_payment_methods_of_a_customer_have_an_address_of_their_own(asked: Asked) -> None:
    method = asked.get("/v1/payment_methods", limit=1).json()["data"][0]
    page = asked.get(f"/v1/customers/{method['customer']}/payment_methods").json()
    assert method in page["data"]
    assert page["url"] == f"/v1/customers/{method['customer']}/payment_methods"


@pytest.mark.parametrize("resource", list(RESOURCES))
def test_an_object_is_found_by_its_id_as_the_list_shows_it(asked: Asked, resource: str) -> None:
    params = {"status": "all"} if resource == "subscriptions" else {}
    row = asked.get(f"/v1/{resource}", limit=3, **params).json()["data"][-1]
    assert asked.get(f"/v1/{resource}/{row['id']}").json() == row


def test_a_deleted_customer_is_a_stub_by_id_and_in_no_list() -> None:
    asked = serve()
    gone = asked.get("/v1/customers", limit=1).json()["data"][0]["id"]
    asked.control.mutate("customers", delete=1, ids=(gone,))
    assert asked.get(f"/v1/customers/{gone}").json() == {"id": gone, "object": "customer", "deleted": True}
    assert gone not in [row["id"] for row in asked.rows("/v1/customers")]
    canceled = asked.rows("/v1/subscriptions", customer=gone, status="all")
    assert all(row["status"] in ("canceled", "incomplete_expired") for row in canceled)


def test_tiers_come_only_when_expanded(asked: Asked) -> None:
    tiered = [row for row in asked.rows("/v1/prices") if row["billing_scheme"] == "tiered"]
    assert tiered
    assert all("tiers" not in row for row in tiered)
    expanded = {row["id"]: row for row in asked.rows("/v1/prices", expand=["data.tiers"])}
    for row in tiered:
        tiers = expanded[row["id"]]["tiers"]
        assert tiers[-1]["up_to"] is None
        assert all(tier["unit_amount_decimal"] for tier in tiers)
    assert all("tiers" not in row for row in expanded.values() if row["billing_scheme"] == "per_unit")


def test_coupons_say_what_they_apply_to_when_asked(asked: Asked) -> None:
    rows = {r["id"]: r for r in asked.rows("/v1/coupons", expand=["data.applies_to", "data.currency_options"])}
    assert rows["TEAM_25"]["applies_to"]["products"]
    assert rows["WELCOME_10"]["currency_options"]["jpy"]["amount_off"] == 1500
    assert "applies_to" not in rows["FOREVER_20"]


def test_discounts_are_ids_until_expanded_down_to_the_coupon(asked: Asked) -> None:
    plain = {row["id"]: row for row in asked.rows("/v1/subscriptions", status="all")}
    discounted = [row for row in plain.values() if row["discounts"]]
    assert all(isinstance(each, str) for row in discounted for each in row["discounts"])
    rows = asked.rows("/v1/subscriptions", status="all", expand=["data.discounts"])
    first = next(row for row in rows if row["discounts"])["discounts"][0]
    assert first["object"] == "discount"
    assert isinstance(first["source"]["coupon"], str)
    rows = asked.rows("/v1/subscriptions", status="all", expand=["data.discounts.source.coupon"])
    deep = next(row for row in rows if row["discounts"])["discounts"][0]["source"]["coupon"]
    assert deep["object"] == "coupon"


def test_objects_expand_into_objects(asked: Asked) -> None:
    row = asked.get("/v1/subscriptions", limit=1, expand=["data.customer", "data.latest_invoice"]).json()["data"][
        0
    ]
    assert row["customer"] == asked.get(f"/v1/customers/{row['customer']['id']}").json()
    assert row["latest_invoice"]["object"] == "invoice"
    one = asked.get(f"/v1/invoices/{row['latest_invoice']['id']}", expand=["payments", "customer"]).json()
    assert {"list", "customer"} == {one["payments"]["object"], one["customer"]["object"]}


def test_account_balance_and_rates_are_there(asked: Asked) -> None:
    account = asked.get("/v1/account").json()
    assert account["object"] == "account"
    oldest = min(row["created"] for row in asked.rows("/v1/customers"))
    assert account["created"] < oldest
    assert asked.get("/v1/balance").json()["livemode"] is False
    rates = asked.get("/fx/eurofxref-hist.csv", key=None).text.splitlines()
    assert rates[0].startswith("Date,USD,JPY,GBP,")
    assert rates[1].startswith("2026-10-30,")


def test_answers_carry_the_accounts_clock_and_a_request_id(asked: Asked) -> None:
    first, second = asked.get("/v1/customers"), asked.get("/v1/customers")
    assert first.headers["date"] == "Sun, 01 Nov 2026 00:00:00 GMT"
    assert first.headers["request-id"].startswith("req_")
    assert first.headers["request-id"] != second.headers["request-id"]
    assert first.headers["stripe-version"] == "2025-09-30.clover"


def test_undelivered_events_can_be_asked_for(asked: Asked) -> None:
    newest = ids(asked.get("/v1/events", limit=3))
    asked.post("/_sandbox/control", {"undelivered": 2})
    assert ids(asked.get("/v1/events", delivery_success=False)) == newest[:2]
    assert ids(asked.get("/v1/events", delivery_success=True, limit=1)) == newest[2:]
