"""No key shape reaches any sink: 8 shapes × 12 ways in which a text leaves the process."""

import base64
import inspect
import io
import json
import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pyarrow as pa
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from resources import redaction
from resources.redaction import (
    RedactingFormatter,
    Redactor,
    install_redaction,
    redact,
    redact_error,
    redact_event,
    redacting_errors,
    register_secrets,
)

BODY = "51Hq9ZxTbWm4"
SHAPES = {
    "Stripe secret key": f"sk_live_{BODY}",
    "Stripe restricted key": f"rk_test_{BODY}",
    "Stripe publishable key": f"pk_live_{BODY}",
    "Stripe webhook secret": f"whsec_{BODY}",
    "Mavera key": f"mvra_live_{BODY}",
    "other Mavera key": f"mav_{BODY}",
    "bearer token of any shape": f"Bearer {BODY}",
    "password in an address": f"postgresql://app:{BODY}@db.example.com/state",
}
# A key without any known shape is masked because it was registered.
REGISTERED = f"plain-{BODY}"
SHAPED = {**SHAPES, "registered value": REGISTERED}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hooks as a process has them, taken away again afterwards."""
    factory, hook, thread_hook = logging.getLogRecordFactory(), sys.excepthook, redaction.threading.excepthook
    monkeypatch.setattr(redaction, "_redactor", Redactor())
    register_secrets(SecretStr(REGISTERED))
    install_redaction(handlers=())
    yield
    logging.setLogRecordFactory(factory)
    sys.excepthook, redaction.threading.excepthook = hook, thread_hook


def logged(
    write: Callable[[logging.Logger], object], *, name: str = "activation.apply", wrapped: bool = False
) -> str:
    """What a plain handler of the logger has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    if wrapped:
        handler.setFormatter(RedactingFormatter(logging.Formatter("%(message)s %(detail)s")))
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        write(logger)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    return stream.getvalue()


def raised(text: str) -> Exception:
    try:
        try:
            raise ValueError(f"inner {text}")
        except ValueError as inner:
            inner.add_note(f"note {text}")
            raise RuntimeError(f"outer {text}") from inner
    except RuntimeError as error:
        return error


def log_of_httpx(text: str) -> str:
    """httpx writes the whole URL at INFO."""
    url = text if "://" in text else f"http://user:{text.split()[-1]}@127.0.0.1/path"
    transport = httpx.MockTransport(lambda request: httpx.Response(200))

    def call(_: logging.Logger) -> None:
        with httpx.Client(transport=transport) as client:
            client.get(url.replace("postgresql", "http"))

    return logged(call, name="httpx")


def log_of_structlog(text: str) -> str:
    stream = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[structlog.processors.format_exc_info, redact_event, structlog.processors.JSONRenderer()],
    )
    logger.error(f"event {text}", field=text, nested={"deep": [text]}, exc_info=raised(text))
    return stream.getvalue()


def log_of_dagster_run(text: str) -> str:
    @dg.op
    def speak(context: dg.OpExecutionContext) -> None:
        context.log.info("message %s", text)
        context.log.error("with traceback", exc_info=raised(text))

    @dg.job(logger_defs={"console": dg.colored_console_logger})
    def talk() -> None:
        speak()

    with dg.DagsterInstance.ephemeral() as instance:
        result = talk.execute_in_process(instance=instance)
        records = instance.all_logs(result.run_id)
        assert any("message" in record.user_message for record in records)
        return "\n".join(f"{record.message} {record.user_message} {record}" for record in records)


def events_of_a_failed_dagster_step(text: str) -> str:
    @dg.op
    def fail() -> None:
        raise redact_error(raised(text))

    @dg.job
    def broken() -> None:
        fail()

    with dg.DagsterInstance.ephemeral() as instance:
        result = broken.execute_in_process(instance=instance, raise_on_error=False)
        assert not result.success
        return "\n".join(str(record) for record in instance.all_logs(result.run_id))


def error_shown_to_a_person(text: str) -> str:
    error = redact_error(raised(text))
    return "".join(traceback.format_exception(error)) + repr(error)


def uncaught(text: str) -> str:
    stream = io.StringIO()
    stderr, sys.stderr = sys.stderr, stream
    try:
        error = raised(text)
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr = stderr
    return stream.getvalue()


