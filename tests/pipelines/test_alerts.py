"""Alerts: each condition is told once, clears, and is told again; a source that is away changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines.alerts import THRESHOLDS, Alert, AlertThresholds, conditions, tell_new
from pipelines.definitions import build_definitions
from pipelines.figures import Credits, Figures, Instruments, Quarantine
from pipelines.sensors import alerts
from pipelines.settings import Settings
from resources.lake import Lake
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
HELD_BY_ACME = replace(HELD, account="acme")
QUARANTINED = replace(FINE, quarantine=Quarantine(rows=9, last_day=2))


def look(figures: Figures, cursor: str | None, *, reached: bool = True) -> tuple[list[str], str]:
    """The titles that were sent at one look, whether they reached anybody or not, and the new cursor."""
    sent: list[str] = []

    def tell(alert: Alert) -> bool:
        sent.append(alert.title)
        return reached

    told, cursor = tell_new(figures, conditions(figures), cursor, tell=tell)
    assert told == (len(sent) if reached else 0)
    return sent, cursor


@pytest.mark.parametrize(
    ("bad", "title", "line", "table"),
    [
        pytest.param(STALE, "Segment tables that are stale: 1", "37 hours old", "segments/mrr_tiers", id="stale"),
        pytest.param(HELD, "wait for a person: 2", "stripe-mavera held", "mavera/outcomes", id="held"),
        pytest.param(
            HELD_BY_ACME, "for a person: 2", "held --account acme`", "mavera/outcomes", id="held of an account"
        ),
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
        titles, cursor = look(figures, cursor)
        told.append(titles)
    assert [len(titles) for titles in told] == [0, 1, 0, 0, 1]
    (alert,) = conditions(bad)
    assert title in alert.title
    assert line in alert.lines[0]
    assert alert.table == table


def test_each_step_of_the_budget_is_told_and_a_new_month_begins_anew() -> None:
    cursor, told = None, []
    december = replace(counted(600), at=NOW + timedelta(days=10), made={})
    for figures in (counted(510), counted(760), counted(700), counted(760), counted(950), december):
        titles, cursor = look(figures, cursor)
        told.append([title[:2] for title in titles])
    assert told == [["50"], ["75"], [], ["75"], ["90"], ["50"]]


def test_without_a_budget_there_is_nothing_to_count_against() -> None:
    assert conditions(replace(FINE, credits=Credits(day=9, month=9, month_settled=9, month_cap=None))) == ()


def test_more_held_rows_are_told_and_fewer_are_not() -> None:
    cursor, told = None, []
    for held in (2, 2, 5, 3, 4, 0, 1):
        titles, cursor = look(replace(FINE, intents={"held": held}), cursor)
        told.append([title[-1] for title in titles])
    assert told == [["2"], [], ["5"], [], ["4"], [], ["1"]]


def test_what_reached_nobody_is_told_again_until_it_does() -> None:
    bad = replace(counted(510), intents=HELD.intents)
    _, cursor = look(counted(510), None)
    first, cursor = look(bad, cursor, reached=False)
    second, cursor = look(bad, cursor, reached=False)
    worse = replace(bad, credits=counted(760).credits)
    third, cursor = look(worse, cursor)
    assert [[title[:5] for title in titles] for titles in (first, second, third)] == [
        ["Paid "],
        ["Paid "],
        ["Paid ", "75 pe"],
    ]
    assert look(worse, cursor) == ([], cursor)


def test_what_cannot_be_read_neither_clears_nor_begins() -> None:
    _, cursor = look(HELD, None)
    titles, cursor = look(replace(FINE, intents=None, unread=("intents",)), cursor)
    assert titles == []
    assert look(HELD, cursor) == ([], cursor)


def test_a_healthy_account_does_not_hide_that_another_is_stale(settings_for: Callable[..., Settings]) -> None:
    settings = settings_for()
    state, lake = State(settings.state_url), Lake(settings.lake)
    key = dg.AssetKey(["segments", "mrr_tiers"])
    with dg.DagsterInstance.ephemeral() as instance:

        def figures(account: str, now: datetime) -> Figures:
            return Instruments(
                state=state,
                lake=lake,
                instance=lambda: instance,
                environment="test",
                month_cap=None,
                account=account,
            ).figures(now=now)

        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="acme"))
        between = datetime.now(UTC)
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="beta"))
        now = between + THRESHOLDS.segments_stale_after
        acme, beta, new = (figures(name, now) for name in ("acme", "beta", "new"))
        assert not any("dagster" in one.unread for one in (acme, beta, new))
        assert [alert.title for alert in conditions(acme)] == ["Segment tables that are stale: 1"]
        assert (*conditions(beta), *conditions(new)) == ()
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="acme"))
        assert conditions(figures("acme", now + timedelta(minutes=-1))) == ()


def test_thresholds_are_in_one_place() -> None:
    patient = AlertThresholds(segments_stale_after=timedelta(days=3), held_intents=5, quarantined_last_day=9)
    assert conditions(STALE, patient) == conditions(HELD, patient) == conditions(QUARANTINED, patient) == ()


class Heard:
    """A channel that keeps what it was told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> bool:
        """Keep it."""
        self.messages.append(message)
        return True


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
    assert (quiet.cursor, heard.messages) == ("{}", [])
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
    assert second.skip_reason.skip_message == "2 conditions hold, 0 of them were told now"
    with state.begin() as connection:
        connection.execute(intents.update().values(state="done"))
        connection.execute(attempts.update().values(credits=0))
    cleared = tick(second.cursor)
    assert cleared.cursor == "{}"
    assert len(heard.messages) == 2
