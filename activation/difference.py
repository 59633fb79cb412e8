"""What changed between a brief and the one last paid for, and whether it is worth paying again.

Here: the field-level difference and the materiality rules. Not here: rounding (briefs hold rounded numbers only,
so noise below it never shows). Compared with what was last **paid for**, not with the last run: slow drift adds
up until it counts.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from activation.policy import Materiality

__all__ = ["FieldChange", "changes", "is_material", "patch"]

_ABSENT = object()


class FieldChange(BaseModel):
    """One field that differs; `weight` says whether it alone would be worth a call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    before: Any
    after: Any
    weight: Literal["material", "small"]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted names; lists stay whole."""
    out: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            out |= _flat(item, f"{prefix}{name}.")
        else:
            out[f"{prefix}{name}"] = list(item) if isinstance(item, tuple) else item
    return out


def changes(before: Mapping[str, Any], after: Mapping[str, Any], rules: Materiality) -> list[FieldChange]:
    """Fields that differ, by name."""
    old, new = _flat(before), _flat(after)
    return [
        FieldChange(field=name, before=old.get(name), after=new.get(name), weight=_weight(name, old, new, rules))
        for name in sorted(old.keys() | new.keys())
        if old.get(name, _ABSENT) != new.get(name, _ABSENT)
    ]


def is_material(found: list[FieldChange]) -> bool:
    """Whether any change is worth a call."""
    return any(change.weight == "material" for change in found)


def patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Top-level fields of a request that changed, lists whole; a PATCH cannot unset a field that fell away."""
    return {name: value for name, value in after.items() if before.get(name, _ABSENT) != value}


def _weight(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], rules: Materiality
) -> Literal["material", "small"]:
    before, after = old.get(name, _ABSENT), new.get(name, _ABSENT)
    if not _is_number(before) or not _is_number(after):
        # A share that appears or goes is judged like one that was, or becomes, zero.
        if _is_share(name) and {_is_number(before), _is_number(after)} == {True, False}:
            share = before if _is_number(before) else after
            return "material" if int(str(share)) >= rules.points else "small"
        return "material"
    first, second = int(str(before)), int(str(after))
    if _is_share(name):
        return "material" if abs(second - first) >= rules.points else "small"
    return "material" if abs(second - first) * 100 >= rules.relative_percent * max(abs(first), 1) else "small"


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_share(name: str) -> bool:
    return name.endswith("_percent") or "_mix." in name
