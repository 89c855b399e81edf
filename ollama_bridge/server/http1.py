"""One HTTP/1.1 connection to a provider, and the replies that come over it.

Strategy: httptools parses inside `data_received`, and what a read brings of a body goes straight
on to whoever takes it; no task wakes up for a chunk. A taker that is slow stops the reading, so no
more than a few reads are held. What is not HTTP, or is cut off, fails the reply.
"""

import asyncio
import math
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import httptools

from ollama_bridge.server.flow import Sink

HELD = 256 * 1024
"""Bytes of a body that wait for their reader before reading stops."""

HEAD_LIMIT = 128 * 1024
"""Most bytes without a byte of a body among them: head, trailers, frames of chunks."""

UNPACKED_LIMIT = 32 * 1024 * 1024
"""Most bytes that one read of a packed body may become."""

ANY_SIZE, PROPORTION = 4 * 1024 * 1024, 200
"""Beyond so many bytes a packed body may be so many times as large as it travelled."""

JOINED = 64 * 1024
"""Requests up to this size are written as one piece."""

_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_PLAIN = frozenset({"", "identity"})
_WITH_HEADER = 32 + zlib.MAX_WBITS  # of gzip or zlib, whichever it is


class Broken(ConnectionError):
    """What came is no reply, or not all of one."""


class Stale(Broken):
    """A kept connection was closed before it brought a byte: ask again on a new one."""


