"""One text for one value: canonical JSON, its SHA-256, and the token that marks our objects at Mavera.

Here: hashing. Not here: what is hashed. JSON is canonical in the sense of sorted keys, no blanks and UTF-8, over
text, integers, booleans, nulls, lists and objects; a float is refused, as its text is not one and the same
everywhere.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["TOKEN", "canonical_json", "digest", "token_of"]

TOKEN = re.compile(r"\[([a-z2-7]{8})\]")
"""How a token stands in a name, a title or the first characters of a message."""


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"{value!r} has no canonical text: use an integer or a text")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not a text")
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)


def canonical_json(value: Any) -> str:
    """The one JSON text of a value. Raises: TypeError for floats and other types without one."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def token_of(*parts: str) -> str:
    """Eight base32 characters (40 bits) that follow from the parts alone."""
    raw = hashlib.sha256(canonical_json(list(parts)).encode()).digest()
    return base64.b32encode(raw[:5]).decode().lower()
