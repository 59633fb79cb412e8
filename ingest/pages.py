"""A page of Stripe objects → rows to stage, with what is malformed set aside.

Here: one object cannot spoil a page: it goes to quarantine with the field that was wrong and a hash, never its
content. Not here: requests (`ingest.lists`) and the parsers themselves (`ingest.rows`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ingest.accessors import MalformedObject
from ingest.rows import Parsed, Provenance, parse
from ingest.shapes import PERMITTED, cut
from ingest.streams import Stream

__all__ = ["PageRows", "quarantine_row", "read_objects"]


@dataclass
class PageRows:
    """Rows by table, and the objects whose nested list has to be read on before their rows are known."""

    rows: dict[str, list[dict[str, Any]]]
    unfinished: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def add(self, stream: Stream, parsed: Parsed) -> None:
        """Take the rows of one object."""
        self.rows[stream.table].append(parsed.row)
        if stream.nested is not None:
            self.rows[stream.nested.table].extend(parsed.children)


def quarantine_row(table: str, source: Any, reason: str, provenance: Provenance) -> dict[str, Any]:
    """The row that tells of a malformed object without holding anything of it but its id."""
    raw = orjson.dumps(source, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    identity = source.get("id") if isinstance(source, dict) else None
    return {
        "raw_hash": hashlib.sha256(raw).hexdigest(),
        "table": table,
        "object_id": identity if isinstance(identity, str) else None,
        "reason": reason,
        "source": provenance.source,
        "fetched_at": provenance.fetched_at,
    }


def read_objects(stream: Stream, objects: Sequence[Any], provenance: Provenance) -> PageRows:
    """Parse the objects of a page.

    An object whose embedded list is cut is handed on, cut to the permitted fields, instead of being staged.
    """
    page = PageRows({name: [] for name in (*stream.tables, "quarantine")})
    for source in objects:
        try:
            if isinstance(source, dict) and source.get("object", stream.object) != stream.object:
                raise MalformedObject(f"{stream.table}: object is not {stream.object}")
            parsed = parse(stream.table, source, provenance)
        except MalformedObject as error:
            page.rows["quarantine"].append(quarantine_row(stream.table, source, str(error), provenance))
            continue
        if (
            stream.nested is not None
            and not parsed.whole
            and (source.get(stream.nested.field) or {}).get("has_more")
        ):
            page.unfinished.append((parsed.row["id"], cut(source, PERMITTED[stream.table])))
        else:
            page.add(stream, parsed)
    return page
