"""Logs: one line an event, for people or as JSON, with the run's ids on it and no secret, whoever writes it."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
import structlog

from pipelines.logs import LogsToStderr, log_to_stderr, set_up_logs
from pipelines.run_log import in_process_executor, logged_run
from pipelines.settings import Settings
from resources.redaction import install_redaction

SettingsFor = Callable[..., Settings]
KEY = "rk_test_" + "abcdefgh1234"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is the process's: what a test sets up is taken back."""
    monkeypatch.setattr("pipelines.logs._OneFormat.formatter", None)
    made, root, ours = logging.getLoggerClass(), logging.getLogger(), logging.getLogger("stripe_mavera")
    before = {logger: (logger.level, list(logger.handlers)) for logger in (root, ours)}
    yield
    logging.setLoggerClass(made)
    for logger, (level, handlers) in before.items():
        logger.setLevel(level)
        logger.handlers[:] = handlers
    LogsToStderr.told_by_dagster = False


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines on stderr, each of them JSON."""
    found = capsys.readouterr()
    assert found.out == ""
    return [json.loads(line) for line in found.err.splitlines()]


def test_json_lines_carry_the_run_and_the_fields(
    settings_for: SettingsFor, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(settings_for(log_format="json"))
    with logged_run("run-1", "refresh"):
        structlog.stdlib.get_logger("stripe_mavera.ledger").warning("intent held", intent=7, segment="tier:smb")
    logging.getLogger("httpx").warning("a library says %s", KEY)
    started, held, ended, library = said(capsys)
    assert (started["event"], ended["event"]) == ("run started", "run ended")
    assert {name: held[name] for name in ("event", "level", "logger", "run_id", "job", "intent", "segment")} == {
        "event": "intent held",
        "level": "warning",
        "logger": "stripe_mavera.ledger",
        "run_id": "run-1",
        "job": "refresh",
        "intent": 7,
        "segment": "tier:smb",
    }
    assert (library["logger"], library["event"]) == ("httpx", "a library says rk_test_[redacted]")


def test_text_is_for_people_and_says_only_what_they_must_know(
    settings_for: SettingsFor, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(settings_for())
    log = structlog.stdlib.get_logger("stripe_mavera.extraction")
    log.info("stream done", stream="charges", rows=3)
    log.warning("objects quarantined", stream="charges", objects=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "objects quarantined" in line
    assert line.endswith("stream=charges objects=2")


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_secret_passes_in_a_field_a_list_or_a_traceback(
    kind: str, settings_for: SettingsFor, capsys: pytest.CaptureFixture[str]
) -> None:
    install_redaction()
    log_to_stderr(settings_for(log_format=kind))
    log = structlog.stdlib.get_logger("stripe_mavera.x")
    try:
        raise ValueError(f"key {KEY}")
    except ValueError:
        log.exception("broke", url=f"https://user:{KEY}@host/", seen=[KEY])
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert "abcdefgh1234" not in told


def test_setting_up_twice_says_nothing_twice(
    settings_for: SettingsFor, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(log_format="json", log_level="error")
    log_to_stderr(settings)
    set_up_logs(settings)
    log_to_stderr(settings)
    structlog.stdlib.get_logger("stripe_mavera.x").error("once")
    assert [line["event"] for line in said(capsys)] == ["once"]


@dg.op
def _speaks() -> None:
    structlog.stdlib.get_logger("stripe_mavera.x").info("inside", value=3)


@dg.op
def _fails() -> None:
    raise ValueError(f"no {KEY} here")


@dg.job(executor_def=in_process_executor)
def _spoken() -> None:
    _speaks()
    _fails()


def test_a_run_that_dagster_starts_is_json_throughout_with_each_line_once(
    settings_for: SettingsFor, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    set_up_logs(settings_for(log_format="json"))
    overrides = {"python_logs": {"managed_python_loggers": ["stripe_mavera"]}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=overrides) as instance:
        capsys.readouterr()
        result = dg.execute_job(dg.reconstructable(_spoken), instance=instance)
        logs = [record.message for record in instance.all_logs(result.run_id) if not record.is_dagster_event]
    lines = said(capsys)
    (inside,) = [line for line in lines if line["event"] == "inside"]
    assert (inside["value"], inside["run_id"], inside["step"]) == (3, result.run_id, "_speaks")
    (ended,) = [line for line in lines if line["event"] == "run ended"]
    assert (ended["level"], ended["steps"], ended["steps_failed"]) == ("error", 1, 1)
    (failed,) = [line for line in lines if line.get("dagster_event") == "STEP_FAILURE"]
    assert "ValueError: no rk_test_[redacted] here" in failed["exception"]
    # Dagster keeps the readable line with the run.
    assert "inside value=3" in logs