class Connection(asyncio.Protocol):
    """Carries one request at a time.

    Timeouts in seconds: until the first byte of a body, and from one read to the next after that.
    """

    __slots__ = (  # what every read touches lies side by side
        *("_response", "_heard", "loop", "_parser", "_is_open", "_ended", "_pieces", "_overhead"),
        *("_answers", "on_body", "_transport", "_headers", "_used", "_begun", "_kept", "_paused"),
        *("_clock", "_first_byte_timeout", "_idle_timeout", "_released", "_lost", "idle_since"),
    )

    def __init__(
        self,
        first_byte_timeout: float,
        idle_timeout: float,
        released: Callable[["Connection"], None],
        lost: Callable[["Connection"], None],
    ) -> None:
        self.idle_since = 0.0
        """Loop time of the last reply's end."""
        self.loop = asyncio.get_running_loop()
        self._first_byte_timeout = first_byte_timeout
        self._idle_timeout = idle_timeout
        self._released = released
        self._lost = lost
        self._transport: Any = None
        self._parser: Any = None
        self._response: Response | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # called by the parser; spares a frame for every chunk
        self._headers: dict[str, str] = {}
        self._is_open = False
        """What a read brings of the body can go straight on to the reply's taker."""
        self._used = False
        self._answers = False
        self._begun = 0.0
        self._heard = 0.0
        """Loop time of the last read; 0 while there was none."""
        self._overhead = 0
        self._ended = False
        self._kept = False
        self._paused = False
        self._clock: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._response is None and not self._transport.is_closing()

    async def request(self, head: bytes, body: bytes) -> "Response":
        """Send a request and wait for the head of its reply; `head` lacks the length.

        Raises Stale, Broken, OSError and TimeoutError.
        """
        response = self._response = Response(self)
        self._begin()
        head = b"%bcontent-length: %d\r\n\r\n" % (head, len(body))
        if len(body) <= JOINED:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        try:
            await response.headed()
        except BaseException:
            self.abort()
            raise
        return response

    def pause(self) -> None:
        """Stop reading until `resume`."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._heard = self.loop.time()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def open(self, response: "Response", *, is_open: bool) -> None:
        """Whether what comes of that reply's body can be given to its taker at once."""
        if self._response is response:
            self._is_open = is_open

    def abort(self) -> None:
        """Cut the connection; a reply that was under way fails."""
        if self._transport is not None:
            self._transport.abort()

    # called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:  # nothing was asked
            self._transport.abort()
            return
        self._heard = self.loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._read(response, len(data), Broken(f"what it sent is not HTTP/1.1 ({error})"))
            return
        if not self._is_open or self._ended or len(self._pieces) != 1:
            self._read(response, len(data))
            return
        self._overhead = 0
        self._answers = True
        response.give(self._pieces.pop())

    def _read(self, response: "Response", size: int, failure: Exception | None = None) -> None:
        """What a read of that size has brought, whatever it was."""
        pieces = self._pieces
        if pieces:
            self._overhead = 0
            self._answers = True
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            response.arrived(body)
        else:
            self._overhead += size
            if self._overhead > HEAD_LIMIT:
                failure = failure or Broken(f"it sent a head of more than {HEAD_LIMIT} bytes")
        if self._ended:
            self._end(response, keep=failure is None)
        elif failure is not None:
            self._fail(failure)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)
        if self._clock is not None:
            self._clock.cancel()
        response, self._response, self._is_open = self._response, None, False
        if response is None:
            return
        if self._used and not self._heard:
            response.fail(Stale("it closed a connection that was to be kept"))
        elif exc is None and response.status and not self._is_framed():
            response.end()  # such a body has no other end
        else:
            response.fail(Broken(str(exc) if exc else "it closed the connection too early"))

    # called by the parser

    def on_message_begin(self) -> None:
        if self._ended:
            raise Broken("it sent more than one reply")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is None or self._response.status:
            return  # a trailer
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip()
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._response is None or status < 200:
            return
        self._response.begin(status, self._headers)

    def on_message_complete(self) -> None:
        if self._response is not None and self._response.status:
            self._ended = True
            self._kept = self._parser.should_keep_alive()
        else:
            self._headers = {}  # 100 Continue and its like; the reply is still to come

    # within

    def _begin(self) -> None:
        """Make ready for a reply; a new parser, because an old one remembers trailers."""
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(  # those that browsers and aiohttp allow
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._headers = {}
        self._overhead = 0
        self._answers, self._ended = False, False
        self._begun, self._heard = self.loop.time(), 0.0
        self.watch_until(self._begun + self._first_byte_timeout)

    def _end(self, response: "Response", *, keep: bool) -> None:
        """The reply is complete; whether the connection can carry another is a separate question.

        A provider that answers before it has read the whole request will not read it any more.
        """
        self._response, self._is_open = None, False
        self._used = True
        sent = not self._transport.get_write_buffer_size()
        if keep and self._kept and sent and not self._transport.is_closing():
            self.resume()
            self.idle_since = self._heard
            self._released(self)
        else:
            self._transport.abort()
        response.end()

    def _fail(self, error: Exception) -> None:
        response, self._response, self._is_open = self._response, None, False
        self._transport.abort()
        if response is not None:
            response.fail(error)

    def _is_framed(self) -> bool:
        """Whether the head told where the body ends."""
        coding = self._headers.get("transfer-encoding", "").lower()
        return "content-length" in self._headers or coding.endswith("chunked")

    def watch_until(self, due: float) -> None:
        """One timer watches many reads: each of them only notes its time.

        It never sleeps longer than the idle limit, which may begin to count at any moment.
        """
        due = min(due, self.loop.time() + self._idle_timeout)
        if self._clock is not None:
            if self._clock.when() <= due:
                return
            self._clock.cancel()
        self._clock = self.loop.call_at(due, self._check_silence)

    def _check_silence(self) -> None:
        self._clock = None
        if self._response is None:
            return
        now = self.loop.time()
        if not self._answers and not self._paused:
            limit, due = self._first_byte_timeout, self._begun + self._first_byte_timeout
        else:
            limit = self._idle_timeout
            due = (now if self._paused else self._heard or self._begun) + limit
        quiet = self._response.quiet_until(now)
        if due <= now:
            self._fail(TimeoutError(f"not a byte of an answer in {limit:g} s"))
        elif quiet <= now:
            self._response.give_up(TimeoutError("nothing but signs of life"))
            self.abort()
        else:
            self.watch_until(min(due, quiet))


class Response:
    """A reply, as it arrives: `flow.Received`."""

    __slots__ = (
        *("_sink", "_connection", "_loop", "_parts", "_held", "_ended", "_error", "_enough"),
        *("_unpacker", "_packed_size", "_unpacked_size", "_slow", "_timer", "_waiting", "_quiet"),
        *("_told_at", "status", "headers"),
    )

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection = connection
        self._loop = connection.loop
        self._parts: list[bytes] = []
        self._held = 0
        self._ended = False
        self._error: Exception | None = None
        self._unpacker: Any = None
        self._packed_size = self._unpacked_size = 0
        self._sink: Sink | None = None
        self._slow: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._enough = False
        self._quiet = self._told_at = 0.0

    @property
    def complete(self) -> bool:
        """Whether the body has come to its end, and all of it was read."""
        return self._ended and not self._parts

    async def headed(self) -> None:
        """Wait for status and headers."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._change()

    async def read(self) -> bytes:
        """The bytes that have arrived; b"" at the end."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            await self._change()
        return self._taken()

    async def push(self, sink: Sink, quiet: float) -> None:
        """Give every read to the sink as it arrives; one task wakes up, once, at the end."""
        self._sink = sink
        self._quiet, self._told_at = quiet, self._loop.time()
        self._connection.watch_until(self._told_at + quiet)
        try:
            self._deliver()
            while not self._is_delivered():
                await self._change()
        finally:
            self._sink = None
            self._connection.open(self, is_open=False)
            self._stop_timer()
            if self._slow is not None:
                self._slow.cancel()
        if self._error is not None and not self._enough:
            raise self._error

    async def aclose(self, patience: float = 0.0) -> None:
        """Let go of the body; what little is left of it is read in the background."""
        if self._ended:
            return
        self._enough = True
        if not patience or self._error is not None:
            self._connection.abort()
            return
        self._connection.resume()
        self._timer = self._loop.call_later(patience, self._connection.abort)

    # called by the connection

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """The head is here."""
        self.status, self.headers = status, headers
        coding = headers.get("content-encoding", "").lower()
        if coding in _PACKED:
            self._unpacker = zlib.decompressobj(_WITH_HEADER)
        elif coding not in _PLAIN:
            self._error = Broken(f"it packed its reply as {coding}, which was not asked for")
        self._wake()

    def arrived(self, data: bytes) -> None:
        """What one read brought of the body."""
        if self._enough or self._error is not None:
            return
        if self._unpacker is not None and not (data := self._unpacked(data)):
            return
        if self._sink is not None and self._slow is None:
            self.give(data)
            return
        self._parts.append(data)
        self._held += len(data)
        if self._held > HELD:
            self._connection.pause()
        self._wake()

    def end(self) -> None:
        """The body is complete."""
        self._ended = True
        self._stop_timer()
        if self._unpacker is not None and not self._unpacker.eof and self._error is None:
            self._error = Broken("its packed reply breaks off")
        self._wake()

    def quiet_until(self, now: float) -> float:
        """The loop time at which the sink will have been told nothing for too long.

        That is looked at when the timer of the connection rings, so that a chunk costs nothing.
        """
        if self._sink is None:
            return math.inf
        if self._sink.told:
            self._sink.told = False
            self._told_at = now
        return self._told_at + self._quiet

    def give_up(self, error: Exception) -> None:
        """There will be no more, and a client that took nothing so far is not waited for."""
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        self._parts.clear()
        self.fail(error)

    def fail(self, error: Exception) -> None:
        """There will be no more."""
        self._error = self._error or error
        self._connection.open(self, is_open=False)
        self._stop_timer()
        self._wake()

    # within

    def _taken(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._held = 0
        self._read_on()
        return data

    def _read_on(self) -> None:
        if not self._ended:  # else the connection may be carrying another reply
            self._connection.resume()

    def _deliver(self) -> None:
        """Give the sink what has waited; then what comes, without a stop here if it is plain."""
        while self._parts and self._is_taking():
            self.give(self._taken())
        if self._is_taking() and self._error is None and self._unpacker is None:
            self._connection.open(self, is_open=True)

    def _is_taking(self) -> bool:
        return self._sink is not None and self._slow is None and not self._enough

    def give(self, data: bytes) -> None:
        """Give the sink, which is there, what came."""
        sink: Any = self._sink
        try:
            slow = sink.take(data)
        except Exception as error:  # noqa: BLE001 - it is raised where the sink came from
            self.fail(error)
            return
        if slow is not None or sink.patience is not None:
            self._hold_back(slow, sink.patience)

    def _hold_back(self, slow: Awaitable[None] | None, patience: float | None) -> None:
        """The sink needs time, or is about to have had enough."""
        self._enough = patience == 0
        if slow is not None:
            self._connection.pause()
            self._connection.open(self, is_open=False)
            self._slow = asyncio.ensure_future(self._wait_for(slow))
        elif self._enough:
            self._connection.open(self, is_open=False)
            self._wake()
        elif patience is not None and self._timer is None:
            self._timer = self._loop.call_later(patience, self._lose_patience)

    async def _wait_for(self, slow: Awaitable[None]) -> None:
        """The client drinks more slowly than the provider pours: read on when it has caught up."""
        try:
            await slow
        except Exception as error:  # noqa: BLE001 - it is raised where the sink came from
            self._parts.clear()
            self.fail(error)
        finally:
            self._slow = None
        self._deliver()
        if self._slow is None:
            self._read_on()
            self._wake()

    def _lose_patience(self) -> None:
        self._enough = True
        self._connection.open(self, is_open=False)
        self._wake()

    def _is_delivered(self) -> bool:
        if self._slow is not None:
            return False
        ended = self._ended or self._error is not None
        return self._enough or (ended and not self._parts)

    def _unpacked(self, data: bytes) -> bytes:
        self._packed_size += len(data)
        try:
            data = self._unpacker.decompress(data, UNPACKED_LIMIT)
        except zlib.error as error:
            self.fail(Broken(f"its packed reply cannot be read ({error})"))
            return b""
        self._unpacked_size += len(data)
        far = self._unpacked_size > max(ANY_SIZE, self._packed_size * PROPORTION)
        if far or self._unpacker.unconsumed_tail:
            self.fail(Broken("its packed reply grows out of all proportion"))
            return b""
        return bytes(data)

    async def _change(self) -> None:
        """Wait until something has happened."""
        self._waiting = self._loop.create_future()
        await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
