"""Slopes of many series at once, against the library that takes them one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import theilslopes

from segments.slopes import theil_sen


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 30), st.sampled_from([0.8, 0.95, 0.99]))
def test_each_row_is_what_scipy_says_of_it(data: st.DataObject, points: int, confidence: float) -> None:
    step = st.lists(st.integers(1, 4), min_size=points, max_size=points)
    level = st.lists(st.integers(1, 6) | st.integers(1, 10**12), min_size=points, max_size=points)
    x = np.array([data.draw(step) for _ in range(3)]).cumsum(axis=1)
    y = np.log(np.array([data.draw(level) for _ in range(3)], dtype=float))
    expected = [theilslopes(b, a, confidence) for a, b in zip(x, y, strict=True)]
    assert theil_sen(x, y, confidence=confidence) == pytest.approx(
        np.array([(one.slope, one.low_slope, one.high_slope) for one in expected]), rel=1e-12, abs=1e-15
    )


def test_more_series_than_fit_at_once_are_measured_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.tile(np.arange(4), (7, 1))
    y = np.outer(np.arange(7), np.arange(4)).astype(float)
    monkeypatch.setattr("segments.slopes._BLOCK", 12)
    assert theil_sen(x, y, confidence=0.95)[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
