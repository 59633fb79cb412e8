"""The table behind every list, against the obvious way to do it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe.table import Table
from sandbox.stripe.tables import RESOURCES

MOMENTS = st.integers(0, 12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), MOMENTS, st.sampled_from(["a", "b"]), st.sampled_from(["open", "paid"])),
        st.tuples(
            st.just("change"), st.integers(0, 40), st.sampled_from(["a", "b"]), st.sampled_from(["open", "paid"])
        ),
        st.tuples(st.just("remove"), st.integers(0, 40)),
    ),
    max_size=40,
)


@dataclass
class Plain:
    """Rows in order of arrival, sorted when asked."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def page(
        self, limit: int, after: str | None, lower: int, upper: int, customer: str | None, status: str | None
    ) -> Any:
        latest_first = sorted(enumerate(self.rows), key=lambda pair: (-pair[1]["created"], -pair[0]))
        rows = [row for _, row in latest_first]
        if after is not None:
            rows = rows[[row["id"] for row in rows].index(after) + 1 :]
        rows = [row for row in rows if lower <= row["created"] < upper]
        rows = [row for row in rows if customer in (None, row["customer"]) and status in (None, row["status"])]
        return [row["id"] for row in rows[:limit]], len(rows) > limit


@given(
    STEPS, st.integers(1, 6), MOMENTS, MOMENTS, st.sampled_from([None, "a", "b"]), st.sampled_from([None, "open"])
)
@settings(max_examples=150, deadline=None)
def test_pages_equal_those_of_a_plain_sorted_list(
    steps: Any, limit: int, lower: int, upper: int, customer: str | None, status: str | None
) -> None:
    table, plain = Table(RESOURCES["invoices"]), Plain()
    for number, step in enumerate(steps):
        if step[0] == "put":
            row = {"id": f"in_{number}", "created": step[1], "customer": step[2], "status": step[3]}
            plain.rows.append(row)
            table.put(dict(row))
        elif plain.rows:
            row = plain.rows[step[1] % len(plain.rows)]
            if step[0] == "change":
                row.update(customer=step[2], status=step[3])
                table.put(table.get(row["id"]) | {"customer": step[2], "status": step[3]})
            else:
                plain.rows.remove(row)
                table.remove(row["id"])
    equal = {name: value for name, value in (("customer", customer), ("status", status)) if value}
    for after in (None, *(row["id"] for row in plain.rows)):
        page = table.page(limit=limit, after=after, lower=lower, upper=upper, equal=equal)
        assert (page.ids, page.has_more) == plain.page(limit, after, lower, upper, customer, status)


@given(st.lists(MOMENTS, min_size=1, max_size=30), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_paging_back_gives_what_paging_forward_gave(moments: list[int], limit: int) -> None:
    table = Table(RESOURCES["charges"])
    for number, created in enumerate(moments):
        table.put({"id": f"ch_{number}", "created": created})
    everything = list(table.ids())
    back: list[str] = []
    cursor, more = everything[-1], True
    while more:
        page = table.page(limit=limit, before=cursor)
        back, more = page.ids + back, page.has_more
        cursor = page.ids[0] if page.ids else cursor
    assert back == everything[:-1]


def test_a_removed_object_is_no_cursor_and_stays_away() -> None:
    table = Table(RESOURCES["charges"])
    table.put({"id": "ch_1", "created": 1})
    table.remove("ch_1")
    table.put({"id": "ch_1", "created": 1})
    assert list(table.ids()) == []
    with pytest.raises(KeyError):
        table.page(limit=1, after="ch_1")


def test_many_objects_under_change_are_written_out_with_their_last_values() -> None:
    table = Table(RESOURCES["charges"])
    rows = [{"id": f"ch_{number}", "created": number, "amount": 0} for number in range(2000)]
    for row in rows:
        table.put(row)
        row["amount"] = 7
        table.put(row)
    table.flush()
    assert {orjson.loads(body)["amount"] for body in table.bodies.values()} == {7}


def test_whoever_gets_a_held_object_gets_the_one_that_is_changed() -> None:
    table = Table(RESOURCES["charges"])
    row = {"id": "ch_1", "created": 1, "amount": 0}
    table.hold(row)
    table.put(row)
    table.flush()
    assert table.get("ch_1") is row
    table.release("ch_1")
    assert table.get("ch_1") == row
    assert table.get("ch_1") is not row
