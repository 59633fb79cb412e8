"""The checks of `make check` find what they are for, and `make clean` leaves what it is not for."""

import shutil
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


_OF_A_REAL_ACCOUNT = ("live", "test", "live-exports", "accounts/acme/live", "dagster")
_OF_THE_SANDBOX = ("sandbox", "sandbox-80-7")


def test_make_clean_keeps_what_belongs_to_a_real_account(tmp_path: Path) -> None:
    shutil.copy(_ROOT / "Makefile", tmp_path)
    for folder in (*_OF_A_REAL_ACCOUNT, *_OF_THE_SANDBOX):
        (tmp_path / ".data" / folder).mkdir(parents=True)
        (tmp_path / ".data" / folder / "state.db").touch()
    make = ["make", "--no-print-directory", "clean"]
    for options in (["-n"], []):
        told = subprocess.run([*make, *options], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert told.stdout == "rm -rf .venv .uv .data/sandbox*\n"
    left = {str(file.parent.relative_to(tmp_path / ".data")) for file in tmp_path.rglob("state.db")}
    assert left == set(_OF_A_REAL_ACCOUNT)
