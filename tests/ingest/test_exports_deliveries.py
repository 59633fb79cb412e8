"""Which deliveries are complete and new: markers, stability, re-delivery, trees; quick over 10,000 files."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.exports import FileEntry, Layout, deliveries_in, find_deliveries, list_files
from ingest.exports.deliveries import ExportTick

T0 = datetime(2026, 11, 20, 6, tzinfo=UTC)
LIVE = Layout(livemode=True)


def file(path: str, *, size: int = 100, at: datetime = T0, etag: str | None = None) -> FileEntry:
    return FileEntry(path, size, at, etag)


def run(name: str, *, at: datetime = T0, tree: str = "livemode", marker: bool = True) -> list[FileEntry]:
    base = f"acct/{tree}/{name}"
    files = [file(f"{base}/customers/part-0.parquet", at=at), file(f"{base}/charges/2026/part-1.parquet", at=at)]
    return [*files, file(f"{base}/coreapi_SUCCESS", size=0, at=at)] if marker else files


def ticks(*listings: Sequence[FileEntry], layout: Layout = LIVE) -> list[ExportTick]:
    """Ticks over successive listings, each with the cursor of the one before."""
    found: list[ExportTick] = []
    for listing in listings:
        found.append(find_deliveries(listing, found[-1].cursor if found else None, layout=layout))
    return found


def ids(tick: ExportTick) -> list[str]:
    return [delivery.id for delivery in tick.deliveries]


def test_a_run_with_its_marker_is_delivered_once() -> None:
    first, second = ticks(run("r1"), run("r1"))
    assert ids(first) == ["acct/livemode/r1:coreapi"]
    (delivery,) = first.deliveries
    assert delivery.run_key == "export:acct/livemode/r1:coreapi"
    assert {table: [one.name for one in files] for table, files in delivery.tables.items()} == {
        "customers": ["part-0.parquet"],
        "charges": ["part-1.parquet"],
    }
    assert delivery.version_at == T0 - timedelta(hours=12)
    assert (ids(second), second.skip_reason) == ([], "no new delivery among 3 files")


def test_a_run_without_marker_is_never_read() -> None:
    (tick,) = ticks(run("r1", marker=False))
    assert (ids(tick), tick.skip_reason) == ([], "2 Parquet files have no coreapi_SUCCESS yet")
    assert deliveries_in(run("r1", marker=False), layout=LIVE) == ()


def test_the_marker_of_another_group_is_not_ours() -> None:
    other = [*run("r1", marker=False), file("acct/livemode/r1/reporting_SUCCESS")]
    assert [ids(tick) for tick in ticks(other)] == [[]]
    assert len(deliveries_in(other, layout=Layout(livemode=True, marker="*_SUCCESS"))) == 1


def test_of_several_complete_runs_only_the_newest_matters() -> None:
    first, second, third = ticks(
        [*run("r1"), *run("r2"), *run("r3")],
        [*run("r1"), *run("r2"), *run("r3"), *run("r4", marker=False)],
        [*run("r1"), *run("r2"), *run("r3"), *run("r4", at=T0 + timedelta(hours=6))],
    )
    assert [ids(one) for one in (first, second, third)] == [
        ["acct/livemode/r3:coreapi"],
        [],
        ["acct/livemode/r4:coreapi"],
    ]


def test_a_folder_that_is_delivered_again_does_not_run_again() -> None:
    again = run("r1", at=T0 + timedelta(days=1))
    assert [ids(tick) for tick in ticks(run("r1"), again, [], again)] == [["acct/livemode/r1:coreapi"], [], [], []]


def test_a_tree_without_run_folder_is_told_apart_by_its_marker() -> None:
    def tree(at: datetime) -> list[FileEntry]:
        return [file("livemode/customers/a.parquet", at=at), file("livemode/coreapi_SUCCESS", at=at)]

    later = T0 + timedelta(hours=6)
    found = ticks(tree(T0), tree(T0), tree(later))
    assert [len(tick.deliveries) for tick in found] == [1, 0, 1]
    assert found[2].deliveries[0].version_at == later - timedelta(hours=12)


def test_only_the_configured_tree_is_read() -> None:
    both = [*run("r1"), *run("r1", tree="testmode")]
    assert [ids(tick) for tick in ticks(both)] == [["acct/livemode/r1:coreapi"]]
    assert [ids(tick) for tick in ticks(both, layout=Layout(livemode=False))] == [["acct/testmode/r1:coreapi"]]


def test_a_marker_outside_both_trees_is_a_problem_and_told_once() -> None:
    lost = [file("somewhere/customers/a.parquet"), file("somewhere/coreapi_SUCCESS")]
    first, second = ticks(lost, lost)
    assert (first.deliveries, len(first.problems), second.problems) == ((), 1, ())
    assert "somewhere/coreapi_SUCCESS" in first.problems[0]


def test_a_csv_file_is_ready_when_two_ticks_see_the_same() -> None:
    growing = [file("customers.csv", size=10)], [file("customers.csv", size=20)], [file("customers.csv", size=20)]
    found = ticks(*growing, growing[-1])
    assert [len(tick.deliveries) for tick in found] == [0, 0, 1, 0]
    (delivery,) = found[2].deliveries
    assert (delivery.kind, list(delivery.tables)) == ("csv", ["customers"])
    assert delivery.version_at == T0 - timedelta(hours=1)
    assert found[0].skip_reason == "1 CSV files are still to be seen unchanged"


def test_a_csv_file_with_new_content_is_a_new_delivery() -> None:
    old, new = file("customers.csv"), file("customers.csv", size=101, at=T0 + timedelta(days=1))
    found = ticks([old], [old], [new], [new])
    assert len({*ids(found[1]), *ids(found[3])}) == 2


def test_an_etag_tells_content_better_than_a_time() -> None:
    first, second = (file("customers.csv", at=T0 + timedelta(hours=hours), etag="abc") for hours in (0, 5))
    found = ticks([first], [first], [second], [second])
    assert [len(tick.deliveries) for tick in found] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("customers.csv", "customers"),
        ("unified_customers (3).csv", "customers"),
        ("Unified_Payments_2026.CSV", "charges"),
        ("payments.csv", "charges"),
        ("subscriptions.csv", "subscriptions"),
        ("disputes-november.csv", "disputes"),
        ("invoices.csv", "invoices"),
    ],
)
def test_a_csv_file_is_known_by_its_name(name: str, table: str) -> None:
    (delivery,) = deliveries_in([file(f"uploads/{name}")], layout=LIVE)
    assert list(delivery.tables) == [table]


def test_an_unknown_csv_file_is_a_problem_and_told_once_until_it_goes() -> None:
    strange = [file("notes.csv")]
    first, second, _, fourth = ticks(strange, strange, [], strange)
    assert first.problems == ("notes.csv is not named like an export that is known",)
    assert (second.problems, fourth.problems) == ((), first.problems)


def test_the_cursor_is_small_json_and_may_be_absent() -> None:
    files = [one for number in range(50) for one in run(f"r{number:03}")]
    tick = find_deliveries(files, None, layout=LIVE)
    assert set(json.loads(tick.cursor)) == {"done", "seen", "told"}
    assert len(tick.cursor) < 3_000


def test_a_folder_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    assert list_files(str(tmp_path)) == ()
    with pytest.raises(FileNotFoundError, match="STRIPE_EXPORTS_URI"):
        list_files(str(tmp_path / "gone"))


def test_a_bucket_is_listed_like_a_folder() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/exports/livemode/r1/customers/a.parquet", b"1234")
    memory.pipe_file("/bucket/exports/livemode/r1/coreapi_SUCCESS", b"")
    files = list_files("memory://bucket/exports")
    assert [(one.path, one.size) for one in files] == [
        ("livemode/r1/coreapi_SUCCESS", 0),
        ("livemode/r1/customers/a.parquet", 4),
    ]
    assert len(deliveries_in(files, layout=LIVE)) == 1
    with pytest.raises(FileNotFoundError):
        list_files("memory://bucket/nothing")


def test_an_idle_tick_over_ten_thousand_files_is_quick(tmp_path: Path) -> None:
    for number in range(50):
        base = tmp_path / "livemode" / f"r{number:03}"
        for table in range(20):
            (base / f"table_{table}").mkdir(parents=True)
            for part in range(9):
                (base / f"table_{table}" / f"{part}.parquet").touch()
        (base / "coreapi_SUCCESS").touch()
    for number in range(950):
        (tmp_path / f"customers_{number}.csv").touch()
    cursor = None
    for _ in range(2):
        cursor = find_deliveries(list_files(str(tmp_path)), cursor, layout=LIVE).cursor
    spent = []
    for _ in range(3):  # processor time: a busy machine must not fail what is about the work
        began = time.process_time()
        tick = find_deliveries(list_files(str(tmp_path)), cursor, layout=LIVE)
        spent.append(time.process_time() - began)
    assert tick.skip_reason == "no new delivery among 10000 files"
    assert min(spent) < 0.2
