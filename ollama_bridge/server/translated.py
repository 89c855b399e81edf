"""A reply of /v1/responses, read as the chat completion that was asked for."""

from collections.abc import Awaitable

from ollama_bridge.server.flow import Sink
from ollama_bridge.server.pump import Opened
from ollama_bridge.translate.responses_as_chat import Chunks


class Translated:
    """Stands where the service's own chat completion would; one more step on each read's way."""

    def __init__(self, opened: Opened, chunks: Chunks) -> None:
        self._opened = opened
        self._chunks = chunks
        self._closed = False
        self.kind = opened.kind
        self.streamed = opened.streamed

    async def read(self) -> bytes:
        """The next bytes that say something; b"" at the end."""
        while data := await self._opened.read():
            if said := self._chunks.feed(data):
                return said
        return self._rest()

    async def push(self, sink: Sink) -> None:
        """Everything to the sink, as it comes."""
        await self._opened.push(_Through(sink, self._chunks))
        if sink.patience != 0 and (rest := self._rest()) and (slow := sink.take(rest)) is not None:
            await slow

    async def whole(self) -> bytes:
        """The rest of the body."""
        return self._chunks.whole(await self._opened.whole())

    def hide(self, said: bytes) -> bytes:
        """What the service said, without its key."""
        return self._opened.hide(said)

    def ended(self) -> bool:
        """Whether the body has been read to its end."""
        return self._opened.ended()

    async def aclose(self, patience: float = 0.0) -> None:
        """Give the connection back."""
        await self._opened.aclose(patience)

    def _rest(self) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return self._chunks.close()


class _Through:
    """A sink before the sink: what it wants is what the other one wants."""

    def __init__(self, sink: Sink, chunks: Chunks) -> None:
        self._sink = sink
        self._chunks = chunks

    @property
    def patience(self) -> float | None:
        return self._sink.patience

    @property
    def told(self) -> bool:
        return self._sink.told

    @told.setter
    def told(self, told: bool) -> None:
        self._sink.told = told

    def take(self, data: bytes) -> Awaitable[None] | None:
        said = self._chunks.feed(data)
        return self._sink.take(said) if said else None
