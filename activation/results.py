"""Rows of the Mavera tables, from the plan's endings and the ledger.

Here: projections. Not here: schemas (`tables`), writing (the assets). Each table is whole: it holds the present
state of all our objects, so a table that was lost or half written comes back with the next run.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from activation.account import Account
from activation.endings import Ended
from activation.plan_model import Plan
from activation.policy import Kind
from activation.registry import StoredObject, newest
from activation.tables import MAVERA_TABLES
from resources.state.ledger import attempts, intents

__all__ = ["objects_tables", "plan_table", "tables_of"]

Row = dict[str, Any]


def plan_table(plan: Plan) -> pa.Table:
    """The plan as `mavera/plan`, suppressed cells at the end."""
    rows = [
        {
            "action": operation.action,
            "kind": operation.kind.value,
            "segment_key": operation.segment_key,
            "spec_version": operation.spec_version,
            "credits": operation.credits,
            "reason": operation.reason,
            "difference": json.dumps([one.model_dump(mode="json") for one in operation.difference]),
            "body_hash": operation.body_hash if operation.is_paid else None,
            "token": operation.token,
            "mavera_id": operation.remote_id,
        }
        for operation in plan.operations
    ]
    rows += [
        {
            "action": "suppressed",
            "kind": cell.segment_key.split(":", maxsplit=1)[0],
            "segment_key": cell.segment_key,
            "spec_version": "",
            "credits": 0,
            "reason": f"{cell.reason}; folded into {cell.merged_into}" if cell.merged_into else cell.reason,
            "difference": "[]",
        }
        for cell in plan.suppressed
    ]
    return _table("plan", [{"plan_hash": plan.hash, **row} for row in rows])


def tables_of(account: Account, plan: Plan, rows: Sequence[Ended], *, run_id: str) -> Mapping[str, pa.Table]:
    """All tables that carrying out a plan writes, by name."""
    made: dict[str, list[Row]] = {
        "outcomes": [{"plan_hash": plan.hash, "run_id": run_id, **_outcome(row)} for row in rows],
        "spend": _spend_rows(account),
    }
    return {name: _table(name, found) for name, found in made.items()} | objects_tables(account)


def objects_tables(account: Account) -> dict[str, pa.Table]:
    """The tables of our objects at Mavera as the ledger knows them, by name."""
    objects = account.ledger.objects()
    made: dict[str, list[Row]] = {
        "personas": [_persona(one) for one in objects if one.kind is Kind.PERSONA],
        "generations": _texts(objects, Kind.GENERATION, _generation),
        "case_studies": _texts(objects, Kind.CASE_STUDY, _case_study),
        "copy_fixes": _texts(objects, Kind.COPY_FIX, _copy_fix),
    }
    return {name: _table(name, found) for name, found in made.items()}


def _table(name: str, rows: Sequence[Row]) -> pa.Table:
    schema = MAVERA_TABLES[name]
    if "position" in schema.names:
        rows = [{"position": position, **row} for position, row in enumerate(rows)]
    return pa.Table.from_pylist(list(rows), schema=schema)


def _outcome(row: Ended) -> Row:
    operation = row.operation
    return {
        "action": operation.action,
        "kind": operation.kind.value,
        "segment_key": operation.segment_key,
        "credits": operation.credits,
        "mavera_id": row.remote_id or operation.remote_id,
        "ending": row.ending,
        "ending_reason": row.reason or None,
        "next_action": row.next_action or None,
    }


def _texts(objects: Sequence[StoredObject], kind: Kind, own: Callable[[StoredObject], Row]) -> list[Row]:
    """Texts of a kind; of each segment the newest one is active, unless released; the others are superseded."""
    mine = [one for one in objects if one.kind is kind]
    counts = {key: newest(mine, kind, key) for key in {one.segment_key for one in mine}}
    return [
        {
            **_common(one),
            "status": "active" if counts[one.segment_key] is one else "superseded",
            "result": one.result_status,
            "period": one.spec_version.split(".")[1] if "." in one.spec_version else None,
            **own(one),
        }
        for one in mine
    ]


def _common(one: StoredObject) -> Row:
    return {
        "segment_key": one.segment_key,
        "spec_version": one.spec_version,
        "mavera_id": one.remote_id,
        "status": one.status,
        "credits": one.credits,
        "content_hash": one.content_hash,
        "template_version": one.template_version,
        "since": one.since,
        "updated_at": one.updated_at,
    }


def _result(one: StoredObject, name: str) -> Any:
    return (one.result or {}).get(name)


def _persona(one: StoredObject) -> Row:
    return {
        **_common(one),
        "name": _result(one, "name"),
        "version": one.version,
        "successor": one.successor,
    }


def _generation(one: StoredObject) -> Row:
    return {
        "cohort": one.content.get("cohort"),
        "tier": one.content.get("tier"),
        "title": _result(one, "title"),
        "text": _result(one, "text"),
    }


def _case_study(one: StoredObject) -> Row:
    return {
        "tier": one.content.get("tier"),
        "product": one.content.get("product"),
        "growth_band": one.content.get("growth_band"),
        "validated": _result(one, "validated"),
        "text": _result(one, "text"),
    }


def _copy_fix(one: StoredObject) -> Row:
    return {
        "reason": one.content.get("reason"),
        "product": one.content.get("product"),
        "original": one.content.get("original_copy"),
        "rewritten": _result(one, "rewritten"),
        "rationale": _result(one, "rationale"),
    }


def _spend_rows(account: Account) -> list[Row]:
    wanted = (
        sa.select(
            intents.c.kind,
            intents.c.segment_key,
            intents.c.spec_version,
            attempts.c.attempt,
            attempts.c.run_id,
            attempts.c.started_at,
            attempts.c.credits,
            attempts.c.settled,
            attempts.c.outcome,
        )
        .join(intents, intents.c.id == attempts.c.intent_id)
        .where(attempts.c.environment == account.identity.environment)
        .order_by(intents.c.id, attempts.c.attempt)
    )
    with account.state.read() as connection:
        return [dict(row) for row in connection.execute(wanted).mappings()]
