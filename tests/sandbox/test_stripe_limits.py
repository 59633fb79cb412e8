"""The two-level limiter: what passes, what is refused, and which reason is told."""

from __future__ import annotations

from collections import Counter

import pytest

from sandbox.stripe.limits import Limiter, Limits
from tests.sandbox.stripe_serving import business, serve


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def refusals(limiter: Limiter, *operations: str) -> list[str | None]:
    return [limiter.refusal(operation) for operation in operations]


def test_an_operation_has_a_second_s_worth_and_then_its_rate() -> None:
    clock = Clock()
    limiter = Limiter(Limits(account_rate=100, operation_rate=25), clock)
    assert Counter(refusals(limiter, *["list"] * 30)) == {None: 25, "endpoint-rate": 5}
    clock.now += 0.2
    assert Counter(refusals(limiter, *["list"] * 10)) == {None: 5, "endpoint-rate": 5}


def test_other_operations_have_buckets_of_their_own_inside_the_account_s() -> None:
    limiter = Limiter(Limits(account_rate=100, operation_rate=25), Clock())
    asked = [name for name in "abcdef" for _ in range(25)]
    assert Counter(refusals(limiter, *asked)) == {None: 100, "global-rate": 50}


def test_a_refused_request_costs_no_token() -> None:
    clock = Clock()
    limiter = Limiter(Limits(account_rate=10, operation_rate=5), clock)
    refusals(limiter, *["list"] * 100)
    assert refusals(limiter, *["other"] * 5) == [None] * 5


@pytest.mark.parametrize("seconds", [1, 5, 60])
def test_over_any_time_no_more_than_rate_and_burst_pass(seconds: int) -> None:
    clock = Clock()
    limiter = Limiter(Limits(account_rate=None, operation_rate=25), clock)
    passed = 0
    for _ in range(seconds * 200):
        passed += limiter.refusal("list") is None
        clock.now += 1 / 200
    assert seconds * 25 <= passed <= seconds * 25 + 25


@pytest.mark.parametrize(
    ("limits", "under_way", "reason"),
    [
        pytest.param({"account_concurrency": 3}, {"a": 2, "b": 1}, None, id="as many as the account may have"),
        pytest.param({"account_concurrency": 3}, {"a": 2, "b": 2}, "global-concurrency", id="one too many in all"),
        pytest.param({"operation_concurrency": 2}, {"a": 2, "b": 9}, None, id="others do not count"),
        pytest.param({"operation_concurrency": 2}, {"a": 3}, "endpoint-concurrency", id="one too many of a kind"),
    ],
)
def test_requests_under_way_are_capped(
    limits: dict[str, int], under_way: dict[str, int], reason: str | None
) -> None:
    limiter = Limiter(Limits(account_rate=None, operation_rate=None, **limits), Clock(), under_way)
    assert limiter.refusal("a") == reason


def test_the_answer_names_the_reason_in_its_header() -> None:
    asked = serve(business(5), limits=Limits(account_rate=3, operation_rate=2), clock=Clock())
    answers = [asked.get("/v1/customers") for _ in range(3)]
    answers += [asked.get("/v1/charges"), asked.get("/v1/charges")]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200, 429]
    reasons = [answer.headers.get("stripe-rate-limited-reason") for answer in answers]
    assert reasons == [None, None, "endpoint-rate", None, "global-rate"]
    assert answers[2].json()["error"]["code"] == "rate_limit"
    assert "retry-after" not in answers[2].headers
    assert asked.control.stats.report()["rate_limited"] == {"endpoint-rate": 1, "global-rate": 1}


def test_lists_look_ups_and_sub_lists_are_different_operations() -> None:
    asked = serve(business(20), limits=Limits(account_rate=None, operation_rate=1), clock=Clock())
    invoice = asked.get("/v1/invoices").json()["data"][0]["id"]
    paths = [f"/v1/invoices/{invoice}", f"/v1/invoices/{invoice}/lines", "/v1/charges", "/v1/invoices"]
    assert [asked.get(path).status_code for path in paths] == [200, 200, 200, 429]
    assert set(asked.control.stats.report()["operations"]) == {
        "GET /v1/invoices",
        "GET /v1/invoices/{id}",
        "GET /v1/invoices/{id}/lines",
        "GET /v1/charges",
    }
