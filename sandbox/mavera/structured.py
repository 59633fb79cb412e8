"""An instance of a JSON Schema, filled with text that suits the field's name.

Covers what structured output of language models allows: objects, arrays, texts, numbers, booleans, null,
enumerations, constants, local references and combinations. It fills required and optional properties alike,
in schema order.
"""

import re
from typing import Any

from sandbox.mavera.content import rewritten_copy

__all__ = ["instance"]

_MAX_DEPTH = 12
_WORD = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")


def instance(schema: dict[str, Any], *, source: str) -> Any:
    """A value that satisfies `schema`; `source` is the text that the answer is about."""
    return _value(schema, root=schema, name="", source=source, depth=0)


def _value(schema: Any, *, root: dict[str, Any], name: str, source: str, depth: int) -> Any:
    if not isinstance(schema, dict):
        return source[:80]
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return _mentioned(schema["enum"], source)
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            merged = {**{k: v for k, v in schema.items() if k != choice}, **_resolved(schema[choice][0], root)}
            return _value(merged, root=root, name=name, source=source, depth=depth)
    kind = _kind(schema)
    if kind == "object":
        if depth > _MAX_DEPTH:
            return {}
        return {
            field: _value(inner, root=root, name=field, source=source, depth=depth + 1)
            for field, inner in schema.get("properties", {}).items()
            if depth < _MAX_DEPTH // 2 or field in schema.get("required", ())
        }
    if kind == "array":
        return _array(schema, root=root, name=name, source=source, depth=depth)
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return _string(schema, name=name, source=source)


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        target: Any = root
        for step in reference.lstrip("#").strip("/").split("/"):
            if step:
                target = target[step.replace("~1", "/").replace("~0", "~")]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    for part in schema.get("allOf", ()):
        inner = _resolved(part, root)
        properties = {**schema.get("properties", {}), **inner.get("properties", {})}
        required = [*schema.get("required", ()), *inner.get("required", ())]
        schema = {**inner, **schema} | ({"properties": properties, "required": required} if properties else {})
    return schema


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _mentioned(values: list[Any], source: str) -> Any:
    """The first value that the source speaks of, else the first value."""
    return next((value for value in values if isinstance(value, str) and value and value in source), values[0])


def _array(schema: dict[str, Any], *, root: dict[str, Any], name: str, source: str, depth: int) -> list[Any]:
    items = schema.get("items", {})
    resolved = _resolved(items, root) if isinstance(items, dict) else {}
    count = max(int(schema.get("minItems", 0)), 0 if depth >= _MAX_DEPTH else 1)
    limit = int(schema.get("maxItems", max(count, 8)))
    if "enum" in resolved:
        spoken = [value for value in resolved["enum"] if isinstance(value, str) and value in source]
        values = spoken or list(resolved["enum"])
        if len(values) < count and not schema.get("uniqueItems"):
            values = values * count
        return values[: max(count, min(len(values), limit))][:limit]
    if _kind(resolved) == "string":
        spoken = list(dict.fromkeys(_WORD.findall(source)))[:limit]
        if len(spoken) >= max(count, 1) and resolved.keys() <= {"type", "description"}:
            return spoken
    made = [_value(items, root=root, name=name, source=source, depth=depth + 1) for _ in range(min(count, limit))]
    if schema.get("uniqueItems") and made and all(isinstance(value, str) for value in made):
        return [f"{value} ({number})" if number else value for number, value in enumerate(made)]
    return made


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    step = schema.get("multipleOf", 1 if whole else 0)
    low = schema.get("minimum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + (step or 0.01)
    high = schema.get("maximum")
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - (step or 0.01)
    value = low if low is not None else (min(high, 1) if high is not None else 1)
    if step:
        value = -(-value // step) * step
    return int(value) if whole else value


def _string(schema: dict[str, Any], *, name: str, source: str) -> str:
    formats = {
        "date": "2025-11-01",
        "date-time": "2025-11-01T00:00:00Z",
        "email": "hello@example.com",
        "uri": "https://example.com/",
    }
    if schema.get("format") in formats:
        return formats[schema["format"]]
    words = name.lower()
    if any(part in words for part in ("rewrit", "copy", "text", "after", "new")):
        text = rewritten_copy(source)
    elif any(part in words for part in ("title", "headline", "subject")):
        text = "Say when the plan renews, and how to stop it"
    elif any(part in words for part in ("why", "rationale", "explain", "reason")):
        text = "Customers who see the renewal date and the way out beforehand dispute the charge less often."
    else:
        text = f"{name.replace('_', ' ').strip() or 'answer'}: clearer terms before each renewal".capitalize()
    text = text[: schema.get("maxLength", len(text))].rstrip() or "-"
    return text.ljust(schema.get("minLength", 0), ".")
