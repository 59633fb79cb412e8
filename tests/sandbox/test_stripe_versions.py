"""Older API versions: the same objects in the places where they were then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.stripe_serving import Asked, business, serve

OLD = ("2022-11-15", "2024-06-20", "2025-02-24.acacia")


@pytest.fixture(scope="module")
def now() -> Asked:
    return serve(business(300))


def as_of(now: Asked, version: str) -> Asked:
    return Asked(now.control, version=version)


@pytest.mark.parametrize("version", ["2025-09-30.clover", "2026-03-25.dahlia", "2026-10-28.endive"])
def test_clover_and_newer_get_the_shape_of_clover(now: Asked, version: str) -> None:
    answer = as_of(now, version).get("/v1/subscriptions", limit=5)
    assert answer.json() == now.get("/v1/subscriptions", limit=5).json()
    assert answer.headers["stripe-version"] == version


@pytest.mark.parametrize("version", OLD)
def test_subscription_periods_were_at_the_top(now: Asked, version: str) -> None:
    new = {row["id"]: row for row in now.rows("/v1/subscriptions", status="all")}
    for row in as_of(now, version).rows("/v1/subscriptions", status="all"):
        items = new[row["id"]]["items"]["data"]
        assert row["current_period_start"] == min(item["current_period_start"] for item in items)
        assert row["current_period_end"] == max(item["current_period_end"] for item in items)
        assert all("current_period_end" not in item for item in row["items"]["data"])


@pytest.mark.parametrize("version", OLD)
def test_invoices_named_their_subscription_charge_and_payment(now: Asked, version: str) -> None:
    new = {row["id"]: row for row in now.rows("/v1/invoices")}
    charges = {row["id"]: row for row in now.rows("/v1/charges")}
    paid = 0
    for row in as_of(now, version).rows("/v1/invoices"):
        assert row["subscription"] == new[row["id"]]["parent"]["subscription_details"]["subscription"]
        assert "parent" not in row
        if row["status"] == "paid" and row["amount_due"]:
            paid += 1
            charge = charges[row["charge"]]
            assert (charge["amount"], charge["paid"]) == (row["amount_paid"], True)
            assert row["payment_intent"] == charge["payment_intent"]
            assert row["paid"] is True
        for old, line in zip(row["lines"]["data"], new[row["id"]]["lines"]["data"], strict=True):
            parent = line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"]
            assert old["subscription"] == parent["subscription"]
            assert old["proration"] is parent["proration"]
            assert old["price"]["id"] == line["pricing"]["price_details"]["price"]
    assert paid > 100


def test_charges_named_their_invoice(now: Asked) -> None:
    invoices = {row["id"] for row in now.rows("/v1/invoices")}
    rows = as_of(now, "2024-06-20").rows("/v1/charges")
    assert {row["invoice"] for row in rows} <= invoices
    assert all("invoice" not in row for row in now.rows("/v1/charges"))


@pytest.mark.parametrize(
    ("version", "place"),
    [
        pytest.param(
            "2024-06-20", lambda discount: discount["coupon"]["percent_off"], id="a coupon object before clover"
        ),
        pytest.param("2025-06-30.basil", lambda discount: discount["coupon"]["percent_off"], id="also in basil"),
    ],
)
def test_discounts_held_their_coupon(now: Asked, version: str, place: Any) -> None:
    rows = as_of(now, version).rows("/v1/subscriptions", status="all", expand=["data.discounts"])
    discounts = [each for row in rows for each in row["discounts"] if each["coupon"]["percent_off"]]
    assert discounts
    assert all(place(discount) > 0 for discount in discounts)
    assert all("source" not in discount for discount in discounts)


def test_a_single_discount_stood_beside_the_list(now: Asked) -> None:
    rows = [row for row in as_of(now, "2024-06-20").rows("/v1/subscriptions", status="all") if row["discounts"]]
    assert rows
    assert all(row["discount"]["id"] == row["discounts"][0] for row in rows)


def test_basil_has_periods_in_items_but_old_discounts(now: Asked) -> None:
    row = as_of(now, "2025-06-30.basil").get("/v1/subscriptions", limit=1).json()["data"][0]
    assert "current_period_end" not in row
    assert row["items"]["data"][0]["current_period_end"]


def test_nested_lists_and_look_ups_follow_the_version(now: Asked) -> None:
    old = as_of(now, "2024-06-20")
    invoice = old.get("/v1/invoices", limit=1).json()["data"][0]
    assert old.get(f"/v1/invoices/{invoice['id']}").json() == invoice
    assert old.get(f"/v1/invoices/{invoice['id']}/lines").json()["data"] == invoice["lines"]["data"]


def test_old_properties_can_be_expanded_in_their_version(now: Asked) -> None:
    old = as_of(now, "2024-06-20")
    rows = old.rows("/v1/invoices", status="paid", expand=["data.charge", "data.subscription"])
    row = next(row for row in rows if row["charge"])
    assert row["charge"]["invoice"] == row["id"]
    assert row["subscription"]["current_period_end"]


def test_the_plan_of_a_subscription_could_be_expanded_to_its_tiers(now: Asked) -> None:
    rows = as_of(now, "2022-11-15").rows("/v1/subscriptions", status="all", expand=["data.plan.tiers"])
    tiered = [row["plan"] for row in rows if row.get("plan") and row["plan"]["billing_scheme"] == "tiered"]
    assert tiered
    assert all(plan["tiers"] for plan in tiered)


def test_events_keep_the_version_of_their_birth_whatever_is_asked() -> None:
    asked = serve(business(60))
    asked.control.set_faults(asked.control.faults.model_copy(update={"old_events": "2022-11-15"}))
    asked.control.mutate("subscriptions", update=1)
    asked.control.mutate("invoices", update=1)
    for version in (None, "2022-11-15"):
        asked.version = version
        invoice, subscription = asked.get("/v1/events", limit=2).json()["data"]
        assert invoice["api_version"] == subscription["api_version"] == "2022-11-15"
        assert "current_period_end" in subscription["data"]["object"]
        assert "subscription" in invoice["data"]["object"]
        assert "parent" not in invoice["data"]["object"]
