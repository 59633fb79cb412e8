"""Logs: what every process writes to stderr, as lines for people or as one JSON object each (`LOG_FORMAT`).

Here: the set-up, once for each process; nothing else sets logs up. Rooms ask `resources.loggers.get_logger` for a
logger below `stripe_mavera` and say an event with fields; run, job, step and extraction are bound through
`structlog.contextvars`. A record holds a readable line, which Dagster keeps with its run, and beside it the fields
that lines on stderr are made from. Every line passes a processor that redacts. Not here: what is worth a line.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pipelines.settings import Settings
from resources.redaction import redact_event

__all__ = ["OUR_LOGGERS", "LogsToStderr", "log_to_stderr", "logs_are_json", "set_up_logs"]

OUR_LOGGERS: Final = "stripe_mavera"
_FIELDS: Final = "structured"
_LEVELS: Final[Mapping[str, int]] = {"text": logging.WARNING, "json": logging.INFO}
_DAGSTER: Final = "dagster_meta"


def set_up_logs(settings: Settings) -> None:
    """Let loggers of the rooms reach Dagster, and what serves Dagster reach stderr. May be called again.

    A run that Dagster starts is written to stderr by Dagster itself, our lines among its own.
    """
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _to_record],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    ours = logging.getLogger(OUR_LOGGERS)
    # Dagster records what passes this level with its run; what reaches stderr is the handler's matter.
    ours.setLevel(min(logging.INFO, _level(settings)))
    _OneFormat.formatter = _formatter("json") if settings.log_format == "json" else None
    logging.setLoggerClass(_OneFormat)
    root = logging.getLogger()
    _attach(root if any(isinstance(one, LogsToStderr) for one in root.handlers) else ours, settings)


def log_to_stderr(settings: Settings) -> None:
    """The same for a process of our own, with what its libraries log."""
    set_up_logs(settings)
    _detach(logging.getLogger(OUR_LOGGERS))
    _attach(logging.getLogger(), settings)


def logs_are_json() -> bool:
    """Whether stderr holds one JSON object a line, so that nothing else may be written there."""
    return _OneFormat.formatter is not None


class LogsToStderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment: progress bars and tests replace it."""

    told_by_dagster = False
    """While a run's own logger writes our lines, this one must not write them again."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Where it goes."""
        return sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, unless Dagster does."""
        if not (LogsToStderr.told_by_dagster and record.name.partition(".")[0] == OUR_LOGGERS):
            super().emit(record)


class _OneFormat(logging.Logger):
    """Loggers that libraries make from now on: with `LOG_FORMAT=json` their streams get JSON as well.

    Dagster makes a console logger for each run, whose format nothing else sets.
    """

    formatter: logging.Formatter | None = None

    def addHandler(self, hdlr: logging.Handler) -> None:
        if self.formatter is not None and isinstance(hdlr, logging.StreamHandler):
            hdlr.setFormatter(self.formatter)
        super().addHandler(hdlr)


def _level(settings: Settings) -> int:
    named = settings.log_level
    return _LEVELS[settings.log_format] if named is None else logging.getLevelNamesMapping()[named.upper()]


def _attach(logger: logging.Logger, settings: Settings) -> None:
    _detach(logger)
    handler = LogsToStderr()
    handler.setLevel(_level(settings))
    handler.setFormatter(_formatter(settings.log_format))
    logger.addHandler(handler)


def _detach(logger: logging.Logger) -> None:
    for handler in [one for one in logger.handlers if isinstance(one, LogsToStderr)]:
        logger.removeHandler(handler)


def _to_record(_logger: WrappedLogger, _method: str, event: EventDict) -> tuple[tuple[str], dict[str, Any]]:
    """What stdlib's logger is called with: a line that reads by itself, and its parts beside it."""
    fields = dict(event)
    how: dict[str, Any] = {name: fields.pop(name) for name in ("exc_info", "stack_info") if name in fields}
    told = " ".join([str(fields["event"]), *(f"{k}={v}" for k, v in fields.items() if k != "event" and v != "")])
    return (told,), {"extra": {_FIELDS: fields}, **how}


def _formatter(kind: Literal["text", "json"]) -> logging.Formatter:
    chain: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.contextvars.merge_contextvars,
        _from_record,
    ]
    ending: list[Processor]
    if kind == "json":
        chain.append(structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"))
        ending = [structlog.processors.format_exc_info, redact_event, structlog.processors.JSONRenderer(_json)]
    else:
        chain.append(structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False))
        console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28, sort_keys=False)
        ending = [structlog.processors.format_exc_info, redact_event, console]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=chain,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )


def _from_record(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The fields that a record carries: our own, and whose run and step it is, where Dagster says so."""
    record: logging.LogRecord = event["_record"]
    fields: dict[str, Any] = dict(getattr(record, _FIELDS, {}))
    if record.exc_text and not record.exc_info:
        fields["exception"] = record.exc_text  # redacted already, in place of the error itself
    told = getattr(record, _DAGSTER, None)
    if told is not None:
        event["event"] = told["orig_message"]
        fields |= {name: told[key] for name, key in _OF_RUN.items() if told.get(key)}
        if (happened := told.get("dagster_event")) is not None:
            fields["dagster_event"] = happened.event_type_value
            error = getattr(happened.event_specific_data, "error", None)
            fields |= {} if error is None else {"exception": error.to_string()}
    event.update(fields)
    return event


_OF_RUN: Final = {"run_id": "run_id", "job": "job_name", "step": "step_key"}


def _json(event: Mapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()
