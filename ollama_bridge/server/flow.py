"""How a reply's bytes move: taken as they arrive, and never faster than the client drinks."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, NamedTuple, Protocol


class Limits(NamedTuple):
    """How long a provider is waited for, in seconds."""

    connect: float
    first_byte: float
    """From the request to the first byte of a body."""
    idle: float
    """From one read of the body to the next."""


class Sink(Protocol):
    """Takes a body read by read."""

    told: bool
    """Something of an answer came since this was last set to False: not only signs of life."""

    @property
    def patience(self) -> float | None:
        """Seconds that are left for the rest of the body.

        None while there is no hurry, 0 when nothing more is wanted.
        """

    def take(self, data: bytes) -> Awaitable[None] | None:
        """Use what was read; what comes back has to be awaited before more is read."""


class Received(Protocol):
    """A reply of a provider whose head is here, whatever carried it; header names in lower case."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def complete(self) -> bool:
        """Whether the body has come to its end."""

    async def read(self) -> bytes:
        """The next bytes; b"" at the end. Raises OSError and TimeoutError."""

    async def push(self, sink: Sink, quiet: float) -> None:
        """Give the body to the sink; returns at its end, or when the sink has had enough.

        Raises TimeoutError when nothing but signs of life has come for `quiet` seconds, or up to
        twice that.
        """

    async def aclose(self, patience: float = 0.0) -> None:
        """Give the connection back; a body that does not end within `patience` seconds is cut."""


async def pull(received: Received, sink: Sink, quiet: float) -> None:
    """`push` for a reply that can only be read."""
    loop = asyncio.get_running_loop()
    within = asyncio.timeout(None)
    watch = Watch(sink, quiet, lambda: within.reschedule(loop.time()))
    try:
        async with within:
            await _pull(received, sink)
    finally:
        watch.stop()


async def _pull(received: Received, sink: Sink) -> None:
    while sink.patience != 0:
        try:
            async with asyncio.timeout(sink.patience):
                data = await received.read()
        except TimeoutError:
            if sink.patience is None:
                raise
            return
        if not data:
            return
        if (slow := sink.take(data)) is not None:
            await slow


class Watch:
    """Tells when a sink has been told nothing for that long, or up to twice that.

    One timer a stream, which looks whether anything came since it last looked: a chunk costs
    nothing.
    """

    __slots__ = ("_quiet", "_seconds", "_sink", "_timer")

    def __init__(self, sink: Sink, seconds: float, quiet: Callable[[], None]) -> None:
        self._sink = sink
        self._seconds = seconds
        self._quiet = quiet
        self._begin()

    def stop(self) -> None:
        """It does not matter any more."""
        self._timer.cancel()

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def _look(self) -> None:
        if self._sink.told:
            self._sink.told = False
            self._begin()
        else:
            self._quiet()


async def drain(received: Received, patience: float) -> None:
    """Read what little is left of a body, so that its connection can be used again."""
    try:
        async with asyncio.timeout(patience):
            while await received.read():
                pass
    except OSError:  # so is TimeoutError
        return


def begun(work: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Do the work at once, without a task; None when that was all, else what finishes it.

    Sending to a client that keeps up never has to wait, so it costs no turn of the event loop.
    """
    try:
        waiting = work.send(None)
    except StopIteration:
        return None
    return _rest(work, waiting)


@types.coroutine
def _rest(work: Coroutine[Any, Any, None], waiting: Any) -> Generator[Any, Any, None]:
    """Work whose first step has been done: first what it waits for, then the other steps."""
    try:
        yield waiting
    except BaseException:
        work.close()
        raise
    yield from work
