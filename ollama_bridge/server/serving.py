"""uvicorn's server, with a beginning and an end of ours.

Clients that come all at once are taken all at once. At the end answers get some seconds to be
complete, then an error as their end: uvicorn alone would cancel what is left, and a stream that
just stops looks like one that finished.
"""

import asyncio
import logging
import math
import socket
from typing import Any

import uvicorn

from ollama_bridge.server.crowd import Crowd, takes_one_a_turn
from ollama_bridge.server.front import Front

CUT_SECONDS = 1
"""How long clients have to take the error that ends their stream."""

_log = logging.getLogger("ollama_bridge")


class Server(uvicorn.Server):
    """uvicorn's server; `patience` is how many seconds a stop waits for answers."""

    def __init__(self, config: uvicorn.Config, app: Front, patience: float) -> None:
        super().__init__(config)
        self.patience = patience
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        if sockets and takes_one_a_turn(asyncio.get_running_loop()):
            make: Any = Crowd(self.config.http_protocol_class, sockets)
            self.config.http_protocol_class = make
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, wait, cut what is left."""
        if self._app.running:
            _log.info(
                "stopping: %d answers have %g s to be complete",
                self._app.running,
                self.patience,
            )
        self.config.timeout_graceful_shutdown = math.ceil(self.patience + CUT_SECONDS)
        cut = asyncio.get_running_loop().call_later(self.patience, self._cut)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()
        if self.force_exit and self._cut():  # the second Ctrl-C
            await asyncio.sleep(0.1)

    def _cut(self) -> int:
        number = self._app.cut()
        if number:
            _log.warning("stopping: %d answers were cut off, with an error as their end", number)
        return number
