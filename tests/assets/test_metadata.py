"""Inline pictures and counts in Dagster's metadata: they fit, they escape, and they hold no numbers."""

import base64
import re
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import pyarrow as pa
import pytest

from assets.metadata import bar_chart, column_schema, counted, line_chart, summed, waterfall_chart
from segments.movements import Waterfall
from segments.tables import SEGMENT_TABLES

LIMIT = 1_000
REASONS = ("subscription_canceled", "product_unacceptable", "product_not_received", "credit_not_processed")


def _svg(chart: dg.MarkdownMetadataValue | None) -> ElementTree.Element:
    assert chart is not None
    assert len(chart.value) < LIMIT
    found = re.fullmatch(r"!\[chart\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", chart.value)
    assert found is not None
    return ElementTree.fromstring(base64.b64decode(found[1]))


def _texts(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter("{http://www.w3.org/2000/svg}text")]


def _paths(svg: ElementTree.Element) -> list[str]:
    return [path.attrib["d"] for path in svg.iter("{http://www.w3.org/2000/svg}path")]


def _fall(opening: int, fx: int, **movements: int) -> Waterfall:
    closing = opening + sum(movements.values()) + fx
    return Waterfall(opening=opening, movements=movements, fx=fx, first_measured=0, closing=closing)


def test_bars_stand_largest_first_in_proportion() -> None:
    svg = _svg(bar_chart({"smb": 50, "enterprise": 100, "none": 0}))
    assert _texts(svg) == ["enterprise", "smb", "none"]
    assert _paths(svg) == ["M112 0h146v11h-146zM112 14h73v11h-73zM112 28h1v11h-1z"]


def test_the_smallest_bars_are_left_out_until_the_picture_fits() -> None:
    shown = _texts(_svg(bar_chart({f"{REASONS[n % 4]}_{n}": 100 - n for n in range(40)})))
    assert 6 <= len(shown) < 40
    assert shown == [f"{REASONS[n % 4]}_{n}" for n in range(len(shown))]


def test_labels_are_escaped() -> None:
    assert _texts(_svg(bar_chart({"<script>&": 1}))) == ["<script>&"]


def test_a_waterfall_names_what_moved_and_ends_where_it_closes() -> None:
    svg = _svg(
        waterfall_chart(_fall(1_000, -5, new=100, reactivation=0, expansion=20, contraction=-10, churn=-40))
    )
    assert _texts(svg) == ["opening", "new", "expansion", "contraction", "churn", "fx", "closing"]
    totals, gains, losses, fx = _paths(svg)
    assert [totals.count("M"), gains.count("M"), losses.count("M"), fx.count("M")] == [2, 2, 2, 1]
    assert not re.search(r"1000|1065", ElementTree.tostring(svg, encoding="unicode"))


@pytest.mark.parametrize(
    "fall",
    [
        pytest.param(_fall(0, 0, new=5), id="a first month"),
        pytest.param(_fall(5, 0, churn=-5), id="all gone"),
        pytest.param(
            _fall(10**15, 10**12, new=10**14, reactivation=10**13, expansion=1, contraction=-2, churn=-3),
            id="more than any account has",
        ),
    ],
)
def test_a_waterfall_is_drawn_for_every_month_with_revenue(fall: Waterfall) -> None:
    texts = _texts(_svg(waterfall_chart(fall)))
    assert texts[0] == "opening"
    assert texts[-1] == "closing"


@pytest.mark.parametrize(
    "length", [pytest.param(2, id="two"), pytest.param(12, id="a year of months"), pytest.param(900, id="years")]
)
def test_lines_fit_whatever_the_number_of_points(length: int) -> None:
    series = {name: [n * 10**9 // length for n in range(length)] for name in ("enterprise", "mid_market", "smb")}
    svg = _svg(line_chart(series))
    assert _texts(svg) == list(series)
    for path in _paths(svg):
        numbers = [int(number) for number in re.findall(r"\d+", path)]
        assert (numbers[0], numbers[-2]) == (0, 170)
        assert numbers[1] > numbers[-1]


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(bar_chart({}), id="no bars"),
        pytest.param(line_chart({"smb": [5]}), id="one point"),
        pytest.param(line_chart({"smb": [0, 0]}), id="nothing but zeros"),
        pytest.param(line_chart({}), id="no line"),
        pytest.param(waterfall_chart(_fall(0, 0)), id="no revenue"),
    ],
)
def test_nothing_is_drawn_of_nothing(chart: Any) -> None:
    assert chart is None


def test_sums_and_counts_are_by_our_own_words() -> None:
    table = pa.table({"state": ["at_risk", "healthy", "at_risk", "past_due"], "minor": [5, 0, 7, None]})
    assert counted(table, "state") == {"at_risk": 2, "healthy": 1, "past_due": 1}
    assert summed(table, "state", "minor") == {"at_risk": 12}


def test_a_sensitive_column_is_marked_and_a_key_of_one_column_is_unique() -> None:
    columns = {column.name: column for column in column_schema(SEGMENT_TABLES["churn_risk"]).columns}
    assert "sensitive" in columns["customer"].tags
    assert columns["customer"].constraints.unique
    assert not columns["customer"].constraints.nullable
    assert columns["next_renewal"].constraints.nullable
    assert "sensitive" not in columns["state"].tags
