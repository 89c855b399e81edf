"""The bridge's own HTTP client against real sockets that do as they please."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ollama_bridge.server.flow import Limits
from ollama_bridge.server.http1 import HEAD_LIMIT, HELD, Broken
from ollama_bridge.server.pool import Origin, Pool

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-length: 5\r\n\r\nhello"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
QUIET = 60.0

HEAD = b"POST /v1/x HTTP/1.1\r\nhost: here\r\n"

Answer = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int):
        self.reader, self.writer, self.number = reader, writer, number

    async def request(self) -> bytes:
        """The body of the next request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return await self.reader.readexactly(int(length))

    async def say(self, *pieces: bytes) -> None:
        """Each piece as a packet of its own, as far as that can be had."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)


class Server:
    """Counts its connections; `answer` does what it likes with each."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.connections = 0
        self.tasks: list[asyncio.Task[None] | None] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        self.connections += 1
        try:
            await self._answer(Peer(reader, writer, self.connections))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def talking(answer: Answer, **options: Any) -> AsyncIterator[tuple[Pool, Server]]:
    handler = Server(answer)
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = Limits(**{"connect": 5, "first_byte": 30, "idle": 30} | options)
    pool = Pool(Origin("127.0.0.1", port, None), limits)
    try:
        yield pool, handler
    finally:
        await pool.aclose()
        server.close()
        for task in handler.tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, handler.tasks), return_exceptions=True)


