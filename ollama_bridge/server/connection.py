"""One connection of a client: uvicorn's, with bounds in bytes and in time, and a name for its user.

uvicorn keeps headers, trailers and whatever else stands around a body without a limit. What came
since the parser last had something whole to hand over is counted here; past the limit the
connection is closed with 431, as Ollama does. It also waits for the rest of a request without end,
and so would every connection that a careless or hostile client leaves in the middle of one: a timer
looks what came since it last looked. A request that is whole costs nothing.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ollama_bridge.server import callers

HEAD_LIMIT = 256 * 1024
"""Most bytes of a request's line and headers, and of what is not body within a body."""

WINDOW = 60.0
"""Seconds between two looks at a request that is not whole."""

LEAST = 256
"""Bytes of a body that must come in a window: the slowest line brings as many in a second."""

SPARE = 16
"""Open files short of the limit at which the log tells of it."""

_told = float("-inf")
_log = logging.getLogger("ollama_bridge")


class Connection(HttpToolsProtocol):
    """Made by the server for each connection.

    Closed are one whose head is not whole after two windows, and one whose body hardly moves.
    """

    window = WINDOW

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = 0
        """Bytes since the parser last handed over a head or a part of a body."""
        self._in_head = self._in_body = False
        self._got = self._looks = 0
        """Bytes since the timer last looked, and how often it has looked at this request."""
        self._gone: Callable[[], None] | None = None
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note who is at the other end."""
        super().connection_made(transport)
        caller = callers.Caller(self.client, self.server)
        ours = {callers.KEY: caller, callers.WHEN_GONE: self.when_gone}
        self.app_state = {**self.app_state, **ours}
        self._watch = self.loop.call_later(self.window, self._look)
        _warn_of_crowd(transport, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to look at."""
        self._watch.cancel()
        self._is_lost = True
        super().connection_lost(exc)
        if self._gone is not None:
            self._gone()

    def when_gone(self, call: Callable[[], None] | None) -> None:
        """What is to be called when the client hangs up: whoever works for it; None ends that.

        That spares a task, which would wait for the same word from ASGI.
        """
        self._gone = call
        if call is None:
            return
        self.flow.resume_reading()  # else a client that has sent much could not be seen to go
        if self._is_lost:
            self.loop.call_soon(call)

    def data_received(self, data: bytes) -> None:
        """Read on, within the limit."""
        self._got += len(data)
        self._unread += len(data)
        super().data_received(data)
        if self._unread > HEAD_LIMIT:
            self._refuse("431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """A request's first byte is here."""
        self._in_head = True
        self._looks = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._unread = 0
        self._in_head, self._in_body = False, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body is whole."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unread = 0
        self._in_body = False
        super().on_message_complete()

    def _look(self) -> None:
        got, self._got = self._got, 0
        self._looks += 1
        slow_body = self._in_body and got < LEAST and not self.flow.read_paused
        if slow_body or (self._in_head and self._looks > 1):
            self._refuse("408 Request Timeout")
        else:
            self._watch = self.loop.call_later(self.window, self._look)

    def _refuse(self, status: str) -> None:
        """Say why, unless an answer is on its way, and close."""
        client: Any = self.client or ("-",)
        _log.warning("a request of %s was not taken: %s", client[0], status)
        self._in_head = self._in_body = False
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = f"{status}\r\n".encode()
            self.transport.write(
                b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%b" % (status.encode(), len(body), body)
            )
        self.transport.close()


def _warn_of_crowd(transport: asyncio.Transport, now: float) -> None:
    """Tell, once a minute at most, when hardly a file can be opened: then clients are turned away.

    A new file gets the lowest free number, so a high one means that most are in use.
    """
    global _told  # noqa: PLW0603 - one limit for the process
    if sys.platform == "win32" or now - _told < WINDOW:
        return
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= most - SPARE:
        _told = now
        _log.warning(
            "almost all of the %d files that may be open are in use; more connections will be "
            "refused: raise the limit (ulimit -n, or LimitNOFILE of the service)",
            most,
        )
