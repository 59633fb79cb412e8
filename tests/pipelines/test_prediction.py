"""The command `predict`: chances for live histories, from a file to a file."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from pipelines.prediction import predict_histories
from tests.segments.simulated_histories import simulate

_SNAPSHOT = date(2024, 9, 30)


@pytest.mark.parametrize("name", ["histories.csv", "histories.csv.gz"])
def test_every_history_live_at_the_snapshot_gets_a_chance_and_no_other(name: str, tmp_path: Path) -> None:
    histories = simulate(1_500, seed=1)
    histories.to_csv(tmp_path / name, index=False)
    out = tmp_path / "chances.csv"

    answer = predict_histories(tmp_path / name, snapshot=_SNAPSHOT, out=out)

    day = str(_SNAPSHOT)
    live = histories[(histories.created <= day) & ~(histories.canceled_at.fillna("9999") <= day)]
    chances = pd.read_csv(out)
    assert list(chances.columns) == ["row", "p_30d"]
    assert chances.row.tolist() == live.row.tolist()
    assert chances.p_30d.between(0, 1).all()
    assert answer.payload["live"] == len(live)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_happened_after_the_snapshot_changes_nothing(tmp_path: Path) -> None:
    histories = simulate(1_500, seed=2)
    cut = histories.copy()
    cut.loc[cut.canceled_at.fillna("") > str(_SNAPSHOT), "canceled_at"] = None
    cut = cut[cut.created <= str(_SNAPSHOT)]
    for name, frame in (("whole", histories), ("cut", cut)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        predict_histories(tmp_path / f"{name}.csv", snapshot=_SNAPSHOT, out=tmp_path / f"{name}.out")
    assert (tmp_path / "whole.out").read_text() == (tmp_path / "cut.out").read_text()


@pytest.mark.parametrize("dropped", ["plan_id", "interval", "quantity", "country"])
def test_a_column_may_be_missing_or_half_empty(dropped: str, tmp_path: Path) -> None:
    histories = simulate(1_500, seed=1)
    half = histories[dropped].where(histories.row % 2 == 0, None)
    for name, frame in (
        ("without", histories.drop(columns=dropped)),
        ("half", histories.assign(**{dropped: half})),
    ):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        answer = predict_histories(tmp_path / f"{name}.csv", snapshot=_SNAPSHOT, out=tmp_path / "out.csv")
        chances = pd.read_csv(tmp_path / "out.csv")
        assert answer.payload["method"] == "hazard"
        assert chances.p_30d.between(0, 1).all()
        assert len(chances) == answer.payload["live"]


def test_lines_that_cannot_be_read_are_left_out_and_counted(tmp_path: Path) -> None:
    histories = simulate(300, seed=1)
    histories.loc[3, "created"] = None
    histories.loc[4, "canceled_at"] = "soon"
    histories.to_csv(tmp_path / "histories.csv", index=False)
    answer = predict_histories(tmp_path / "histories.csv", snapshot=_SNAPSHOT, out=tmp_path / "out.csv")
    assert (answer.payload["histories"], answer.payload["left_out"]) == (298, 2)
    assert not pd.read_csv(tmp_path / "out.csv").row.isin([3, 4]).any()


def test_few_ends_fall_back_to_the_points_and_say_so(tmp_path: Path) -> None:
    simulate(40, seed=2).to_csv(tmp_path / "histories.csv", index=False)
    answer = predict_histories(tmp_path / "histories.csv", snapshot=_SNAPSHOT, out=tmp_path / "out.csv")
    assert answer.payload["method"] == "points"
    assert "cancellations are known, 50 are needed for a model" in answer.payload["fallback"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="an empty file"),
        pytest.param("row,created\n1,2024-01-01\n", id="missing columns"),
        pytest.param("\x00\x01\x02", id="no text"),
        pytest.param(
            "row,created,canceled_at,plan_id,interval,quantity,country_iso3\n1,soon,,p,month,1,USA\n", id="no day"
        ),
    ],
)
def test_a_file_that_holds_no_histories_is_refused_and_nothing_is_written(text: str, tmp_path: Path) -> None:
    source = tmp_path / "histories.csv"
    source.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"\S"):
        predict_histories(source, snapshot=_SNAPSHOT, out=tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["histories.csv"]