def saying(*pieces: bytes) -> Answer:
    async def answer(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(*pieces)

    return answer


def then_closing(*pieces: bytes) -> Answer:
    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.say(*pieces)

    return answer


async def whole(pool: Pool, body: bytes = b"{}") -> bytes:
    response = await pool.request(HEAD, body)
    parts = []
    try:
        while data := await response.read():
            parts.append(data)
    finally:
        await response.aclose()
    return b"".join(parts)


class Gathering:
    """A sink that keeps everything; `enough` bytes end it."""

    hurry: float | None = None
    told = False

    def __init__(self, enough: int = 2**40) -> None:
        self.parts: list[bytes] = []
        self.enough = enough

    @property
    def patience(self) -> float | None:
        return 0 if sum(map(len, self.parts)) >= self.enough else self.hurry

    def take(self, data: bytes) -> Awaitable[None] | None:
        self.parts.append(data)
        return None


async def pushed(pool: Pool) -> None:
    await (await pool.request(HEAD, b"")).push(Gathering(), QUIET)


REPLIES = {
    "length": (HELLO, b"hello"),
    "no body": (OK + b"content-length: 0\r\n\r\n", b""),
    "chunks": (CHUNKED + b"3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\n\r\n", b"hello"),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n", b"hello"),
    "continue first": (b"HTTP/1.1 100 Continue\r\nx: 1\r\n\r\n" + HELLO, b"hello"),
    "hints first": (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HELLO, b"hello"),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello", b"hello"),
    "packed": (
        OK
        + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(gzip.compress(b"hello"))
        + gzip.compress(b"hello"),
        b"hello",
    ),
}


@pytest.mark.parametrize(("raw", "body"), REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
async def test_replies_are_read_however_they_are_cut(raw: bytes, body: bytes, cut: str) -> None:
    pieces = [raw] if cut == "whole" else [raw[at : at + 1] for at in range(len(raw))]
    async with talking(saying(*pieces)) as (pool, server):
        for _ in range(3):
            assert await whole(pool) == body
        assert server.connections == 1, "the connection is used again, and nothing sticks to it"


async def test_trailers_do_not_become_headers_of_the_next_reply() -> None:
    async with talking(saying(REPLIES["trailers"][0])) as (pool, _):
        for _ in range(2):
            response = await pool.request(HEAD, b"")
            assert response.headers == {"transfer-encoding": "chunked"}
            await response.push(Gathering(), QUIET)


async def test_a_body_that_the_close_ends() -> None:
    async with talking(then_closing(OK + b"\r\n", b"hel", b"lo")) as (pool, server):
        assert await whole(pool) == b"hello"
        assert await whole(pool) == b"hello"
        assert server.connections == 2


CUT = {
    "in the head": OK + b"content-le",
    "before the body": OK + b"content-length: 5\r\n\r\n",
    "in the body": OK + b"content-length: 5\r\n\r\nhel",
    "in a chunk": CHUNKED + b"5\r\nhel",
    "between chunks": CHUNKED + b"5\r\nhello\r\n",
    "before the last line end": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "in a packed body": OK + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"hello" * 99)[:20],
}


@pytest.mark.parametrize("raw", CUT.values(), ids=CUT)
@pytest.mark.parametrize("way", ["read", "push"])
async def test_a_reply_that_is_cut_off_is_never_taken_for_a_whole_one(raw: bytes, way: str) -> None:
    async with talking(then_closing(raw)) as (pool, _):
        with pytest.raises(Broken):
            await (whole(pool) if way == "read" else pushed(pool))


NONSENSE = {
    "not HTTP": b"SSH-2.0-OpenSSH_9\r\n",
    "another version": b"HTTP/2 200 OK\r\n\r\n",
    "two lengths": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "length and chunks": OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello",
    "a chunk without size": CHUNKED + b"x\r\nhello\r\n0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n..",
    "unknown packing": OK + b"content-encoding: br\r\ncontent-length: 5\r\n\r\nhello",
    "not packed after all": OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
    "a bomb": OK + b"content-encoding: gzip\r\n\r\n" + gzip.compress(bytes(40 * 2**20)),
    "an endless head": OK + b"x-long: " + b"x" * (3 * HEAD_LIMIT),
    "endless headers": OK + b"x: 1\r\n" * HEAD_LIMIT,
    "endless trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + b"x: 1\r\n" * HEAD_LIMIT,
    "an endless chunk size": CHUNKED + b"0" * (3 * HEAD_LIMIT),
}


@pytest.mark.parametrize("raw", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_refused(raw: bytes) -> None:
    async with talking(then_closing(raw)) as (pool, _):
        with pytest.raises(OSError):  # noqa: PT011 - whichever of ours it is
            await whole(pool)


@pytest.mark.parametrize(
    "after", [b"extra", b"\r\n\r\n", HELLO, OK], ids=["text", "line ends", "a reply", "half a head"]
)
@pytest.mark.parametrize("together", [True, False], ids=["in one read", "later"])
async def test_what_follows_a_reply_belongs_to_no_other(after: bytes, together: bool) -> None:
    async def answer(peer: Peer) -> None:
        while True:
            await peer.request()
            reply = OK + b"content-length: 1\r\n\r\n%d" % peer.number
            await (peer.say(reply + after) if together else peer.say(reply, after))

    async with talking(answer) as (pool, server):
        assert await whole(pool) == b"1"
        if not together:
            await asyncio.sleep(0.01)  # let it arrive
        assert await whole(pool) in (b"1", b"2")
        assert after == b"\r\n\r\n" or server.connections == 2


async def test_a_request_that_died_on_a_kept_connection_is_sent_once_more() -> None:
    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.say(HELLO)
        await peer.request()  # reads the second one, and hangs up

    async with talking(answer) as (pool, server):
        assert await whole(pool) == b"hello"
        assert await whole(pool, b"again") == b"hello"
        assert server.connections == 2


async def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    async def answer(peer: Peer) -> None:
        await peer.request()

    async with talking(answer) as (pool, server):
        with pytest.raises(Broken):
            await whole(pool)
        assert server.connections == 1


async def test_a_reply_that_has_begun_is_not_asked_for_again() -> None:
    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.say(HELLO)
        await peer.request()
        await peer.say(OK[:9])

    async with talking(answer) as (pool, server):
        await whole(pool)
        with pytest.raises(Broken):
            await whole(pool)
        assert server.connections == 1


async def test_connections_are_closed_where_the_server_says_so() -> None:
    raw = OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello"
    async with talking(saying(raw)) as (pool, server):
        for _ in range(2):
            assert await whole(pool) == b"hello"
        assert server.connections == 2


async def test_silence_is_not_waited_for_for_ever() -> None:
    async def answer(peer: Peer) -> None:
        await peer.say(OK + b"content-length: 5\r\n\r\nhe")
        await asyncio.Event().wait()

    async with talking(answer, idle=0.05) as (pool, _):
        response = await pool.request(HEAD, b"")
        assert await response.read() == b"he"
        with pytest.raises(TimeoutError, match=r"0\.05 s"):
            await response.read()


async def test_a_head_alone_is_no_answer() -> None:
    async def answer(peer: Peer) -> None:
        await peer.say(OK + b"content-length: 5\r\n\r\n")
        await asyncio.Event().wait()

    async with talking(answer, first_byte=0.05) as (pool, _):
        response = await pool.request(HEAD, b"")
        with pytest.raises(TimeoutError, match=r"0\.05 s"):
            await response.read()


async def test_a_long_thought_is_waited_for() -> None:
    """The limit for silence begins to count with the first byte."""

    async def answer(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.3)
        await peer.say(HELLO)

    async with talking(answer, first_byte=30, idle=0.1) as (pool, _):
        assert await whole(pool) == b"hello"


async def test_the_limit_for_the_first_byte_holds_on_a_kept_connection() -> None:
    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.say(HELLO)
        await asyncio.Event().wait()

    async with talking(answer, first_byte=0.1) as (pool, server):
        assert await whole(pool) == b"hello"
        with pytest.raises(TimeoutError):
            await pool.request(HEAD, b"")
        assert server.connections == 1


async def test_a_server_that_never_answers_is_a_timeout_too() -> None:
    async def answer(_: Peer) -> None:
        await asyncio.Event().wait()

    async with talking(answer, first_byte=0.05) as (pool, _):
        with pytest.raises(TimeoutError):
            await pool.request(HEAD, b"")


async def test_nobody_listening() -> None:
    async with talking(saying(HELLO)) as (pool, _):
        pass
    with pytest.raises(OSError):  # noqa: PT011 - the system's own
        await Pool(pool._origin, Limits(5, 5, 5)).request(HEAD, b"")


async def test_no_more_is_read_than_the_taker_takes() -> None:
    """Bounded memory: the server gets stuck, because nobody takes what it sends."""
    sent = 0

    async def pour(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(OK + b"\r\n")
        while True:
            await peer.say(bytes(HELD))
            sent += HELD

    class Slow(Gathering):
        def take(self, data: bytes) -> Awaitable[None]:
            super().take(data)
            return proceed.wait()  # type: ignore[return-value]

    proceed = asyncio.Event()
    async with talking(pour) as (pool, _):
        response = await pool.request(HEAD, b"")
        sink = Slow(enough=100 * HELD)
        pushing = asyncio.ensure_future(response.push(sink, QUIET))
        before = -1
        while before != sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.1)
        assert sum(map(len, sink.parts)) <= 2 * HELD
        assert sent < 100 * HELD
        proceed.set()
        await pushing
        assert sink.patience == 0
        await response.aclose()


async def test_a_client_that_takes_nothing_is_not_waited_for_without_end() -> None:
    async def pour(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK + b"\r\n" + b"x" * HELD)
        await peer.reader.read()

    class Stuck(Gathering):
        def take(self, data: bytes) -> Awaitable[None]:
            super().take(data)
            return asyncio.get_running_loop().create_future()

    async with talking(pour) as (pool, _):
        response = await pool.request(HEAD, b"")
        async with asyncio.timeout(5):
            with pytest.raises(TimeoutError, match="signs of life"):
                await response.push(Stuck(), 0.05)
            await response.aclose()
        assert not pool._idle


async def test_reading_stops_while_nobody_reads() -> None:
    sent = 0

    async def pour(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(OK + b"content-length: %d\r\n\r\n" % (100 * HELD))
        for _ in range(100):
            await peer.say(bytes(HELD))
            sent += HELD

    async with talking(pour) as (pool, _):
        response = await pool.request(HEAD, b"")
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 100 * HELD
        size = 0
        while data := await response.read():
            size += len(data)
        assert size == 100 * HELD


async def test_what_a_sink_raises_reaches_the_caller_and_cuts_the_connection() -> None:
    class Failing(Gathering):
        def take(self, data: bytes) -> None:
            raise LookupError(data.decode())

    async with talking(saying(HELLO)) as (pool, server):
        response = await pool.request(HEAD, b"")
        with pytest.raises(LookupError, match="hello"):
            await response.push(Failing(), QUIET)
        await response.aclose()
        assert await whole(pool) == b"hello"
        assert server.connections <= 2


async def test_a_finished_body_with_a_late_end_keeps_its_connection() -> None:
    proceed = asyncio.Event()

    async def answer(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(CHUNKED + b"5\r\nhello\r\n")
            await proceed.wait()
            await peer.say(b"0\r\n\r\n")

    async with talking(answer) as (pool, server):
        response = await pool.request(HEAD, b"")
        sink = Gathering(enough=5)
        await response.push(sink, QUIET)
        assert sink.parts == [b"hello"]
        await response.aclose(patience=5)
        proceed.set()
        while not response.complete:
            await asyncio.sleep(0)
        assert await whole(pool) == b"hello"
        assert server.connections == 1


async def test_a_body_without_end_is_cut() -> None:
    closed = asyncio.Event()

    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"5\r\nhello\r\n")
        await peer.reader.read()
        closed.set()

    async with talking(answer) as (pool, _):
        response = await pool.request(HEAD, b"")
        await response.push(Gathering(enough=5), QUIET)
        await response.aclose(patience=0.01)
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_sink_without_patience_is_left_alone() -> None:
    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"5\r\nhello\r\n")
        await asyncio.Event().wait()

    class Hurried(Gathering):
        hurry = 0.01

    async with talking(answer) as (pool, _):
        response = await pool.request(HEAD, b"")
        sink = Hurried()
        await asyncio.wait_for(response.push(sink, QUIET), 5)
        assert sink.parts == [b"hello"]
        await response.aclose()


async def test_cancelling_cuts_the_connection() -> None:
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def answer(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.reader.read()
        closed.set()

    async with talking(answer) as (pool, _):
        asking = asyncio.ensure_future(pool.request(HEAD, b""))
        await arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(closed.wait(), 5)


async def test_large_requests_arrive_whole() -> None:
    got = b""

    async def answer(peer: Peer) -> None:
        nonlocal got
        got = await peer.request()
        await peer.say(HELLO)

    body = bytes(range(256)) * 20_000
    async with talking(answer) as (pool, _):
        assert await whole(pool, body) == b"hello"
    assert got == body


async def test_an_answer_before_the_request_was_read_ends_the_connection() -> None:
    async def answer(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await asyncio.Event().wait()

    async with talking(answer) as (pool, server):
        for number in (1, 2):
            response = await pool.request(HEAD, bytes(50 * 2**20))
            assert (response.status, await response.read()) == (413, b"no")
            assert server.connections == number
