"""What the processes of one daemon say to each other: JSON lines over a socket between two of them.

Strategy: either end may tell something, which has no answer, or ask, which has one. Both ends are
the same class; what is heard goes to a function, and its result is the answer.
"""

import asyncio
import itertools
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from ollama_bridge.errors import BridgeError, NotRunning

LONGEST = 64 * 1024 * 1024
"""Most bytes of one message, and of what may wait to be sent."""

PATIENCE = 30.0
"""Seconds that an answer is waited for, where something has to be done."""

_GONE = "another process of the daemon has ended"

_log = logging.getLogger("ollama_bridge")

Hear = Callable[[str, Any], Awaitable[Any]]
"""Told what is said and with which value; the result answers a question."""


class Channel:
    """One end. Lives in one event loop; `run` has to be running."""

    def __init__(self, sock: socket.socket, hear: Hear) -> None:
        self._sock = sock
        self._hear = hear
        self._writer: asyncio.StreamWriter | None = None
        self._over = False
        self._early: list[bytes] = []
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._working: set[asyncio.Task[None]] = set()

    def tell(self, what: str, body: Any = None) -> None:
        """Say something that has no answer."""
        self._send({"tell": what, "body": body})

    async def ask(self, what: str, body: Any = None, patience: float = PATIENCE) -> Any:
        """The other end's answer; raises BridgeError as it did, NotRunning when none comes."""
        if self._over:
            raise NotRunning(_GONE)
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._send({"ask": what, "number": number, "body": body})
        try:
            return await asyncio.wait_for(answer, patience)
        except TimeoutError as error:
            raise NotRunning(f"another process of the daemon did not answer ({what})") from error
        finally:
            del self._asked[number]

    async def run(self) -> None:
        """Hear until the other end is gone."""
        self._sock.setblocking(False)  # noqa: FBT003 - its only parameter
        reader, self._writer = await asyncio.open_unix_connection(sock=self._sock, limit=LONGEST)
        for line in self._early:
            self._writer.write(line)
        self._early.clear()
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except (OSError, ValueError):  # gone, or talking nonsense, which comes to the same
            pass
        finally:
            self._over = True
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(NotRunning(_GONE))
            self._writer.close()

    def _take(self, message: dict[str, Any]) -> None:
        if "tell" in message or "ask" in message:
            task = asyncio.ensure_future(self._answer(message))
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        elif (answer := self._asked.get(message["number"])) and not answer.done():
            if "error" in message:
                answer.set_exception(BridgeError(message["error"]))
            else:
                answer.set_result(message["body"])

    async def _answer(self, message: dict[str, Any]) -> None:
        number = message.get("number")
        try:
            said = await self._hear(message.get("tell") or message["ask"], message["body"])
        except BridgeError as error:
            self._refuse(number, error.message)
        except Exception:  # noqa: BLE001 - whoever asked must not wait for nothing
            _log.exception("what another process said could not be done")
            self._refuse(number, "internal error in another process of the daemon; see its log")
        else:
            if number is not None:
                self._send({"number": number, "body": said})

    def _refuse(self, number: int | None, reason: str) -> None:
        if number is not None:
            self._send({"number": number, "error": reason})

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        if self._writer is None:
            self._early.append(line)
            return
        self._writer.write(line)
        if self._writer.transport.get_write_buffer_size() > LONGEST:
            self._writer.transport.abort()  # nobody reads: better alone than full
