"""Messages to people: what goes out on each channel, that no secret does, that a dead channel stops nothing."""

import logging
import smtplib
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from pipelines.notify import LogChannel, MailChannel, Message, Notifier, NotifierResource, SlackChannel
from pipelines.settings import Settings

MESSAGE = Message(
    level="error",
    title="refresh failed",
    lines=("stripe_tables: the key rk_live_abcdefgh1234 may not read <disputes> & charges",),
    link="http://ui/runs/1",
)


def test_slack_gets_escaped_text_without_keys() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    channel = SlackChannel(
        "https://hooks.example/T/B/x", client=lambda: httpx.Client(transport=httpx.MockTransport(answer))
    )
    channel.send(MESSAGE)
    assert seen[0].read() == (
        b'{"text":"refresh failed\\nstripe_tables: the key rk_live_[redacted] may not read &lt;disputes&gt; &amp; '
        b'charges\\nhttp://ui/runs/1"}'
    )


class Server:
    """A mail server that keeps what it was asked."""

    def __init__(self, host: str, port: int, *, timeout: float) -> None:
        self.asked: list[Any] = [(host, port)]
        servers.append(self)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.append("quit")

    def starttls(self, *, context: object) -> None:
        self.asked.append("tls")

    def login(self, user: str, password: str) -> None:
        self.asked.append((user, password))

    def send_message(self, mail: Any) -> None:
        self.asked.append((mail["Subject"], mail["From"], mail["To"], mail.get_content()))


servers: list[Server] = []


@pytest.mark.parametrize(
    ("url", "before"),
    [
        (
            "smtp://ops%40example.com:p%2Fw@mail.example",
            [("mail.example", 587), "tls", ("ops@example.com", "p/w")],
        ),
        ("smtp://localhost:2525", [("localhost", 2525)]),
    ],
)
def test_a_password_is_only_sent_over_tls(url: str, before: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtplib, "SMTP", Server)
    MailChannel(url, sender="a@example.com", receivers=["b@example.com", "c@example.com"]).send(MESSAGE)
    sent = servers[-1].asked
    assert sent[: len(before)] == before
    assert sent[len(before)] == (
        "refresh failed",
        "a@example.com",
        "b@example.com, c@example.com",
        "stripe_tables: the key rk_live_[redacted] may not read <disputes> & charges\nhttp://ui/runs/1\n",
    )


class Taking:
    """A channel to people that keeps what it was told."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    def send(self, message: Message) -> None:
        """Keep it."""
        self.titles.append(message.title)


def _dead() -> SlackChannel:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"no route to {request.url}")

    transport = httpx.MockTransport(down)
    return SlackChannel("https://hooks.example/secret", client=lambda: httpx.Client(transport=transport))


def test_a_channel_that_fails_is_logged_without_its_address_and_the_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="stripe_mavera.notify"):
        Notifier([_dead(), LogChannel()]).send(MESSAGE)
    assert [record.getMessage() for record in caplog.records] == [
        "SlackChannel failed: ConnectError",
        "refresh failed: stripe_tables: the key rk_live_[redacted] may not read <disputes> & charges | "
        "http://ui/runs/1",
    ]


def test_the_sender_is_told_when_a_message_reached_nobody() -> None:
    mail = Taking()
    assert Notifier([LogChannel()]).send(MESSAGE), "the log is all there is"
    assert not Notifier([LogChannel(), _dead()]).send(MESSAGE)
    assert Notifier([LogChannel(), _dead(), mail]).send(MESSAGE)
    assert mail.titles == ["refresh failed"]


def test_channels_are_those_of_the_settings() -> None:
    plain = NotifierResource(ui_url="http://ui/", slack_webhook_url=None, smtp_url=None)
    assert plain.run_link("1") == "http://ui/runs/1"
    with pytest.raises(ValueError, match="NOTIFY_SMTP_URL"):
        NotifierResource(ui_url="", slack_webhook_url=None, smtp_url=SecretStr("mail.example")).open()


def test_mail_needs_both_ends() -> None:
    with pytest.raises(ValueError, match="NOTIFY_EMAIL_FROM"):
        Settings(_env_file=None, notify_smtp_url="smtp://localhost")


def test_a_message_names_its_account_where_there_are_several(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="stripe_mavera.notify"):
        Notifier([LogChannel()], account="acme").send(MESSAGE)
    assert caplog.records[0].getMessage().startswith("acme: refresh failed: ")
