"""What every Mavera surface is to the plan and the ledger, as one interface.

Here: the shape of an operation class, of an object seen at Mavera and of a parsed answer, and placeholders for ids
that are known only when a call is made. Not here: any one surface. A new surface is one class beside this file.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from activation.briefs import Brief
from activation.canonical import TOKEN, digest
from activation.policy import Identity, Kind
from activation.templates import VERSIONS
from resources.mavera import GenerationApp, MaveraApi

__all__ = ["Answer", "Discovered", "Need", "Remote", "Status", "Surface", "fit", "needs_of", "resolved", "safe_id"]

Status = Literal["completed", "pending", "failed", "question", "refused", "invalid", "incomplete"]
_NEED = "$object"
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")


@dataclass(frozen=True, kw_only=True)
class Need:
    """An object that another one points at, by kind and segment."""

    kind: Kind
    segment_key: str

    def placeholder(self) -> dict[str, str]:
        """How it stands in a planned body."""
        return {_NEED: f"{self.kind}/{self.segment_key}"}


def needs_of(body: Mapping[str, Any]) -> list[Need]:
    """The objects that a planned body points at."""
    found = [value[_NEED] for value in body.values() if isinstance(value, dict) and _NEED in value]
    return [Need(kind=Kind(text.split("/", 1)[0]), segment_key=text.split("/", 1)[1]) for text in found]


def resolved(body: Mapping[str, Any], id_of: Callable[[Need], str]) -> dict[str, Any]:
    """The body with the ids in place of its placeholders."""
    out: dict[str, Any] = {}
    for name, value in body.items():
        pointed = needs_of({name: value})
        out[name] = id_of(pointed[0]) if pointed else value
    return out


@dataclass(frozen=True, kw_only=True)
class Remote:
    """An object seen at Mavera, and what its answer would have said."""

    label: str
    answer: "Answer"
    description: str = ""
    marks: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its id."""
        return self.answer.id

    @property
    def hash(self) -> str:
        """Changes when someone edits the object there."""
        return digest({"id": self.id, "label": self.label, "description": self.description})

    @property
    def tokens(self) -> set[str]:
        """Tokens that it carries."""
        return {token for text in (self.label, *self.marks) for token in TOKEN.findall(text)}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A parsed answer: the object's id, what was charged, and the cleaned result as JSON values for the lake."""

    id: str
    charged: int | None
    status: Status
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Discovered:
    """What a body needs to know about the account, found by free reads or set by the operator."""

    apps: Sequence[GenerationApp] = ()
    brand_voice: bool = False
    callback_url: str | None = None


class Surface(ABC):
    """One kind of paid object: how it is asked for, found again and read."""

    kind: ClassVar[Kind]
    operation: ClassVar[str]
    path: ClassVar[str]
    has_handle: ClassVar[bool] = True

    @abstractmethod
    def body(self, brief: Brief, *, token: str, identity: Identity, known: Discovered) -> dict[str, Any]:
        """The planned request, with placeholders for ids of other objects."""

    def template_version(self, brief: Brief) -> str:
        """Version of the wording."""
        return VERSIONS[brief.kind]

    def spec_version(self, brief: Brief, *, scheme: str) -> str:
        """What makes another object of the same segment. A text is a new object for each period and content."""
        period = getattr(brief, "period", None)
        if period is None:
            return scheme
        content = digest({"brief": brief.content(), "template": self.template_version(brief)})
        return f"{scheme}.{period}.{content[:12]}"

    @abstractmethod
    async def listed(self, mavera: MaveraApi, *, search: str | None = None) -> list[Remote]:
        """Objects at Mavera, at least those that carry `search`. Raises: MaveraError."""

    async def found(self, mavera: MaveraApi, token: str) -> list[Remote]:
        """Objects that carry the token, compared here and not by the server. Raises: MaveraError."""
        return [remote for remote in await self.listed(mavera, search=token) if token in remote.tokens]

    @abstractmethod
    def parse(self, body: Mapping[str, Any]) -> Answer:
        """The answer's object. Raises: MaveraError when it holds no usable id."""

    async def refreshed(self, mavera: MaveraApi, remote_id: str) -> Answer | None:
        """The object's present state, for results that are made in the background; None when not there."""
        return None


def safe_id(text: str | None) -> str | None:
    """An id that is harmless in a path, a log and a table, or None."""
    return text if text is not None and _ID.fullmatch(text) and text.strip(".") else None


def fit(words: str, token: str, *, limit: int = 100) -> str:
    """`words [token]` within the limit: the words are shortened, never the token."""
    tail = f" [{token}]"
    room = limit - len(tail)
    if len(words) > room:
        words = words[: room - 1].rstrip() + "…"
    return words + tail
