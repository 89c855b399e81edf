"""Clients that come all at once are taken all at once.

uvloop takes one connection a turn of its loop. With a thousand streams under way a turn lasts tens
of milliseconds, and whoever came last waited until others had their whole answer. So after each
connection that the loop takes by itself, those that wait behind it are taken here. What cannot be
taken stays where it is: the loop's own way deals with it, a full table of files included.
"""

import asyncio
import functools
import logging
import socket
from collections.abc import Callable, Sequence

AT_ONCE = 64
"""Most connections of one socket that are taken in one turn; then what else there is has its."""

_log = logging.getLogger("ollama_bridge")

Make = Callable[..., asyncio.Protocol]


class Crowd:
    """Makes the protocol of each connection, as `make` does, and looks for more of them."""

    def __init__(self, make: Make, sockets: Sequence[socket.socket]) -> None:
        """`sockets` listen; the running loop takes what comes to them."""
        self._make = make
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._will_look = False
        self._taking: set[asyncio.Task[object]] = set()

    def __call__(self, **settings: object) -> asyncio.Protocol:
        """The protocol of a connection that the loop has taken."""
        if not self._will_look:
            self._will_look = True
            self._loop.call_soon(self._look, functools.partial(self._make, **settings))
        return self._make(**settings)

    def _look(self, make: Make) -> None:
        self._will_look = False
        for listening in self._sockets:
            if self._take(listening, make):
                self._will_look = True
        if self._will_look:
            self._loop.call_soon(self._look, make)

    def _take(self, listening: socket.socket, make: Make) -> bool:
        """Take those that wait; whether there may be more."""
        for _ in range(AT_ONCE):
            try:
                connection, _ = listening.accept()
            except OSError:  # nobody waits; or something is wrong, and the loop will meet it, too
                return False
            connection.settimeout(0)
            task = self._loop.create_task(self._loop.connect_accepted_socket(make, connection))
            self._taking.add(task)
            task.add_done_callback(functools.partial(self._taken, connection))
        return True

    def _taken(self, connection: socket.socket, task: "asyncio.Task[object]") -> None:
        self._taking.discard(task)
        if task.cancelled():
            connection.close()
        elif error := task.exception():
            _log.warning("a connection could not be taken: %s", error)
            connection.close()


def takes_one_a_turn(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it is a loop that needs this: asyncio's own take all that wait."""
    return type(loop).__module__.partition(".")[0] == "uvloop"
