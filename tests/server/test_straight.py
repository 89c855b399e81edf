"""The way past ASGI says exactly what ASGI would have said."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ollama_bridge.server import straight
from ollama_bridge.server.exchange import Exchange


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    @property
    def sent(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return False


def begun(
    version: str = "1.1", *, method: str = "POST", keep_alive: bool = True, asgi: bool = False
) -> tuple[Exchange, Wire, Any]:
    """A request that has come; with `asgi` its answer takes the long way."""
    scope: Any = {"type": "http", "method": method, "path": "/api/chat", "headers": []}
    wire, log = Wire(), logging.getLogger("test")
    wire.responses = 0  # type: ignore[attr-defined]

    def answered() -> None:
        wire.responses += 1  # type: ignore[attr-defined]

    cycle = RequestResponseCycle(
        scope | {"http_version": version},
        wire,
        FlowControl(wire),
        log,
        log,
        access_log=False,
        default_headers=[(b"date", b"Sat, 28 Nov 2026 00:00:00 GMT")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=answered,
    )

    async def send(message: Any) -> None:
        await cycle.send(message)

    ours = [(b"x-ollama-bridge", b"1.2.3")]
    return Exchange(scope, cycle.receive, send if asgi else cycle.send, ours), wire, cycle


def state(cycle: Any) -> dict[str, Any]:
    """What uvicorn goes by after an answer."""
    names = ("response_started", "response_complete", "keep_alive", "waiting_for_100_continue")
    return {name: getattr(cycle, name) for name in names} | {"told": cycle.message_event.is_set()}


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("size", [0, 5, straight.JOINED + 1])
@pytest.mark.parametrize("status", [200, 204, 500])
async def test_whole_answers_look_the_same_either_way(
    status: int, size: int, method: str, keep_alive: bool
) -> None:
    short, long = (begun(method=method, keep_alive=keep_alive, asgi=asgi) for asgi in (False, True))
    for exchange, _, _ in (short, long):
        exchange.answered_by = "groq/llama"
        await exchange.answer(b"x" * size, status=status)
    (told, body), (told_by_asgi, body_by_asgi) = (
        way[1].sent.split(b"\r\n\r\n", 1) for way in (short, long)
    )
    assert told == told_by_asgi
    assert len(body) == len(body_by_asgi)
    assert hash(body) == hash(body_by_asgi), "a difference of so much text takes minutes to show"
    assert short[1].closed is long[1].closed is not keep_alive
    assert vars(short[1])["responses"] == vars(long[1])["responses"] == 1
    assert state(short[2]) == state(long[2])


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("pieces", [[b"all"], [b"one", b"two"], [b"one", b"two", b""], [b""]])
async def test_streams_look_the_same_either_way(
    pieces: list[bytes], version: str, keep_alive: bool
) -> None:
    short, long = (begun(version, keep_alive=keep_alive, asgi=asgi) for asgi in (False, True))
    for exchange, _, _ in (short, long):
        for at, piece in enumerate(pieces):
            await exchange.line(piece, last=at == len(pieces) - 1)
    assert short[1].sent == long[1].sent
    if keep_alive:
        assert len(short[1].writes) == len(pieces), "the head leaves with the first piece"
    assert short[1].closed is long[1].closed is not keep_alive
    assert state(short[2]) == state(long[2])


@pytest.mark.parametrize("name", [b"connection", b"x-odd"])
async def test_what_is_not_plain_takes_the_long_way(name: bytes) -> None:
    """Above all a header that would begin a line of its own: uvicorn refuses it."""
    exchange, wire, cycle = begun()
    exchange.add_headers([(name, b"close" if name == b"connection" else b"a\r\nset-cookie: b")])
    if name == b"connection":
        await exchange.answer(b"bye")
        assert wire.closed
        assert not cycle.keep_alive
    else:
        with pytest.raises(RuntimeError, match="header value"):
            await exchange.answer(b"bye")
        assert b"set-cookie" not in wire.sent


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
    exchange, wire, cycle = begun()
    cycle.send = None
    await exchange.line(b"first")
    assert exchange.push(b"second") is None
    await exchange.line(b"third", last=True)
    assert len(wire.writes) == 3


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


async def test_another_uvicorn_gets_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose object lacks what is used here."""
    cycle = begun()[2]
    monkeypatch.setattr(straight, "_fits", {})
    del cycle.chunked_encoding
    assert straight.way(cycle.send) is None
    assert straight.way(begun()[2].send) is None, "looked at once"


async def test_other_servers_get_messages() -> None:
    async def send(_: Any) -> None:
        pass

    assert straight.way(send) is None
