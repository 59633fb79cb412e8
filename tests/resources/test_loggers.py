"""Loggers of the rooms where nobody set up logs: stdout stays free."""

import subprocess
import sys

_USE = """
from resources.loggers import get_logger
log = get_logger("stripe_mavera.ledger")
log.info("call_recorded", state="done")
log.warning("budget_spent", credits=3)
"""


def test_without_a_set_up_warnings_reach_stderr_and_nothing_stdout() -> None:
    ended = subprocess.run([sys.executable, "-c", _USE], capture_output=True, text=True, check=True)
    assert ended.stdout == ""
    assert "budget_spent" in ended.stderr
    assert "call_recorded" not in ended.stderr
