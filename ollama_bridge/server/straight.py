"""A streamed reply's way past ASGI: straight into the connection of the server that is used.

Strategy: ASGI costs a message, two coroutines and a dozen checks for a chunk that needs none of
them once its reply has begun. Where the server is uvicorn on httptools, the chunk is framed here
and written, as long as the connection is in good order; any other server gets its message.
"""

from collections.abc import Callable
from typing import Any

Write = Callable[[bytes], bool]
"""Writes a chunk; False where ASGI has to be asked: the client is slow, gone or takes no chunks."""


def writer(send: Any) -> Write | None:
    """Writes what `send` would send as a body that goes on; None where the server is another."""
    cycle: Any = getattr(send, "__self__", None)
    if type(cycle).__module__ != "uvicorn.protocols.http.httptools_impl":
        return None
    flow, connection = cycle.flow, cycle.transport

    def write(chunk: bytes) -> bool:
        if flow.write_paused or cycle.disconnected or not cycle.chunked_encoding:
            return False
        connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return True

    return write
