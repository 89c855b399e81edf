"""The way past ASGI says exactly what ASGI would have said."""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ollama_bridge.server import straight
from ollama_bridge.server.exchange import Exchange


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return False


def begun(version: str = "1.1") -> tuple[Exchange, Wire, Any]:
    scope: Any = {"type": "http", "method": "POST", "path": "/api/chat", "headers": []}
    wire, log = Wire(), logging.getLogger("test")
    cycle = RequestResponseCycle(
        scope | {"http_version": version},
        wire,
        FlowControl(wire),
        log,
        log,
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )
    return Exchange(scope, cycle.receive, cycle.send, []), wire, cycle


async def test_chunks_look_the_same_either_way() -> None:
    said = [b"one\n", b"two" * 5000 + b"\n"]
    (pushed, quick, _), (sent, slow, _) = begun(), begun()
    for data in said:
        assert pushed.push(data) is None
        await sent.line(data)
    await pushed.line(b"end", last=True)
    await sent.line(b"end", last=True)
    assert quick.sent == slow.sent
    assert quick.sent.endswith(b"3\r\nend\r\n0\r\n\r\n")


async def test_it_is_used_at_all() -> None:
    """uvicorn's insides are not promised to stay: then this fails, and chunks just cost more."""
    exchange, _, cycle = begun()
    exchange.push(b"first")
    cycle.send = None
    assert exchange.push(b"second") is None


async def test_a_slow_client_is_waited_for() -> None:
    exchange, wire, cycle = begun()
    exchange.push(b"first")
    cycle.flow.pause_writing()
    waiting = exchange.push(b"second")
    assert waiting is not None
    assert b"second" not in wire.sent
    cycle.flow.resume_writing()
    await waiting
    assert wire.sent.endswith(b"6\r\nsecond\r\n")


async def test_nothing_is_written_to_a_client_that_is_gone() -> None:
    exchange, wire, cycle = begun()
    exchange.push(b"first")
    cycle.disconnected = True
    assert exchange.push(b"second") is None
    assert b"second" not in wire.sent


async def test_other_servers_get_messages() -> None:
    async def send(_: Any) -> None:
        pass

    assert straight.writer(send) is None
