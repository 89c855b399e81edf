"""The other processes of the same daemon, as one of them sees them.

Strategy: what has to hold for all is told to all: lessons, thoughts, names, spending. What only
looks is asked of all when somebody looks: the status, what is loaded. A daemon of one process has
nobody to tell, and whoever asks hears nothing.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from ollama_bridge.channel import PATIENCE, Channel, Hear
from ollama_bridge.errors import BridgeError, NotRunning

LOOK_SECONDS = 4.0
"""How long somebody who only looks waits for a process that does not answer."""

_LOOKS = frozenset({"loaded", "requests", "status"})

_log = logging.getLogger("ollama_bridge")


class Place(NamedTuple):
    """Which of the processes this is."""

    number: int = 0
    """Counts all that there were; 0 where there is only one."""
    workers: int = 1
    pid: int = 0
    """The supervisor's; 0 where there is none."""


class Siblings:
    """Nobody: the daemon is one process."""

    place = Place()

    def begin(self, _hear: Hear, /) -> None:
        """Hear them from now on; needs a running loop."""

    def tell(self, _what: str, _body: Any = None, /) -> None:
        """Say something to all of them."""

    async def ask(self, _what: str, _body: Any = None, /) -> list[Any]:
        """What each of them answers; raises the error of one that could not."""
        return []

    def stop(self, _finish: float | None, /) -> bool:
        """Have all of them end, this one too; False where there is nobody who could."""
        return False

    def end(self) -> None:
        """Hear them no longer."""


NOBODY = Siblings()


class Workers(Siblings):
    """The others, reached through the supervisor. `gone` is called when that has ended."""

    def __init__(self, sock: socket.socket, place: Place, gone: Callable[[], None]) -> None:
        self.place = place
        self._sock = sock
        self._gone = gone
        self._channel: Channel | None = None
        self._running: asyncio.Task[None] | None = None

    def begin(self, hear: Hear, /) -> None:
        """Hear them from now on, and let the supervisor know that this one answers."""
        self._channel = Channel(self._sock, hear)
        self._running = asyncio.ensure_future(self._run(self._channel))
        self._channel.tell("ready")

    def tell(self, what: str, body: Any = None, /) -> None:
        """Say something to all of them."""
        if self._channel is not None:
            self._channel.tell(what, body)

    async def ask(self, what: str, body: Any = None, /) -> list[Any]:
        """What each of them answers; raises the error of one that could not."""
        if self._channel is None:
            return []
        try:
            patience = LOOK_SECONDS if what in _LOOKS else PATIENCE
            asked = {"what": what, "body": body, "patience": patience}
            answers = await self._channel.ask("others", asked, patience + LOOK_SECONDS)
        except NotRunning as error:
            _log.warning("%s", error.message)
            return []
        for answer in answers:
            if "error" in answer:
                raise BridgeError(answer["error"])
        return [answer["body"] for answer in answers]

    def stop(self, finish: float | None, /) -> bool:
        """Have all of them end, this one too."""
        self.tell("stop", finish)
        return self._channel is not None

    def end(self) -> None:
        """Hear them no longer."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self, channel: Channel) -> None:
        await channel.run()
        self._gone()
