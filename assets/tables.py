"""Reading and writing tables from assets: specs, checks and metadata made from the declared schemas.

Here: what every table asset does the same way. Not here: what goes into a table.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pyarrow as pa

from assets.metadata import definition_metadata
from resources.schema import key_of

if TYPE_CHECKING:
    from resources.lake import Lake

__all__ = ["OWNERS", "content_version", "key_check", "key_check_spec", "stored", "table_asset", "table_spec"]

OWNERS: Final = ["team:revops"]
_KEY_CHECK = "key_is_unique"


def table_spec(
    table: str,
    schema: pa.Schema,
    *,
    deps: Sequence[str] = (),
    kinds: set[str],
    code_version: str | None = None,
    skippable: bool = False,
) -> dg.AssetSpec:
    """The asset of a table: `stripe/charges` has that key, that place in the lake and the group `stripe`."""
    assert schema.metadata is not None
    return dg.AssetSpec(
        key=table.split("/"),
        deps=[dep.split("/") for dep in deps],
        description=schema.metadata[b"description"].decode(),
        group_name=table.split("/", maxsplit=1)[0],
        kinds={"deltalake", *kinds},
        owners=OWNERS,
        code_version=code_version,
        metadata=definition_metadata(table, schema),
        skippable=skippable,
    )


def table_asset(
    table: str,
    schema: pa.Schema,
    *,
    deps: Sequence[str],
    kinds: set[str],
    checks: Sequence[dg.AssetCheckSpec] = (),
    pool: str | None = None,
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """The decorator of an asset that makes one table: its spec and its key check come from the declared schema."""
    spec = table_spec(table, schema, deps=deps, kinds=kinds)
    return dg.asset(
        key=spec.key,
        deps=list(spec.deps),
        description=spec.description,
        group_name=spec.group_name,
        kinds=spec.kinds,
        owners=list(spec.owners),
        metadata=spec.metadata,
        check_specs=[key_check_spec(table), *checks],
        pool=pool,
    )


def key_check_spec(table: str) -> dg.AssetCheckSpec:
    """Every table is checked for its key; what follows is stopped when two rows claim one key."""
    return dg.AssetCheckSpec(
        _KEY_CHECK,
        asset=table.split("/"),
        blocking=True,
        description="The columns that identify a row are present and name one row only.",
    )


def key_check(table: str, data: pa.Table, schema: pa.Schema) -> dg.AssetCheckResult:
    """Key columns without nulls or repetition; the metadata says how many of each there are."""
    key = key_of(schema)
    nulls = sum(data.column(name).null_count for name in key)
    distinct = data.group_by(list(key)).aggregate([]).num_rows if data.num_rows else 0
    return dg.AssetCheckResult(
        check_name=_KEY_CHECK,
        asset_key=table.split("/"),
        passed=nulls == 0 and distinct == data.num_rows,
        metadata={
            "key": ", ".join(key),
            "rows": data.num_rows,
            "nulls": nulls,
            "repeated": data.num_rows - distinct,
        },
    )


def stored(
    lake: "Lake",
    table: str,
    data: pa.Table,
    schema: pa.Schema,
    *,
    read: Mapping[str, int | None],
    metadata: Mapping[str, Any] | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
    facts: Mapping[str, str] | None = None,
) -> dg.MaterializeResult:
    """Replace a table and say what was done. The same rows as before leave the table as it is, version and all.

    `read` are the Delta versions the rows were made from; they are kept with the commit as provenance. The key is
    checked before the write, so that a broken table never replaces a good one.
    """
    checked = key_check(table, data, schema)
    if not checked.passed:
        raise dg.Failure(
            f"{table} was not replaced: its key {', '.join(key_of(schema))} is null or repeated in the new rows",
            metadata=dict(checked.metadata),
            allow_retries=False,
        )
    content = content_version(data, schema)
    provenance = {f"read:{name}": str(version) for name, version in read.items()} | dict(facts or {})
    if lake.facts(table).get("content") == content:
        version = lake.version(table)
    else:
        version = lake.replace(table, data, schema, facts={**provenance, "content": content})
    return dg.MaterializeResult(
        asset_key=table.split("/"),
        metadata={
            "dagster/row_count": data.num_rows,
            "delta_version": version,
            "made_from": dg.MetadataValue.json({name: read[name] for name in sorted(read)}),
            **{name: value for name, value in (metadata or {}).items() if value is not None},
        },
        check_results=[checked, *checks],
        data_version=dg.DataVersion(content),
    )


def content_version(data: pa.Table, schema: pa.Schema) -> str:
    """Changes only when rows do: SHA-256 of the rows in key order, without the time of computing."""
    rows = data.select([name for name in schema.names if name != "as_of"])
    ordered = rows.sort_by([(name, "ascending") for name in key_of(schema)]).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ordered.schema) as stream:
        stream.write_table(ordered)
    return hashlib.sha256(sink.getvalue()).hexdigest()[:16]
