"""What events say about an object, and what is done about it: seconds do not order events, gone is gone."""

from typing import Any

import pytest

from ingest.events import Change, Stored, Verdict, changes_of, decide, read_events
from ingest.rows import Provenance
from ingest.streams import EVENTS
from resources.stripe_api import API_VERSION
from resources.stripe_clock import MICROS

_HERE = Provenance(9 * MICROS, 9 * MICROS, "api", livemode=False)


def _event(identity: str, kind: str, payload: dict[str, Any], *, at: int = 100, **more: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "event",
        "type": kind,
        "created": at,
        "livemode": False,
        "api_version": API_VERSION,
        "data": {"object": payload},
        **more,
    }


def _customer(identity: str = "cus_1", **fields: Any) -> dict[str, Any]:
    return {"id": identity, "object": "customer", "created": 50, "livemode": False, "name": "Jo", **fields}


def _subscription(**fields: Any) -> dict[str, Any]:
    item = {"id": "si_1", "object": "subscription_item", "discounts": [], "price": {"id": "price_1"}}
    return {
        "id": "sub_1",
        "object": "subscription",
        "created": 60,
        "customer": "cus_1",
        "status": "active",
        "discounts": [],
        "items": {"object": "list", "has_more": False, "data": [item]},
        **fields,
    }


def _rows(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return read_events(EVENTS, events, _HERE).rows["events"]


def test_a_payload_of_the_pinned_version_replaces_a_read() -> None:
    (change,) = changes_of(_rows(_event("evt_1", "customer.updated", _customer())))
    assert change == Change("customers", "cus_1", 100, False, "evt_1", 50)


@pytest.mark.parametrize(
    "event",
    [
        _event("evt_1", "customer.updated", _customer(), api_version="2022-11-15"),
        _event("evt_1", "customer.updated", _customer(delinquent="perhaps")),
        _event("evt_1", "customer.subscription.updated", _subscription(discounts=["di_1"])),
        _event("evt_1", "customer.subscription.updated", _subscription(items={"has_more": True, "data": []})),
        _event("evt_1", "coupon.updated", {"id": "c", "object": "coupon", "created": 5, "duration": "once"}),
    ],
    ids=["an old version", "a malformed payload", "a bare discount", "a cut list", "what only expand gives"],
)
def test_a_payload_that_is_not_enough_causes_a_read(event: dict[str, Any]) -> None:
    (change,) = changes_of(_rows(event))
    assert change.payload is None
    assert decide(change, None) is Verdict.READ


def test_two_events_of_an_object_in_one_second_cause_a_read() -> None:
    (change,) = changes_of(
        _rows(
            _event("evt_1", "customer.updated", _customer(), at=100),
            _event("evt_2", "customer.updated", _customer(), at=100),
        )
    )
    assert change.payload is None


def test_an_event_of_a_type_nobody_listed_still_routes() -> None:
    (change,) = changes_of(_rows(_event("evt_1", "customer.something_new", _customer())))
    assert change.object_id == "cus_1"


@pytest.mark.parametrize(
    ("kind", "payload", "deleted"),
    [
        ("customer.deleted", _customer(), True),
        ("customer.subscription.deleted", _subscription(status="canceled"), False),
        ("payment_method.detached", {"id": "pm", "object": "payment_method", "created": 5, "type": "card"}, True),
    ],
)
def test_deleted_means_gone_except_for_subscriptions(kind: str, payload: dict[str, Any], deleted: bool) -> None:
    (change,) = changes_of(_rows(_event("evt_1", kind, payload)))
    assert change.deleted is deleted


def test_a_discount_touches_what_it_lies_on() -> None:
    discount = {"id": "di_1", "object": "discount", "customer": "cus_1", "subscription": "sub_1"}
    changes = changes_of(_rows(_event("evt_1", "customer.discount.created", discount)))
    assert {(c.table, c.object_id, c.payload) for c in changes} == {
        ("subscriptions", "sub_1", None),
        ("customers", "cus_1", None),
    }


def test_events_that_were_applied_before_say_nothing_new() -> None:
    rows = _rows(_event("evt_1", "customer.updated", _customer()))
    assert changes_of(rows, routed={"evt_1"}) == []
    assert len(changes_of(rows * 2)) == 1  # a page may be staged twice


_SNAPSHOT = Change("customers", "cus_1", 100, False, "evt_1", 50)
_GONE = Change("customers", "cus_1", 100, True, "evt_1", 50)


@pytest.mark.parametrize(
    ("change", "stored", "verdict"),
    [
        (_SNAPSHOT, None, Verdict.SNAPSHOT),
        (_SNAPSHOT, Stored(99 * MICROS, False), Verdict.SNAPSHOT),
        (_SNAPSHOT, Stored(100 * MICROS, False), Verdict.READ),
        (_SNAPSHOT, Stored(100 * MICROS + 999_999, False), Verdict.READ),
        (_SNAPSHOT, Stored(101 * MICROS, False), Verdict.KNOWN),
        (_SNAPSHOT, Stored(101 * MICROS, False, exported=True), Verdict.READ),
        (_SNAPSHOT, Stored(99 * MICROS, False, exported=True), Verdict.SNAPSHOT),
        (_GONE, None, Verdict.TOMBSTONE),
        (_GONE, Stored(500 * MICROS, False), Verdict.TOMBSTONE),
        (_GONE, Stored(500 * MICROS, True), Verdict.KNOWN),
    ],
)
def test_the_stored_version_decides(change: Change, stored: Stored | None, verdict: Verdict) -> None:
    assert decide(change, stored) is verdict


def test_history_keeps_permitted_fields_only() -> None:
    event = _event("evt_1", "customer.updated", _customer(email="jo@example.com"))
    event["data"]["previous_attributes"] = {
        "delinquent": True,
        "email": "old@example.com",
        "address": {"city": "X"},
    }
    (row,) = _rows(event)
    assert row["previous_attributes"] == '{"delinquent":true,"address":{}}'
    assert "example.com" not in str(row)
    assert "Jo" not in str(row)


def test_a_malformed_event_is_set_aside() -> None:
    page = read_events(EVENTS, [{"id": "evt_1"}, None, _event("evt_2", "customer.updated", _customer())], _HERE)
    assert [row["id"] for row in page.rows["events"]] == ["evt_2"]
    assert [row["reason"] for row in page.rows["quarantine"]] == [
        "event.created is missing",
        "events: NoneType, not an object",
    ]
