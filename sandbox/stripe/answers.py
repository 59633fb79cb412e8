"""From a checked request to the bytes of its answer: lists, look-ups, expansion, older versions.

Knows the account's store and nothing of HTTP, limits or faults. Without expansion and in the current version a
page is the join of ready bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from sandbox.stripe.errors import cannot_expand, invalid, missing_resource, unknown_parameter
from sandbox.stripe.expand import Expander, Source
from sandbox.stripe.query import ListQuery, expansions, parse_list, parse_single
from sandbox.stripe.store import ALONE, Store
from sandbox.stripe.table import Table
from sandbox.stripe.tables import RESOURCES, Resource, resource_of_object
from sandbox.stripe.versions import Shaper

__all__ = ["Answers", "Served"]

Obj = dict[str, Any]
Pairs = list[tuple[str, str]]

_NESTED_PARAMS: Final = frozenset({"limit", "starting_after", "ending_before", "subscription"})


class Served:
    """An answer's body, and what a list showed last."""

    __slots__ = ("body", "last")

    def __init__(self, body: bytes, last: str | None = None) -> None:
        self.body = body
        self.last = last


class Answers:
    """All read operations of one account."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.hidden_events: set[str] = set()
        self.undelivered_events: set[str] = set()
        self.companions: dict[str, dict[str, list[bytes]]] = {}
        self.payment_methods_need_customer = False

    def page(self, resource: Resource, pairs: Pairs, version: str, *, url: str | None = None) -> Served:
        query = parse_list(pairs, resource)
        table = self._store[resource.name]
        self._check_parents(resource, query)
        for cursor, name in ((query.after, "starting_after"), (query.before, "ending_before")):
            if cursor is not None and cursor not in table:
                raise missing_resource(resource.object, cursor, param=name, status=400)
        expander = self._expander(resource.object, expansions(query.expand, in_list=True), version)
        page = table.page(
            limit=query.limit,
            lower=query.lower,
            upper=query.upper,
            after=query.after,
            before=query.before,
            equal=query.equal,
            tests=query.tests,
            hidden=self._hidden(resource, query),
        )
        bodies = self._bodies(table, page.ids, expander, version)
        companions = self.companions.get(resource.name)
        if companions:
            bodies = [
                row for id_, body in zip(page.ids, bodies, strict=True) for row in (*companions.get(id_, ()), body)
            ] + (companions.get(ALONE, []) if not len(table) else [])
        body = _list(url or f"/v1/{resource.name}", bodies, page.has_more)
        return Served(body, page.ids[-1] if page.ids else None)

    def one(self, resource: Resource, object_id: str, pairs: Pairs, version: str) -> Served:
        expand, _ = parse_single(pairs)
        table = self._store[resource.name]
        expander = self._expander(resource.object, expansions(expand, in_list=False), version)
        if object_id in table:
            return Served(self._bodies(table, [object_id], expander, version)[0])
        if resource.leaves_stub and object_id in table.deleted:
            return Served(orjson.dumps({"id": object_id, "object": resource.object, "deleted": True}))
        raise missing_resource(resource.object, object_id, param="id")

    def nested(self, resource: Resource, parent_id: str, pairs: Pairs, version: str, *, url: str) -> Served:
        """The whole of a list that is cut inside its parent, page by page."""
        expand, others = parse_single(pairs, _NESTED_PARAMS)
        table = self._store[resource.name]
        if parent_id not in table:
            raise missing_resource(resource.object, parent_id, param="id")
        query = parse_list(
            [pair for pair in others.items() if pair[0] != "subscription"], RESOURCES["payment_methods"]
        )
        rows = table.nested(parent_id)
        ids = [row.get("id") if isinstance(row, dict) else None for row in map(orjson.loads, rows)]
        start, stop = 0, len(rows)
        for cursor, name in ((query.after, "starting_after"), (query.before, "ending_before")):
            if cursor is not None and cursor not in ids:
                raise missing_resource("line item", cursor, param=name, status=400)
        if query.after is not None:
            start = ids.index(query.after) + 1
        elif query.before is not None:
            stop = ids.index(query.before)
            start = max(0, stop - query.limit)
        end = min(stop, start + query.limit)
        more = start > 0 if query.before is not None else end < stop
        child = "subscription_item" if resource.nested == "items" else "line_item"
        expander = self._expander(child, expansions(expand, in_list=True), version)
        shaper = Shaper(self._store, version)
        bodies = rows[start:end]
        if expander or not shaper.current:
            bodies = [orjson.dumps(expander.apply(shaper.shape(orjson.loads(row)))) for row in bodies]
        return Served(_list(url, bodies, more), ids[end - 1] if end > start else None)

    def items(self, pairs: Pairs, version: str) -> Served:
        """`/v1/subscription_items?subscription=…`."""
        parent = next((value for name, value in pairs if name == "subscription"), None)
        if parent is None:
            raise invalid("Missing required param: subscription.", param="subscription", code="parameter_missing")
        return self.nested(RESOURCES["subscriptions"], parent, pairs, version, url="/v1/subscription_items")

    def item(self, item_id: str, pairs: Pairs, version: str) -> Served:
        expand, _ = parse_single(pairs)
        expander = self._expander("subscription_item", expansions(expand, in_list=False), version)
        parent = self._store.item_owner.get(item_id)
        if parent is not None and parent in self._store["subscriptions"]:
            for row in self._store["subscriptions"].nested(parent):
                obj = orjson.loads(row)
                if obj["id"] == item_id:
                    return Served(orjson.dumps(expander.apply(Shaper(self._store, version).shape(obj))))
        raise missing_resource("subscription_item", item_id, param="id")

    def _check_parents(self, resource: Resource, query: ListQuery) -> None:
        """A filter on an object that never existed is an error, not an empty list."""
        for name in ("customer", "subscription", "charge", "invoice"):
            value = query.equal.get(name)
            table = self._store.tables[f"{name}s"]
            if value is not None and len(table) and value not in table and value not in table.deleted:
                raise missing_resource(name, value, param=name, status=400)
        if (
            resource.name == "payment_methods"
            and self.payment_methods_need_customer
            and "customer" not in query.equal
        ):
            raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")

    def _hidden(self, resource: Resource, query: ListQuery) -> set[str]:
        if resource.name != "events":
            return set()
        if query.delivered is None:
            return self.hidden_events
        if query.delivered:
            return self.hidden_events | self.undelivered_events
        return self.hidden_events | (set(self._store["events"].ids()) - self.undelivered_events)

    def _expander(self, kind: str, paths: list[list[str]], version: str) -> Expander:
        if any(not path for path in paths):
            raise cannot_expand("data")
        shaper = Shaper(self._store, version)

        def fetch(kind: str, object_id: str) -> Obj | None:
            if kind == "discount":
                found = self._store.discounts.get(object_id)
                return None if found is None else shaper.shape(orjson.loads(orjson.dumps(found)))
            name = resource_of_object(kind)
            if name is None:
                return None
            table = self._store[name]
            if object_id in table:
                return shaper.shape(orjson.loads(table.body(object_id)))
            return {"id": object_id, "object": kind, "deleted": True} if object_id in table.deleted else None

        def extra(kind: str, name: str, obj: Obj) -> Any:
            return self._extra(kind, name, obj, shaper)

        return Expander(kind, paths, Source(fetch, extra, before_basil=shaper.before_basil))

    def _extra(self, kind: str, name: str, obj: Obj, shaper: Shaper) -> Any:
        """A property that is only sent on request."""
        if kind in ("price", "plan", "coupon"):
            known = self._store.expandable.get(obj["id"], {})
            if name == "currency_options" and kind == "price":
                return {obj["currency"]: {"unit_amount": obj["unit_amount"], "tax_behavior": obj["tax_behavior"]}}
            return known.get(name)
        if kind == "customer" and name == "tax":
            country = (obj.get("address") or {}).get("country")
            location = {"country": country, "source": "billing_address", "state": None} if country else None
            return {
                "automatic_tax": "supported" if country else "unrecognized_location",
                "ip_address": None,
                "location": location,
            }
        related = {"subscriptions": "customer", "payments": "invoice", "refunds": "charge"}.get(name)
        if related is None:
            return _empty(f"/v1/customers/{obj['id']}/{name}")
        child = "invoice_payments" if name == "payments" else name
        tests = {"status": lambda status: status != "canceled"} if name == "subscriptions" else {}
        page = self._store[child].page(limit=10, equal={related: obj["id"]}, tests=tests)
        data = [shaper.shape(orjson.loads(self._store[child].body(each))) for each in page.ids]
        return {
            "object": "list",
            "data": data,
            "has_more": page.has_more,
            "url": f"/v1/{child}?{related}={obj['id']}",
        }

    def _bodies(self, table: Table, ids: Iterable[str], expander: Expander, version: str) -> list[bytes]:
        shaper = Shaper(self._store, version)
        if not expander and shaper.current:
            return [table.body(object_id) for object_id in ids]
        return [orjson.dumps(expander.apply(shaper.shape(orjson.loads(table.body(each))))) for each in ids]


def refuse_parameters(pairs: Pairs) -> None:
    """For answers that take no parameter but `expand`."""
    for name, _ in pairs:
        if not name.startswith("expand"):
            raise unknown_parameter(name)


def _list(url: str, bodies: list[bytes], more: bool) -> bytes:
    head = b'{"object":"list","url":%s,"has_more":%s,"data":[' % (orjson.dumps(url), b"true" if more else b"false")
    return b"".join((head, b",".join(bodies), b"]}"))


def _empty(url: str) -> Obj:
    return {"object": "list", "data": [], "has_more": False, "url": url}
