"""The command line: an error a person can mend is one line, and with `--json` one object as well."""

import json
import sys
from pathlib import Path

import pytest

from pipelines.answer import Exit
from pipelines.cli import main
from resources.mavera_wire import NotSentError


def _refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> tuple[str, str]:
    """What a command that fails says on stdout and on stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["stripe-mavera", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == Exit.FAILED
    said = capsys.readouterr()
    return said.out, said.err


@pytest.mark.parametrize(
    ("variables", "words", "problem"),
    [
        pytest.param(
            {"STRIPE_API_KEY": "rk_live_0123456789", "STRIPE_API_BASE": "http://127.0.0.1:9"},
            ["plan"],
            "STRIPE_API_BASE is on loopback",
            id="settings that contradict each other",
        ),
        pytest.param({"SANDBOX_SEED": "seven"}, ["segments"], "SANDBOX_SEED", id="a setting that cannot be read"),
        pytest.param(
            {"STRIPE_ACCOUNTS_FILE": "none.toml"}, ["held"], "none.toml cannot be read", id="no accounts file"
        ),
        pytest.param({}, ["report"], "run `stripe-mavera run` first", id="nothing to report"),
    ],
)
def test_an_error_is_one_line_and_with_json_one_object(
    variables: dict[str, str],
    words: list[str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    out, err = _refused(words, monkeypatch, capsys, tmp_path)
    assert (out, err.count("\n")) == ("", 1)
    assert problem in err

    out, err = _refused([*words, "--json"], monkeypatch, capsys, tmp_path)
    told = json.loads(out)
    assert (told["success"], len(told["errors"])) == (False, 1)
    assert problem in told["errors"][0]
    assert problem in err
    assert "rk_live_0123456789" not in out + err


def test_a_mavera_that_is_away_is_an_error_a_person_can_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def away(*_: object, **__: object) -> None:
        raise NotSentError("getPersona")

    monkeypatch.setattr("pipelines.tasks.decide_held", away)
    for side in ("STRIPE", "MAVERA"):
        monkeypatch.setenv(f"{side}_API_BASE", "http://127.0.0.1:9")
    out, _ = _refused(["held", "adopt", "persona/tier:smb", "p_1", "--json"], monkeypatch, capsys, tmp_path)
    (line,) = json.loads(out)["errors"]
    assert "check MAVERA_API_BASE" in line
