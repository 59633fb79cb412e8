"""What the pretend Stripe refuses, with Stripe's status, code and words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.stripe_serving import Asked, business, serve


@pytest.fixture(scope="module")
def asked() -> Asked:
    return serve(business(60), forbidden=("disputes", "account"))


@pytest.mark.parametrize(
    ("path", "params", "status", "code", "param", "words"),
    [
        pytest.param(
            "/v1/customers",
            {"foo": 1},
            400,
            "parameter_unknown",
            "foo",
            "Received unknown parameter: foo",
            id="unknown parameter",
        ),
        pytest.param(
            "/v1/payment_methods",
            {"created__gte": 1},
            400,
            "parameter_unknown",
            "created[gte]",
            "unknown parameter",
            id="created where there is none",
        ),
        pytest.param(
            "/v1/charges",
            {"created__since": 1},
            400,
            "parameter_unknown",
            "created[since]",
            "unknown parameter",
            id="unknown bound",
        ),
        pytest.param(
            "/v1/charges",
            {"created__gte": "soon"},
            400,
            "parameter_invalid_integer",
            "created[gte]",
            "Invalid integer: soon",
            id="a time that is no number",
        ),
        pytest.param(
            "/v1/customers", {"limit": 101}, 400, None, "limit", "less than or equal to 100", id="limit above 100"
        ),
        pytest.param(
            "/v1/customers", {"limit": 0}, 400, None, "limit", "greater than or equal to 1", id="limit of zero"
        ),
        pytest.param(
            "/v1/customers",
            {"limit": "many"},
            400,
            "parameter_invalid_integer",
            "limit",
            "Invalid integer: many",
            id="limit in words",
        ),
        pytest.param(
            "/v1/customers",
            {"starting_after": "cus_no"},
            400,
            "resource_missing",
            "starting_after",
            "No such customer: 'cus_no'",
            id="cursor that does not exist",
        ),
        pytest.param(
            "/v1/customers",
            {"starting_after": "a", "ending_before": "b"},
            400,
            None,
            "ending_before",
            "both",
            id="cursors both ways",
        ),
        pytest.param(
            "/v1/subscriptions", {"status": "dormant"}, 400, None, "status", "must be one of", id="unknown status"
        ),
        pytest.param(
            "/v1/subscriptions",
            {"price": "price_1"},
            400,
            None,
            "price",
            "does not model",
            id="a filter that is not modelled",
        ),
        pytest.param(
            "/v1/subscriptions",
            {"customer": "cus_no"},
            400,
            "resource_missing",
            "customer",
            "No such customer",
            id="parent that does not exist",
        ),
        pytest.param(
            "/v1/events", {"type": "a.b", "types": ["c.d"]}, 400, None, "types", "not both", id="type and types"
        ),
        pytest.param(
            "/v1/events", {"types": [f"a.{n}" for n in range(21)]}, 400, None, "types", "at most 20", id="21 types"
        ),
        pytest.param(
            "/v1/prices", {"active": "yes"}, 400, None, "active", "Invalid boolean", id="a boolean in words"
        ),
        pytest.param(
            "/v1/customers",
            {"include": ["total_count"]},
            400,
            "property_forbidden",
            "include",
            "total_count",
            id="total count",
        ),
        pytest.param(
            "/v1/subscription_items",
            {},
            400,
            "parameter_missing",
            "subscription",
            "Missing required param",
            id="items without parent",
        ),
        pytest.param(
            "/v1/prices",
            {"expand": ["tiers"]},
            400,
            None,
            "expand",
            "try expanding 'data.tiers'",
            id="list expansion without data",
        ),
        pytest.param(
            "/v1/prices",
            {"expand": ["data.colour"]},
            400,
            None,
            "expand",
            "cannot be expanded (colour)",
            id="unknown expansion",
        ),
        pytest.param(
            "/v1/invoices",
            {"expand": ["data.charge"]},
            400,
            None,
            "expand",
            "cannot be expanded (charge)",
            id="expansion of a property that is gone",
        ),
        pytest.param(
            "/v1/subscriptions",
            {"expand": ["data.items.data.price.product"]},
            400,
            "property_expansion_max_depth",
            "expand",
            "more than 4 levels",
            id="five levels",
        ),
        pytest.param(
            "/v1/customers/cus_no",
            {},
            404,
            "resource_missing",
            "id",
            "No such customer: 'cus_no'",
            id="object that does not exist",
        ),
        pytest.param(
            "/v1/invoices/in_no/lines", {}, 404, "resource_missing", "id", "No such invoice", id="lines of nothing"
        ),
        pytest.param(
            "/v1/unicorns",
            {},
            404,
            None,
            None,
            "Unrecognized request URL (GET: /v1/unicorns)",
            id="unknown resource",
        ),
        pytest.param(
            "/v1/disputes",
            {},
            403,
            None,
            None,
            "Having the 'rak_dispute_read' permission would allow",
            id="missing permission",
        ),
        pytest.param(
            "/v1/disputes/du_1", {}, 403, None, None, "'rak_dispute_read'", id="missing permission for a look-up"
        ),
        pytest.param(
            "/v1/account", {}, 403, None, None, "'rak_account_read'", id="missing permission for the account"
        ),
    ],
)
def test_refusals(
    asked: Asked, path: str, params: dict[str, Any], status: int, code: str | None, param: str | None, words: str
) -> None:
    answer = asked.get(path, **params)
    error = answer.json()["error"]
    assert (answer.status_code, error.get("code"), error.get("param")) == (status, code, param)
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    assert answer.headers["request-id"]


def test_a_missing_permission_names_key_and_account(asked: Asked) -> None:
    message = asked.get("/v1/disputes").json()["error"]["message"]
    assert asked.key not in message
    assert asked.key[-4:] in message
    assert asked.control.account_id in message


def test_unrestricted_keys_have_every_permission(asked: Asked) -> None:
    assert asked.get("/v1/disputes", key="sk_test_51Sandbox").status_code == 200


@pytest.mark.parametrize(
    ("key", "words"),
    [
        pytest.param(None, "You did not provide an API key", id="no key"),
        pytest.param("pk_test_51Sandbox", "Invalid API Key provided: pk_test_", id="a publishable key"),
        pytest.param("nonsense-nonsense", "Invalid API Key provided", id="no key at all"),
    ],
)
def test_strangers_get_401(asked: Asked, key: str | None, words: str) -> None:
    answer = asked.get("/v1/customers", key=key)
    assert answer.status_code == 401
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "key", ["rk_test_51Sandbox", "sk_test_51Sandbox", "rk_live_51Sandbox", "sk_live_51Sandbox"]
)
def test_keys_of_every_kind_are_let_in(asked: Asked, key: str) -> None:
    assert asked.get("/v1/customers", key=key).status_code == 200


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_writing_is_refused_and_says_where_to_go(asked: Asked, method: str) -> None:
    answer = asked.get("/v1/customers", method=method)
    assert answer.status_code == 405
    assert "/_sandbox/control" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "version",
    [
        pytest.param("2019-01-01", id="too old"),
        pytest.param("newest", id="no date"),
        pytest.param("2025-13-01x", id="garbled"),
    ],
)
def test_unknown_versions_are_refused(version: str) -> None:
    answer = serve(business(5)).get("/v1/customers")
    assert answer.status_code == 200
    asked = serve(business(5))
    asked.version = version
    answer = asked.get("/v1/customers")
    assert answer.status_code == 400
    assert "Invalid Stripe API version" in answer.json()["error"]["message"]
