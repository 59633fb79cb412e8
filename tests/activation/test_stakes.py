"""Which risk cohorts are worth a message: enough at stake gets an operation, less is left out and says why."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from activation.operator import Operator, OperatorFileError, Retention, Stake, briefs_of, read_operator_file
from activation.plan import build_plan
from activation.plan_model import Plan
from activation.policy import Kind
from tests.activation.kit import Bench, a_source, retention, tier

_BIG, _SMALL = "retention:payment_recovery:mid_market", "retention:win_back:mid_market"
_WHY = "less MRR at stake than 50000 minor units a month (retention.least_at_stake_minor)"


def _plan(stakes: dict[str, Stake] | None, *, least: int) -> Plan:
    """The plan for two cohorts, of which `stakes` tells what is at stake."""
    cells = [
        {"segment_key": "tier:mid_market", **tier()},
        {"segment_key": _BIG, **retention("payment_recovery")},
        {"segment_key": _SMALL, **retention("win_back")},
    ]
    operator = Operator(retention=Retention(least_at_stake_minor=least))
    briefs, silent = briefs_of(cells, operator, stakes=stakes)
    return Bench().run(lambda account: build_plan(account, briefs, source=a_source(), suppressed=silent))


def _generations(plan: Plan) -> list[str]:
    return [one.segment_key for one in plan.operations if one.kind is Kind.GENERATION]


@pytest.mark.parametrize(
    ("stakes", "written", "left_out"),
    [
        pytest.param(
            {_BIG: Stake(715_681, True), _SMALL: Stake(49_999, True)},
            [_BIG],
            {_SMALL: _WHY},
            id="one is too small",
        ),
        pytest.param(
            {_BIG: Stake(715_681, True), _SMALL: Stake(50_000, True)}, [_BIG, _SMALL], {}, id="just enough"
        ),
        pytest.param(
            {_BIG: Stake(0, True), _SMALL: Stake(0, True)}, [], {_BIG: _WHY, _SMALL: _WHY}, id="nothing at stake"
        ),
        pytest.param(
            {_BIG: Stake(715_681, True), _SMALL: Stake(0, False)}, [_BIG, _SMALL], {}, id="a part is unknown"
        ),
        pytest.param({_BIG: Stake(715_681, True)}, [_BIG, _SMALL], {}, id="no stake was computed"),
        pytest.param(None, [_BIG, _SMALL], {}, id="no stakes at all"),
    ],
)
def test_a_cohort_gets_a_message_when_enough_is_at_stake(
    stakes: dict[str, Stake] | None, written: list[str], left_out: dict[str, str]
) -> None:
    plan = _plan(stakes, least=50_000)
    assert _generations(plan) == written
    assert {one.segment_key: one.reason for one in plan.suppressed} == left_out
    assert plan.credits == 300 + 30 * len(written)


def test_without_a_threshold_every_cohort_is_written_to() -> None:
    assert _generations(_plan({_BIG: Stake(1, True), _SMALL: Stake(0, True)}, least=0)) == [_BIG, _SMALL]


def test_amounts_that_move_on_the_same_side_leave_the_plan_as_it_is() -> None:
    before = _plan({_BIG: Stake(715_681, True), _SMALL: Stake(40_000, True)}, least=50_000)
    after = _plan({_BIG: Stake(700_000, True), _SMALL: Stake(41_000, True)}, least=50_000)
    assert before.hash == after.hash


def test_the_threshold_stands_in_the_operators_file(tmp_path: Path) -> None:
    path = tmp_path / "operator.toml"
    path.write_text("[retention]\nleast_at_stake_minor = 100_000\n")
    assert read_operator_file(path).retention.least_at_stake_minor == 100_000
    path.write_text("[retention]\nleast_at_stake_minor = -1\n")
    with pytest.raises(OperatorFileError, match=r"retention\.least_at_stake_minor"):
        read_operator_file(path)
    with pytest.raises(ValidationError):
        Retention.model_validate({"least": 1})