SINKS: dict[str, Callable[[str], str]] = {
    "message": lambda text: logged(lambda log: log.info(f"calling with {text} now")),
    "argument": lambda text: logged(lambda log: log.info("calling %s with %r", "it", {"key": text})),
    "arguments that do not fit": lambda text: logged(lambda log: log.info("calling " + text, text, text)),
    "traceback with cause and note": lambda text: logged(lambda log: log.error("failed", exc_info=raised(text))),
    "an exception as message": lambda text: logged(lambda log: log.error(raised(text))),
    "extra field": lambda text: logged(lambda log: log.info("x", extra={"detail": text}), wrapped=True),
    "library logger below httpcore": lambda text: logged(
        lambda log: log.debug("headers %r", [(b"Authorization", text.encode())]), name="httpcore.http11"
    ),
    "URL logged by httpx": log_of_httpx,
    "structlog event": log_of_structlog,
    "Dagster run log": log_of_dagster_run,
    "events of a failed Dagster step": events_of_a_failed_dagster_step,
    "error shown to a person": error_shown_to_a_person,
    "uncaught exception": uncaught,
}


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS.keys())
def test_no_key_of_any_shape_reaches_the_sink(
    sink: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    for shape, text in SHAPED.items():
        shown = sink(text)
        streams = capfd.readouterr()
        assert BODY not in shown, shape
        assert BODY not in streams.out + streams.err, shape
        assert "[redacted]" in shown, shape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk_live_51HqAb, next", "key sk_live_[redacted], next"),
        ('{"key":"rk_test_51HqAb"}', '{"key":"rk_test_[redacted]"}'),
        (r"lines\nsk_test_51HqAb\n", r"lines\nsk_test_[redacted]\n"),
        ("Authorization: Bearer abc.DEF-123_x==", "Authorization: Bearer [redacted]"),
        ("authorization: bearer abcdefgh12", "authorization: bearer [redacted]"),
        ("Basic c2tfbGl2ZV81MTo=", "Basic [redacted]"),
        ("mvra_test_9f8e7d6c", "mvra_test_[redacted]"),
        ("mvra_9f8e7d6c", "mvra_[redacted]"),
        ("https://u:p@127.0.0.1:8790/x", "https://[redacted]@127.0.0.1:8790/x"),
        ("http://127.0.0.1:8790/api/v1/personas?search=a@b", "http://127.0.0.1:8790/api/v1/personas?search=a@b"),
        ("mave_thread_5r2d sub_1abc risk_test_suite", "mave_thread_5r2d sub_1abc risk_test_suite"),
        ("mail to jane.doe+x@mail.example.co.uk now", "mail to [email] now"),
        ("the bearer of news", "the bearer of news"),
        ("", ""),
    ],
)
def test_what_is_masked_and_what_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "form",
    [
        lambda key: key,
        lambda key: httpx.URL("http://x", params={"k": key}).query.decode(),
        lambda key: json.dumps({"k": key}),
        lambda key: repr(key),
        lambda key: base64.b64encode(f"{key}:".encode()).decode(),
    ],
    ids=["as it is", "in a query", "in JSON", "in a repr", "as a user of basic authentication"],
)
def test_a_registered_value_is_masked_in_every_form(form: Callable[[str], str]) -> None:
    key = 'odd "key"/with\\signs+and ä'
    redactor = Redactor()
    redactor.register(key)
    text = f"before {form(key)} after"
    assert redactor(text).replace("[redacted]", "") != text
    assert form(key) not in redactor(text)
    assert "odd" not in redactor(text).replace("b2RkIC", "")


def test_the_longer_of_two_registered_values_is_masked_whole() -> None:
    redactor = Redactor()
    redactor.register("secret-one", "secret-one-and-more", None, "", "short")
    assert redactor("secret-one-and-more secret-one short") == "[redacted] [redacted] short"


@given(st.text(alphabet="sk_livetest mvra:/@Bear[]\\n0", max_size=60))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


