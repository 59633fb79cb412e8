"""A state machine over the whole paid side: runs, cuts, faults, lag, hands at Mavera, two workers, time."""

from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from activation.audit import verify
from activation.edges import LABELS
from tests.activation.model_mavera import FAULTS
from tests.activation.schedules import CAP, WAYS, Cut, Stage, Theatre


class PaidSide(RuleBasedStateMachine):
    """Each rule is a run, an accident, or a hand at Mavera."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.theatre = Theatre(self.stage.state)
        self.runs = 0
        self.by_hand = 0

    def _run(self, *, cut: Cut | None = None, workers: int = 1, customers: int = 200) -> None:
        self.runs += 1
        self.theatre.run(cut=cut, number=self.runs, workers=workers, customers=customers)

    @rule(customers=st.sampled_from((200, 205, 400, 800)))
    def a_clean_run(self, customers: int) -> None:
        self._run(customers=customers)

    @rule(label=st.sampled_from(LABELS), way=st.sampled_from(WAYS), nth=st.integers(1, 2))
    def a_run_that_is_cut(self, label: str, way: str, nth: int) -> None:
        self._run(cut=Cut(label, way, nth))

    @rule(customers=st.sampled_from((200, 400)))
    def two_runs_side_by_side(self, customers: int) -> None:
        self._run(workers=2, customers=customers)

    @rule(faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=3))
    def faults_ahead(self, faults: list[str]) -> None:
        self.theatre.server.faults = list(faults)

    @rule(lag=st.sampled_from((0.0, 5.0, 25.0)), late=st.sampled_from((1.0, 10.0, 25.0)))
    def mavera_changes_its_pace(self, lag: float, late: float) -> None:
        self.theatre.server.lag, self.theatre.server.late = lag, late

    @rule(seconds=st.sampled_from((1.0, 20.0, 40.0, 4_000.0)))
    def time_passes(self, seconds: float) -> None:
        self.theatre.time.seconds += seconds

    @precondition(lambda self: self.theatre.server.personas)
    @rule(data=st.data())
    def someone_renames_a_persona(self, data: Any) -> None:
        persona = data.draw(st.sampled_from(self.theatre.server.personas))
        self.by_hand += 1
        persona["name"] = f"by hand {self.by_hand}"

    @precondition(lambda self: self.theatre.server.personas)
    @rule(data=st.data())
    def someone_deletes_a_persona(self, data: Any) -> None:
        self.theatre.server.personas.remove(data.draw(st.sampled_from(self.theatre.server.personas)))

    @invariant()
    def no_segment_was_paid_for_twice(self) -> None:
        """Every creation at Mavera is of another name: nothing is made anew without a person's word."""
        made = self.theatre.server.created_names
        assert len(made) == len(set(made))

    @invariant()
    def no_cap_was_passed(self) -> None:
        assert self.theatre.counted() <= CAP
        assert self.theatre.server.charged <= CAP

    @invariant()
    def every_row_that_could_have_been_paid_is_in_the_ledger(self) -> None:
        with self.stage.state.engine.connect() as connection:
            tokens = {row[0] for row in connection.execute(sa.text("SELECT token FROM mavera_intents"))}
        assert all(name[-9:-1] in tokens for name in self.theatre.server.created_names)

    def teardown(self) -> None:
        self.theatre.server.faults.clear()
        for _ in range(3):
            self._run()
            self.theatre.time.seconds += 60
        assert self.theatre.undecided() == []
        assert verify(self.stage.state).ok


TestPaidSide = PaidSide.TestCase
TestPaidSide.settings = settings(
    max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.soak
class TestPaidSideAtLength(PaidSide.TestCase):  # type: ignore[misc, name-defined]
    """The same machine, long."""

    settings = settings(
        max_examples=2_000, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
