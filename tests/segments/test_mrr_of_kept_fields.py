"""The fields that extraction keeps are enough: a figure from the kept fields is that of the whole object."""

from fractions import Fraction
from typing import Any

import pytest

from ingest.shapes import BILLING, COUPON, PERMITTED, PLAN, PRICE, cut
from segments.mrr import subscription_mrr
from tests.segments.billing import AS_OF
from tests.segments.test_mrr import KNOWN
from tests.segments.test_mrr_vectors import CASES, figure


def kept(given: Any, context: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A subscription and its side objects, cut to what the raw tables hold."""
    sides: dict[str, Any] = {
        "prices": {
            key: cut(value, PLAN if value.get("object") == "plan" else PRICE)
            for key, value in context.get("prices", {}).items()
        },
        "coupons": {key: cut(value, COUPON) for key, value in context.get("coupons", {}).items()},
    }
    customer = context.get("customer") or given.get("customer")
    if isinstance(customer, dict):
        sides["customer"] = cut(customer, PERMITTED["customers"])
    return cut(given, BILLING), sides


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_worked_case_keeps_its_figures(case: dict[str, Any]) -> None:
    whole = figure(case)

    given, sides = kept(case["subscription"], case.get("context", {}))

    assert subscription_mrr(given, as_of=case["as_of"], **sides) == whole


@pytest.mark.parametrize(("given", "options", "expected"), KNOWN)
def test_every_other_case_does_too(given: dict[str, Any], options: dict[str, Any], expected: Fraction) -> None:
    cut_down, sides = kept(given, options)

    assert subscription_mrr(cut_down, as_of=AS_OF, **sides).minor == expected
