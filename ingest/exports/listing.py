"""What lies in the export folder or bucket: one entry a file, and what tells two versions of a file apart.

Only names, sizes and times are read, never content. A bucket is listed through fsspec; a folder is walked
directly, as that is several times faster and a sensor does it every tick.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

__all__ = ["FileEntry", "fingerprint", "list_files"]


_PATH = attrgetter("path")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below the exports address: its path from there, its size, and what changes when it is rewritten."""

    path: str
    size: int
    modified: datetime
    etag: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


def fingerprint(files: Iterable[FileEntry]) -> str:
    """Tells a set of files apart from any other: SHA-256 over path, size, and etag or time of each."""
    digest = hashlib.sha256()
    for file in sorted(files, key=_PATH):
        version = file.etag or file.modified.isoformat()
        digest.update(f"{file.path}\0{file.size}\0{version}\n".encode())
    return digest.hexdigest()


def list_files(uri: str, *, storage_options: Mapping[str, Any] | None = None) -> tuple[FileEntry, ...]:
    """Every file below `uri`, in the order of paths.

    Raises: OSError when the place cannot be listed; a place that is not there is not an empty one.
    """
    filesystem, root = fsspec.core.url_to_fs(uri, **dict(storage_options or {}))
    if isinstance(filesystem, LocalFileSystem):
        if not Path(root).is_dir():
            raise FileNotFoundError(f"{uri} is not a folder: check STRIPE_EXPORTS_URI")
        return tuple(sorted(_walk(root, ""), key=_PATH))
    filesystem.invalidate_cache()
    if not filesystem.exists(root):
        raise FileNotFoundError(f"{uri} cannot be found: check STRIPE_EXPORTS_URI")
    found = filesystem.find(root, detail=True)
    files = (_remote(name, info, root) for name, info in found.items() if info["type"] == "file")
    return tuple(sorted(files, key=_PATH))


def _walk(folder: str, prefix: str) -> Iterator[FileEntry]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                status = entry.stat()
                modified = datetime.fromtimestamp(status.st_mtime, tz=UTC)
                yield FileEntry(f"{prefix}{entry.name}", status.st_size, modified)


def _remote(name: str, info: Mapping[str, Any], root: str) -> FileEntry:
    """Stores name the time and the etag in their own ways."""
    modified = next((info[key] for key in _TIMES if key in info), None)
    if isinstance(modified, str):
        modified = datetime.fromisoformat(modified)
    elif isinstance(modified, int | float):
        modified = datetime.fromtimestamp(modified, tz=UTC)
    if not isinstance(modified, datetime):
        raise OSError(f"{name} has no time of change: this kind of store cannot be watched")
    etag = next((str(info[key]) for key in ("ETag", "etag") if info.get(key)), None)
    aware = modified if modified.tzinfo else modified.replace(tzinfo=UTC)
    return FileEntry(name.removeprefix(root).lstrip("/"), int(info["size"]), aware, etag)
