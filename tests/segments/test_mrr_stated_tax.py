"""Tax that only the latest invoice states comes off; without invoices the figure is gross, and flagged."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from segments.mrr_table import ChangedIds
from tests.segments.billing import discount, item, percent_off, price, subscription
from tests.segments.mrr_rows import NOW, TEXT, compute, raw

INCLUSIVE = subscription(item(price(tax_behavior="inclusive")))
HALF_OFF = subscription(item(price(tax_behavior="inclusive")), discounts=[discount(percent_off(50))])
BOTH = subscription(item(price(tax_behavior="inclusive")), item(price(1200, tax_behavior="inclusive"), id="si_2"))


def line(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"il_{number}",
        "subscription": "sub_0",
        "subscription_item": "si_1",
        "amount": 2900,
        "discount_amount": 0,
        "inclusive_tax_amount": 400,
        "proration": False,
        "period_start": NOW - timedelta(days=10),
        **changes,
    }


def lines(*rows: dict[str, Any]) -> pa.Table:
    types = {"id": TEXT, "subscription": TEXT, "subscription_item": TEXT, "proration": pa.bool_()}
    types |= dict.fromkeys(("amount", "discount_amount", "inclusive_tax_amount"), pa.int64())
    types["period_start"] = pa.timestamp("us", tz="UTC")
    return pa.table({name: pa.array([row[name] for row in rows], type_) for name, type_ in types.items()})


GROSS = ("2900", "gross_of_inclusive_tax")
EARLIER = {"period_start": NOW - timedelta(days=40)}


@pytest.mark.parametrize(
    ("billing", "given", "mrr", "reasons"),
    [
        pytest.param(INCLUSIVE, [line(1)], "2500", "", id="the line's own tax"),
        pytest.param(INCLUSIVE, [line(1, inclusive_tax_amount=0)], "2900", "", id="no tax was in it"),
        pytest.param(
            HALF_OFF, [line(1, discount_amount=1450, inclusive_tax_amount=200)], "1250", "", id="half off"
        ),
        pytest.param(
            INCLUSIVE, [line(1), line(2, inclusive_tax_amount=0, **EARLIER)], "2500", "", id="the latest"
        ),
        pytest.param(INCLUSIVE, [line(1, proration=True)], *GROSS, id="a proration says nothing"),
        pytest.param(INCLUSIVE, [line(1, inclusive_tax_amount=None)], *GROSS, id="an unknown tax says nothing"),
        pytest.param(INCLUSIVE, [line(1, inclusive_tax_amount=2900)], *GROSS, id="all tax is no tax"),
        pytest.param(INCLUSIVE, [line(1, subscription="sub_9")], *GROSS, id="another subscription's line"),
        pytest.param(INCLUSIVE, [line(1, subscription_item="si_9")], *GROSS, id="a removed item's line"),
        pytest.param(BOTH, [line(1)], "3700", "gross_of_inclusive_tax", id="one of two items"),
        pytest.param(
            BOTH,
            [line(1), line(2, subscription_item="si_2", amount=1200, inclusive_tax_amount=200)],
            "3500",
            "",
            id="each item by its own line",
        ),
    ],
)
def test_the_latest_regular_line_of_an_item_states_its_tax(
    billing: dict[str, Any], given: list[dict[str, Any]], mrr: str, reasons: str
) -> None:
    table = compute(raw([billing, subscription()]), invoice_lines=lines(*given))

    assert table["mrr"].to_pylist() == [mrr, "2900"]
    assert table["reasons"].to_pylist() == [reasons, ""]


def test_without_invoices_the_figure_is_gross_and_flagged() -> None:
    row = compute(raw([INCLUSIVE])).to_pylist()[0]

    assert (row["mrr"], row["reasons"], row["complete"]) == (*GROSS, True)


@pytest.mark.parametrize(
    ("changed", "mrr"),
    [
        pytest.param(ChangedIds(invoice_lines=frozenset({"il_2"})), "2900", id="a new line is seen"),
        pytest.param(ChangedIds(), "2500", id="nothing new, nothing computed"),
    ],
)
def test_a_repeat_follows_new_lines(changed: ChangedIds, mrr: str) -> None:
    before = compute(raw([INCLUSIVE]), invoice_lines=lines(line(1, **EARLIER)))
    newer = lines(line(1, **EARLIER), line(2, inclusive_tax_amount=0))

    repeat = compute(raw([INCLUSIVE]), invoice_lines=newer, previous=before, changed=changed)

    assert repeat["mrr"].to_pylist() == [mrr]


def test_a_repeat_looks_again_at_what_was_gross() -> None:
    before = compute(raw([INCLUSIVE]))

    repeat = compute(raw([INCLUSIVE]), invoice_lines=lines(line(1)), previous=before, changed=ChangedIds())

    assert repeat["mrr"].to_pylist() == ["2500"]
