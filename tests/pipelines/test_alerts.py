"""Alerts: each condition is told once, clears, and is told again; a source that is away changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines.alerts import AlertThresholds, alerts_to_tell, conditions
from pipelines.definitions import build_definitions
from pipelines.figures import Credits, Figures, Quarantine
from pipelines.sensors import alerts
from pipelines.settings import Settings
from resources.state import State
from resources.state.ledger import attempts, intents
from tests.pipelines.ledger_rows import held_row

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FINE = Figures(
    at=NOW,
    credits=Credits(day=0, month=100, month_settled=100, month_cap=1_000),
    intents={"done": 4},
    quarantine=Quarantine(rows=7, last_day=0),
    made={"segments/mrr_tiers": NOW - timedelta(hours=3), "mavera/plan": NOW - timedelta(days=9)},
)


def counted(month: int) -> Figures:
    return replace(FINE, credits=Credits(day=month, month=month, month_settled=month, month_cap=1_000))


STALE = replace(FINE, made={"segments/mrr_tiers": NOW - timedelta(hours=37)})
HELD = replace(FINE, intents={"done": 4, "held": 2})
QUARANTINED = replace(FINE, quarantine=Quarantine(rows=9, last_day=2))


@pytest.mark.parametrize(
    ("bad", "title", "line", "table"),
    [
        pytest.param(STALE, "Segment tables that are stale: 1", "37 hours old", "segments/mrr_tiers", id="stale"),
        pytest.param(HELD, "wait for a person: 2", "stripe-mavera held", "mavera/outcomes", id="held"),
        pytest.param(counted(500), "50 percent of", "500 of 1,000", "mavera/spend", id="half of the budget"),
        pytest.param(counted(760), "75 percent of", "760 of 1,000", "mavera/spend", id="three quarters of it"),
        pytest.param(counted(1_000), "90 percent of", "1,000 of 1,000", "mavera/spend", id="all of it"),
        pytest.param(QUARANTINED, "could not be read: 2", "9 lie in", "stripe/quarantine", id="quarantine grows"),
    ],
)
def test_a_condition_is_told_once_clears_and_is_told_again(
    bad: Figures, title: str, line: str, table: str
) -> None:
    cursor, told = None, []
    for figures in (FINE, bad, bad, FINE, bad):
        new, cursor = alerts_to_tell(figures, conditions(figures), cursor)
        told.append([alert.title for alert in new])
    assert [len(titles) for titles in told] == [0, 1, 0, 0, 1]
    (alert,) = conditions(bad)
    assert title in alert.title
    assert line in alert.lines[0]
    assert alert.table == table


def test_each_step_of_the_budget_is_told_and_a_new_month_begins_anew() -> None:
    cursor, told = None, []
    december = replace(counted(600), at=NOW + timedelta(days=10), made={})
    for figures in (counted(510), counted(760), counted(700), counted(760), counted(950), december):
        new, cursor = alerts_to_tell(figures, conditions(figures), cursor)
        told.append([alert.title[:2] for alert in new])
    assert told == [["50"], ["75"], [], ["75"], ["90"], ["50"]]


def test_without_a_budget_there_is_nothing_to_count_against() -> None:
    assert conditions(replace(FINE, credits=Credits(day=9, month=9, month_settled=9, month_cap=None))) == ()


def test_what_cannot_be_read_neither_clears_nor_begins() -> None:
    _, cursor = alerts_to_tell(HELD, conditions(HELD), None)
    away = replace(FINE, intents=None, unread=("intents",))
    new, cursor = alerts_to_tell(away, conditions(away), cursor)
    assert new == ()
    again, _ = alerts_to_tell(HELD, conditions(HELD), cursor)
    assert again == ()


def test_thresholds_are_in_one_place() -> None:
    patient = AlertThresholds(segments_stale_after=timedelta(days=3), held_intents=5, quarantined_last_day=9)
    assert conditions(STALE, patient) == conditions(HELD, patient) == conditions(QUARANTINED, patient) == ()


class Heard:
    """A channel that keeps what it was told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        """Keep it."""
        self.messages.append(message)


def test_the_sensor_reads_the_state_and_tells_the_channels_once(
    settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    monkeypatch.setattr("pipelines.notify.NotifierResource.open", lambda _self: heard)
    settings = settings_for(mavera_credit_budget=400)
    made = build_definitions(settings).resources or {}
    given = {name: made[name] for name in ("lake", "state", "paid_work", "notifier")}

    def tick(cursor: str | None) -> Any:
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_sensor_context(instance=instance, cursor=cursor, resources=given) as context,
        ):
            return alerts(context)

    quiet = tick(None)
    assert (quiet.cursor, heard.messages) == ("[]", [])
    state = State(settings.state_url)
    held_row(state, environment=settings.environment, credits=300, at=datetime.now(UTC))
    first = tick(quiet.cursor)
    second = tick(first.cursor)
    assert not first.run_requests
    assert [message.title for message in heard.messages] == [
        "Paid rows that wait for a person: 1",
        "75 percent of the month's credits are counted",
    ]
    assert [message.link for message in heard.messages] == [
        "http://127.0.0.1:3000/assets/mavera/outcomes",
        "http://127.0.0.1:3000/assets/mavera/spend",
    ]
    assert second.skip_reason.skip_message == "2 conditions hold, 0 of them are new"
    with state.begin() as connection:
        connection.execute(intents.update().values(state="done"))
        connection.execute(attempts.update().values(credits=0))
    cleared = tick(second.cursor)
    assert cleared.cursor == "[]"
    assert len(heard.messages) == 2
