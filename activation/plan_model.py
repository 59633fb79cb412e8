"""The plan as a value: operations with their price and reason, what it rests on, and its hash.

Here: the document. Not here: how it is decided (`plan`). The hash covers everything that decides what is sent and
what it costs, and no time, no run id and no table version: each operation holds its whole brief, so that data
written anew without news for Mavera give the same hash. `source` and `notes` are for the reader, not part of it.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from activation.briefs import Suppressed
from activation.canonical import canonical_json, digest
from activation.difference import FieldChange
from activation.policy import Identity, Kind

__all__ = ["Action", "Operation", "Plan", "Source"]

Action = Literal["create", "update", "adopt", "unchanged", "archive", "held"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Part):
    """What the briefs were made from; provenance, which is shown and not hashed.

    `customers` is the size of the whole source, to notice one that suddenly shrank.
    """

    customers: int = Field(ge=0)
    versions: dict[str, int] = Field(default_factory=dict, description="Delta version read, by table")

    @property
    def marker(self) -> str:
        """A name for this state of the data: a segment counts as empty once for each."""
        return digest(self.versions)[:16]


class Operation(_Part):
    """One row of the plan."""

    action: Action
    kind: Kind
    segment_key: str
    spec_version: str
    token: str
    credits: int = Field(0, description="worst price")
    reason: str
    body: dict[str, Any] = Field(default_factory=dict, description="what is sent, placeholders for ids")
    content: dict[str, Any] = Field(default_factory=dict, description="the brief, as it will be remembered")
    full_body: dict[str, Any] = Field(default_factory=dict, description="update: the whole wished object")
    template_version: str = ""
    remote_id: str | None = None
    remote_hash: str | None = None
    difference: tuple[FieldChange, ...] = ()
    status_after: Literal["active", "dormant", "archived", "superseded"] = "active"
    successor: str | None = None

    @property
    def body_hash(self) -> str:
        """Hash of what is sent."""
        return digest(self.body)

    @property
    def is_paid(self) -> bool:
        """Whether it calls something that may be charged."""
        return self.action in ("create", "update")

    @property
    def changes_state(self) -> bool:
        """Whether carrying it out writes anything at all."""
        return self.action in ("create", "update", "adopt", "archive")


class Plan(_Part):
    """What would be done, in a stable order."""

    identity: Identity
    operations: tuple[Operation, ...]
    suppressed: tuple[Suppressed, ...] = ()
    source: Source
    policy: dict[str, Any]
    requires_person: tuple[str, ...] = Field((), description="why it may not approve itself")
    auto_recharge: bool | None = None
    notes: dict[str, Any] = Field(default_factory=dict, description="for the reader; not part of the hash")

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical document."""
        return digest(self.document())

    def document(self) -> dict[str, Any]:
        """All that is hashed, as JSON values."""
        return self.model_dump(mode="json", exclude={"source", "notes"})

    def json_text(self) -> str:
        """The canonical text of the document."""
        return canonical_json(self.document())

    @property
    def credits(self) -> int:
        """Worst price of all of it."""
        return sum(operation.credits for operation in self.operations)

    @property
    def counts(self) -> Mapping[str, int]:
        """Operations by action."""
        out: dict[str, int] = {}
        for operation in self.operations:
            out[operation.action] = out.get(operation.action, 0) + 1
        return out
