"""Windows lose nothing and end: properties over random histories, page by page, in any order of cursors."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.windows import LEAST_ROWS_TO_STEAL, Window, Windows, cursors_for


@dataclass
class Server:
    """A list that is newest first, with ids in that order among equals."""

    rows: list[tuple[int, str]]
    page: int = 10
    requests: int = 0

    def list(self, window: Window) -> tuple[list[tuple[int, str]], bool]:
        """One page of a window as it is asked for now."""
        self.requests += 1
        start = 0
        if window.cursor is not None:
            start = 1 + next(n for n, row in enumerate(self.rows) if row[1] == window.cursor)
        inside = [
            row for row in self.rows[start:] if row[0] >= window.gte and (window.lt is None or row[0] < window.lt)
        ]
        return inside[: self.page], len(inside) > self.page


def _history(moments: list[int]) -> list[tuple[int, str]]:
    return [(moment, f"id{number}") for number, moment in enumerate(sorted(moments, reverse=True))]


@settings(max_examples=60, deadline=None)
@given(
    moments=st.lists(st.integers(1_000, 3_000), max_size=150),
    cursors=st.integers(1, 6),
    seed=st.integers(0, 1_000),
    stop=st.integers(0, 40),
)
def test_every_row_is_read_whatever_the_order_of_pages_and_a_stop(
    moments: list[int], cursors: int, seed: int, stop: int
) -> None:
    server, rng = Server(_history(moments)), random.Random(seed)
    windows = Windows.over(900, 3_001)
    seen: list[str] = []
    step = 0
    while windows.live:
        step += 1
        if step == stop:  # killed: what the journal holds is all there is
            windows = Windows.from_json(windows.to_json())
        window = rng.choice(windows.live)
        asked = Window(window.gte, window.lt, window.cursor)  # its floor may be raised while the page is under way
        if rng.random() < 0.3:
            windows.steal(cursors, least_rows=20)
        rows, has_more = server.list(asked)
        windows.advance(window, [row[0] for row in rows], rows[-1][1] if rows else None, has_more=has_more)
        seen += [row[1] for row in rows]
        while windows.steal(cursors, least_rows=20) is not None:
            pass
        assert len(windows.live) <= max(cursors, 1)
    assert set(seen) == {row[1] for row in server.rows}


@given(moments=st.lists(st.integers(1_000, 1_005), min_size=60, max_size=120), cursors=st.integers(2, 8))
def test_a_window_is_never_narrower_than_a_second(moments: list[int], cursors: int) -> None:
    server = Server(_history(moments))
    windows = Windows.over(900, 1_006)
    while windows.live:
        window = windows.live[0]
        rows, has_more = server.list(window)
        windows.advance(window, [row[0] for row in rows], rows[-1][1] if rows else None, has_more=has_more)
        while windows.steal(cursors, least_rows=10) is not None:
            pass
        assert all(w.lt is None or w.lt - w.gte >= 1 for w in windows.live)


def test_an_even_history_costs_few_requests_more_than_its_pages() -> None:
    server = Server(_history(list(range(0, 200_000, 10))), page=100)
    windows = Windows.over(0, 200_001)
    while windows.live:
        for window in list(windows.live):
            if window in windows.live:
                rows, has_more = server.list(window)
                windows.advance(window, [r[0] for r in rows], rows[-1][1] if rows else None, has_more=has_more)
                while windows.steal(4) is not None:
                    pass
    assert 200 <= server.requests <= 212


def test_nothing_is_stolen_for_fewer_rows_than_a_request_is_worth() -> None:
    windows = Windows([Window(0, 1_000, "id", top=1_000, density=(LEAST_ROWS_TO_STEAL - 1) / 1_000)])
    assert windows.steal(4) is None


def test_a_window_whose_cursor_is_gone_goes_on_from_the_last_second_it_saw() -> None:
    window = Window(0, 1_000, "gone", top=500)
    Windows([window]).restart(window)
    assert (window.lt, window.cursor) == (501, None)


@pytest.mark.parametrize(("latency", "cursors"), [(0.0, 4), (0.1, 4), (0.4, 11), (2.0, 16)])
def test_cursors_follow_rate_and_latency_within_4_and_16(latency: float, cursors: int) -> None:
    assert cursors_for(24.0, latency) == cursors
