"""Typed, tolerant readings of Mavera objects.

Every known variant of the contract ends in one form here. An object without what makes it usable (an id, a
name, a message text) is not skipped but refused as `UnreadableAnswerError`: a look-up that overlooks an
object would lead to a second paid one. Texts are as the server sent them, unchecked.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from resources.mavera_wire import UnreadableAnswerError

__all__ = [
    "AppInput",
    "BrandVoice",
    "Generation",
    "GenerationApp",
    "MaveMessage",
    "MaveReply",
    "MaveThread",
    "ModelAnswer",
    "Persona",
    "Progress",
    "Usage",
]

Progress = Literal["running", "done", "failed"]
_DONE = frozenset({"completed", "complete", "ready", "succeeded"})
_FAILED = frozenset({"failed", "error"})


@dataclass(frozen=True, kw_only=True)
class Persona:
    """`charged` counts on a create only; on other answers it repeats the creation."""

    id: str
    name: str
    description: str | None = None
    pipeline_type: str | None = None
    type: str | None = None
    is_custom: bool | None = None
    created_at: datetime | None = None
    charged: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, operation: str) -> "Persona":
        details = _mapping(body.get("details"))
        return cls(
            id=_id(body, operation),
            name=_needed(body, "name", operation),
            description=_text(body.get("description")),
            pipeline_type=_text(body.get("pipeline_type")) or _text(details.get("pipeline_type")),
            type=_text(body.get("type")) or _text(details.get("persona_type")),
            is_custom=_flag(body.get("is_custom")),
            created_at=_time(body.get("created_at")),
            charged=_charge(body.get("credits_charged")),
            details=details,
        )

    def sent_value(self, name: str) -> object:
        """The value under the name that a request uses for it; `None` if the server does not show it."""
        if name in ("name", "description", "pipeline_type", "type"):
            value: object = getattr(self, name)
            return value
        return self.details.get(name)


@dataclass(frozen=True, kw_only=True)
class AppInput:
    """One input that an app declares."""

    name: str
    kind: str | None = None
    required: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GenerationApp:
    id: str
    name: str | None = None
    description: str | None = None
    category: str | None = None
    inputs: tuple[AppInput, ...] = ()

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, operation: str) -> "GenerationApp":
        declared = body.get("input_fields") or body.get("input_schema") or body.get("input_data")
        return cls(
            id=_id(body, operation),
            name=_text(body.get("name")),
            description=_text(body.get("description")),
            category=_text(body.get("category")),
            inputs=_inputs(declared),
        )


@dataclass(frozen=True, kw_only=True)
class Generation:
    """`text` is there exactly when `progress` is done."""

    id: str
    title: str | None = None
    app_id: str | None = None
    progress: Progress = "running"
    text: str | None = None
    content_type: str | None = None
    input_data: Mapping[str, object] = field(default_factory=dict)
    charged: int | None = None
    created_at: datetime | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, operation: str) -> "Generation":
        text = next(
            (found for name in ("output", "content", "markdown") if (found := _text(body.get(name)))), None
        )
        status = (_text(body.get("status")) or "").lower()
        failed = status in _FAILED or (text is None and body.get("error") is not None)
        running = text is None or (status != "" and status not in _DONE)
        app = body.get("app")
        return cls(
            id=_id(body, operation),
            title=_text(body.get("title")),
            app_id=_text(app.get("id") if isinstance(app, dict) else app),
            progress="failed" if failed else "running" if running else "done",
            text=None if failed or running else text,
            content_type=(_text(body.get("content_type")) or "").lower() or None,
            input_data=_mapping(body.get("input_data")),
            charged=_used(body),
            created_at=_time(body.get("created_at")),
        )


@dataclass(frozen=True, kw_only=True)
class MaveMessage:
    role: str | None
    content: str
    id: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class MaveReply:
    """Answer of a chat call. `validated` is whether the server says that it checked the text at all."""

    content: str
    id: str | None = None
    thread_id: str | None = None
    charged: int | None = None
    validated: bool = False
    created_at: datetime | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, operation: str) -> "MaveReply":
        return cls(
            content=_needed(body, "content", operation),
            id=_text(body.get("id")),
            thread_id=_text(body.get("thread_id")),
            charged=_used(body),
            validated=isinstance(body.get("validation"), dict),
            created_at=_time(body.get("created_at")),
        )


@dataclass(frozen=True, kw_only=True)
class MaveThread:
    """Messages are there only when the thread was read by id, in the server's order."""

    id: str
    title: str | None = None
    charged: int | None = None
    message_count: int | None = None
    created_at: datetime | None = None
    messages: tuple[MaveMessage, ...] = ()

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, operation: str) -> "MaveThread":
        count = body.get("message_count")
        return cls(
            id=_id(body, operation),
            title=_text(body.get("title")),
            charged=_charge(body.get("credits_used")),
            message_count=count if isinstance(count, int) else None,
            created_at=_time(body.get("created_at")),
            messages=tuple(
                MaveMessage(
                    role=_text(item.get("role")),
                    content=_text(item.get("content")) or "",
                    id=_text(item.get("id")),
                    created_at=_time(item.get("created_at")),
                )
                for item in _objects(body.get("messages"))
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ModelAnswer:
    """Answer of `/responses`: its joined text, or the reason why the model declined."""

    id: str
    completed: bool
    text: str
    refusal: str | None = None
    charged: int | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, operation: str) -> "ModelAnswer":
        if not isinstance(body.get("output"), list):
            raise UnreadableAnswerError(operation, seen="no output")
        parts = [
            part
            for item in _objects(body["output"])
            if item.get("type") == "message"
            for part in _objects(item.get("content"))
        ]
        refusals = [part for part in parts if part.get("type") == "refusal"]
        status = _text(body.get("status"))
        return cls(
            id=_id(body, operation),
            completed=status is None or status.lower() == "completed",
            text="".join(_text(part.get("text")) or "" for part in parts if part.get("type") == "output_text"),
            refusal=(_text(refusals[0].get("refusal")) or "declined without a reason") if refusals else None,
            charged=_used(body),
        )


@dataclass(frozen=True, kw_only=True)
class BrandVoice:
    id: str
    label: str | None = None
    progress: Progress = "running"
    charged: int | None = None
    workspace_id: str | None = None
    created_at: datetime | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, operation: str) -> "BrandVoice":
        status = (_text(body.get("status")) or "").lower()
        return cls(
            id=_id(body, operation),
            label=_text(body.get("label")),
            progress="done" if status in _DONE else "failed" if status in _FAILED else "running",
            charged=_used(body),
            workspace_id=_text(body.get("workspace_id")),
            created_at=_time(body.get("created_at")),
        )


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Credits of the billing period; an unknown `remaining` must stop a paid run."""

    used: int | None
    included: int | None
    remaining: int | None
    requests_per_minute: int | None
    auto_recharge: bool | None
    period_start: datetime | None
    period_end: datetime | None

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, operation: str) -> "Usage":
        if not isinstance(body.get("credits"), dict):
            raise UnreadableAnswerError(operation, seen="no credits")
        credits, period = body["credits"], _mapping(body.get("billing_period"))
        per_minute = _mapping(body.get("rate_limit")).get("requests_per_minute")
        return cls(
            used=_charge(credits.get("used")),
            included=_balance(credits.get("included")),
            remaining=_balance(credits.get("remaining")),
            requests_per_minute=per_minute if isinstance(per_minute, int) and per_minute > 0 else None,
            auto_recharge=_flag(_mapping(body.get("auto_recharge")).get("enabled")),
            period_start=_time(period.get("start")),
            period_end=_time(period.get("end")),
        )


def _inputs(declared: object) -> tuple[AppInput, ...]:
    """A list of fields or an object keyed by field name, in the app's order."""
    if isinstance(declared, dict):
        items = [{"name": name, **_mapping(rule)} for name, rule in declared.items()]
    elif isinstance(declared, list):
        items = [{"name": item} if isinstance(item, str) else _mapping(item) for item in declared]
    else:
        items = []
    return tuple(
        AppInput(
            name=name,
            kind=_text(item.get("type")),
            required=item.get("required") is True,
            options=_options(item.get("options")),
        )
        for item in items
        if (name := _text(item.get("name")) or _text(item.get("key")) or _text(item.get("id")))
    )


def _options(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _id(body: Mapping[str, Any], operation: str) -> str:
    return _needed(body, "id", operation)


def _needed(body: Mapping[str, Any], name: str, operation: str) -> str:
    value = _text(body.get(name))
    if value is None:
        raise UnreadableAnswerError(operation, seen=f"no usable {name}")
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _used(body: Mapping[str, Any]) -> int | None:
    return _charge(_mapping(body.get("usage")).get("credits_used"))


def _charge(value: Any) -> int | None:
    """Whole credits, a fraction counted as one more."""
    return math.ceil(value) if _countable(value) else None


def _balance(value: Any) -> int | None:
    """Whole credits, a fraction not counted."""
    return math.floor(value) if _countable(value) else None


def _countable(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _time(value: object) -> datetime | None:
    """Unix seconds or ISO 8601; a time without a zone is UTC."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
