"""Telling people: a message to every channel that is set up, always the log, and Slack and mail by settings.

Here: channels and how a message is written for each. Not here: when there is something to tell
(`pipelines.sensors`). Texts are redacted on their way out. A channel that fails is logged and never keeps the
others, or what the message is about, from going on. Another channel is another class with `send`.
"""

import logging
import smtplib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage
from typing import Literal, Protocol
from urllib.parse import unquote, urlsplit

import dagster as dg
import httpx
from pydantic import Field, SecretStr

from resources.redaction import redact

__all__ = ["Channel", "LogChannel", "MailChannel", "Message", "Notifier", "NotifierResource", "SlackChannel"]

_LOGGER = logging.getLogger("stripe_mavera.notify")
_TIMEOUT_SECONDS = 10.0
_MOST_CHARACTERS = 2_500  # Slack cuts a text block at 3,000


@dataclass(frozen=True, kw_only=True)
class Message:
    """What happened: one line, more lines, and where to look."""

    level: Literal["error", "warning"]
    title: str
    lines: tuple[str, ...] = ()
    link: str | None = None

    @property
    def body(self) -> str:
        """Everything below the title, redacted and bounded."""
        text = redact("\n".join(self.lines))[:_MOST_CHARACTERS]
        return "\n".join(part for part in (text, self.link) if part)


class Channel(Protocol):
    """A way to people. Raises: OSError, httpx.HTTPError, smtplib.SMTPException when the message did not go out."""

    def send(self, message: Message) -> None:
        """Send it or raise."""


class LogChannel:
    """The log of the process, which is always there."""

    def send(self, message: Message) -> None:
        """Log it."""
        level = logging.ERROR if message.level == "error" else logging.WARNING
        _LOGGER.log(level, "%s: %s", redact(message.title), " | ".join(message.body.splitlines()))


class SlackChannel:
    """An incoming webhook of Slack (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""

    def __init__(self, url: str, *, client: Callable[[], httpx.Client] | None = None) -> None:
        self._url, self._client = url, client or _client

    def send(self, message: Message) -> None:
        """Post it as text; Slack's three control characters are escaped."""
        text = f"{redact(message.title)}\n{message.body}"
        for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(character, entity)
        with self._client() as http:
            http.post(self._url, json={"text": text}).raise_for_status()


class MailChannel:
    """A mail server, by `smtp://user:password@host:port` (TLS as soon as there is a password) or `smtps://`."""

    def __init__(self, url: str, *, sender: str, receivers: Sequence[str]) -> None:
        self._server, self._sender, self._receivers = urlsplit(url), sender, tuple(receivers)
        if self._server.scheme not in ("smtp", "smtps") or not self._server.hostname:
            raise ValueError("NOTIFY_SMTP_URL must look like smtp://user:password@host:587 or smtps://…")

    def send(self, message: Message) -> None:
        """Send it as plain text."""
        mail = EmailMessage()
        mail["Subject"] = " ".join(redact(message.title).split())
        mail["From"], mail["To"] = self._sender, ", ".join(self._receivers)
        mail.set_content(message.body or message.title)
        with self._connect() as server:
            if self._server.username and self._server.password:
                if self._server.scheme == "smtp":
                    server.starttls(context=ssl.create_default_context())
                server.login(unquote(self._server.username), unquote(self._server.password))
            server.send_message(mail)

    def _connect(self) -> smtplib.SMTP:
        host = str(self._server.hostname)
        if self._server.scheme == "smtps":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, self._server.port or 465, timeout=_TIMEOUT_SECONDS, context=context)
        return smtplib.SMTP(host, self._server.port or 587, timeout=_TIMEOUT_SECONDS)


class Notifier:
    """Sends a message through every channel."""

    def __init__(self, channels: Sequence[Channel], *, account: str | None = None) -> None:
        self._channels, self._account = tuple(channels), account

    def send(self, message: Message) -> bool:
        """Send it; whether it reached somebody: a channel beside the log took it, or there is none.

        What fails is logged without the address, which may be a secret.
        """
        if self._account is not None:
            message = replace(message, title=f"{self._account}: {message.title}")
        took = [channel for channel in self._channels if _took(channel, message)]
        return took == list(self._channels) or any(not isinstance(channel, LogChannel) for channel in took)


class NotifierResource(dg.ConfigurableResource["Notifier"]):
    """Where messages go, and the address of the UI that they link to."""

    ui_url: str = Field(description="Address of the Dagster UI.")
    slack_webhook_url: dg.ResourceDependency[SecretStr | None]
    smtp_url: dg.ResourceDependency[SecretStr | None]
    email_from: str = Field("", description="Sender.")
    email_to: list[str] = Field([], description="Receivers.")
    account: str | None = Field(None, description="Which of several accounts messages are about.")

    def open(self) -> Notifier:
        """The notifier."""
        channels: list[Channel] = [LogChannel()]
        if self.slack_webhook_url is not None:
            channels.append(SlackChannel(self.slack_webhook_url.get_secret_value()))
        if self.smtp_url is not None:
            channels.append(
                MailChannel(self.smtp_url.get_secret_value(), sender=self.email_from, receivers=self.email_to)
            )
        return Notifier(channels, account=self.account)

    def run_link(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.ui_url.rstrip('/')}/runs/{run_id}"

    def asset_link(self, table: str) -> str:
        """The page of a table."""
        return f"{self.ui_url.rstrip('/')}/assets/{table}"


def _took(channel: Channel, message: Message) -> bool:
    try:
        channel.send(message)
    except (OSError, httpx.HTTPError, httpx.InvalidURL, smtplib.SMTPException) as error:
        _LOGGER.error("%s failed: %s", type(channel).__name__, type(error).__name__)
        return False
    return True


def _client() -> httpx.Client:
    return httpx.Client(timeout=_TIMEOUT_SECONDS)
