"""Upstream bytes through the translator to the client: the only loop on a chunk's way.

An upstream that fails before the first line costs an HTTP status; afterwards it is one error line.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.server.exchange import Exchange
from ollama_bridge.server.flow import Sink

GRACE = 2.0
"""Seconds to wait for counters, or for the end, once the answer itself is complete (quirk F6)."""

NOISE = 16 * 1024 * 1024
"""Most bytes of comments and empty lines between two events."""

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
    async def push(self, sink: Sink) -> None: ...
    async def whole(self) -> bytes: ...
    def ended(self) -> bool: ...
    async def aclose(self, patience: float = 0.0) -> None: ...


async def stream(
    opened: Opened,
    reply: Reply,
    exchange: Exchange,
    at_end: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Lines as they come; raises UpstreamBroke while the status line can still tell of it.

    `at_end` is done before the client is told that this is the end.
    """
    patience = 0.0
    try:
        said = await _streamed(opened, reply, exchange)
        if reply.failure and not exchange.started:
            raise reply.failure
        if at_end:
            await at_end()
        await exchange.line(said, last=True)
        patience = DRAIN
    finally:
        await opened.aclose(patience)


async def _streamed(opened: Opened, reply: Reply, exchange: Exchange) -> bytes:
    """Everything but the end, which comes back."""
    if not opened.streamed:
        return reply.whole(await opened.whole()) + reply.close()
    try:
        return await _last_of(opened, reply, _Lines(reply, exchange))
    except asyncio.CancelledError:
        if exchange.cut_by is None or not exchange.started:
            raise
        return reply.fail(exchange.cut_by)


async def collect(opened: Opened, reply: Reply) -> bytes:
    """The whole reply as one object; raises UpstreamBroke."""
    patience = 0.0
    try:
        if opened.streamed:
            parts = _Parts(reply)
            parts.said.append(await _last_of(opened, reply, parts))
            said = b"".join(parts.said)
        else:
            said = reply.whole(await opened.whole()) + reply.close()
        patience = DRAIN
    finally:
        await opened.aclose(patience)
    if reply.failure:
        raise reply.failure
    return said


async def _last_of(opened: Opened, reply: Reply, sink: "_Lines | _Parts") -> bytes:
    """Send the stream through the sink; what is to be said at its end."""
    try:
        await opened.push(sink)
    except UpstreamBroke as error:
        return sink.rest + reply.fail(error)
    return sink.rest + reply.close()


class _Sink:
    """A stream on its way through the translator."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.over = False
        self.patience: float | None = None
        self.told = False
        self._noise = 0
        self.rest = b""
        """What the last read said: it leaves together with the end."""

    def _fed(self, data: bytes) -> bytes:
        reply = self._reply
        said = reply.feed(data)
        if b'"' in data:  # every event has a quotation mark; a comment's would do no harm
            self.told = True
            self._noise = 0
        elif (noise := self._noise + len(data)) > NOISE:
            raise UpstreamBroke(
                f"the upstream sent {NOISE} bytes without an answer among them", status=500
            )
        else:
            self._noise = noise
        if reply.over:
            self.over = True
        elif reply.finished:
            self.patience = GRACE
        return said


class _Lines(_Sink):
    """To the client at once: one write a read, none for a read that says nothing."""

    def __init__(self, reply: Reply, exchange: Exchange) -> None:
        super().__init__(reply)
        self._exchange = exchange

    def take(self, data: bytes) -> Awaitable[None] | None:
        said = self._fed(data)
        if self.over:
            self.rest = said
            return None
        return self._exchange.push(said) if said else None


class _Parts(_Sink):
    """Kept until the end."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.said: list[bytes] = []

    def take(self, data: bytes) -> None:
        self.said.append(self._fed(data))
