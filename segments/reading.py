"""Reading single values of billing objects whose shape cannot be trusted.

Here: the few readers that the revenue rules share; each gives a typed value, None for absent, or raises
`UnknownPart` with the caller's code. Not here: what the values mean.
"""

from collections.abc import Mapping
from typing import Any

from segments.money import exact
from segments.reasons import UnknownPart

__all__ = ["LATEST_TIME", "filled", "listed", "moment", "whole"]

LATEST_TIME = 100_000_000_000
"""Unix seconds (the year 5138): a later time is a broken one, most likely in milliseconds."""


def moment(value: object, code: str) -> int | None:
    """Unix seconds, or None when absent.

    Raises:
        UnknownPart: the value is no plausible time.
    """
    if value is None:
        return None
    if type(value) is int and 0 <= value <= LATEST_TIME:
        return value
    number = exact(value)
    if number is None or not 0 <= number <= LATEST_TIME:
        raise UnknownPart(code)
    return int(number)


def whole(value: object, code: str, *, least: int = 0) -> int:
    """A whole number of at least `least`.

    Raises:
        UnknownPart: the value is none, absent included.
    """
    if type(value) is int and least <= value <= 1_000_000_000_000:
        return value
    number = exact(value)
    if number is None or number.denominator != 1 or number < least:
        raise UnknownPart(code)
    return int(number)


def listed(value: object, code: str) -> list[Any]:
    """The elements of a list or of an API list object; absent is empty.

    Raises:
        UnknownPart: the value is neither, or the list object has further pages.
    """
    if value is None:
        return []
    if isinstance(value, dict):
        if value.get("has_more"):
            raise UnknownPart(code)
        value = value.get("data")
    if isinstance(value, list | tuple):
        return list(value)
    raise UnknownPart(code)


def filled(given: dict[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with what it lacks taken from its entry in a side table, for parts that need their own expand."""
    key = given.get("id")
    side = table.get(key) if isinstance(key, str) else None
    if not isinstance(side, dict):
        return given
    return {**side, **{name: value for name, value in given.items() if value is not None and value != []}}
