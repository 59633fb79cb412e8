"""What is at Mavera now, read once with free GETs and looked up by token.

Here: the lists that a plan or a run needs, and the account's usage. A list that could not be read is kept as its
error: it is never taken for an empty one. Not here: what follows from it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from activation.policy import Kind
from activation.surfaces import SURFACES, Remote
from resources.mavera import GenerationApp, MaveraApi, MaveraError, Usage

__all__ = ["RemoteView", "read_remote"]


@dataclass(frozen=True, kw_only=True)
class RemoteView:
    """Lists by kind, or the error that kept one from being read; `read_at` is when the reading began."""

    read_at: datetime
    lists: dict[Kind, list[Remote]] = field(default_factory=dict)
    errors: dict[Kind, str] = field(default_factory=dict)
    apps: tuple[GenerationApp, ...] = ()
    apps_error: str | None = None
    usage: Usage | None = None
    usage_error: str | None = None

    def by_token(self, kind: Kind, token: str) -> list[Remote]:
        """Objects of a kind that carry a token; only for kinds whose list was read."""
        return self._by_token.get((kind, token), [])

    def by_id(self, kind: Kind, remote_id: str) -> Remote | None:
        """The object with an id, if the list holds it."""
        return self._by_id.get((kind, remote_id))

    @cached_property
    def _by_token(self) -> dict[tuple[Kind, str], list[Remote]]:
        found: dict[tuple[Kind, str], list[Remote]] = {}
        for kind, remotes in self.lists.items():
            for remote in remotes:
                for token in remote.tokens:
                    found.setdefault((kind, token), []).append(remote)
        return found

    @cached_property
    def _by_id(self) -> dict[tuple[Kind, str], Remote]:
        return {(kind, remote.id): remote for kind, remotes in self.lists.items() for remote in remotes}


async def read_remote(
    mavera: MaveraApi, kinds: Iterable[Kind], *, now: datetime, apps: bool = False
) -> RemoteView:
    """Read the lists of `kinds`, the usage and, if wanted, the apps."""
    wanted = [kind for kind in dict.fromkeys(kinds) if SURFACES[kind].has_handle]

    async def listed(kind: Kind) -> list[Remote] | str:
        try:
            return await SURFACES[kind].listed(mavera)
        except MaveraError as error:
            return str(error)

    async def usage() -> Usage | str:
        try:
            return await mavera.usage()
        except MaveraError as error:
            return str(error)

    async def offered() -> list[GenerationApp] | str:
        try:
            return await mavera.generation_apps() if apps else []
        except MaveraError as error:
            return str(error)

    seen, used, found = await asyncio.gather(
        asyncio.gather(*(listed(kind) for kind in wanted)), usage(), offered()
    )
    pairs = list(zip(wanted, seen, strict=True))
    return RemoteView(
        read_at=now,
        lists={kind: value for kind, value in pairs if not isinstance(value, str)},
        errors={kind: value for kind, value in pairs if isinstance(value, str)},
        apps=() if isinstance(found, str) else tuple(found),
        apps_error=found if isinstance(found, str) else None,
        usage=None if isinstance(used, str) else used,
        usage_error=used if isinstance(used, str) else None,
    )
