"""A reply's way past ASGI: straight into the connection of the server that is used.

Strategy: ASGI costs a message, two coroutines and a dozen checks for a chunk that needs none of
them once its reply has begun. Where the server is uvicorn on httptools, the chunk is framed here
and written, as long as the connection is in good order; any other server gets its message.
ASGI also writes a head before there is a body: here the two leave in one piece, for one system
call costs as much as it costs to make ten lines.
"""

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any

JOINED = 64 * 1024
"""Pieces up to this size, together, are copied into one."""

Write = Callable[[bytes], bool]
"""Writes a chunk; False where ASGI has to be asked: the client is slow, gone or takes no chunks."""


def writer(send: Any) -> Write | None:
    """Writes what `send` would send as a body that goes on; None where the server is another."""
    cycle = _cycle(send)
    if cycle is None:
        return None
    flow, connection = cycle.flow, cycle.transport

    def write(chunk: bytes) -> bool:
        if flow.write_paused or cycle.disconnected or not cycle.chunked_encoding:
            return False
        connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return True

    return write


def at_once(send: Any) -> contextlib.AbstractContextManager[Any]:
    """What is sent within leaves in one piece at the end, where the server is the one that is used.

    Only for what is sent without waiting for anybody else.
    """
    cycle = _cycle(send)
    return contextlib.nullcontext() if cycle is None else _Piece(cycle)


class _Piece:
    """Stands in for a connection's transport and gathers what is written."""

    __slots__ = ("_cycle", "_parts", "_transport")

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._parts: list[bytes] = []

    def __enter__(self) -> None:
        self._cycle.transport = self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cycle.transport = self._transport
        self._leave()

    # what uvicorn does with a transport

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def close(self) -> None:
        self._leave()
        self._transport.close()

    def _leave(self) -> None:
        parts, self._parts = self._parts, []
        if not parts or self._transport.is_closing():
            return
        if sum(map(len, parts)) <= JOINED:
            self._transport.write(b"".join(parts))
        else:
            self._transport.writelines(parts)


def _cycle(send: Any) -> Any:
    """uvicorn's own name for one request and its answer."""
    cycle = getattr(send, "__self__", None)
    return cycle if type(cycle).__module__ == "uvicorn.protocols.http.httptools_impl" else None
