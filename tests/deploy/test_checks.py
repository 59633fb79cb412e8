"""The checks of `make check` find what they are for."""

import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_LETTERS = "51AbCdEfGhIjKlMnOpQrStUv"


def _scan(path: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([_ROOT / ".ci" / "scan-secrets", path], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("prefix", ["rk_" + "live_", "sk_" + "test_", "whsec_", "mvra_"])
def test_a_key_that_was_left_in_a_file_is_found_and_not_shown(prefix: str, tmp_path: Path) -> None:
    left = tmp_path / "left.py"
    left.write_text(f'key = "{prefix}{_LETTERS}"\n', encoding="utf-8")
    told = _scan(left)
    assert told.returncode != 0
    assert "left.py:1" in told.stdout
    assert _LETTERS not in told.stdout + told.stderr


def test_made_up_keys_of_examples_are_left_alone(tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text('key = "rk_' + 'test_0123456789"\nurl = "postgresql://user:secret@127.0.0.1/db"\n')
    assert _scan(example).returncode == 0
