"""The connections to one provider: made when needed, kept for the next request."""

import asyncio
import ssl
from ipaddress import ip_address
from typing import Any, NamedTuple

import aiohappyeyeballs

from ollama_bridge.server.flow import Limits
from ollama_bridge.server.http1 import Connection, Response, Stale

KEPT_SECONDS = 30.0
"""How long an idle connection is kept: many servers close theirs after a minute or less."""

_NEXT_ADDRESS = 0.25
"""Seconds after which the next address of a name is tried beside the first (RFC 8305)."""


class Origin(NamedTuple):
    """Where a provider is."""

    host: str
    port: int
    tls: ssl.SSLContext | None


class Pool:
    """Sends requests to one origin."""

    def __init__(self, origin: Origin, limits: Limits) -> None:
        self._origin = origin
        self._limits = limits
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(self, head: bytes, body: bytes) -> Response:
        """The reply, once its head is here; raises OSError (Broken is one) and TimeoutError.

        A kept connection may have been closed by the other side: then one fresh try is safe.
        llama.cpp promises keep-alive and closes all the same (real-upstreams.md, section 1).
        """
        kept = self._kept()
        if kept is not None:
            try:
                return await kept.request(head, body)
            except Stale:
                pass
        connection = await self._connect()
        return await connection.request(head, body)

    async def aclose(self) -> None:
        """Cut every connection; replies that are under way fail."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._all):
            connection.abort()
        self._idle.clear()
        self._all.clear()
        await asyncio.sleep(0)  # the event loop closes sockets on its next turn

    def _kept(self) -> Connection | None:
        """The connection that was used last: it is the least likely to have been closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        host, port, tls = self._origin
        limits = self._limits
        options: dict[str, Any] = {"ssl": tls, "server_hostname": host} if tls else {}

        def connection() -> Connection:
            return Connection(limits.first_byte, limits.idle, self._released, self._all.discard)

        try:
            async with asyncio.timeout(limits.connect):
                if _is_address(host):
                    made = await loop.create_connection(connection, host, port, **options)
                else:
                    sock = await _dial(loop, host, port)
                    made = await loop.create_connection(connection, sock=sock, **options)
        except TimeoutError as error:
            raise TimeoutError(f"no connection in {limits.connect:g} s") from error
        self._all.add(made[1])
        if self._closed:
            made[1].abort()
        return made[1]

    def _released(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        self._idle.append(connection)
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(KEPT_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        """Close what nobody has used for long; one timer serves all, and none runs for nothing."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEPT_SECONDS
        for connection in self._idle:
            if connection.idle_since <= oldest:
                connection.abort()
        self._idle = [connection for connection in self._idle if connection.usable]
        self._sweep = None
        if self._idle:
            first = min(connection.idle_since for connection in self._idle)
            self._sweep = loop.call_at(first + KEPT_SECONDS, self._close_idle)


async def _dial(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Any:
    """A socket to whichever address of a name answers first: IPv6 may be there but broken."""
    found = await loop.getaddrinfo(host, port, type=1)
    return await aiohappyeyeballs.start_connection(
        found, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1, loop=loop
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
