"""The reference parts of the documentation, made from the code: settings, commands, permissions, tables.

Here: Markdown tables, and putting them between the markers of a page. A part is marked by a comment that opens
with `name: generated` and ended by one that holds `/name`. Not here: prose. `make docs` writes the pages, and a
test fails when a page tells something else than the code.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer.main
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from pipelines.settings import Settings

__all__ = ["PARTS", "Setting", "filled_in", "known_settings", "settings_table"]

_MARKED = re.compile(r"(<!-- (?P<part>[a-z_]+): generated[^\n]*-->\n).*?(<!-- /(?P=part) -->)", re.DOTALL)


class Setting(BaseModel):
    """One setting as an operator meets it."""

    name: str
    default: str
    about: str
    secret: bool


def known_settings() -> list[Setting]:
    """Every setting in the order of its declaration, with the name of its variable."""
    return [
        Setting(
            name=name.upper(), default=_default(field), about=field.description or "", secret=_is_secret(field)
        )
        for name, field in Settings.model_fields.items()
    ]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == ():
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr.__name__ in repr(field.annotation)


def settings_table() -> str:
    """The settings; an empty default is explained in the text beside it."""
    rows = [(f"`{one.name}`", f"`{one.default}`" if one.default else "", one.about) for one in known_settings()]
    return _markdown(("Variable", "Default", "Meaning"), rows)


def _commands_table() -> str:
    """The commands with the first line of their help."""
    from pipelines.cli import app

    group: Any = typer.main.get_command(app)
    rows = []
    for name, command in group.commands.items():
        parts = getattr(command, "commands", {})
        rows.append((f"`stripe-mavera {name}`", _first_line(command)))
        rows += [(f"`stripe-mavera {name} {part}`", _first_line(parts[part])) for part in parts]
    return _markdown(("Command", "What it does"), rows)


def _first_line(command: Any) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split())


def _permissions_table() -> str:
    """What the Stripe key must be allowed to read, by permission."""
    from ingest.streams import STREAMS

    tables: dict[str, list[str]] = {}
    for stream in STREAMS.values():
        tables.setdefault(stream.permission, []).extend(f"`stripe/{table}`" for table in stream.tables)
    return _markdown(
        ("Read permission", "Tables"), [(name, ", ".join(found)) for name, found in sorted(tables.items())]
    )


def _tables_reference() -> str:
    """Every table with its columns."""
    from activation.tables import MAVERA_TABLES
    from ingest.tables import QUARANTINE, RAW_TABLES
    from segments.tables import SEGMENT_TABLES

    groups: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("stripe", {**RAW_TABLES, "quarantine": QUARANTINE}),
        ("segments", SEGMENT_TABLES),
        ("mavera", MAVERA_TABLES),
    )
    parts = []
    for group, tables in groups:
        for name, schema in tables.items():
            rows = [
                (
                    f"`{field.name}`",
                    str(field.type),
                    "" if field.nullable else "yes",
                    "yes" if field.metadata[b"sensitive"] == b"true" else "",
                    field.metadata[b"description"].decode(),
                )
                for field in schema
            ]
            about, key = (schema.metadata[part].decode() for part in (b"description", b"key"))
            table = _markdown(("Column", "Type", "Required", "Sensitive", "Meaning"), rows)
            parts.append(f"### `{group}/{name}`\n\n{about} Key: `{key}`.\n\n{table}")
    return "\n\n".join(parts)


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "settings": settings_table,
    "commands": _commands_table,
    "permissions": _permissions_table,
    "tables": _tables_reference,
}
"""What a page can have between markers, by the marker's name."""


def filled_in(page: str) -> str:
    """The page with what its markers name. Raises: KeyError for a marker that names nothing."""
    return _MARKED.sub(lambda found: f"{found[1]}{PARTS[found['part']]()}\n{found[3]}", page)


def main() -> None:
    """Fill in the pages that are named as arguments."""
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(filled_in(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
