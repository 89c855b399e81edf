"""Upstream bytes through the translator to the client: the only loop on a chunk's way.

An upstream that fails before the first line costs an HTTP status; afterwards it is one error line.
"""

import asyncio
from typing import Protocol

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.server.exchange import Exchange

GRACE = 2.0
"""Seconds to wait for counters, or for the end, once the answer itself is complete (quirk F6)."""

DRAIN = 0.05
"""Seconds to wait for the end of a finished reply, so that its connection can be used again."""


class Reply(Protocol):
    """What reads an upstream's reply and says it to the client: `reply.Reply` and its like."""

    failure: UpstreamBroke | None
    estimated: bool
    """The counts are ours: the upstream told none."""

    @property
    def over(self) -> bool:
        """Nothing more is worth reading."""

    @property
    def finished(self) -> bool:
        """The answer is complete; only counters may still come."""

    def feed(self, data: bytes) -> bytes: ...
    def whole(self, body: bytes) -> bytes: ...
    def close(self) -> bytes: ...
    def fail(self, error: UpstreamBroke) -> bytes: ...
    def counts(self) -> tuple[int, int]: ...


class Opened(Protocol):
    """An upstream's reply: what `upstream.Opened` is, and a test's fake."""

    kind: str
    streamed: bool

    async def read(self) -> bytes: ...
    async def whole(self) -> bytes: ...
    def ended(self) -> bool: ...
    async def aclose(self) -> None: ...


async def stream(opened: Opened, reply: Reply, exchange: Exchange) -> None:
    """Lines as they come; raises UpstreamBroke while the status line can still tell of it."""
    try:
        await _lines(opened, reply, exchange)
        await _drain(opened)
    except asyncio.CancelledError:
        if exchange.cut_by is None or not exchange.started or exchange.complete:
            raise
        await _end(reply.fail(exchange.cut_by), reply, exchange)
    finally:
        await opened.aclose()


async def collect(opened: Opened, reply: Reply) -> bytes:
    """The whole reply as one object; raises UpstreamBroke."""
    try:
        if not opened.streamed:
            said = reply.whole(await opened.whole()) + reply.close()
        else:
            said = await _collected(opened, reply)
            await _drain(opened)
    finally:
        await opened.aclose()
    if reply.failure:
        raise reply.failure
    return said


async def _lines(opened: Opened, reply: Reply, exchange: Exchange) -> None:
    if not opened.streamed:
        said = reply.whole(await opened.whole())
        return await _end(said, reply, exchange)
    while True:
        try:
            data = await _read(opened, reply)
        except UpstreamBroke as error:
            return await _end(reply.fail(error), reply, exchange)
        said = reply.feed(data) if data else b""
        if reply.over or not data:
            return await _end(said, reply, exchange)
        if said:
            await exchange.line(said)


async def _end(said: bytes, reply: Reply, exchange: Exchange) -> None:
    said += reply.close()
    if reply.failure and not exchange.started:
        raise reply.failure
    await exchange.line(said, last=True)


async def _collected(opened: Opened, reply: Reply) -> bytes:
    parts = []
    try:
        while not reply.over and (data := await _read(opened, reply)):
            parts.append(reply.feed(data))
    except UpstreamBroke as error:
        reply.fail(error)
    parts.append(reply.close())
    return b"".join(parts)


async def _read(opened: Opened, reply: Reply) -> bytes:
    if not reply.finished:
        return await opened.read()
    try:
        async with asyncio.timeout(GRACE):
            return await opened.read()
    except TimeoutError:
        return b""


async def _drain(opened: Opened) -> None:
    """Read what little follows `[DONE]`."""
    if opened.ended():
        return
    try:
        async with asyncio.timeout(DRAIN):
            while opened.streamed and await opened.read():
                pass
    except (TimeoutError, UpstreamBroke):
        return
