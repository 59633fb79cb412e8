"""Keeps keys out of everything that a person or a log collector may read.

First the exact values that were registered at start, then the shapes of known keys. It works on rendered
text, so it does not matter how a key got there: message, argument, exception, chained exception or stack.
Three hooks share it:

- the log record factory, which sees each record of each logger before any handler does, also of loggers that
  are made later and of libraries (httpx logs whole URLs at INFO, Dagster makes a logger per run);
- a formatter around a handler's own, for fields of `extra`, which records get after the factory;
- the hooks for uncaught exceptions.

What may leave for Mavera is not decided here: that is the closed form of the briefs.
"""

import base64
import functools
import inspect
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

__all__ = [
    "RedactedError",
    "RedactingFormatter",
    "Redactor",
    "install_redaction",
    "redact",
    "redact_error",
    "redact_event",
    "redacting_errors",
    "register_secrets",
]

MASK = "[redacted]"
_SHORTEST_SECRET = 6
# A key may follow the letter of an escape, as in a rendered "\nsk_live_…", but "risk_test_…" is no key.
_START = r"(?:(?<![A-Za-z])|(?<=\\[nrt]))"
_SHAPES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (_START + r"((?:sk|rk|pk)_(?:live|test)_)[A-Za-z0-9_]{4,}", rf"\1{MASK}"),
        (_START + r"(whsec_)[A-Za-z0-9+/=_-]{4,}", rf"\1{MASK}"),
        (_START + r"(mvra_(?:(?:live|test)_)?)[A-Za-z0-9_-]{4,}", rf"\1{MASK}"),
        (_START + r"(mav_)[A-Za-z0-9_-]{4,}", rf"\1{MASK}"),
        (r"(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", rf"\1{MASK}"),
        (r"(?<=://)[^/\s@\"'<>]+@", f"{MASK}@"),
        (r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+", "[email]"),
    )
)
_IDS = "cus|sub|si|in|ii|il|ch|py|pi|pm|src|card|ba|du|dp|re|pyr|evt"
# What errors of others quote of the data, and ids of customers and of what is theirs.
_CUSTOMERS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), replacement)
    for pattern, replacement in (
        (rf"(?-i:\b((?:{_IDS})_)(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{{8,}})", r"\1[id]"),
        (r"(input_value=).*?(, input_type=)", rf"\1{MASK}\2"),
        (r"((?:could not convert|failed to parse)[^'\"]*)(['\"]).*\2", rf"\1{MASK}"),
        (r"(could not convert ).*?( with type )", rf"\1{MASK}\2"),
        (r"(invalid literal for int\(\) with base \d+: ).*", rf"\1{MASK}"),
    )
)
# httpx logs the address of each request; Stripe's hold ids of customers and of what is theirs.
_ADDRESS_LOGGER = "httpx"
_OBJECT_ID = re.compile(r"\b([a-z]{2,12})_[A-Za-z0-9]{14,}")


