"""Real runs, killed with SIGKILL at random instants, against an HTTP server that loses, breaks and delays."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from resources.state import State, metadata
from tests.activation.kit import market, quick_policy, tier
from tests.activation.processes import fork, refresh, serve_mavera

_FAULTS = [
    {"operation": "createPersona", "kind": "lost_answer", "rate": 0.12},
    {"operation": "createPersona", "kind": "error_after", "rate": 0.12},
    {"operation": "createPersona", "kind": "late_commit", "rate": 0.12, "delay_seconds": 0.3},
    {"operation": "createPersona", "kind": "lost_request", "rate": 0.08},
    {"operation": "createPersona", "kind": "html", "rate": 0.08},
]
_COUNTRIES = ("AT", "BE", "CH", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IT", "NL", "NO", "PL", "PT", "SE")


def _panel(base_url: str, path: str, **control: Any) -> Any:
    root = base_url.rsplit("/api", 1)[0]
    with httpx.Client(trust_env=False) as http:
        if control:
            return http.post(f"{root}/_sandbox/{path}", json=control).json()
        return http.get(f"{root}/_sandbox/{path}").json()


def _kill_at_random(folder: Path, *, kills: int, seed: int) -> tuple[Counter[str], int]:
    """Kill `kills` runs, then let three run to their end; states of the ledger and duplicates at the server."""
    chance = random.Random(seed)
    database = f"sqlite:///{folder / 'state.db'}"
    state = State(database)
    metadata.create_all(state.engine)
    state.close()
    policy = quick_policy(
        deadline_seconds=0.8, settle_seconds=1, claim_seconds=0.3, backoff_seconds=0.05, poll_seconds=0.05
    )
    briefs = [tier(name) for name in ("smb", "mid_market", "enterprise")]
    briefs += [market(country) for country in _COUNTRIES]
    server, url = serve_mavera(
        folder / "mavera",
        seed=seed,
        credits=1_000_000,
        requests_per_minute=100_000,
        latency_scale=0.03,
        list_lag_seconds=0.2,
        faults=_FAULTS,
    )
    try:
        for number in range(kills):
            child = fork(lambda number=number: refresh(database, url, policy, briefs, f"run-{number}"))
            time.sleep(chance.uniform(0.02, 0.5))
            child.kill()
            child.wait()
        _panel(url, "control", options={"faults": []})
        for number in range(3):
            assert fork(lambda number=number: refresh(database, url, policy, briefs, f"end-{number}")).wait() == 0
        time.sleep(0.4)  # what is committed late is there now
        made = [one for one in _panel(url, "ledger")["objects"] if one["operation"] == "createPersona"]
    finally:
        server.kill()
        server.wait()
    state = State(database)
    with state.engine.connect() as connection:
        rows = connection.exec_driver_sql("select state from mavera_intents").all()
    state.close()
    names = Counter(one["name"] for one in made)
    return Counter(row[0] for row in rows), sum(count - 1 for count in names.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thirty_killed_runs_make_nothing_twice_and_leave_no_row_open(tmp_path: Path, seed: int) -> None:
    states, duplicates = _kill_at_random(tmp_path, kills=10, seed=seed)
    assert duplicates == 0
    assert sum(states.values()) == 19
    assert set(states) <= {"done", "held"}


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 20))
def test_two_hundred_killed_runs_make_nothing_twice(tmp_path: Path, seed: int) -> None:
    states, duplicates = _kill_at_random(tmp_path, kills=20, seed=seed)
    assert duplicates == 0
    assert sum(states.values()) == 19
    assert set(states) <= {"done", "held"}
