"""Upstream bytes through the translator to the client: the only loop on a chunk's way.

An upstream that fails before the first line costs an HTTP status; afterwards it is one error line.
"""

import abc
import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.server.exchange import Exchange
from ollama_bridge.server.flow import Sink

GRACE = 2.0
"""Seconds to wait for counters, or for the end, once the answer itself is complete (quirk F6)."""

NOISE = 16 * 1024 * 1024
"""Most bytes of comments and empty lines between two events."""

COLLECTED = 128 * 1024 * 1024
"""Most bytes of a stream that is gathered for a client that wants the answer whole."""

DRAIN = 0.05
"""Seconds to wait for the end of a finished reply, so that its connection can be used again."""


_EVENTS = re.compile(rb"\s*(?:data|event|id|retry)?:")
"""How an event stream begins: with a field, or with a comment."""

(_QUOTE,) = b'"'
"""As a number, which is found faster than a text."""

MOST = 64 * 1024 * 1024
"""Bytes of a whole reply that is called a stream."""


class Reply(Protocol):
    """What reads an upstream's reply and says it to the client: `reply.Reply` and its like."""

    failure: UpstreamBroke | None
    estimated: bool
    """The counts are ours: the upstream told none."""
    by_lines: bool
    """The stream is JSON line by line, as Ollama's own; else its events do not begin with one."""

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
    def hide(self, said: bytes) -> bytes: ...
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
        return _at_once(reply, await opened.whole())
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
            said = _at_once(reply, await opened.whole())
        patience = DRAIN
    finally:
        await opened.aclose(patience)
    if reply.failure:
        raise reply.failure
    return said


def _at_once(reply: Reply, body: bytes) -> bytes:
    """A body that is here: it is what it looks like, not what its content type says (F13)."""
    if _EVENTS.match(body):
        return reply.feed(body) + reply.close()
    return reply.whole(body) + reply.close()


async def _last_of(opened: Opened, reply: Reply, sink: "_Lines | _Parts") -> bytes:
    """Send the stream through the sink; what is to be said at its end."""
    try:
        await opened.push(sink)
    except UpstreamBroke as error:
        return _without_key(opened, reply, sink.rest + reply.fail(error))
    return _without_key(opened, reply, sink.rest + sink.end())


def _without_key(opened: Opened, reply: Reply, said: bytes) -> bytes:
    """What is said at the end; some services repeat the key in their errors (quirk G8)."""
    if reply.failure is None:
        return said
    message = reply.failure.message.encode(errors="surrogatepass")
    reply.failure.message = opened.hide(message).decode(errors="surrogatepass")
    return opened.hide(said)


Say = Callable[[bytes], Awaitable[None] | None]
"""Says something to the client; what comes back has to be awaited before more is said."""


class _Sink(abc.ABC):
    """A stream on its way through the translator; or what is called one and is a JSON object."""

    __slots__ = (
        *("_begun", "_reply", "told", "_noise", "_say", "patience", "rest", "_object", "_size"),
    )

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._say: Say | None = None
        self.patience: float | None = None
        self.told = False
        self._noise = 0
        self._begun = reply.by_lines
        self._object: list[bytes] | None = None
        self._size = 0
        self.rest = b""
        """What the last read said: it leaves together with the end."""

    def end(self) -> bytes:
        """What is left to say when the upstream has no more."""
        if self._object is None:
            return self._reply.close()
        return self._reply.whole(b"".join(self._object)) + self._reply.close()

    def take(self, data: bytes) -> Awaitable[None] | None:
        """One read; what comes back has to be awaited before the next one."""
        reply = self._reply
        said = reply.feed(data) if self._begun else self._first(data)
        if _QUOTE in data:  # every event has a quotation mark; a comment's would do no harm
            self.told = True
            self._noise = 0
        else:
            self._bear(len(data))
        if reply.over:
            self.patience = 0
            self.rest = said
            return None
        if reply.finished:
            self.patience = GRACE
        return (self._say or self._way())(said) if said else None

    @abc.abstractmethod
    def _way(self) -> Say:
        """How to say something; one that always holds becomes `_say`."""

    def _bear(self, noise: int) -> None:
        """Bytes in which there is no answer: so many are borne, and no more."""
        self._noise += noise
        if self._noise > NOISE:
            raise UpstreamBroke(
                f"the upstream sent {NOISE} bytes without an answer among them", status=500
            )

    def _first(self, data: bytes) -> bytes:
        """Until it is known what comes: no event begins with a brace, every reply does."""
        if self._object is not None:
            self._size += len(data)
            if self._size > MOST:
                raise UpstreamBroke(f"the upstream sent more than {MOST} bytes", status=500)
            self._object.append(data)
        elif (start := data.lstrip()[:1]) == b"{":
            self._object, self._size = [data], len(data)
        elif start:
            self._begun = True
            return self._reply.feed(data)
        return b""


class _Lines(_Sink):
    """To the client at once: one write a read, none for a read that says nothing."""

    __slots__ = ("_exchange",)

    def __init__(self, reply: Reply, exchange: Exchange) -> None:
        super().__init__(reply)
        self._exchange = exchange

    def _way(self) -> Say:
        self._say = self._exchange.straight_on
        return self._say or self._exchange.push


class _Parts(_Sink):
    """Kept until the end."""

    __slots__ = ("_gathered", "said")

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.said: list[bytes] = []
        self._gathered = 0

    def _way(self) -> Say:
        self._say = self.said.append
        return self._say

    def take(self, data: bytes) -> None:
        """One more read, of no more than COLLECTED bytes."""
        self._gathered += len(data)
        if self._gathered > COLLECTED:  # 500: to ask again would only bring as much again
            raise UpstreamBroke(f"the upstream sent more than {COLLECTED} bytes", status=500)
        super().take(data)
