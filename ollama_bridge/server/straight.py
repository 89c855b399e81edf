"""A reply's way past ASGI: straight into the connection of the server that is used.

Strategy: ASGI costs two messages, two coroutines and a dozen checks for what is one write. Where
the server is uvicorn on httptools, what it would write is made here and written, in one piece, as
long as the connection is in good order. Whatever is not plain goes through ASGI all the same, and
so does everything for another server: each method tells whether it wrote.
"""

import functools
import http
import re
from collections.abc import Awaitable
from typing import Any

from ollama_bridge.server import flow

Headers = list[tuple[bytes, bytes]]

JOINED = 64 * 1024
"""Bodies up to this size are copied behind their head; larger ones are written beside it."""

_MODULE = "uvicorn.protocols.http.httptools_impl"
_USED = frozenset(
    {"chunked_encoding", "default_headers", "disconnected", "flow", "keep_alive", "message_event"}
    | {"on_response", "response_complete", "response_started", "scope", "transport"}
    | {"waiting_for_100_continue"}
)
"""What is used of uvicorn's object: where one is missing, ASGI does the work."""

_ACTED_UPON = frozenset({b"connection", b"content-length", b"transfer-encoding"})
_NOT_PLAIN = re.compile(rb"[\r\n\0]")
_END = b"0\r\n\r\n"


class Straight:
    """uvicorn's own object for one request and its answer, used as uvicorn itself uses it."""

    __slots__ = ("_cycle", "_flow", "_write")

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._write = cycle.transport.write

    def answer(
        self, status: int, headers: Headers, body: bytes, *, last: bool, whole: bool = False
    ) -> bool:
        """Head and body, or the head and the first part of a body that goes on.

        The length of a `whole` body is told behind the headers.
        """
        cycle = self._cycle
        if self._is_blocked() or cycle.response_started:
            return False
        if not cycle.keep_alive or cycle.scope["method"] == "HEAD":
            return False
        head = _head(status, (*cycle.default_headers, *headers))
        if not head:
            return False
        if whole:
            head += b"content-length: %d\r\n\r\n" % len(body)
        else:
            head += b"transfer-encoding: chunked\r\n\r\n"
            body = _chunk(body, last=last)
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.chunked_encoding = not whole
        if len(body) <= JOINED:
            self._write(head + body)
        else:
            cycle.transport.writelines((head, body))
        if last:
            self._end()
        return True

    @property
    def is_chunked(self) -> bool:
        """Whether a body goes on that is sent chunk by chunk: then `push` may be used."""
        return bool(self._cycle.chunked_encoding)

    def push(self, data: bytes) -> Awaitable[None] | None:
        """A part of a body that goes on; what a slow client leaves to wait for comes back."""
        if self._flow.write_paused or self._cycle.disconnected:
            return flow.begun(self._cycle.send(_more(data)))
        write = self._write  # quicker than called at once, which looks for a method first
        write(b"%x\r\n%b\r\n" % (len(data), data))
        return None

    def end(self, data: bytes) -> bool:
        """The last part of a body."""
        cycle = self._cycle
        if self._is_blocked() or not cycle.chunked_encoding or cycle.response_complete:
            return False
        self._write(_chunk(data, last=True))
        self._end()
        return True

    def _is_blocked(self) -> bool:
        """Whether the client is slow, or gone."""
        return bool(self._flow.write_paused or self._cycle.disconnected)

    def _end(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


def way(send: Any) -> Straight | None:
    """The way past this `send`; None where the server is another."""
    cycle = getattr(send, "__self__", None)
    kind = type(cycle)
    if kind not in _fits:
        _fits[kind] = kind.__module__ == _MODULE and vars(cycle).keys() >= _USED
    return Straight(cycle) if _fits[kind] else None


_fits: dict[type, bool] = {}
"""Whether objects of that class are as they are used here."""


def _more(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


@functools.lru_cache(maxsize=64)
def _head(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Status line and headers, which seldom change; b"" for those that uvicorn acts upon."""
    lines = [_status_line(status)]
    for name, value in headers:
        if name in _ACTED_UPON or _NOT_PLAIN.search(value):
            return b""
        lines += (name, b": ", value, b"\r\n")
    return b"".join(lines)


def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def _chunk(data: bytes, *, last: bool) -> bytes:
    said = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return said + _END if last else said
