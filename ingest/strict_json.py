"""JSON from outside, read strictly: what two readers could understand differently is refused.

Refused are NaN and infinities, numbers beyond 64 bits, lone surrogates, invalid UTF-8, duplicate keys, and nesting
deeper than a bound. Python's own parser takes the first four, overwrites duplicates silently, and ends in a
RecursionError near depth 1,000 or in a ValueError at 4,300 digits. `orjson` checks the syntax; the standard
parser then builds the value, as only it shows every key. What the value means is not decided here.
"""

import json
import re
from typing import Any

import orjson

__all__ = ["MAX_DEPTH", "StrictJsonError", "strict_loads"]

MAX_DEPTH = 64
"""Stripe's objects nest about ten deep."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOT_BRACKET = re.compile(rb"[^][{}]+")
_INT64 = range(-(2**63), 2**63)
_LONGEST_INT = 20


class StrictJsonError(ValueError):
    """The bytes are not JSON that everybody reads alike; `reason` is one of a few fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not strict JSON: {reason}")
        self.reason = reason


def strict_loads(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """The value in `raw`.

    Raises: StrictJsonError.
    """
    _check_depth(raw, max_depth)
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise StrictJsonError("syntax") from error
    value: Any = _DECODER.decode(raw.decode())
    return value


def _check_depth(raw: bytes, max_depth: int) -> None:
    """Count brackets outside strings; a body that is not JSON at all is left to the parser."""
    depth = 0
    for bracket in _NOT_BRACKET.sub(b"", _STRING.sub(b"", raw)):
        if bracket in b"[{":
            depth += 1
            if depth > max_depth:
                raise StrictJsonError("depth")
        else:
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("duplicate key")
    return found


def _int64(digits: str) -> int:
    if len(digits) > _LONGEST_INT or (number := int(digits)) not in _INT64:
        raise StrictJsonError("number beyond 64 bits")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_int64)
