"""Random histories of an account, read by runs that meet faults and die anywhere: the tables equal the server.

Property: whatever happened before, one run that lives and meets no fault leaves each object once, at its newest
version, and every event; the run after it finds nothing to do.
"""

import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingest.report import ExtractionFailed
from tests.ingest.account import differences
from tests.ingest.in_process import Killed, MortalAccount, Server

_CHANGING = ("customers", "subscriptions", "invoices", "charges", "payment_methods", "prices", "coupons")
_DELETED = ("customers", "subscriptions", "invoices", "payment_methods", "coupons")
_LISTED = (*_CHANGING, "invoice_payments", "disputes", "refunds", "events")
_LISTS = frozenset(f"GET /v1/{name}" for name in _LISTED if name != "events")
_EVENTS_SECONDS = 29 * 86_400


@dataclass(frozen=True)
class Life:
    """One run, and what happens before and while it reads."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    days: int = 0
    stirs: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, Any] = field(default_factory=dict)
    full: bool = False
    dies_at: int | None = None


@st.composite
def _changes(draw: st.DrawFn, resources: tuple[str, ...] = _CHANGING) -> dict[str, Any]:
    resource = draw(st.sampled_from(resources))
    deleted = draw(st.integers(0, 2)) if resource in _DELETED else 0
    return {
        "create": draw(st.integers(deleted, 15)),  # a table that ran empty could not be changed further
        "update": draw(st.integers(0, 4)),
        "delete": deleted,
        "resource": resource,
    }


@st.composite
def _stirs(draw: st.DrawFn) -> dict[str, Any]:
    """What changes while a list is paged, the object of the cursor included."""
    listed = draw(st.sampled_from(_LISTED))
    changed = draw(_changes())
    return {
        **changed,
        "create": min(changed["create"], 3),
        "on": listed,
        "every": draw(st.integers(1, 3)),
        "times": draw(st.integers(1, 3)),
        "delete_cursor": listed in _DELETED and draw(st.booleans()),
    }


# Each alone is what the tests of single faults show; here they meet.
_EACH: list[dict[str, Any]] = [
    {"rate_429": {"endpoint-rate": 0.05}},
    {"rate_429": {"global-concurrency": 0.03, "none": 0.05}},
    {"rate_500": 0.05},
    {"rate_drop": 0.05},
    {"rate_lock_timeout": 0.05},
    {"old_events": "2022-11-15"},
    {"hide_new_events": True},
    {"payment_methods_need_customer": True},
    *({"forbidden": [name]} for name in _LISTED),
    *({"scripts": [{"operation": f"GET /v1/{name}", "status": 400, "skip": 1}]} for name in _LISTED),
]
_FAULTS = st.lists(st.sampled_from(_EACH), max_size=3).map(
    lambda chosen: {name: value for fault in chosen for name, value in fault.items()}
)
_LIVES = st.builds(
    Life,
    changes=st.lists(
        st.builds(lambda change, tie: {**change, "same_second": tie}, _changes(), st.booleans()), max_size=3
    ),
    days=st.sampled_from([0, 0, 0, 1, 35]),
    stirs=st.lists(_stirs(), max_size=3),
    faults=_FAULTS,
    full=st.booleans(),
    dies_at=st.none() | st.integers(1, 60) | st.integers(1, 220),
)


def _live(life: Life, account: MortalAccount, server: Server) -> None:
    server.control(mutate=life.changes)
    if life.days:
        server.advance(life.days)
    server.control(faults={**life.faults, "mutations": life.stirs})
    with suppress(Killed, ExtractionFailed):
        report = account.extract(full=life.full, dies_at=life.dies_at)
        assert report.complete
    server.control(reset=True)


def _holds(lives: list[Life], seed: int) -> None:
    server = Server(seed=seed, customers=20)
    with tempfile.TemporaryDirectory() as folder:
        account = MortalAccount(Path(folder), server, seed=seed)
        for life in lives:
            _live(life, account, server)
        assert account.extract().complete
        assert differences(account, server) == []
        landed = [row["id"] for row in account.rows("events")]
        assert len(landed) == len(set(landed))
        kept = {e["id"] for e in server.objects("events") if e["created"] > server.now - _EVENTS_SECONDS}
        assert kept <= set(landed)
        assert account.extract().mode == "unchanged"


@pytest.mark.parametrize("dies_at", [60, 120])
def test_a_killed_run_fetches_at_most_one_page_of_a_cursor_again(dies_at: int, tmp_path: Path) -> None:
    server = Server(seed=4, customers=20)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    MortalAccount(tmp_path / "whole", server, seed=1).extract()
    whole = server.asked()
    server.control(reset=True)
    account = MortalAccount(tmp_path / "killed", server, seed=1)
    with pytest.raises(Killed):
        account.extract(dies_at=dies_at)
    assert account.extract().resumed
    again = {name: count - whole[name] for name, count in server.asked().items() if name in _LISTS}
    assert all(more <= 2 for more in again.values()), again  # a page, and the question whether the key may read it
    assert differences(account, server) == []


def _as_long(examples: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if not derandomize else (Phase.generate,),
    )


@_as_long(3, derandomize=True)
@given(lives=st.lists(_LIVES, min_size=1, max_size=3), seed=st.integers(1, 50))
def test_any_history_ends_in_the_servers_content(lives: list[Life], seed: int) -> None:
    _holds(lives, seed)


@pytest.mark.soak
@_as_long(400, derandomize=False)
@given(lives=st.lists(_LIVES, min_size=1, max_size=5), seed=st.integers(1, 10_000))
def test_hundreds_of_histories_end_in_the_servers_content(lives: list[Life], seed: int) -> None:
    _holds(lives, seed)
