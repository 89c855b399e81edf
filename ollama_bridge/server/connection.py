"""One connection of a client: uvicorn's, with a bound on what it holds and a name for its user.

uvicorn keeps headers, trailers and whatever else stands around a body without a limit. What came
since the parser last had something whole to hand over is counted here; past the limit the
connection is closed with 431, as Ollama does.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ollama_bridge.server import callers

HEAD_LIMIT = 256 * 1024
"""Most bytes of a request's line and headers, and of what is not body within a body."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
    b"content-length: 31\r\n\r\n431 request headers too large\r\n"
)


class Connection(HttpToolsProtocol):
    """Made by the server for each connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = 0
        """Bytes since the parser last handed over a head or a part of a body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note who is at the other end."""
        super().connection_made(transport)
        caller = callers.Caller(self.client, self.server)
        self.app_state = {**self.app_state, callers.KEY: caller}

    def data_received(self, data: bytes) -> None:
        """Read on, within the limit."""
        if self._unread > HEAD_LIMIT:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()
            return
        self._unread += len(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body is whole."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unread = 0
        super().on_message_complete()
