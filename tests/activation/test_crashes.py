"""Crash points and faults: no object twice, none lost, no cap passed, wherever a run is cut."""

import pytest
import sqlalchemy as sa

from activation.edges import LABELS
from tests.activation.naive import PROTOCOLS, tally
from tests.activation.schedules import Schedule, Stage, schedules

_WRITTEN_BY_A_LABEL = ("mavera_intents", "mavera_attempts", "mavera_objects", "mavera_audit", "mavera_approvals")
_PARTS = 4


def _play(found: list[Schedule]) -> set[str]:
    stage, labels, bad = Stage(), set[str](), []
    for schedule in found:
        verdict = stage.play(schedule)
        labels |= verdict.labels
        if verdict.duplicates or verdict.lost or verdict.over_cap:
            bad.append((schedule, verdict))
    assert bad == []
    return labels


@pytest.mark.parametrize("part", range(_PARTS))
def test_crashes_and_faults_duplicate_lose_and_overspend_nothing(part: int) -> None:
    labels = _play(schedules(1_000, seed=1)[part::_PARTS])
    assert labels <= set(LABELS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_five_thousand_schedules_duplicate_lose_and_overspend_nothing(seed: int) -> None:
    _play(schedules(500, seed=seed))


def test_every_durable_write_and_every_paid_call_has_its_label() -> None:
    stage, open_writes, unlabelled, seen = Stage(), 0, [], set[str]()

    @sa.event.listens_for(stage.state.engine, "before_cursor_execute")
    def _statement(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        verb, _, rest = statement.partition(" ")
        table = rest.split()[1 if verb != "UPDATE" else 0] if verb in ("INSERT", "DELETE", "UPDATE") else ""
        if table in _WRITTEN_BY_A_LABEL and playing and not open_writes:
            unlabelled.append(statement)

    def noted(label: str) -> None:
        nonlocal open_writes
        seen.add(label)
        if label.endswith(":before") and not label.startswith("call"):
            open_writes += 1
        if label.endswith(":after") and not label.startswith("call"):
            open_writes -= 1

    playing = False
    for faults in (("none",), ("answer_lost",), ("late_commit", "not_sent"), ("request_lost",), ("rate_limited",)):
        playing = False
        stage.empty()
        playing = True
        stage.play(Schedule(cuts=(), faults=faults, thorough=True), watch=noted, empty=False)
    playing = False
    assert unlabelled == []
    assert set(LABELS) - seen == {"result:before", "result:inside", "result:after"}  # texts only


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_protocols_of_others_duplicate_or_lose_under_the_same_schedules(protocol: str) -> None:
    found = tally(PROTOCOLS[protocol], 60, seed=1)
    assert (found.duplicated, found.lost) != (0, 0)


@pytest.mark.parametrize(
    ("lag", "late", "resend", "duplicates_allowed"),
    [
        (29.0, 10.0, False, 0),
        (30.0, 10.0, False, 0),
        (31.0, 10.0, False, 0),
        (5.0, 40.0, False, 0),
        (20.0, 5.0, True, 0),
        (5.0, 20.0, True, 0),
        (31.0, 10.0, True, 0),
        (5.0, 40.0, True, 2),
    ],
    ids=lambda value: str(value),
)
def test_a_settle_window_shorter_than_the_lag_can_double_only_where_the_operator_chose_to_resend(
    lag: float, late: float, resend: bool, duplicates_allowed: int
) -> None:
    stage = Stage()
    for fault in ("answer_lost", "late_commit", "error_after", "request_lost"):
        verdict = stage.play(
            Schedule(cuts=(), faults=(fault, fault), resend=resend, lag=lag, late=late, thorough=True)
        )
        assert verdict.duplicates <= duplicates_allowed
        assert verdict.lost == []
