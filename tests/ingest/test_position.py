"""Where the raw tables stand: by the API, by exports, by both; never for two accounts at once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from ingest.position import PositionError, position
from resources.state import State
from resources.state.exports import remember_delivery
from resources.state.extraction import ExtractionState

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def read(state: State, account: str, at: datetime) -> None:
    micros = int(at.timestamp()) * 1_000_000
    ExtractionState(state, lambda: NOON).save_cursor(
        account, events_from=0, routed=True, newest_read=micros, loaded={}
    )


def delivered(state: State, delivery: str, at: datetime, *, livemode: bool = True) -> None:
    remember_delivery(state, delivery, livemode=livemode, version_at=at, loaded_at=NOON)


def test_nothing_read_is_an_error_that_says_what_to_do(state: State) -> None:
    with pytest.raises(PositionError, match="extract"):
        position(state)


def test_exports_alone_stand_at_the_newest_and_name_no_account(state: State) -> None:
    delivered(state, "b", NOON)
    delivered(state, "a", NOON - HOUR)
    assert (position(state).account, position(state).as_of) == ("exports:live", NOON)


@pytest.mark.parametrize(("export_at", "as_of"), [(NOON - HOUR, NOON), (NOON + HOUR, NOON + HOUR)])
def test_beside_the_api_the_newer_of_the_two_counts(state: State, export_at: datetime, as_of: datetime) -> None:
    read(state, "acct_1:live", NOON)
    delivered(state, "a", export_at)
    assert (position(state).account, position(state).as_of) == ("acct_1:live", as_of)


@pytest.mark.parametrize(
    ("accounts", "trees"),
    [
        pytest.param(["acct_1:live", "acct_2:live"], [], id="two accounts"),
        pytest.param(["acct_1:live"], [False], id="a live account and test exports"),
        pytest.param([], [True, False], id="both trees"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    state: State, accounts: Sequence[str], trees: Sequence[bool]
) -> None:
    for account in accounts:
        read(state, account, NOON)
    for livemode in trees:
        delivered(state, f"tree {livemode}", NOON, livemode=livemode)
    with pytest.raises(PositionError, match="STATE_DATABASE_URL"):
        position(state)
