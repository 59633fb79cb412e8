"""The rules in force, as one hash: what is kept of an earlier run must not outlive the code that made it.

Here: the hash. Not here: who keeps what (`segments.mrr_reuse`, `segments.prediction.forecast`). It is that of the
whole room, as a figure rests on modules that its own imports.
"""

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["rules"]


@cache
def rules() -> str:
    """SHA-256 of the code and the lists of this room, shortened."""
    files = (file for file in sorted(Path(__file__).parent.rglob("*")) if file.suffix in (".py", ".csv"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
