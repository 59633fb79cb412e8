"""Prices and coupons that other objects name and no list gave.

Inline prices, and coupons that were deleted while discounts of theirs live on, are in no list: they are looked
up by id. Here: which ids those are, and the look-ups. Not here: committing what was found.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingest.commit import lake_table
from ingest.lists import first_error
from ingest.pages import read_objects
from ingest.rows import Provenance
from ingest.staging import Part, Staging
from ingest.streams import STREAMS, Stream
from ingest.tables import RAW_TABLES
from resources.lake import Lake
from resources.stripe_api import NotFound, StripeApi

__all__ = ["NamedObjects", "coupon_ids", "price_ids"]

# Where a table's objects are named: columns that hold an id, or a JSON text with discounts.
_PRICE_PLACES = (("subscription_items", "price"),)
_COUPON_PLACES = (("subscriptions", "billing"), ("customers", "discount"))


def price_ids(column: pa.ChunkedArray) -> set[str]:
    """The prices that a column names."""
    return set(pc.drop_null(column.unique()).to_pylist())


def coupon_ids(texts: pa.ChunkedArray) -> set[str]:
    """The coupons that discounts name by id, in JSON texts such as `billing` or `discount`."""
    named = texts.filter(pc.fill_null(pc.match_substring(texts, '"coupon":"'), False))
    return {name for text in named.to_pylist() for name in _coupons(orjson.loads(text))}


def _coupons(value: Any) -> Iterator[str]:
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        if isinstance(value.get("coupon"), str):
            yield value["coupon"]
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    for entry in inner:
        yield from _coupons(entry)


class NamedObjects:
    """Looks up what is named and missing."""

    def __init__(self, api: StripeApi, lake: Lake, staging: Staging) -> None:
        self._api, self._lake, self._staging = api, lake, staging

    async def look_up(self, loaded: Collection[str], *, among: Mapping[str, Part] | None = None) -> list[Part]:
        """Stage prices and coupons that loaded tables name and do not hold; `among` limits that to staged changes.

        Raises: StripeError, StagingError, LakeError.
        """
        parts = []
        for table, places, ids_of in (
            ("prices", _PRICE_PLACES, price_ids),
            ("coupons", _COUPON_PLACES, coupon_ids),
        ):
            if table not in loaded:
                continue
            wanted: set[str] = set()
            for holder, column in places:
                for values in self._columns(holder, column, among):
                    wanted |= ids_of(values)
            if among is not None and table in among:
                wanted -= set(among[table].column(table, "id")["id"].to_pylist())
            held = self._lake.find(lake_table(table), "id", sorted(wanted), RAW_TABLES[table], ("id",))
            missing = sorted(wanted - set(held["id"].to_pylist()))
            if missing:
                parts.append(await self._stage(STREAMS[table], missing))
        return parts

    def _columns(self, table: str, column: str, among: Mapping[str, Part] | None) -> Iterator[pa.ChunkedArray]:
        if among is None:
            if self._lake.exists(lake_table(table)):
                yield self._lake.read(lake_table(table), columns=[column])[column]
            return
        for part in among.values():
            if table in part.tables:
                yield part.column(table, column)[column]

    async def _stage(self, stream: Stream, ids: list[str]) -> Part:
        part = self._staging.part(f"{stream.table}~named", stream.tables)
        staged = set(part.column(stream.table, "id")["id"].to_pylist())
        try:
            async with asyncio.TaskGroup() as group:
                for identity in ids:
                    if identity not in staged:
                        group.create_task(self._read(part, stream, identity))
        except BaseExceptionGroup as failures:
            raise first_error(failures) from None
        return part

    async def _read(self, part: Part, stream: Stream, identity: str) -> None:
        try:
            read = await self._api.retrieve(stream.path, identity, expand=stream.retrieve_expand)
        except NotFound:
            return  # gone for good: what names it says so with a dangling id
        provenance = Provenance(read.read_at, read.read_at, "api", self._api.kind.live)
        part.add(reads=1)
        await self._staging.write(part, read_objects(stream, [read.data], provenance).rows)
