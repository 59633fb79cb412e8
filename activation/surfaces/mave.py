"""Case studies: one Mave thread each, found again by the marker that opens its message.

Thread titles are made by the server, from the first characters as a rule. A thread is therefore recognised by its
title or else by its first user message.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from activation.briefs import Brief, CaseStudyBrief
from activation.canonical import TOKEN
from activation.policy import Identity, Kind
from activation.surfaces.base import Answer, Discovered, Remote, Surface, safe_id
from activation.templates import case_study_message
from activation.untrusted import clean_text
from resources.mavera import MaveraApi, MaveReply, MaveThread, UnreadableAnswerError

__all__ = ["CaseStudies"]

_NEWEST = 50
_SHORTEST_DRAFT = 400
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class CaseStudies(Surface):
    """`POST /mave/chat`."""

    kind = Kind.CASE_STUDY
    operation = "sendMaveMessage"
    path = "mave/chat"

    def body(self, brief: Brief, *, token: str, identity: Identity, known: Discovered) -> dict[str, Any]:
        """One message that opens a thread; the marker comes first."""
        if not isinstance(brief, CaseStudyBrief):
            raise TypeError(f"a {brief.kind} brief makes no case study")
        body: dict[str, Any] = {"message": f"[{token}] {case_study_message(brief)}", "stream": False}
        if identity.workspace != "default":
            body["workspace_id"] = identity.workspace
        return body

    async def listed(self, mavera: MaveraApi, *, search: str | None = None) -> list[Remote]:
        """Threads by their titles; the newest ones whose title has no token are read for their first message."""
        threads = [thread for thread in await mavera.mave_threads() if safe_id(thread.id)]
        titled = [thread for thread in threads if TOKEN.search(thread.title or "")]
        if search is not None:
            titled = [thread for thread in titled if f"[{search}]" in (thread.title or "")]
            if titled:
                return [await self._read(mavera, thread) for thread in titled]
        untitled = [thread for thread in threads if not TOKEN.search(thread.title or "")]
        newest = sorted(untitled, key=lambda thread: thread.created_at or _LONG_AGO, reverse=True)[:_NEWEST]
        by_title = [Remote(label=thread.title or "", answer=_unread(thread)) for thread in titled]
        return by_title + [await self._read(mavera, thread) for thread in newest]

    async def _read(self, mavera: MaveraApi, listed: MaveThread) -> Remote:
        """The thread with its first user message as the label and its newest answer."""
        thread = await mavera.mave_thread(listed.id) or listed
        asked = next((message.content for message in thread.messages if _said_by(message.role, "user")), None)
        label = clean_text(asked or listed.title, limit=200) or ""
        charged = thread.charged if thread.charged is not None else listed.charged
        return Remote(label=label, answer=_answer(listed.id, _newest_answer(thread), charged, validated=False))

    def parse(self, body: Mapping[str, Any]) -> Answer:
        """The draft, or the question that came instead; an answer without its thread cannot be found again."""
        reply = MaveReply.parse(body, operation=self.operation)
        thread = safe_id(reply.thread_id)
        if thread is None:
            raise UnreadableAnswerError(self.operation, seen="no usable thread_id")
        return _answer(thread, reply.content, reply.charged, validated=reply.validated)

    async def refreshed(self, mavera: MaveraApi, remote_id: str) -> Answer | None:
        """The newest answer in the thread."""
        thread = await mavera.mave_thread(remote_id)
        if thread is None:
            return None
        return _answer(remote_id, _newest_answer(thread), thread.charged, validated=False)


def _said_by(role: str | None, who: str) -> bool:
    return (role or "").lower() == who


def _newest_answer(thread: MaveThread) -> str | None:
    said = [message.content for message in thread.messages if _said_by(message.role, "assistant")]
    return next((text for text in reversed(said) if text), None)


def _unread(thread: MaveThread) -> Answer:
    """A thread of which only the list entry was read; `refreshed` gets the rest."""
    return _answer(thread.id, None, thread.charged, validated=False)


def _answer(thread: str, content: str | None, charged: int | None, *, validated: bool) -> Answer:
    text = clean_text(content)
    asks = text is not None and len(text) < _SHORTEST_DRAFT and text.endswith("?")
    return Answer(
        id=thread,
        charged=charged,
        status="pending" if text is None else "question" if asks else "completed",
        result={"text": text, "validated": validated},
    )