def test_a_record_without_secrets_keeps_its_parts() -> None:
    error = raised("nothing secret")
    record = logging.getLogRecordFactory()(
        "x", logging.ERROR, "f.py", 1, "%s rows in %d pages", ("5", 2), (type(error), error, None)
    )
    assert (record.msg, record.args) == ("%s rows in %d pages", ("5", 2))
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_installing_twice_wraps_once() -> None:
    handler = logging.StreamHandler(io.StringIO())
    factory = logging.getLogRecordFactory()
    install_redaction([handler])
    install_redaction([handler])
    assert logging.getLogRecordFactory() is factory
    assert isinstance(handler.formatter, RedactingFormatter)
    assert not isinstance(handler.formatter.inner, RedactingFormatter)


def test_a_process_that_dies_of_an_exception_prints_no_key() -> None:
    program = (
        "import threading\n"
        "from resources.redaction import install_redaction\n"
        "install_redaction()\n"
        "def fail():\n    raise RuntimeError('thread ' + 'sk_live_' + '51HqAbCd')\n"
        "worker = threading.Thread(target=fail); worker.start(); worker.join()\n"
        "raise SystemError('main ' + 'whsec_' + '51HqAbCd')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "51HqAbCd" not in done.stdout + done.stderr.replace("'51HqAbCd'", "")
    assert "thread sk_live_[redacted]" in done.stderr
    assert "main whsec_[redacted]" in done.stderr


def test_an_exception_group_and_its_attributes_are_cleaned() -> None:
    class Refused(Exception):
        def __init__(self, message: str, **facts: Any) -> None:
            super().__init__(message)
            self.request_url = facts["url"]

    inner = Refused("no sk_live_51HqAbCd", url="https://u:p@h/")
    group = redact_error(ExceptionGroup("two tasks of mav_51HqAbCd failed", [inner]))
    assert "51HqAbCd" not in "".join(traceback.format_exception(group))
    assert inner.request_url == "https://[redacted]@h/"


class Row(BaseModel):
    quantity: int


def _not_a_number() -> None:
    int("Dana Doe")


def _not_the_form() -> None:
    Row.model_validate({"quantity": "Dana Doe"})


def _not_an_array() -> None:
    pa.array(["Dana Doe"]).cast(pa.int64())


def _no_such_file() -> None:
    Path("/nowhere/dana.doe@example.com").read_text()


def _a_customer() -> None:
    raise LookupError("cus_NffrFeUfNV2Hib is dana.doe@example.com, ch_3MmlLrLkdIwHu7ix0snN0B15 is paid")


@pytest.mark.parametrize(
    "fails",
    [_not_a_number, _not_the_form, _not_an_array, _no_such_file, _a_customer],
    ids=lambda one: one.__name__,
)
def test_an_error_that_is_stored_tells_nothing_of_a_customer(fails: Callable[[], None]) -> None:
    @redacting_errors
    def step() -> None:
        try:
            fails()
        except Exception as error:
            raise RuntimeError("the step failed") from error

    with pytest.raises(RuntimeError, match="the step failed") as caught:
        step()
    kept = "\n".join(
        line for one in _chain(caught.value) for line in traceback.format_exception_only(type(one), one)
    )
    assert not re.search(r"(?i)dana|nffr|3Mml", kept), kept
    assert len(kept.splitlines()) > 1, kept  # the cause is still told


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_what_is_decorated_keeps_its_results_its_form_and_its_errors_kind() -> None:
    @redacting_errors
    def rows(count: int) -> Iterator[int]:
        yield from range(count)
        raise KeyError("sk_live_" + BODY)

    made = rows(2)
    assert (next(made), next(made)) == (0, 1)
    with pytest.raises(KeyError, match=re.escape("sk_live_[redacted]")):
        next(made)
    assert inspect.isgeneratorfunction(rows)
    assert list(inspect.signature(rows).parameters) == ["count"]


def test_the_addresses_that_httpx_logs_hold_no_object_ids() -> None:
    address = (
        "https://api.stripe.com/v1/charges?customer=cus_NffrFeUfNV2Hib&starting_after=ch_3MmlLrLkdIwHu7ix0snN0B15"
    )
    line = logged(lambda logger: logger.info('HTTP Request: %s %s "%s"', "GET", address, "200 OK"), name="httpx")
    assert "customer=cus_[id]&starting_after=ch_[id]" in line
    assert "Nffr" not in line
