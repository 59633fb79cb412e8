"""Objects of the pretend Mavera that exist before the first call: a data set's files, else a few built-in ones.

A data set is a folder with `mavera/personas.jsonl`, `generation_apps.jsonl` and `brand_voices.jsonl`; each
file that is there replaces the built-in objects of its kind. One object per line, with an id, in the shape of
the contract.
"""

from pathlib import Path
from typing import Any

import orjson

from sandbox.mavera.store import Store

__all__ = ["preload"]

_BASE: dict[str, list[dict[str, Any]]] = {
    "persona": [
        {
            "id": f"clx0base{number:018d}",
            "object": "persona",
            "name": name,
            "category": "IndustrySpecific",
            "description": description,
            "is_custom": False,
            "is_expert": False,
            "created_at": 1735689600,
        }
        for number, (name, description) in enumerate(
            [
                ("Cost-aware operations lead", "Runs a small operations team and defends every renewal."),
                ("Finance partner in a scale-up", "Plans spend by quarter and reads every invoice line."),
                ("Founder who buys software alone", "Decides within a day and cancels within a minute."),
                ("Procurement manager", "Compares three offers and asks for terms in writing."),
            ],
            start=1,
        )
    ],
    "generation_app": [
        {
            "id": "retention-email",
            "name": "Retention email",
            "description": "Writes one e-mail for customers who may leave.",
            "category": "email",
            "input_fields": [
                {"name": "topic", "type": "text", "required": True},
                {"name": "target_audience", "type": "text", "required": True},
                {"name": "tone", "type": "select", "required": False, "options": ["plain", "warm", "formal"]},
                {"name": "length", "type": "select", "required": False, "options": ["short", "medium", "long"]},
            ],
        },
        {
            "id": "landing_page_copy",
            "name": "Landing page copy",
            "description": "Writes page sections from a list of points.",
            "category": "web",
            "input_schema": {
                "key_points": {"type": "string", "required": True},
                "platform": {"type": "string", "required": False},
            },
        },
    ],
    "brand_voice": [],
}
_FILES = {
    "persona": "personas.jsonl",
    "generation_app": "generation_apps.jsonl",
    "brand_voice": "brand_voices.jsonl",
}


def preload(store: Store, dataset: Path | None, *, now: float) -> None:
    """Store what is not there yet; objects that were deleted since stay deleted."""
    with store.transaction():
        for kind, file in _FILES.items():
            path = None if dataset is None else dataset / "mavera" / file
            items = _BASE[kind]
            if path is not None and path.exists():
                items = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
            for body in items:
                if not store.knows(kind, str(body["id"])):
                    store.insert(
                        kind,
                        body,
                        name=str(body.get("name") or body.get("label") or ""),
                        operation="preload",
                        now=now,
                        custom=bool(body.get("is_custom", kind != "persona")),
                        outcome=str(body.get("status", "completed")),
                    )
