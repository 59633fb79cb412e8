"""What the report says about Mavera: what exists there, the texts it wrote, the plan, and what was spent.

Here: the questions to the Mavera tables and the shape of their answers. Texts that Mavera wrote are untrusted:
they are cleaned again here and escaped by the page. Not here: any rule (`activation`).
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel

from activation.untrusted import clean_text
from pipelines.questions import Questions

__all__ = [
    "Persona",
    "Plan",
    "PlanLine",
    "Spend",
    "SpendLine",
    "Text",
    "case_studies",
    "copy_fixes",
    "generations",
    "personas",
    "plan",
    "spend",
]

_LONGEST: Final = 8_000
"""Characters shown of one text; the table holds all of it."""


class Persona(BaseModel):
    """A persona of a segment."""

    segment_key: str
    name: str | None
    status: str
    version: int
    credits: int
    since: datetime


class Text(BaseModel):
    """A text that Mavera wrote; `original` is the operator's own copy that it rewrites."""

    segment_key: str
    about: list[str]
    title: str | None = None
    text: str | None
    original: str | None = None
    rationale: str | None = None
    result: str
    credits: int
    template_version: str
    cut: bool = False


class PlanLine(BaseModel):
    """A row of the plan and how it ended, when it was carried out."""

    action: str
    kind: str
    segment_key: str
    credits: int
    reason: str
    difference: list[str]
    ending: str | None = None
    ending_reason: str | None = None
    next_action: str | None = None


class Plan(BaseModel):
    """The latest plan; `suppressed` are groups about which nothing may leave."""

    plan_hash: str
    lines: list[PlanLine]
    suppressed: list[PlanLine]
    credits: int
    carried_out: bool


class SpendLine(BaseModel):
    """Attempts of a kind in the month."""

    kind: str
    attempts: int
    credits: int


class Spend(BaseModel):
    """Credits counted against the month's cap; what no answer has confirmed counts as spent."""

    month: str
    cap: int | None
    counted: int
    settled: int
    unclear: int
    lines: list[SpendLine]
    ever: int


def personas(ask: Questions) -> list[Persona]:
    """Personas that are in use, tiers first."""
    rows = ask.rows(
        Persona,
        "mavera/personas",
        """SELECT segment_key, name, status, version, credits, since FROM t
        ORDER BY status <> 'active', segment_key NOT LIKE 'tier:%', segment_key""",
    )
    return [row.model_copy(update={"name": clean_text(row.name, limit=300)}) for row in rows]


def generations(ask: Questions) -> list[Text]:
    """Retention messages in use."""
    return _texts(ask, "mavera/generations", about=("cohort", "tier", "period"), text="text", title="title")


def case_studies(ask: Questions) -> list[Text]:
    """Case study drafts in use."""
    return _texts(ask, "mavera/case_studies", about=("tier", "product", "growth_band", "period"), text="text")


def copy_fixes(ask: Questions) -> list[Text]:
    """Rewritten copy in use."""
    return _texts(ask, "mavera/copy_fixes", about=("reason", "product", "period"), text="rewritten")


def _texts(
    ask: Questions, table: str, *, about: tuple[str, ...], text: str, title: str | None = None
) -> list[Text]:
    rows = [row for row in ask.table(table).to_pylist() if row["status"] == "active"]
    return [
        Text(
            segment_key=row["segment_key"],
            about=[row[name] for name in about if row[name]],
            title=None if title is None else clean_text(row[title], limit=300),
            text=clean_text(row[text], limit=_LONGEST),
            original=clean_text(row.get("original"), limit=_LONGEST),
            rationale=clean_text(row.get("rationale"), limit=_LONGEST),
            result=row["result"],
            credits=row["credits"],
            template_version=row["template_version"],
            cut=len(row[text] or "") > _LONGEST,
        )
        for row in sorted(rows, key=lambda row: str(row["segment_key"]))
    ]


def plan(ask: Questions, *, outcomes: bool) -> Plan | None:
    """The latest plan with its endings; None when it has no rows. `outcomes`: their table exists."""
    rows = ask.table("mavera/plan").to_pylist()
    if not rows:
        return None
    plan_hash = str(rows[0]["plan_hash"])
    endings: dict[int, dict[str, Any]] = {}
    if outcomes:
        ended = ask.table("mavera/outcomes").to_pylist()
        endings = {row["position"]: row for row in ended if row["plan_hash"] == plan_hash}
    lines = [_line(row, endings.get(row["position"])) for row in rows]
    planned = [line for line in lines if line.action != "suppressed"]
    return Plan(
        plan_hash=plan_hash,
        lines=planned,
        suppressed=[line for line in lines if line.action == "suppressed"],
        credits=sum(line.credits for line in planned),
        carried_out=bool(endings),
    )


def _line(row: dict[str, Any], ended: dict[str, Any] | None) -> PlanLine:
    names = ("ending", "ending_reason", "next_action")
    own = ("action", "kind", "segment_key", "credits", "reason")
    return PlanLine(
        **{name: row[name] for name in own},
        difference=[_change(one) for one in json.loads(row["difference"])],
        **({} if ended is None else {name: clean_text(ended[name]) for name in names}),
    )


def _change(one: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)

    return f"{one['field']}: {text(one['before'])} → {text(one['after'])}"


def spend(ask: Questions, *, now: datetime, cap: int | None) -> Spend:
    """Credits of the month of `now` (UTC) by kind."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    lines = ask.rows(
        SpendLine,
        "mavera/spend",
        """SELECT kind, count(*) AS attempts, sum(credits)::BIGINT AS credits FROM t WHERE started_at >= ?
        GROUP BY 1 ORDER BY 3 DESC, 1""",
        first,
    )
    settled, unclear, ever = ask.one(
        "mavera/spend",
        """SELECT coalesce(sum(credits) FILTER (settled AND started_at >= $1), 0)::BIGINT,
        count(*) FILTER (outcome IN ('reserved', 'sent', 'unknown', 'held') AND started_at >= $1),
        coalesce(sum(credits), 0)::BIGINT FROM t""",
        first,
    )
    return Spend(
        month=first.strftime("%Y-%m"),
        cap=cap,
        counted=sum(line.credits for line in lines),
        settled=settled,
        unclear=unclear,
        lines=lines,
        ever=ever,
    )
