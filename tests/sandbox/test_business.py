"""The simulated business: the same inputs give the same account, and it holds what the product must cope with."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from sandbox.simulation.business import Business
from sandbox.simulation.people import CANARY
from sandbox.simulation.world import EVENT_DAYS
from tests.sandbox.stripe_serving import END, business

Obj = dict[str, Any]


@pytest.fixture(scope="module")
def account() -> Business:
    """Large enough for every rare thing to have happened."""
    return business(1500)


def objects(account: Business, resource: str) -> list[Obj]:
    table = account.store[resource]
    return [table.get(object_id) for object_id in table.ids()]


def digest(account: Business) -> str:
    content = hashlib.sha256()
    for table in account.store.tables.values():
        for object_id in table.ids():
            content.update(table.body(object_id))
    return content.hexdigest()


def test_same_seed_and_end_give_byte_identical_objects() -> None:
    assert digest(business(80, seed=3)) == digest(business(80, seed=3))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"seed": 4}, id="another seed"),
        pytest.param({"customers": 81}, id="another size"),
        pytest.param({"months": 23}, id="another age"),
        pytest.param({"livemode": True}, id="the other mode"),
    ],
)
def test_another_input_gives_another_account(other: Obj) -> None:
    assert digest(business(80, seed=3)) != digest(business(**{"customers": 80, "seed": 3} | other))


def test_days_can_pass_one_by_one_or_together() -> None:
    together, singly = business(60), business(60)
    together.advance(5)
    for _ in range(5):
        singly.advance(1)
    assert digest(together) == digest(singly)
    assert together.now == END + timedelta(days=5)


def test_time_that_passes_brings_new_objects_changes_and_events() -> None:
    account = business(300)
    before = {name: set(account.store[name].ids()) for name in ("customers", "invoices", "charges", "events")}
    account.advance(10)
    for name, known in before.items():
        assert set(account.store[name].ids()) - known, f"no new {name} in ten days"
    kinds = Counter(event["type"] for event in objects(account, "events") if event["created"] >= END.timestamp())
    assert {"customer.subscription.updated", "invoice.paid", "charge.succeeded", "customer.created"} <= set(kinds)


@pytest.mark.parametrize(
    "resource",
    ["customers", "subscriptions", "invoices", "charges", "refunds", "disputes", "payment_methods", "prices"],
)
def test_nothing_changes_without_an_event_that_shows_it(resource: str) -> None:
    """A reader that follows the events ends where one that lists everything again ends."""
    account = business(250)
    before = {obj["id"]: obj for obj in objects(account, resource)}
    account.advance(25)
    told: dict[str, Obj] = {}
    for event in reversed(objects(account, "events")):
        if event["created"] >= END.timestamp():
            told[event["data"]["object"]["id"]] = event["data"]["object"]
    for obj_id in account.store[resource].ids():
        obj = orjson.loads(account.store[resource].body(obj_id))
        if account.store[resource].get(obj_id) != before.get(obj_id):
            assert told.get(obj_id) == obj, f"{obj_id} changed in silence"
    for gone in set(before) - set(account.store[resource].ids()):
        assert gone in told, f"{gone} left in silence"


def test_sizes_follow_from_the_number_of_customers(account: Business) -> None:
    sizes = {name: len(account.store[name]) for name in account.store.tables}
    assert sizes["customers"] == pytest.approx(1500, rel=0.02)
    assert sizes["subscriptions"] == pytest.approx(1.2 * 1500, rel=0.1)
    assert sizes["invoices"] == pytest.approx(6 * 1500, rel=0.1)
    assert sizes["charges"] == pytest.approx(6 * 1500, rel=0.12)


def test_nothing_happened_after_the_clock_and_events_are_at_most_30_days_old(account: Business) -> None:
    end = END.timestamp()
    for resource in account.store.tables:
        assert all(obj["created"] < end for obj in objects(account, resource)), resource
    oldest = min(event["created"] for event in objects(account, "events"))
    assert end - EVENT_DAYS * 86400 <= oldest < end - (EVENT_DAYS - 1) * 86400


def test_every_kind_of_subscription_is_there(account: Business) -> None:
    rows = objects(account, "subscriptions")
    statuses = Counter(row["status"] for row in rows)
    assert {"active", "canceled", "past_due", "trialing", "incomplete_expired", "paused", "unpaid"} <= set(
        statuses
    )
    reasons = Counter(row["cancellation_details"]["reason"] for row in rows if row["status"] == "canceled")
    assert {"cancellation_requested", "payment_failed", "payment_disputed"} <= set(reasons)
    feedback = {row["cancellation_details"]["feedback"] for row in rows}
    assert {"too_expensive", "missing_features", "unused", "switched_service"} <= feedback
    items = [item for row in rows for item in row["items"]["data"]]
    recurring = {(i["price"]["recurring"]["interval"], i["price"]["recurring"]["usage_type"]) for i in items}
    assert {("week", "licensed"), ("month", "licensed"), ("year", "licensed"), ("month", "metered")} <= recurring
    assert {"graduated", "volume", None} == {item["price"]["tiers_mode"] for item in items}
    assert any(item["price"]["transform_quantity"] for item in items)
    assert any(not item["price"]["active"] for item in items), "no inline price"
    assert sum(row["status"] == "active" and row["cancel_at_period_end"] for row in rows) >= 20
    assert any(row["cancel_at"] and not row["cancel_at_period_end"] for row in rows)
    assert any(row["pause_collection"] for row in rows)
    assert any(row["billing_mode"]["type"] == "flexible" for row in rows), "no mixed intervals"
    assert any(len(row["items"]["data"]) == 25 for row in rows)
    assert any(row["discounts"] for row in rows)
    assert any(item["discounts"] for item in items)
    assert {rate["inclusive"] for row in rows for rate in row["default_tax_rates"]} == {True, False}


def test_periods_lie_in_the_items_and_nowhere_else(account: Business) -> None:
    for row in objects(account, "subscriptions"):
        assert "current_period_end" not in row
        for item in row["items"]["data"]:
            assert item["current_period_start"] < item["current_period_end"]
    live = [row for row in objects(account, "subscriptions") if row["status"] == "active"]
    for row in live:
        assert all(item["current_period_end"] >= END.timestamp() for item in row["items"]["data"]), row["id"]


def test_lines_add_up_to_the_invoice(account: Business) -> None:
    rows = objects(account, "invoices")
    assert any(len(row["lines"]["data"]) >= 25 for row in rows)
    for row in rows:
        lines = row["lines"]["data"]
        assert sum(line["amount"] for line in lines) == row["subtotal"]
        cuts = sum(part["amount"] for line in lines for part in line["discount_amounts"])
        assert cuts == sum(part["amount"] for part in row["total_discount_amounts"])
        exclusive = sum(
            tax["amount"] for line in lines for tax in line["taxes"] if tax["tax_behavior"] == "exclusive"
        )
        assert row["total"] == row["subtotal"] - cuts + exclusive
        assert row["amount_due"] == row["amount_paid"] + row["amount_remaining"]
        assert row["amount_due"] == max(0, row["starting_balance"] + row["total"])


def test_changes_in_seats_leave_prorations_and_events_that_say_what_was_before(account: Business) -> None:
    lines = [line for row in objects(account, "invoices") for line in row["lines"]["data"]]
    prorations = [line for line in lines if line["parent"]["type"] == "invoice_item_details"]
    assert {line["amount"] > 0 for line in prorations} == {True, False}
    changed = [
        event["data"]
        for event in objects(account, "events")
        if event["type"] == "customer.subscription.updated" and "items" in event["data"]["previous_attributes"]
    ]
    seats = [
        (
            data["previous_attributes"]["items"]["data"][0].get("quantity"),
            data["object"]["items"]["data"][0].get("quantity"),
        )
        for data in changed
    ]
    assert any(before < after for before, after in seats if before)
    assert any(before > after for before, after in seats if before)


def test_payments_fail_with_codes_and_advice_and_are_tried_again(account: Business) -> None:
    failed = [row for row in objects(account, "charges") if row["status"] == "failed"]
    assert len({row["outcome"]["reason"] for row in failed}) >= 6
    assert {"try_again_later", "confirm_card_data", "do_not_try_again"} == {
        r["outcome"]["advice_code"] for r in failed
    }
    attempts = Counter(row["attempt_count"] for row in objects(account, "invoices"))
    assert attempts[3] >= 5
    assert attempts[5] >= 1


def test_paid_invoices_and_charges_are_linked_by_invoice_payments_only(account: Business) -> None:
    payments = defaultdict(list)
    for row in objects(account, "invoice_payments"):
        payments[row["invoice"]].append(row)
    intents = {row["payment_intent"] for row in objects(account, "charges") if row["paid"]}
    charges = set(account.store["charges"].ids())
    kinds = Counter()
    for row in objects(account, "invoices"):
        assert "charge" not in row
        assert "subscription" not in row
        if row["status"] != "paid" or row["amount_due"] == 0:
            continue
        (payment,) = payments[row["id"]]
        assert payment["amount_paid"] == row["amount_paid"]
        link = payment["payment"]
        kinds[link["type"]] += 1
        assert link["payment_intent"] in intents if link["type"] == "payment_intent" else link["charge"] in charges
    assert set(kinds) == {"payment_intent", "charge"}


def test_refunds_and_disputes_agree_with_their_charges(account: Business) -> None:
    charges = {row["id"]: row for row in objects(account, "charges")}
    refunded: Counter[str] = Counter()
    for row in objects(account, "refunds"):
        refunded[row["charge"]] += row["amount"]
    assert {
        row_id: row["amount_refunded"] for row_id, row in charges.items() if row["amount_refunded"]
    } == refunded
    disputes = objects(account, "disputes")
    assert len({row["reason"] for row in disputes}) >= 6
    assert {"won", "lost", "needs_response", "under_review"} <= {row["status"] for row in disputes}
    for row in disputes:
        assert charges[row["charge"]]["disputed"] is not row["status"].startswith("warning")


def test_customers_live_in_many_countries_and_pay_in_several_currencies(account: Business) -> None:
    rows = objects(account, "customers")
    countries = Counter((row["address"] or {}).get("country") for row in rows)
    assert len(countries) >= 12
    assert countries["US"] >= 300
    assert sum(count >= 25 for country, count in countries.items() if country) >= 8
    assert {"usd", "eur", "gbp", "jpy"} <= {row["currency"] for row in rows}
    kinds = Counter(row["type"] for row in objects(account, "payment_methods"))
    assert {"card", "sepa_debit", "bacs_debit", "us_bank_account"} <= set(kinds)


def test_growing_customers_have_a_clean_year_behind_them(account: Business) -> None:
    """What a case study asks for: a year, a fifth more, no failure, refund or dispute."""
    troubled = {
        row["customer"]
        for row in objects(account, "charges")
        if row["failure_code"] or row["disputed"] or row["amount_refunded"]
    }
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for row in reversed(objects(account, "invoices")):
        line = row["lines"]["data"][-1] if row["lines"]["data"] else None
        if line is None or row["status"] != "paid" or row["billing_reason"] == "subscription_update":
            continue
        first.setdefault(row["customer"], line["amount"])
        last[row["customer"]] = line["amount"]
    year_ago = (END - timedelta(days=365)).timestamp()
    grown = [
        row["customer"]
        for row in objects(account, "subscriptions")
        if row["status"] == "active"
        and row["created"] < year_ago
        and row["customer"] not in troubled
        and last.get(row["customer"], 0) >= 1.2 * first.get(row["customer"], 0) > 0
    ]
    assert len(set(grown)) >= 3


def test_deleted_customers_are_gone_but_their_subscriptions_are_not(account: Business) -> None:
    gone = account.store["customers"].deleted
    assert gone
    owners = {row["customer"] for row in objects(account, "subscriptions") if row["status"] == "canceled"}
    assert gone <= owners


def test_every_personal_text_carries_the_canary(account: Business) -> None:
    for row in objects(account, "customers"):
        for text in (row["name"], row["email"], row["phone"], row["description"], *row["metadata"].values()):
            assert text is None or CANARY in text.lower(), text
        assert row["address"] is None or CANARY in row["address"]["line1"].lower()


def test_events_hold_the_object_as_it_was_with_at_most_ten_nested_rows(account: Business) -> None:
    rows = objects(account, "events")
    for event in rows:
        nested = event["data"]["object"].get("lines") or event["data"]["object"].get("items")
        if isinstance(nested, dict):
            assert len(nested["data"]) <= 10
        assert event["api_version"] == "2025-09-30.clover"
        previous = event["data"].get("previous_attributes", {})
        for name, value in previous.items():
            assert event["data"]["object"].get(name) != value, (event["type"], name)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        pytest.param({"end": datetime(2026, 11, 1)}, "time zone", id="an end without a zone"),  # noqa: DTZ001
        pytest.param({"customers": -1}, "customers must be", id="a negative size"),
        pytest.param({"months": 0}, "months", id="no age at all"),
    ],
)
def test_impossible_wishes_are_refused(options: Obj, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Business(**{"seed": 1, "customers": 1, "end": datetime(2026, 11, 1, tzinfo=UTC)} | options)
