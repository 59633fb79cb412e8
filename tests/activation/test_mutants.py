"""How many small mistakes in the ledger the tests would notice."""

import pytest

from tests.activation.mutants import is_noticed, mutants_of

_MODULES = (
    "activation.ledger",
    "activation.budget",
    "activation.audit",
    "activation.settling",
    "activation.dispatch",
    "activation.outcomes",
)
_TESTS = (
    "tests/activation/test_ledger.py",
    "tests/activation/test_outcomes.py",
    "tests/activation/test_crashes.py",
    "--deselect=tests/activation/test_ledger.py::test_eight_workers_pay_for_each_of_three_hundred_keys_once_on_sqlite",
    "-k",
    "not eight_workers and not crashes_and_faults and not protocols_of_others",
)


@pytest.mark.soak
def test_nine_of_ten_mutants_of_the_ledger_are_noticed() -> None:
    found = mutants_of(_MODULES, 120, seed=1)
    missed = [f"{one.module}:{one.line} {one.what}" for one in found if not is_noticed(one, _TESTS)]
    assert len(missed) <= len(found) // 10, missed
