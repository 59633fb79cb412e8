"""The receiver: what is stored, what is refused with which status, and what it counts."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ingest.webhooks import HARD_BODY_LIMIT, create_app, sign_stripe
from resources.state import State
from resources.state.inbox import InboxRow, inbox, insert_events
from tests.ingest.webhook_events import NOW, event, event_bytes

SECRETS = ["whsec_old", "whsec_new"]
CALLBACK_SECRET = "shared with Mavera"


class Client:
    """The receiver spoken to in turn, over its own event loop."""

    def __init__(self, portal: BlockingPortal, http: httpx.AsyncClient) -> None:
        self._portal, self._http = portal, http

    def get(self, path: str) -> httpx.Response:
        return self._portal.call(self._http.get, path)

    def post(
        self, path: str, *, content: bytes | Iterator[bytes], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        async def chunks(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        body = content if isinstance(content, bytes) else chunks(content)
        return self._portal.call(lambda: self._http.post(path, content=body, headers=headers))


@pytest.fixture
def serve(state: State) -> Iterator[Callable[..., Client]]:
    """Open a receiver on the state database; options override those of the tests."""
    with start_blocking_portal() as portal, ExitStack() as opened:

        def open_client(**options: Any) -> Client:
            settings: dict[str, Any] = {
                "stripe_secrets": SECRETS,
                "mavera_secret": CALLBACK_SECRET,
                "livemode": False,
                "clock": lambda: NOW,
            }
            app = create_app(state, **{**settings, **options})
            opened.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://receiver")
            opened.enter_context(portal.wrap_async_context_manager(http))
            return Client(portal, http)

        yield open_client


@pytest.fixture
def client(serve: Callable[..., Client]) -> Client:
    return serve()


def post(client: Client, body: bytes, *, secret: str = SECRETS[1], at: datetime = NOW) -> int:
    header = {"Stripe-Signature": sign_stripe(body, secret=secret, at=at)}
    return client.post("/webhooks/stripe", content=body, headers=header).status_code


def stored(state: State) -> list[dict[str, Any]]:
    with state.read() as connection:
        return [dict(row) for row in connection.execute(sa.select(inbox).order_by(inbox.c.event_id)).mappings()]


def counted(client: Client, outcome: str, *, origin: str = "stripe") -> float:
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("webhook_requests_total") and f'outcome="{outcome}"' in line and f'"{origin}"' in line
    )


def test_an_event_is_stored_with_what_routing_needs_and_nothing_else(client: Client, state: State) -> None:
    body = event_bytes(type_="invoice.payment_failed", event_id="evt_1", object_id="in_7")
    assert post(client, body) == 200
    (row,) = stored(state)
    assert row == {
        "origin": "stripe",
        "event_id": "evt_1",
        "type": "invoice.payment_failed",
        "object_type": "invoice",
        "object_id": "in_7",
        "account": None,
        "api_version": "2025-09-30.clover",
        "livemode": False,
        "created": NOW,
        "received_at": NOW,
        "status": "pending",
        "reason": None,
        "attempts": 0,
        "replays": 0,
        "claimed_by": None,
        "available_at": NOW,
        "finished_at": None,
    }
    assert "ada" not in str(row).lower()
    assert counted(client, "pending") == 1


def test_a_duplicate_is_answered_200_and_changes_nothing(client: Client, state: State) -> None:
    first, second = (
        event_bytes(event_id="evt_1", object_id="in_1"),
        event_bytes(event_id="evt_1", object_id="in_2"),
    )
    assert [post(client, first), post(client, first), post(client, second)] == [200, 200, 200]
    assert [row["object_id"] for row in stored(state)] == ["in_1"]
    assert counted(client, "duplicate") == 2


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        pytest.param({"type_": "invoice.invented"}, "pending", None, id="an unlisted type of a known object"),
        pytest.param(
            {"type_": "balance.available", "object_type": "balance", "object_id": None},
            "ignored",
            "no table keeps this kind of object",
            id="an object without id",
        ),
        pytest.param(
            {"type_": "terminal.reader.action_failed", "object_type": "terminal.reader", "object_id": "tmr_1"},
            "ignored",
            "no table keeps this kind of object",
            id="a kind of object we do not keep",
        ),
        pytest.param(
            {"livemode": True}, "quarantined", "livemode of the other side", id="live at a test endpoint"
        ),
        pytest.param({"account": "acct_2"}, "ignored", "connected account", id="an event of a connected account"),
        pytest.param({"account": "acct_1"}, "pending", None, id="an event that names our own account"),
        pytest.param({"api_version": None}, "pending", None, id="an event without version"),
    ],
)
def test_what_becomes_of(
    serve: Callable[..., Client], state: State, options: dict[str, Any], status: str, reason: str | None
) -> None:
    assert post(serve(account="acct_1"), event_bytes(**options)) == 200
    assert [(row["status"], row["reason"]) for row in stored(state)] == [(status, reason)]


def test_a_thin_event_is_stored_under_its_related_object(client: Client, state: State) -> None:
    body = orjson.dumps(
        {
            "id": "evt_test_65",
            "object": "v2.core.event",
            "type": "v1.charge.dispute.created",
            "created": "2026-11-24T11:59:00.000Z",
            "livemode": False,
            "related_object": {"id": "dp_1", "type": "dispute", "url": "/v1/disputes/dp_1"},
        }
    )
    assert post(client, body) == 200
    (row,) = stored(state)
    assert (row["object_type"], row["object_id"], row["status"]) == ("dispute", "dp_1", "pending")
    assert row["created"] == datetime(2026, 11, 24, 11, 59, tzinfo=UTC)


def _without(name: str) -> bytes:
    whole = event()
    del whole[name]
    return orjson.dumps(whole)


MALFORMED = {
    "a list": b"[]",
    "a number": b"7",
    "not an event": b'{"object": "invoice", "id": "in_1"}',
    "no id": _without("id"),
    "no type": _without("type"),
    "no data": _without("data"),
    "no livemode": _without("livemode"),
    "no time": _without("created"),
    "an id with a null byte": event_bytes(event_id="evt_\x00"),
    "an id with spaces": event_bytes(event_id="evt 1"),
    "an id of 300 letters": event_bytes(event_id="e" * 300),
    "a number for a type": event_bytes(type_=7),
    "a list for an object": orjson.dumps({**event(), "data": {"object": []}}),
    "livemode as text": event_bytes(livemode="false"),
    "a time beyond the calendar": orjson.dumps({**event(), "created": 2**62}),
    "a time that is true": orjson.dumps({**event(), "created": True}),
    "a time without zone": orjson.dumps({**event(), "created": "2026-11-24T12:00:00"}),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_signed_body_that_is_no_event_is_refused_without_detail(
    client: Client, state: State, body: bytes
) -> None:
    header = {"Stripe-Signature": sign_stripe(body, secret=SECRETS[0], at=NOW)}
    answer = client.post("/webhooks/stripe", content=body, headers=header)
    assert (answer.status_code, answer.content) == (400, b"")
    assert stored(state) == []
    assert counted(client, "malformed") == 1


def test_json_that_is_not_strict_is_refused_and_counted_by_reason(client: Client, state: State) -> None:
    whole = event_bytes(event_id="evt_1")
    doubled = whole[:-1] + b',"id":"evt_2"}'
    deep = whole[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    assert [post(client, doubled), post(client, deep), post(client, b"{")] == [400, 400, 400]
    assert [counted(client, f"json: {why}") for why in ("duplicate key", "depth", "syntax")] == [1, 1, 1]
    assert stored(state) == []


@pytest.mark.parametrize(
    ("secret", "at", "reason"),
    [
        pytest.param("whsec_wrong", NOW, "no match", id="a foreign secret"),
        pytest.param(SECRETS[1], NOW - timedelta(seconds=301), "outside tolerance", id="a replayed body"),
    ],
)
def test_a_forged_body_is_refused_without_detail(
    client: Client, state: State, secret: str, at: datetime, reason: str
) -> None:
    assert post(client, event_bytes(), secret=secret, at=at) == 400
    assert counted(client, f"signature: {reason}") == 1
    assert stored(state) == []


def test_a_body_over_the_limit_is_refused_announced_or_not(client: Client, state: State) -> None:
    body = event_bytes(padding="x" * 256 * 1024)
    header = {"Stripe-Signature": sign_stripe(body, secret=SECRETS[0], at=NOW)}

    def in_chunks() -> Iterator[bytes]:
        yield from (body[start : start + 1_000] for start in range(0, len(body), 1_000))

    assert client.post("/webhooks/stripe", content=body, headers=header).status_code == 413
    assert client.post("/webhooks/stripe", content=in_chunks(), headers=header).status_code == 413
    assert counted(client, "too large") == 2
    assert stored(state) == []


def test_a_body_just_within_the_limit_is_accepted(client: Client) -> None:
    empty = event_bytes(event_id="evt_1", padding="")
    body = event_bytes(event_id="evt_1", padding="x" * (256 * 1024 - len(empty)))
    assert len(body) == 256 * 1024
    assert post(client, body) == 200


def test_over_the_backlog_bound_it_answers_503_until_the_inbox_is_drained(
    serve: Callable[..., Client], state: State
) -> None:
    client = serve(backlog_bound=2)
    body = event_bytes(event_id="evt_3")
    assert [post(client, event_bytes()), post(client, event_bytes())] == [200, 200]
    header = {"Stripe-Signature": sign_stripe(body, secret=SECRETS[0], at=NOW)}
    refused = client.post("/webhooks/stripe", content=body, headers=header)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert (len(stored(state)), counted(client, "backlog")) == (2, 1)


def test_a_full_inbox_is_known_at_the_start(serve: Callable[..., Client], state: State) -> None:
    row = InboxRow(
        origin="stripe",
        event_id="evt_1",
        type="invoice.paid",
        object_type="invoice",
        object_id="in_1",
        account=None,
        api_version=None,
        livemode=False,
        created=NOW,
        received_at=NOW,
        status="pending",
    )
    insert_events(state, [row, replace(row, event_id="evt_2", status="ignored")])
    assert "webhook_backlog 1.0" in serve().get("/metrics").text
    assert post(serve(backlog_bound=1), event_bytes()) == 503


def test_without_database_nothing_is_acknowledged(client: Client, state: State) -> None:
    assert client.get("/healthz").status_code == 200
    with state.begin() as connection:
        inbox.drop(connection)
    assert post(client, event_bytes()) == 503
    assert client.get("/healthz").status_code == 503
    assert counted(client, "database") == 1
    with state.begin() as connection:
        inbox.create(connection)
    assert post(client, event_bytes()) == 200
    assert client.get("/healthz").status_code == 200


def callback(client: Client, body: bytes, *, secret: str = CALLBACK_SECRET) -> int:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    header = {"X-Mavera-Signature": f"sha256={digest}"}
    return client.post("/webhooks/mavera", content=body, headers=header).status_code


def test_a_mavera_callback_leaves_the_id_to_read_and_no_text(client: Client, state: State) -> None:
    generation = {"id": "gen_1", "object": "generation", "title": "Dear Ada", "status": "completed"}
    wrapped = orjson.dumps({"id": "evt_a", "type": "generation.completed", "data": generation})
    bare = orjson.dumps(generation)
    assert [callback(client, body) for body in (wrapped, bare, bare)] == [204, 204, 204]
    rows = stored(state)
    assert [(row["origin"], row["object_id"], row["status"]) for row in rows] == [
        ("mavera", "gen_1", "pending")
    ] * 2
    assert "Ada" not in str(rows)
    assert counted(client, "duplicate", origin="mavera") == 1


def test_a_forged_callback_is_answered_401(client: Client, state: State) -> None:
    assert callback(client, b'{"id": "gen_1"}', secret="guess") == 401
    assert client.post("/webhooks/mavera", content=b'{"id": "gen_1"}').status_code == 401
    assert stored(state) == []


def test_the_same_id_from_both_sides_is_two_events(client: Client, state: State) -> None:
    assert post(client, event_bytes(event_id="evt_1")) == 200
    assert callback(client, orjson.dumps({"id": "evt_1", "type": "x", "data": {"id": "gen_1"}})) == 204
    assert {row["origin"] for row in stored(state)} == {"mavera", "stripe"}


def test_a_path_without_secret_is_not_served(serve: Callable[..., Client]) -> None:
    client = serve(mavera_secret=None)
    assert client.post("/webhooks/mavera", content=b"{}").status_code == 404
    assert client.get("/webhooks/stripe").status_code == 405


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param(
            {"stripe_secrets": [], "mavera_secret": None}, "STRIPE_WEBHOOK_SECRETS", id="no secret at all"
        ),
        pytest.param({"stripe_secrets": ["whsec_1", ""]}, "STRIPE_WEBHOOK_SECRETS", id="an empty secret"),
        pytest.param({"body_limit": HARD_BODY_LIMIT + 1}, "body_limit", id="a body limit beyond the hard one"),
    ],
)
def test_settings_that_accept_nothing_or_anything_are_refused(
    serve: Callable[..., Client], options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        serve(**options)
