"""The ledger's promises to many workers at once: one claim a thing, no cap passed, on both databases."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from activation.audit import export, verify
from activation.intents import Claim, Entry, Intent, Run
from activation.ledger import Ledger
from activation.policy import Caps, Kind
from activation.registry import StoredObject
from resources.state import State
from resources.state.ledger import attempts
from tests.activation.databases import fresh_database
from tests.activation.kit import IDENTITY, START, memory_state
from tests.activation.processes import fork

RUN = Run(run_id="run-1", actor="test", plan_hash="p" * 64, policy_version="1")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def a_ledger(state: State | None = None, clock: Any = None) -> Ledger:
    return Ledger(state or memory_state(), identity=IDENTITY, clock=clock or Clock(), claim_seconds=10)


def an_entry(key: str = "tier:smb", *, credits: int = 300, body: dict[str, Any] | None = None) -> Entry:
    return Entry(
        kind=Kind.PERSONA,
        segment_key=key,
        spec_version="v1",
        token=f"t-{key}"[:16],
        template_version="tier-1",
        content={"customers": 40},
        body=body or {"name": key},
        credits=credits,
    )


def made_for(entry: Entry, remote_id: str = "clx1") -> StoredObject:
    return StoredObject(
        kind=entry.kind,
        segment_key=entry.segment_key,
        spec_version=entry.spec_version,
        token=entry.token,
        remote_id=remote_id,
        content=entry.content,
        body=entry.body,
        template_version=entry.template_version,
        since=START,
        updated_at=START,
    )


def claimed(ledger: Ledger, entry: Entry | None = None, *, run: Run = RUN, caps: Caps | None = None) -> Claim:
    claim = ledger.claim(entry or an_entry(), run=run, caps=caps or Caps())
    assert isinstance(claim, Claim)
    return claim


def test_a_second_claim_of_the_same_thing_gets_the_first_ones_row() -> None:
    ledger = a_ledger()
    claimed(ledger)
    second = ledger.claim(an_entry(), run=RUN, caps=Caps())
    assert isinstance(second, Intent)
    assert second.state == "intent"


def test_a_worker_that_lost_its_claim_cannot_send() -> None:
    clock = Clock()
    ledger = a_ledger(clock=clock)
    slow = claimed(ledger)
    clock.pass_by(11)
    quick = claimed(ledger)
    assert ledger.sent(slow, settle_seconds=30) is None
    assert ledger.sent(quick, settle_seconds=30) == clock.now
    assert ledger.spend(run_id="run-1").run == 300  # the abandoned reservation was given back


@pytest.mark.parametrize("state", ["sent", "unknown", "held", "done"])
def test_a_row_that_may_have_been_paid_is_never_claimed_again(state: str) -> None:
    clock = Clock()
    ledger = a_ledger(clock=clock)
    claim = claimed(ledger)
    ledger.sent(claim, settle_seconds=30)
    if state == "done":
        ledger.done(claim, charged=300, answer_hash="a", made=made_for(claim.entry))
    if state in ("unknown", "held"):
        ledger.unknown(claim, code="deadline", reason="no answer")
    if state == "held":
        row = ledger.intents()[0]
        ledger.hold(row, run=RUN, code="not_found", reason="nothing there", next_action="look")
    clock.pass_by(10_000)
    again = ledger.claim(an_entry(body={"name": "another body"}), run=RUN, caps=Caps())
    assert isinstance(again, Intent)
    assert again.state == state


def test_a_refused_request_is_claimed_again_only_when_it_changed() -> None:
    ledger = a_ledger()
    claim = claimed(ledger)
    ledger.sent(claim, settle_seconds=30)
    ledger.failed(claim, code="invalid_field", reason="HTTP 400", next_action="correct it")
    same = ledger.claim(an_entry(), run=RUN, caps=Caps())
    assert isinstance(same, Intent)
    assert claimed(ledger, an_entry(body={"name": "better"})).attempt == 2


@pytest.mark.parametrize("charged", [0, 120, 300])
def test_the_reservation_is_settled_to_the_charge_of_the_answer(charged: int) -> None:
    ledger = a_ledger()
    claim = claimed(ledger)
    ledger.sent(claim, settle_seconds=30)
    ledger.done(claim, charged=charged, answer_hash="a", made=made_for(claim.entry))
    spend = ledger.spend(run_id="run-1")
    assert (spend.run, spend.month_settled) == (charged, charged)


def test_an_unknown_outcome_and_an_answer_without_a_charge_keep_counting_at_the_worst_price() -> None:
    ledger = a_ledger()
    unknown, silent = claimed(ledger), claimed(ledger, an_entry("tier:enterprise"))
    for claim in (unknown, silent):
        ledger.sent(claim, settle_seconds=30)
    ledger.unknown(unknown, code="deadline", reason="no answer")
    ledger.done(silent, charged=None, answer_hash="a", made=made_for(silent.entry))
    spend = ledger.spend(run_id="run-1")
    assert (spend.run, spend.month_settled) == (600, 0)


@pytest.mark.parametrize("cap", ["per_run", "per_day", "per_month"])
def test_a_cap_refuses_the_claim_that_would_pass_it_and_writes_nothing(cap: str) -> None:
    ledger = a_ledger()
    caps = Caps.model_validate({cap: 500})
    claimed(ledger, caps=caps)
    refused = ledger.claim(an_entry("tier:enterprise"), run=RUN, caps=caps)
    assert isinstance(refused, str)
    assert "cap of 500 credits" in refused
    assert len(ledger.intents()) == 1


def test_a_refused_takeover_leaves_nobody_who_could_send_over_the_cap() -> None:
    clock = Clock()
    ledger, caps = a_ledger(clock=clock), Caps(per_month=600)
    first = claimed(ledger, caps=caps)
    clock.pass_by(20)
    assert isinstance(ledger.claim(an_entry(), run=RUN, caps=Caps(left=0)), str)
    assert [(row.state, row.code) for row in ledger.intents()] == [("failed", "not_sent")]
    others = [claimed(ledger, an_entry(key), caps=caps) for key in ("tier:enterprise", "tier:mid_market")]
    assert ledger.sent(first, settle_seconds=30) is None
    assert all(ledger.sent(claim, settle_seconds=30) for claim in others)
    assert ledger.spend().month == 600
    assert [json.loads(row.event)["event"] for row in export(ledger.state)][:2] == ["claim", "abandoned"]
    clock.now = datetime(2026, 12, 1, tzinfo=UTC)
    assert claimed(ledger, caps=caps).attempt == 2


def test_days_and_months_count_by_themselves() -> None:
    clock = Clock()
    ledger = a_ledger(clock=clock)
    claimed(ledger)
    clock.now = datetime(2026, 11, 11, 0, 0, tzinfo=UTC)
    assert (ledger.spend().day, ledger.spend().month) == (0, 300)
    clock.now = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)
    assert (ledger.spend().day, ledger.spend().month) == (0, 0)


@pytest.mark.parametrize(
    ("before", "counts"),
    [(timedelta(0), True), (timedelta(microseconds=1), False)],
    ids=["from its first instant", "and not before"],
)
def test_a_day_counts_from_midnight_of_utc(before: timedelta, counts: bool) -> None:
    clock = Clock()
    ledger = a_ledger(clock=clock)
    midnight = datetime(2026, 11, 11, tzinfo=UTC)
    clock.now = midnight - before
    claimed(ledger)
    clock.now = (midnight + timedelta(hours=3)).astimezone(timezone(timedelta(hours=-8)))
    assert ledger.spend().day == (300 if counts else 0)


def test_a_cap_may_be_reached_and_not_passed() -> None:
    ledger = a_ledger()
    caps = Caps(per_run=600)
    claimed(ledger, caps=caps)
    claimed(ledger, an_entry("tier:enterprise"), caps=caps)
    refused = ledger.claim(an_entry("tier:mid_market", credits=1), run=RUN, caps=caps)
    assert refused == "1 credits more would pass the cap of 600 credits a run (600 counted)"


def test_a_token_that_stands_for_another_segment_is_refused() -> None:
    ledger = a_ledger()
    claimed(ledger)
    twin = Entry(**{**an_entry("tier:other").__dict__, "token": an_entry().token})
    assert "stands for another segment" in str(ledger.claim(twin, run=RUN, caps=Caps()))


def test_a_late_answer_that_names_another_object_goes_to_a_person() -> None:
    ledger = a_ledger()
    claim = claimed(ledger)
    ledger.sent(claim, settle_seconds=30)
    ledger.unknown(claim, code="deadline", reason="no answer")
    row = ledger.intents()[0]
    ledger.adopt(row, run=RUN, made=made_for(claim.entry, "clx1"), charged=None)
    assert ledger.done(claim, charged=300, answer_hash="a", made=made_for(claim.entry, "clx1"))
    assert not ledger.done(claim, charged=300, answer_hash="a", made=made_for(claim.entry, "clx2"))
    assert [(row.state, row.code) for row in ledger.intents()] == [("held", "conflict")]


def test_an_audit_row_that_cannot_be_written_blocks_the_claim() -> None:
    state = memory_state()
    ledger = a_ledger(state)
    with state.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON mavera_audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    with pytest.raises(sa.exc.IntegrityError, match="disk full"):
        ledger.claim(an_entry(), run=RUN, caps=Caps())
    assert ledger.intents() == []


def test_every_transition_leaves_a_row_in_a_chain_that_verifies() -> None:
    state = memory_state()
    ledger = a_ledger(state)
    claim = claimed(ledger)
    ledger.sent(claim, settle_seconds=30)
    ledger.done(claim, charged=300, answer_hash="a", made=made_for(claim.entry))
    rows = list(export(state))
    assert [json.loads(row.event)["event"] for row in rows] == ["claim", "sent", "done"]
    event = json.loads(rows[2].event)
    assert (event["target"], event["credits"], event["actor"], event["plan"]) == ("clx1", 300, "test", "p" * 64)
    assert verify(state).ok


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE mavera_audit SET event_json = '{}' WHERE seq = 2", "row 2 was changed"),
        ("DELETE FROM mavera_audit WHERE seq = 2", "row 2 is missing"),
        ("DELETE FROM mavera_audit WHERE seq = 3", "rows after 2 are missing: the head is row 3"),
        ("UPDATE mavera_audit SET at = at + 1 WHERE seq = 1", "row 1 was changed"),
    ],
    ids=["a changed row", "a missing row", "a missing end", "a changed time"],
)
def test_tampering_with_the_audit_trail_is_found(tampering: str, found: str) -> None:
    state = memory_state()
    ledger = a_ledger(state)
    for key in ("tier:smb", "tier:mid_market", "tier:enterprise"):
        claimed(ledger, an_entry(key))
    with state.engine.begin() as connection:
        connection.exec_driver_sql(tampering)
    assert verify(state).broken == found


def test_a_row_whose_sender_may_still_be_at_it_is_left_alone_until_its_window_has_passed() -> None:
    clock = Clock()
    ledger = a_ledger(clock=clock)
    ledger.sent(claimed(ledger), settle_seconds=30)
    clock.pass_by(29)
    assert ledger.recover(run=RUN) == []
    clock.pass_by(1)
    assert [(row.state, row.code) for row in ledger.recover(run=RUN)] == [("unknown", "process_gone")]


def test_an_object_that_is_found_before_its_sender_came_back_is_adopted_at_once() -> None:
    ledger = a_ledger()
    claim = claimed(ledger)
    ledger.sent(claim, settle_seconds=30)
    assert ledger.adopt(ledger.intents()[0], run=RUN, made=made_for(claim.entry), charged=120)
    assert [(row.state, row.remote_id) for row in ledger.intents()] == [("done", "clx1")]
    assert ledger.spend(run_id="run-1").month_settled == 120


@pytest.mark.parametrize(
    ("decision", "keep", "counted"), [("released", False, 0), ("resend", True, 300)], ids=["release", "resend"]
)
def test_a_persons_decision_is_on_record_and_frees_the_row(decision: Any, keep: bool, counted: int) -> None:
    state = memory_state()
    ledger = a_ledger(state)
    claim = claimed(ledger)
    ledger.sent(claim, settle_seconds=30)
    ledger.unknown(claim, code="deadline", reason="no answer")
    ledger.hold(ledger.intents()[0], run=RUN, code="not_found", reason="nothing there", next_action="look")
    assert ledger.free(ledger.intents()[0], run=RUN, code=decision, keep_credits=keep)
    assert [json.loads(row.event)["event"] for row in export(state)][-1] == decision
    assert ledger.spend(run_id="run-1").run == counted
    assert claimed(ledger).attempt == 2


def test_an_export_holds_the_rows_from_its_first_instant_up_to_its_last() -> None:
    clock = Clock()
    state = memory_state()
    ledger = a_ledger(state, clock)
    for key in ("tier:smb", "tier:mid_market", "tier:enterprise"):
        claimed(ledger, an_entry(key))
        clock.pass_by(60)
    second, third = START + timedelta(seconds=60), START + timedelta(seconds=120)
    assert [row.seq for row in export(state, since=second)] == [2, 3]
    assert [row.seq for row in export(state, until=third)] == [1, 2]
    assert [row.seq for row in export(state, since=second, until=third)] == [2]


# ---- many processes ---------------------------------------------------------------------------------------------
def _work(url: str, worker: int, keys: int) -> None:
    """Claim, send and finish every key that nobody else has."""
    state = State(url)
    ledger = Ledger(state, identity=IDENTITY, clock=lambda: datetime.now(UTC), claim_seconds=60)
    order = list(range(keys))
    random.Random(worker).shuffle(order)
    run = Run(run_id=f"run-{worker}", actor="test", plan_hash="p", policy_version="1")
    for key in order:
        claim = ledger.claim(an_entry(f"k:{key}"), run=run, caps=Caps())
        if isinstance(claim, Claim) and ledger.sent(claim, settle_seconds=60) is not None:
            with state.begin() as connection:  # the "call": whoever comes here pays
                connection.exec_driver_sql(f"INSERT INTO calls (key) VALUES ({key})")
            ledger.done(claim, charged=1, answer_hash="a", made=made_for(claim.entry, f"clx{worker}"))
    state.close()


def workers_do_not_double(url: str, *, workers: int, keys: int) -> None:
    state = State(url)
    with state.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE calls (key INTEGER)")
    state.close()
    children = [fork(lambda worker=worker: _work(url, worker, keys)) for worker in range(workers)]
    assert [child.wait() for child in children] == [0] * workers
    with state.engine.connect() as connection:
        calls = Counter(row[0] for row in connection.exec_driver_sql("SELECT key FROM calls"))
        states = Counter(row[0] for row in connection.exec_driver_sql("SELECT state FROM mavera_intents"))
    assert (len(calls), max(calls.values())) == (keys, 1)
    assert states == {"done": keys}
    assert verify(state).ok
    state.close()


def test_eight_workers_pay_for_each_of_three_hundred_keys_once_on_sqlite(tmp_path: Path) -> None:
    workers_do_not_double(fresh_database(None, tmp_path), workers=8, keys=300)


def test_eight_workers_pay_for_each_of_three_hundred_keys_once_on_postgresql(
    postgres: str, tmp_path: Path
) -> None:
    workers_do_not_double(fresh_database(postgres, tmp_path), workers=8, keys=300)


@pytest.mark.soak
@pytest.mark.parametrize("turn", range(20))
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_twenty_rounds_of_eight_workers_pay_once(
    database: str, turn: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = None if database == "sqlite" else request.getfixturevalue("postgres")
    workers_do_not_double(fresh_database(server, tmp_path), workers=8, keys=300)


def _spend_at_random(url: str, worker: int, steps: int, cap: int) -> None:
    state = State(url)
    ledger = Ledger(state, identity=IDENTITY, clock=lambda: datetime.now(UTC), claim_seconds=60)
    chance = random.Random(worker)
    run = Run(run_id="one", actor="test", plan_hash="p", policy_version="1")
    for step in range(steps):
        price = chance.choice((5, 30, 50, 75, 300))
        entry = an_entry(f"k:{worker}:{step}", credits=price)
        claim = ledger.claim(entry, run=run, caps=Caps(per_run=cap, per_month=cap))
        if not isinstance(claim, Claim):
            continue
        ledger.sent(claim, settle_seconds=60)
        match chance.choice(("done", "unknown", "no_credits", "left")):
            case "done":
                made = made_for(entry)
                ledger.done(claim, charged=chance.randint(0, price), answer_hash="a", made=made)
            case "unknown":
                ledger.unknown(claim, code="deadline", reason="no answer")
            case "no_credits":
                ledger.failed(claim, code="no_credits", reason="HTTP 402", next_action="add credits")
        with state.read() as connection:
            counted = connection.execute(sa.select(sa.func.sum(attempts.c.credits))).scalar_one()
        assert counted <= cap
    state.close()


def _caps_hold(url: str, *, steps: int) -> None:
    children = [fork(lambda worker=worker: _spend_at_random(url, worker, steps, 3_000)) for worker in range(8)]
    assert [child.wait() for child in children] == [0] * 8


def test_eight_workers_never_pass_the_cap_together_on_sqlite(tmp_path: Path) -> None:
    _caps_hold(fresh_database(None, tmp_path), steps=40)


def test_eight_workers_never_pass_the_cap_together_on_postgresql(postgres: str, tmp_path: Path) -> None:
    _caps_hold(fresh_database(postgres, tmp_path), steps=40)


@pytest.mark.soak
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_ten_thousand_random_claims_never_pass_the_cap(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = None if database == "sqlite" else request.getfixturevalue("postgres")
    _caps_hold(fresh_database(server, tmp_path), steps=1_250)
