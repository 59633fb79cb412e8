"""Each transition of the ledger from each state: what it writes, to the last column, or that it writes nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from activation.audit import export
from activation.intents import Balance, Claim, Intent
from activation.ledger import Ledger
from activation.policy import Caps
from resources.state.ledger import attempts, intents, objects
from tests.activation.kit import START, memory_state
from tests.activation.test_ledger import RUN, Clock, a_ledger, an_entry, claimed, made_for

_ANY = Caps()
STATES = ("intent", "sent", "unknown", "done", "failed", "held")
SETTLES_AT = START + timedelta(seconds=30)
NOW = START + timedelta(seconds=5)


@dataclass
class Scene:
    """A ledger with one row in some state, and one more row that nothing may touch."""

    ledger: Ledger
    claim: Claim
    bystander: Claim

    @property
    def row(self) -> Intent:
        row = self.ledger.intent(self.claim.intent_id)
        assert row is not None
        return row

    def seen(self) -> dict[str, Any]:
        """All columns of all tables, as they stand."""
        with self.ledger.state.read() as connection:
            tables = {
                table.name: [dict(one._mapping) for one in connection.execute(sa.select(table))]
                for table in (intents, attempts, objects)
            }
        return {**tables, "audit": [json.loads(one.event) for one in export(self.ledger.state)]}


def a_scene(state: str) -> Scene:
    clock = Clock()
    ledger = a_ledger(memory_state(), clock)
    bystander = claimed(ledger, an_entry("market:other"))
    ledger.sent(bystander, settle_seconds=30)
    claim = claimed(ledger)
    if state != "intent":
        ledger.sent(claim, settle_seconds=30, before=Balance(used=700, settled=600))
    if state in ("unknown", "held"):
        ledger.unknown(claim, code="deadline", reason="no answer")
    scene = Scene(ledger, claim, bystander)
    match state:
        case "held":
            ledger.hold(scene.row, run=RUN, code="not_found", reason="nothing there", next_action="look")
        case "failed":
            ledger.failed(claim, code="invalid_field", reason="HTTP 400", next_action="correct it")
        case "done":
            ledger.done(claim, charged=300, answer_hash="first", made=made_for(claim.entry, "clx0"))
    clock.now = NOW
    return scene


@dataclass(frozen=True)
class Transition:
    """What is called, from which states it acts, and what it leaves."""

    act: Callable[[Scene], Any]
    acts_from: tuple[str, ...]
    row: dict[str, Any]
    attempt: dict[str, Any]
    event: dict[str, Any]
    result: Any = None
    refused: Any = None
    makes: str | None = None


TRANSITIONS = {
    "sent": Transition(
        act=lambda scene: scene.ledger.sent(scene.claim, settle_seconds=25, before=Balance(used=900, settled=650)),
        acts_from=("intent",),
        row={"state": "sent", "sent_at": NOW, "settle_at": NOW + timedelta(seconds=25)},
        attempt={"outcome": "sent", "usage_before": 900, "settled_before": 650},
        event={"event": "sent"},
        result=NOW,
    ),
    "not sent": Transition(
        act=lambda scene: scene.ledger.not_sent(scene.claim, reason="no route"),
        acts_from=("intent", "sent", "unknown"),
        row={
            "state": "failed",
            "resolved_at": NOW,
            "code": "not_sent",
            "reason": "no route",
            "next_action": "the next run tries again",
        },
        attempt={"outcome": "not_sent", "credits": 0, "settled": True},
        event={"event": "not_sent", "code": "not_sent", "credits": 0},
    ),
    "failed": Transition(
        act=lambda scene: scene.ledger.failed(scene.claim, code="forbidden", reason="403", next_action="scope"),
        acts_from=("intent", "sent", "unknown"),
        row={
            "state": "failed",
            "resolved_at": NOW,
            "code": "forbidden",
            "reason": "403",
            "next_action": "scope",
        },
        attempt={"outcome": "forbidden", "credits": 0, "settled": True},
        event={"event": "failed", "code": "forbidden", "credits": 0},
    ),
    "unknown": Transition(
        act=lambda scene: scene.ledger.unknown(scene.claim, code="no_answer", reason="reset"),
        acts_from=("sent",),
        row={"state": "unknown", "code": "no_answer", "reason": "reset"},
        attempt={"outcome": "unknown"},
        event={"event": "unknown", "code": "no_answer"},
    ),
    "done": Transition(
        act=lambda scene: scene.ledger.done(
            scene.claim, charged=120, answer_hash="hash", made=made_for(scene.claim.entry)
        ),
        acts_from=("sent", "unknown", "held"),
        row={
            "state": "done",
            "resolved_at": NOW,
            "remote_id": "clx1",
            "answer_hash": "hash",
            "code": None,
            "reason": None,
            "next_action": None,
        },
        attempt={"outcome": "done", "credits": 120, "settled": True},
        event={"event": "done", "target": "clx1", "credits": 120},
        result=True,
        makes="clx1",
    ),
    "adopted": Transition(
        act=lambda scene: scene.ledger.adopt(scene.row, run=RUN, made=made_for(scene.claim.entry), charged=120),
        acts_from=("sent", "unknown"),
        row={
            "state": "done",
            "resolved_at": NOW,
            "remote_id": "clx1",
            "code": "adopted",
            "reason": "found at Mavera by its token",
            "next_action": None,
        },
        attempt={"outcome": "adopted", "credits": 120, "settled": True},
        event={"event": "adopted", "target": "clx1", "credits": 120},
        result=True,
        refused=False,
        makes="clx1",
    ),
    "adopted without a known charge": Transition(
        act=lambda scene: scene.ledger.adopt(
            scene.row, run=RUN, made=made_for(scene.claim.entry), charged=None, states=("held",)
        ),
        acts_from=("held",),
        row={
            "state": "done",
            "resolved_at": NOW,
            "remote_id": "clx1",
            "code": "adopted",
            "reason": "found at Mavera by its token",
            "next_action": None,
        },
        attempt={"outcome": "adopted"},
        event={"event": "adopted", "target": "clx1"},
        result=True,
        refused=False,
        makes="clx1",
    ),
    "held": Transition(
        act=lambda scene: scene.ledger.hold(
            scene.row, run=RUN, code="conflict", reason="two", next_action="keep one"
        ),
        acts_from=("unknown",),
        row={"state": "held", "code": "conflict", "reason": "two", "next_action": "keep one"},
        attempt={"outcome": "held"},
        event={"event": "held", "code": "conflict"},
        result=True,
        refused=False,
    ),
    "released": Transition(
        act=lambda scene: scene.ledger.free(scene.row, run=RUN, code="released", keep_credits=False),
        acts_from=("held", "unknown"),
        row={
            "state": "failed",
            "resolved_at": NOW,
            "code": "released",
            "reason": "released by a person",
            "next_action": "the next approved plan sends it",
        },
        attempt={"outcome": "released", "credits": 0, "settled": True},
        event={"event": "released", "code": "released"},
        result=True,
        refused=False,
    ),
    "to be sent again": Transition(
        act=lambda scene: scene.ledger.free(scene.row, run=RUN, code="resend", keep_credits=True),
        acts_from=("held", "unknown"),
        row={
            "state": "failed",
            "resolved_at": NOW,
            "code": "resend",
            "reason": "freed after look-up",
            "next_action": "the next approved plan sends it",
        },
        attempt={"outcome": "resend"},
        event={"event": "resend", "code": "resend"},
        result=True,
        refused=False,
    ),
    "forgotten": Transition(
        act=lambda scene: scene.ledger.forget(made_for(scene.claim.entry, "clx0"), run=RUN),
        acts_from=("done",),
        row={"state": "failed", "code": "released", "reason": "its object is gone", "resolved_at": NOW},
        attempt={},
        event={"event": "forgotten", "target": "clx0", "status": "active", "version": 1},
    ),
}


@pytest.mark.parametrize(
    ("name", "state"),
    [(name, state) for name, transition in TRANSITIONS.items() for state in transition.acts_from],
)
def test_a_transition_changes_exactly_its_columns_and_leaves_one_audit_row(name: str, state: str) -> None:
    transition, scene = TRANSITIONS[name], a_scene(state)
    before = scene.seen()
    assert transition.act(scene) == transition.result
    after = scene.seen()
    assert after["mavera_intents"] == [
        before["mavera_intents"][0],
        {**before["mavera_intents"][1], **transition.row},
    ]
    assert after["mavera_attempts"] == [
        before["mavera_attempts"][0],
        {**before["mavera_attempts"][1], **transition.attempt},
    ]
    assert [one["remote_id"] for one in after["mavera_objects"]] == (
        [transition.makes] if transition.makes else []
    )
    assert after["audit"][:-1] == before["audit"]
    about = {"actor": "test", "run": "run-1", "segment": "tier:smb", "spec": "v1", "kind": "persona"}
    if name != "forgotten":
        about |= {"attempt": 1, "plan": "p" * 64, "body_hash": scene.claim.entry.body_hash, "template": "tier-1"}
        about |= {"code": "", "credits": None, "target": ""}
    said = after["audit"][-1]
    assert {key: said[key] for key in {*about, *transition.event}} == {**about, **transition.event}


LABELS = {
    "not sent": "not_sent",
    "adopted without a known charge": "adopted",
    "released": "failed",
    "to be sent again": "failed",
    "forgotten": "failed",
}


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_can_be_cut_before_inside_and_after_its_transaction(name: str) -> None:
    """The instants at which the crash tests cut; inside, nothing is on record yet."""
    transition, instants = TRANSITIONS[name], list[str]()
    scene = a_scene(transition.acts_from[0])
    scene.ledger.probe = instants.append
    transition.act(scene)
    label = LABELS.get(name, name)
    assert instants == [f"{label}:before", f"{label}:inside", f"{label}:after"]


def test_an_object_that_is_registered_without_a_call_leaves_its_audit_row() -> None:
    scene, instants = a_scene("failed"), list[str]()
    before = scene.seen()
    scene.ledger.probe = instants.append
    scene.ledger.register(made_for(scene.claim.entry, "clx7"), run=RUN, event="taken over")
    after = scene.seen()
    assert [one["remote_id"] for one in after["mavera_objects"]] == ["clx7"]
    assert after["audit"][:-1] == before["audit"]
    about = {"event": "taken over", "actor": "test", "run": "run-1", "segment": "tier:smb", "target": "clx7"}
    assert {key: after["audit"][-1][key] for key in about} == about
    assert instants == ["adopted:before", "adopted:inside", "adopted:after"]


@pytest.mark.parametrize(
    ("name", "state"),
    [
        (name, state)
        for name, transition in TRANSITIONS.items()
        for state in STATES
        if state not in transition.acts_from and name not in ("done", "forgotten")
    ],
)
def test_from_any_other_state_a_transition_writes_nothing(name: str, state: str) -> None:
    transition, scene = TRANSITIONS[name], a_scene(state)
    before = scene.seen()
    assert transition.act(scene) == transition.refused
    assert scene.seen() == before


@pytest.mark.parametrize("name", [name for name in TRANSITIONS if name not in ("forgotten",)])
def test_a_transition_of_an_attempt_that_is_over_writes_nothing(name: str) -> None:
    """Of a row that went on without it: another attempt has begun, whose outcome is its own."""
    transition = TRANSITIONS[name]
    scene = a_scene("held" if "held" in transition.acts_from else "unknown")
    late = scene.row
    scene.ledger.free(late, run=RUN, code="resend", keep_credits=True)
    again = claimed(scene.ledger)
    if transition.acts_from != ("intent",):
        scene.ledger.sent(again, settle_seconds=30)
    before = scene.seen()
    result = transition.act(_Late(scene.ledger, scene.claim, scene.bystander, late))
    if name == "done":
        assert result is False
        return
    assert result == transition.refused
    assert scene.seen() == before


class _Late(Scene):
    """A worker that still holds the row as it was."""

    def __init__(self, ledger: Ledger, claim: Claim, bystander: Claim, row: Intent) -> None:
        super().__init__(ledger, claim, bystander)
        self._late = row

    @property
    def row(self) -> Intent:
        return self._late


@pytest.mark.parametrize("state", ["intent", "failed", "done"])
def test_an_answer_to_a_row_that_went_on_without_it_waits_for_a_person(state: str) -> None:
    scene = a_scene(state)
    before = scene.seen()
    made = made_for(scene.claim.entry)
    assert not scene.ledger.done(scene.claim, charged=120, answer_hash="hash", made=made)
    after = scene.seen()
    row = {"state": "held", "code": "conflict", "next_action": "compare the objects at Mavera, then adopt one"}
    reason = "an answer to attempt 1 came late and names another object (clx1)"
    assert after["mavera_intents"][1] == {**before["mavera_intents"][1], **row, "reason": reason}
    assert after["mavera_attempts"] == before["mavera_attempts"]
    assert after["mavera_objects"] == before["mavera_objects"]
    assert (after["audit"][-1]["event"], after["audit"][-1]["target"]) == ("conflict", "clx1")


def test_an_answer_that_names_the_object_of_the_row_changes_nothing_more() -> None:
    scene = a_scene("done")
    before = scene.seen()
    assert scene.ledger.done(
        scene.claim, charged=120, answer_hash="later", made=made_for(scene.claim.entry, "clx0")
    )
    assert scene.seen() == before


@pytest.mark.parametrize("state", STATES)
def test_only_rows_whose_window_has_passed_are_taken_for_lost(state: str) -> None:
    scene = a_scene(state)
    waiting = {scene.claim.intent_id} if state == "unknown" else set()
    assert {row.id for row in scene.ledger.recover(run=RUN)} == waiting
    scene.ledger.clock = lambda: SETTLES_AT
    lost = {scene.bystander.intent_id} | ({scene.claim.intent_id} if state in ("sent", "unknown") else set())
    found = scene.ledger.recover(run=RUN)
    assert {row.id for row in found} == lost
    assert {row.state for row in found} == {"unknown"}


def test_a_claim_writes_all_that_its_request_was_made_of() -> None:
    scene = a_scene("failed")
    before = scene.seen()
    again = claimed(scene.ledger, an_entry(body={"name": "better"}, credits=75))
    after = scene.seen()
    row = after["mavera_intents"][1]
    assert (row["state"], row["attempt"], row["claimed_at"], row["id"]) == (
        "intent",
        2,
        NOW,
        scene.claim.intent_id,
    )
    assert (row["body_hash"], json.loads(row["body_json"])) == (again.entry.body_hash, {"name": "better"})
    assert (json.loads(row["content_json"]), row["brief_hash"] == row["body_hash"]) == ({"customers": 40}, False)
    assert (row["run_id"], row["plan_hash"], row["template_version"]) == ("run-1", "p" * 64, "tier-1")
    cleared = ("sent_at", "settle_at", "resolved_at", "code", "reason", "next_action")
    assert [row[name] for name in cleared] == [None] * len(cleared)
    assert after["mavera_attempts"][:-1] == before["mavera_attempts"]
    attempt = after["mavera_attempts"][-1]
    assert (attempt["attempt"], attempt["credits"], attempt["settled"], attempt["outcome"]) == (
        2,
        75,
        False,
        "reserved",
    )
    assert (attempt["started_at"], attempt["run_id"], attempt["environment"]) == (NOW, "run-1", "test")
    assert (after["audit"][-1]["event"], after["audit"][-1]["credits"]) == ("claim", 75)


def test_a_claim_that_was_never_sent_is_taken_over_at_its_end_and_not_before() -> None:
    scene = a_scene("intent")
    before = scene.seen()
    scene.ledger.clock = lambda: START + timedelta(seconds=9.9)
    assert isinstance(scene.ledger.claim(scene.claim.entry, run=RUN, caps=_ANY), Intent)
    assert scene.seen() == before
    scene.ledger.clock = lambda: START + timedelta(seconds=10)
    assert claimed(scene.ledger).attempt == 2
    abandoned = scene.seen()["mavera_attempts"][1]
    assert (abandoned["outcome"], abandoned["credits"], abandoned["settled"]) == ("abandoned", 0, True)


def test_what_was_settled_ever_counts_answers_and_nothing_that_is_open() -> None:
    scene = a_scene("done")
    assert scene.ledger.settled_total() == 300
    assert scene.ledger.spend(run_id="run-1").run == 600


def test_another_environment_in_the_same_database_is_none_of_its_business() -> None:
    scene = a_scene("done")
    other = Ledger(
        scene.ledger.state,
        identity=scene.ledger.identity.model_copy(update={"environment": "live"}),
        clock=scene.ledger.clock,
        claim_seconds=10,
    )
    assert (other.intents(), other.objects(), other.settled_total(), other.spend().month) == ([], [], 0, 0)
    assert other.intent(scene.claim.intent_id) is None
    assert claimed(other).attempt == 1
    other.forget(made_for(scene.claim.entry, "clx0"), run=RUN)
    assert [row.state for row in scene.ledger.intents()] == ["sent", "done"]
