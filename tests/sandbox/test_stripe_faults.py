"""Faults, changes by hand and counters: what the operator's side of the pretend Stripe promises."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.stripe.malformed import KINDS
from sandbox.stripe.tables import RESOURCES
from tests.sandbox.stripe_serving import Asked, business, serve


@pytest.fixture
def asked() -> Asked:
    return serve(business(120))


@pytest.mark.parametrize(
    ("switch", "status", "reason"),
    [
        pytest.param({"rate_500": 0.3}, 500, None, id="500"),
        pytest.param({"rate_429": {"global-rate": 0.3}}, 429, "global-rate", id="429 of the account"),
        pytest.param({"rate_429": {"resource-specific": 0.3}}, 429, "resource-specific", id="429 of a resource"),
        pytest.param({"rate_429": {"none": 0.3}}, 429, None, id="429 without a reason"),
        pytest.param({"rate_lock_timeout": 0.3}, 429, None, id="lock timeout"),
    ],
)
def test_a_share_of_answers_fails(switch: dict[str, Any], status: int, reason: str | None) -> None:
    asked = serve(business(5), **switch)
    answers = [asked.get("/v1/charges", limit=1) for _ in range(200)]
    failed = [answer for answer in answers if answer.status_code == status]
    assert 40 <= len(failed) <= 80
    assert {answer.headers.get("stripe-rate-limited-reason") for answer in failed} == {reason}
    if "rate_lock_timeout" in switch:
        assert {answer.json()["error"]["code"] for answer in failed} == {"lock_timeout"}


def test_random_faults_are_the_same_every_time() -> None:
    runs = [[serve(business(5), rate_500=0.5).get("/v1/charges").status_code for _ in range(20)] for _ in range(2)]
    assert runs[0] == runs[1]


def test_scripted_faults_hit_exactly_the_requests_they_name(asked: Asked) -> None:
    script = {"operation": "GET /v1/charges", "status": 503, "skip": 1, "times": 2}
    asked.post("/_sandbox/control", {"faults": {"scripts": [script]}})
    seen = [asked.get("/v1/charges").status_code for _ in range(5)]
    assert seen == [200, 503, 503, 200, 200]
    assert asked.get("/v1/invoices").status_code == 200


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_malformed_object_stands_before_a_good_one_and_paging_goes_on(asked: Asked, kind: str) -> None:
    good = [row["id"] for row in asked.rows("/v1/invoices")]
    asked.post("/_sandbox/control", {"faults": {"malformed": {"invoices": [kind]}}})
    rows = asked.rows("/v1/invoices", limit=10)
    assert len(rows) == len(good) + 1
    survivors = [row["id"] for row in rows if isinstance(row, dict) and row.get("id") in good]
    assert survivors == good
    assert all(page["data"][-1]["id"] in good for page in asked.pages("/v1/invoices", limit=1))


def test_several_malformed_objects_spread_over_the_list(asked: Asked) -> None:
    kinds = ["missing_id", "null", "text_created", "null_items"]
    asked.control.set_faults(
        asked.control.faults.model_copy(update={"malformed": {"subscriptions": tuple(kinds)}})
    )
    pages = [page["data"] for page in asked.pages("/v1/subscriptions", status="all", limit=20)]
    extra = [len(rows) - 20 for rows in pages[:-1]]
    assert sum(extra) >= 3
    assert max(extra) <= 2


@pytest.mark.parametrize(
    ("resource", "kind", "event"),
    [
        pytest.param("customers", "update", "customer.updated", id="customer updated"),
        pytest.param("customers", "create", "customer.created", id="customer created"),
        pytest.param("customers", "delete", "customer.deleted", id="customer deleted"),
        pytest.param("subscriptions", "update", "customer.subscription.updated", id="seats changed"),
        pytest.param("subscriptions", "create", "customer.subscription.created", id="subscription created"),
        pytest.param("invoices", "update", "invoice.updated", id="invoice updated"),
        pytest.param("invoices", "delete", "invoice.deleted", id="invoice deleted"),
        pytest.param("charges", "update", "charge.refunded", id="charge refunded"),
        pytest.param("charges", "create", "charge.succeeded", id="charge created"),
        pytest.param("refunds", "update", "refund.updated", id="refund updated"),
        pytest.param("prices", "update", "price.updated", id="price updated"),
        pytest.param("coupons", "delete", "coupon.deleted", id="coupon deleted"),
        pytest.param("payment_methods", "delete", "payment_method.detached", id="payment method detached"),
        pytest.param("invoice_payments", "create", "invoice_payment.paid", id="invoice paid"),
    ],
)
def test_changes_by_hand_show_in_lists_and_events(asked: Asked, resource: str, kind: str, event: str) -> None:
    before = asked.get("/v1/events", limit=1).json()["data"][0]["id"]
    size = len(asked.control.world.store[resource])
    (touched,) = asked.post("/_sandbox/control", {"mutate": [{"resource": resource, kind: 1}]}).json()["touched"][
        resource
    ]
    told = asked.rows("/v1/events", ending_before=before)
    assert told[0]["type"] == event
    assert told[0]["data"]["object"]["id"] == touched
    assert ("previous_attributes" in told[0]["data"]) is (kind == "update")
    assert len(asked.control.world.store[resource]) == size + {"create": 1, "update": 0, "delete": -1}[kind]
    if kind != "delete":
        shown = asked.get(f"/v1/{resource}/{touched}").json()
        assert told[0]["data"]["object"] == shown
        for name, old in told[0]["data"].get("previous_attributes", {}).items():
            assert shown[name] != old


def test_a_deleted_subscription_stays_readable_as_canceled(asked: Asked) -> None:
    live = asked.get("/v1/subscriptions", status="active", limit=1).json()["data"][0]["id"]
    asked.control.mutate("subscriptions", delete=1, ids=(live,))
    assert asked.get(f"/v1/subscriptions/{live}").json()["status"] == "canceled"
    assert asked.get("/v1/events", limit=1).json()["data"][0]["type"] == "customer.subscription.deleted"


def test_a_copied_subscription_has_items_of_its_own(asked: Asked) -> None:
    (copy,) = asked.control.mutate("subscriptions", create=1)
    items = asked.get("/v1/subscription_items", subscription=copy).json()["data"]
    assert {item["subscription"] for item in items} == {copy}
    for item in items:
        assert asked.get(f"/v1/subscription_items/{item['id']}").json() == item


def test_a_burst_shares_one_second_and_single_changes_do_not(asked: Asked) -> None:
    burst = asked.control.mutate("charges", create=300, same_second=True)
    assert len({asked.control.world.store["charges"].created(each) for each in burst}) == 1
    singly = asked.control.mutate("charges", create=5)
    assert len({asked.control.world.store["charges"].created(each) for each in singly}) == 5
    newest = [row["id"] for row in asked.rows("/v1/charges")][:305]
    assert newest == [*reversed(singly), *reversed(burst)]


def test_changes_happen_between_pages(asked: Asked) -> None:
    wish = {"on": "charges", "every": 2, "times": 2, "create": 3, "update": 1}
    asked.post("/_sandbox/control", {"faults": {"mutations": [wish]}})
    size = len(asked.control.world.store["charges"])
    for _ in range(3):
        asked.get("/v1/charges")
    assert len(asked.control.world.store["charges"]) == size + 3
    for _ in range(10):
        asked.get("/v1/charges")
    assert len(asked.control.world.store["charges"]) == size + 6


def test_the_cursor_object_itself_can_vanish(asked: Asked) -> None:
    asked.post("/_sandbox/control", {"faults": {"mutations": [{"on": "customers", "delete_cursor": True}]}})
    last = asked.get("/v1/customers", limit=5).json()["data"][-1]["id"]
    answer = asked.get("/v1/customers", limit=5, starting_after=last)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "resource_missing")
    assert asked.get("/v1/customers", limit=5).status_code == 200


def test_new_events_can_be_late(asked: Asked) -> None:
    asked.post(
        "/_sandbox/control",
        {"faults": {"hide_new_events": True}, "mutate": [{"resource": "charges", "update": 3}]},
    )
    before = [row["id"] for row in asked.rows("/v1/events")]
    asked.post("/_sandbox/control", {"faults": {"hide_new_events": False}})
    after = [row["id"] for row in asked.rows("/v1/events")]
    assert len(after) == len(before) + 3
    assert after[3:] == before


def test_the_simulation_goes_on_from_changes_by_hand(asked: Asked) -> None:
    """After more days the lists say what the newest events say: nothing changes in silence."""
    touched = asked.control.mutate("subscriptions", update=40)
    asked.control.advance(40)
    newest: dict[str, Any] = {}
    for event in reversed(asked.rows("/v1/events")):
        newest[event["data"]["object"]["id"]] = event["data"]["object"]
    renewed = [each for each in touched if each in newest]
    assert renewed
    for each in renewed:
        assert asked.get(f"/v1/subscriptions/{each}").json() == newest[each]


def test_a_removed_object_does_not_come_back_with_the_days(asked: Asked) -> None:
    gone = {
        name: asked.control.mutate(name, delete=10)
        for name in ("invoices", "charges", "payment_methods", "customers")
    }
    asked.control.advance(20)
    for resource, ids in gone.items():
        assert not set(ids) & {row["id"] for row in asked.rows(f"/v1/{resource}")}, resource


def test_counters_tell_operations_statuses_and_the_requests_themselves(asked: Asked) -> None:
    asked.get("/v1/customers", limit=1)
    asked.get("/v1/customers", limit=0)
    asked.get("/v1/customers/cus_no")
    report = asked.get("/_sandbox/stats", key=None).json()
    assert report["operation_statuses"] == {
        "GET /v1/customers": {"200": 1, "400": 1},
        "GET /v1/customers/{id}": {"404": 1},
    }
    assert (report["requests"], report["in_flight"], report["peak_in_flight"]) == (3, 0, 1)
    assert asked.get("/_sandbox/requests", key=None).json()[0] == {
        "operation": "GET /v1/customers",
        "query": "limit=1",
        "version": None,
    }
    asked.post("/_sandbox/control", {"reset": True})
    assert asked.get("/_sandbox/stats", key=None).json()["requests"] == 0


@pytest.mark.parametrize("resource", list(RESOURCES))
def test_the_whole_content_can_be_dumped_with_nested_lists_uncut(asked: Asked, resource: str) -> None:
    rows = asked.get("/_sandbox/objects", key=None, resource=resource).json()
    assert [row["id"] for row in rows] == list(asked.control.world.store[resource].ids())
    assert not any(row.get("items", {}).get("has_more") for row in rows if resource == "subscriptions")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param({"faults": {"weather": "bad"}}, "weather", id="unknown switch"),
        pytest.param({"faults": {"rate_500": 2}}, "less than or equal to 1", id="a share above one"),
        pytest.param({"faults": {"forbidden": ["unicorns"]}}, "no such resource: unicorns", id="unknown resource"),
        pytest.param(
            {"faults": {"malformed": {"charges": ["crooked"]}}}, "no such malformation", id="unknown kind"
        ),
        pytest.param({"faults": {"old_events": "2001-01-01"}}, "not an API version", id="impossible version"),
        pytest.param({"limits": {"speed": 1}}, "no such limit: speed", id="unknown limit"),
        pytest.param(
            {"mutate": [{"resource": "events", "create": 1}]}, "cannot be changed", id="events are not made up"
        ),
        pytest.param(
            {"mutate": [{"resource": "invoice_payments", "update": 1}]}, "no update", id="no such change"
        ),
        pytest.param({"dance": True}, "dance", id="unknown command"),
    ],
)
def test_wrong_commands_are_refused_and_change_nothing(asked: Asked, command: Any, words: str) -> None:
    before = asked.control.faults
    answer = asked.post("/_sandbox/control", command)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert asked.control.faults == before


def test_days_pass_on_request(asked: Asked) -> None:
    assert asked.post("/_sandbox/advance", {"days": 2}).json() == {"end": "2026-11-03T00:00:00Z"}
    assert asked.get("/v1/customers").headers["date"] == "Tue, 03 Nov 2026 00:00:00 GMT"
    assert asked.post("/_sandbox/advance", {"days": 0}).status_code == 400
