"""Faults on the wire itself, by a TCP proxy: in each phase of a call, told apart by whether it can arrive."""

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from activation.apply import apply
from activation.plan import build_plan
from resources.state import State
from tests.activation.databases import fresh_database
from tests.activation.kit import a_source, quick_policy, tier
from tests.activation.processes import an_account, run, serve_mavera

_SECONDS = 5.0


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Proxy:
    """Between client and server; `fault` names what happens to POST number `hit`."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.fault = ""
        self.hit = 0
        self.posts = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            post, fault = head.startswith((b"POST", b"PATCH")), ""
            if post:
                self.posts += 1
                fault = self.fault if self.posts == self.hit else ""
            if fault == "reset after the head":
                return _reset(writer)
            body = await reader.readexactly(length)
            if fault in ("reset before forwarding", "closed before forwarding"):
                return _reset(writer) if fault.startswith("reset") else None
            answer = await self._forward(head, body, cut=fault == "half the request forwarded")
            match fault:
                case "answer never sent":
                    await asyncio.sleep(_SECONDS * 2)
                    return None
                case "reset after the commit":
                    return _reset(writer)
                case "closed after the commit" | "half the request forwarded":
                    return None
                case "half the status line":
                    writer.write(answer[:9])
                case "half the head":
                    writer.write(answer[:40])
                case "half the body":
                    writer.write(answer[: answer.index(b"\r\n\r\n") + 20])
                case "garbage":
                    writer.write(b"\x00\x01 not HTTP at all\r\n\r\n")
                case "a second answer":
                    writer.write(answer + answer)
                case _:
                    writer.write(answer)
            await writer.drain()
            if fault:
                return None

    async def _forward(self, head: bytes, body: bytes, *, cut: bool) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        head = head.replace(b"Connection: keep-alive", b"Connection: close")
        writer.write(head + (body[: len(body) // 2] if cut else body))
        await writer.drain()
        if cut:
            writer.close()
            return b""
        answer = await reader.read(-1)
        writer.close()
        return answer


_FAULTS: dict[str, str] = {
    "reset after the head": "nothing made",
    "reset before forwarding": "nothing made",
    "closed before forwarding": "nothing made",
    "half the request forwarded": "nothing made",
    "answer never sent": "made",
    "reset after the commit": "made",
    "closed after the commit": "made",
    "half the status line": "made",
    "half the head": "made",
    "half the body": "made",
    "garbage": "made",
    "a second answer": "answered",
}


async def _with_proxy(base_url: str, work: Callable[[Proxy, str], Awaitable[Any]]) -> Any:
    port = int(base_url.split(":")[2].split("/")[0])
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    own = server.sockets[0].getsockname()[1]
    try:
        return await work(proxy, base_url.replace(str(port), str(own)))
    finally:
        server.close()


@pytest.fixture(scope="module")
def mavera(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server, url = serve_mavera(tmp_path_factory.mktemp("mavera"), credits=100_000, requests_per_minute=100_000)
    yield url
    server.kill()
    server.wait()


def test_a_fault_on_the_wire_is_looked_up_never_sent_again_and_ends_with_a_reason(
    mavera: str, tmp_path: Path
) -> None:
    """Twelve faults on the first, second or third call, side by side, each with a state of its own."""
    policy = quick_policy(
        deadline_seconds=_SECONDS, settle_seconds=_SECONDS, mave_deadline_seconds=_SECONDS, concurrency=1
    )

    at_once = asyncio.Semaphore(9)

    async def one(fault: str, number: int, turn: int) -> None:
        async with at_once:
            await play(fault, number, turn)

    async def play(fault: str, number: int, turn: int) -> None:
        tiers = ("enterprise", "mid_market", "smb")[: turn + 1]
        state = State(fresh_database(None, tmp_path))

        async def inside(proxy: Proxy, url: str) -> tuple[Counter[str], int]:
            account = an_account(state, url, policy.model_copy(update={"scheme": f"w{turn}-{number}"}))
            async with account.mavera:
                briefs = [tier(name) for name in tiers]
                proxy.hit, proxy.fault = turn + 1, fault
                plan = await build_plan(account, briefs, source=a_source())
                report = await apply(account, plan, run_id="hit", actor="test")
            return Counter(row.ending for row in report.rows), proxy.posts

        endings, posts = await _with_proxy(mavera, inside)
        state.close()
        assert posts == len(tiers), (fault, turn)
        held = 1 if _FAULTS[fault] == "nothing made" else 0
        assert endings == Counter({"held": held, "done": len(tiers) - held}), (fault, turn)

    async def all_of_them() -> None:
        cases = [(fault, number, turn) for number, fault in enumerate(_FAULTS) for turn in range(3)]
        await asyncio.gather(*(one(*case) for case in cases))

    run(all_of_them())


def test_a_refused_connection_is_not_sent_and_gives_its_credits_back(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    state = State(fresh_database(None, tmp_path))

    async def inside() -> Any:
        from activation.dispatch import Dispatcher
        from activation.leases import Leases
        from activation.ledger import Claim, Run
        from activation.policy import Caps
        from tests.activation.test_ledger import an_entry

        account = an_account(state, f"http://127.0.0.1:{closed}/api/v1", quick_policy())
        ledger = account.ledger
        leases = Leases(state, key_hash="k", slots=10, seconds=60, clock=account.clock)
        run = Run(run_id="r", actor="test", plan_hash="p", policy_version="1")
        claim = ledger.claim(an_entry(), run=run, caps=Caps())
        assert isinstance(claim, Claim)
        async with Dispatcher(
            mavera=account.mavera,
            ledger=ledger,
            window=account.window,
            leases=leases,
            policy=account.policy,
            clock=account.clock,
        ) as dispatcher:
            return await dispatcher.send(
                claim, method="POST", path="personas", operation="createPersona", before=None
            )

    outcome = run(inside())
    assert (outcome.verdict, outcome.code) == ("not_sent", "not_sent")
    state.close()
