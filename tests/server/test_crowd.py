"""Clients that come all at once are taken all at once, also by a loop that would not."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from ollama_bridge.server import crowd
from ollama_bridge.server.crowd import AT_ONCE, Crowd

uvloop = pytest.importorskip("uvloop", reason="there is none on Windows")


class Met(asyncio.Protocol):
    """Notes when it is connected, and says so."""

    def __init__(self, now: list[int], met: list[int]) -> None:
        self.now, self.met = now, met

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.met.append(self.now[0])
        transport.write(b"hello")  # type: ignore[attr-defined]
        transport.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        yield sock


def turns_until_met(sock: socket.socket, clients: int, *, crowded: bool) -> list[int]:
    """The turn of the loop in which each client was met; they all wait when it begins."""
    waiting = [socket.create_connection(sock.getsockname()) for _ in range(clients)]
    now, met = [0], list[int]()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def made(**_: object) -> asyncio.Protocol:
            return Met(now, met)

        factory = Crowd(made, [sock]) if crowded else made
        server = await loop.create_server(factory, sock=sock)
        async with asyncio.timeout(30):
            while len(met) < clients:
                now[0] += 1
                await asyncio.sleep(0)
        for client in waiting:
            client.settimeout(10)
            assert client.recv(5) == b"hello"
        server.close()
        await server.wait_closed()

    uvloop.run(main())
    for client in waiting:
        client.close()
    return met


def test_all_that_wait_are_taken(listening: socket.socket) -> None:
    met = turns_until_met(listening, 60, crowded=True)
    assert max(met) - min(met) < 10


def test_the_loop_alone_would_take_its_time(listening: socket.socket) -> None:
    """If this fails, uvloop does it by itself again, and Crowd can go."""
    met = turns_until_met(listening, 60, crowded=False)
    assert max(met) - min(met) >= 50


def test_so_many_in_a_turn_and_no_more(listening: socket.socket) -> None:
    met = turns_until_met(listening, 5 * AT_ONCE, crowded=True)
    most = max(met.count(turn) for turn in set(met))
    assert most <= AT_ONCE + 1, "one by the loop itself"
    assert max(met) - min(met) < 30


def test_what_cannot_be_taken_is_left_to_the_loop(listening: socket.socket) -> None:
    failed: list[dict[str, object]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: failed.append(told))
        broken = socket.socket()
        looking = Crowd(lambda **_: Met([0], []), [broken])
        looking()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        broken.close()
        looking()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not looking._taking

    uvloop.run(main())
    assert not failed


def test_a_connection_that_cannot_be_made_is_closed_and_told(
    listening: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(**_: object) -> asyncio.Protocol:
        raise LookupError("no protocol today")

    async def main() -> None:
        listening.setblocking(False)
        with socket.create_connection(listening.getsockname()) as client:
            looking = Crowd(fails, [listening])
            with pytest.raises(LookupError):
                looking()
            async with asyncio.timeout(10):
                while not caplog.records:
                    await asyncio.sleep(0)
            client.settimeout(10)
            assert client.recv(1) == b""

    uvloop.run(main())
    assert "a connection could not be taken: no protocol today" in caplog.text


def test_only_loops_that_need_it_get_it() -> None:
    found = []

    async def main() -> None:
        found.append(crowd.takes_one_a_turn(asyncio.get_running_loop()))

    uvloop.run(main())
    asyncio.run(main())
    assert found == [True, False]