class Redactor:
    """Replaces registered values and known key shapes in a text. Redacting twice changes nothing more."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._values: re.Pattern[str] | None = None

    def register(self, *secrets: SecretStr | str | None) -> None:
        """Mask these values from now on, also percent-encoded, escaped or as a user of basic authentication.

        Values under six characters are left out: they would mask ordinary words.
        """
        for secret in secrets:
            value = secret.get_secret_value() if isinstance(secret, SecretStr) else secret or ""
            if len(value) >= _SHORTEST_SECRET:
                self._forms.update(_forms(value))
        longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
        self._values = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(MASK, text)
        for shape, replacement in _SHAPES:
            text = shape.sub(replacement, text)
        return text


_redactor = Redactor()
_P = ParamSpec("_P")
_R = TypeVar("_R")


class RedactedError(Exception):
    """Stands for an error whose text held what may not be stored."""


def register_secrets(*secrets: SecretStr | str | None) -> None:
    """Mask these values in this process from now on."""
    _redactor.register(*secrets)


def redact(text: str) -> str:
    """The text without secrets: for logs, metadata, error lines and reports."""
    return _redactor(text)


def redact_error(error: BaseException) -> BaseException:
    """The error without secrets and without what tells who a customer is, its notes, causes and contexts too.

    Texts are changed in place; where an error keeps its text elsewhere, another stands for it and tells its kind.
    """
    return _redacted(error, {})


def redacting_errors(work: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorates what others call and whose errors they store, as Dagster does with those of steps and sensors.

    The innermost decorator, so that it is the function itself that Dagster gets.
    """
    if inspect.isgeneratorfunction(work):

        @functools.wraps(work)
        def generate(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            try:
                return (yield from work(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - whatever it is, its text would be stored
                failure = redact_error(error)
            raise failure

        return generate

    @functools.wraps(work)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return work(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - as above
            failure = redact_error(error)
        raise failure

    return call


def _redacted(error: BaseException, seen: dict[int, BaseException]) -> BaseException:
    if id(error) in seen:
        return seen[id(error)]
    seen[id(error)] = error
    error.args = tuple(_clean(value, _private) for value in error.args)
    for name, value in vars(error).items():
        if isinstance(value, str | list):
            vars(error)[name] = _clean(value, _private)  # also of an error that is frozen
    told: BaseException = error
    if isinstance(error, BaseExceptionGroup):
        told = BaseExceptionGroup(_private(error.message), [_redacted(one, seen) for one in error.exceptions])
    elif (text := str(error)) != (clean := _private(text)):
        told = RedactedError(f"{type(error).__name__}: {clean}")
    seen[id(error)] = told
    cause, context, unseen = error.__cause__, error.__context__, error.__suppress_context__
    told.__cause__ = cause and _redacted(cause, seen)
    told.__context__ = context and _redacted(context, seen)
    told.__suppress_context__ = unseen
    return told if told is error else told.with_traceback(error.__traceback__)


def _private(text: str) -> str:
    """Without secrets, and without what tells who a customer is."""
    text = redact(text)
    for shape, replacement in _CUSTOMERS:
        text = shape.sub(replacement, text)
    return text


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor; place it after the one that renders exceptions."""
    for name, value in event.items():
        event[name] = _clean(value)
    return event


class RedactingFormatter(logging.Formatter):
    """Formats with the handler's own formatter and redacts the result, traceback and extra fields included."""

    def __init__(self, inner: logging.Formatter | None = None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redact(self.inner.format(record))


def install_redaction(handlers: Iterable[logging.Handler] | None = None) -> None:
    """Redact every log record and uncaught exception of this process; calling it again adds nothing.

    `handlers` (those of the root logger by default) also get a redacting formatter.
    """
    previous = logging.getLogRecordFactory()
    if not isinstance(previous, _RedactingFactory):
        logging.setLogRecordFactory(_RedactingFactory(previous))
        sys.excepthook = _show_uncaught
        threading.excepthook = lambda hook: _show_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)
    for handler in logging.getLogger().handlers if handlers is None else handlers:
        if not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter))


class _RedactingFactory:
    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **fields: Any) -> logging.LogRecord:
        record = self._make(*args, **fields)
        if isinstance(record.msg, Mapping):
            record.msg = _clean(record.msg)  # structlog hands mappings over
        else:
            _clean_message(record)
        if record.name == _ADDRESS_LOGGER:
            record.msg, record.args = _OBJECT_ID.sub(r"\1_[id]", record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            cleaned = redact(text)
            if cleaned != text:
                # Without exc_info no handler can render the exception a second time, unredacted.
                record.exc_text, record.exc_info = cleaned, None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record


def _clean_message(record: logging.LogRecord) -> None:
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 - arguments may raise anything; logging itself would print them in clear
        text = f"{record.msg} (arguments left out: they do not fit the message)"
        record.msg, record.args = redact(text), ()
        return
    cleaned = redact(text)
    if cleaned != text:
        record.msg, record.args = cleaned, ()


def _clean(value: Any, clean: Callable[[str], str] = redact) -> Any:
    """Texts inside containers are redacted; other objects only if their text holds a secret."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {name: _clean(item, clean) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_clean(item, clean) for item in value)
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
        return value if clean(text) == text else clean(text).encode()
    return value


def _forms(value: str) -> set[str]:
    basic = base64.b64encode(f"{value}:".encode()).decode()
    encoded = {quote(value), quote(value, safe=""), quote_plus(value)}
    return {value, *encoded, json.dumps(value)[1:-1], repr(value)[1:-1], basic}


def _show_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
