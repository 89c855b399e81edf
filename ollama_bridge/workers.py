"""Several processes that answer at one port, and the one that looks after them.

Strategy: the supervisor holds the lock, the note, the sockets that listen, the log and the sums of
today's spending, and answers nobody. Each worker is a daemon like any other, on sockets it was
handed, and says what the others have to know over a channel of its own. A worker that ends is
replaced; clients that had not been accepted yet wait in the sockets' queue meanwhile.
"""

import asyncio
import contextlib
import functools
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ollama_bridge import __version__, instance, process
from ollama_bridge.channel import Channel
from ollama_bridge.errors import BridgeError, NotRunning
from ollama_bridge.ledger import Ledger
from ollama_bridge.spending import Daybook, heard

START_SECONDS = 60.0
"""How long the first workers have to be ready."""

SPARE_SECONDS = 5.0
"""What a worker gets to end, beyond the time for its answers."""

_STEADY = 10.0
"""Seconds after which a worker that ends is no worker that cannot start."""

_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds before another one is started; doubled for each that did not last."""

_PIPE = 65536

_log = logging.getLogger("ollama_bridge")

Write = Callable[[str], None]


def refuse_here() -> None:
    """Raise where processes cannot share a port."""
    if not hasattr(socket, "AF_UNIX") or sys.platform == "win32":
        raise BridgeError(
            "--workers needs a system whose processes can share a port (Linux, macOS); here, run "
            "one daemon, or several on ports of their own behind a load balancer"
        )


class Worker:
    """One process, and what is known of it."""

    def __init__(self, number: int, child: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = number
        """Counts the processes of this daemon; no two have the same."""
        self.process = child
        self.channel = channel
        self.ready = asyncio.Event()
        self.last_words = ""


class Supervisor:
    """Runs until told to stop. `command` is what starts a worker; a flag names its channel."""

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        sockets: list[socket.socket],
        note: instance.Instance,
        *,
        state: Path,
        environ: Mapping[str, str],
        write: Write,
        finish: float,
    ) -> None:
        self._command = command
        self._count = count
        self._sockets = sockets
        self._note = note
        self._environ = {k: v for k, v in environ.items() if k != "NOTIFY_SOCKET"}
        self._write = write
        self._finish = finish
        self._ledger = Ledger(state, Daybook(time.time_ns))
        self._workers: dict[int, Worker] = {}
        """By the place they fill, from 0."""
        self._next = 1
        self._stopping = asyncio.Event()
        self.signals: list[int] = []
        """Those that came, in order."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Keep the workers running; `ready` is called once all answer. Raises BridgeError."""
        self._catch_signals()
        keepers = [asyncio.ensure_future(self._keep(place)) for place in range(self._count)]
        try:
            await self._all_ready(keepers)
            if not self._stopping.is_set():
                ready()
            await self._stopping.wait()
        finally:
            self._stopping.set()
            await self._end()
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            self._ledger.close()

    # starting

    async def _all_ready(self, keepers: "Sequence[asyncio.Future[None]]") -> None:
        """Wait for all; the first that ends instead ends the daemon, with what it said."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not self._stopping.is_set():
            for keeper in keepers:
                if keeper.done():
                    keeper.result()
            workers = list(self._workers.values())
            if len(workers) == self._count and all(one.ready.is_set() for one in workers):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise BridgeError(
                    f"the workers were not ready within {START_SECONDS:g} s; see "
                    "`ollama-bridge logs`"
                )
            await asyncio.sleep(0.02)

    async def _keep(self, place: int) -> None:
        """Fill one place for as long as the daemon runs."""
        was_ready = False
        pause = _PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            worker = await self._started(place)
            code = await self._watched(worker)
            was_ready = was_ready or worker.ready.is_set()
            if self._stopping.is_set():
                return
            if not was_ready:
                raise process.last_words(code, worker.last_words)
            if not worker.ready.is_set():
                self._write(worker.last_words)
            lasted = time.monotonic() - began > _STEADY
            pause = _PAUSE if lasted else min(_LONGEST_PAUSE, pause * 2)
            _log.error(
                "worker %d (process %d) ended with status %d; another one is started",
                worker.number,
                worker.process.pid,
                code,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _started(self, place: int) -> Worker:
        number = self._next
        self._next += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        fds = [one.fileno() for one in self._sockets]
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                "--channel",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(*fds, theirs.fileno()),
                env=self._environ,
                process_group=0,  # Ctrl-C is for the supervisor, which tells them
            )
        finally:
            theirs.close()
        hello = {
            "note": asdict(self._note),
            "sockets": fds,
            "number": number,
            "workers": self._count,
            "spending": self._ledger.book.document(),
        }
        with contextlib.suppress(OSError):  # it has ended already, and has said why
            ours.sendall(json.dumps(hello).encode() + b"\n")
        channel = Channel(ours, functools.partial(self._hear, number))
        worker = self._workers[place] = Worker(number, child, channel)
        return worker

    async def _watched(self, worker: Worker) -> int:
        """The worker's status when it has ended; until then its messages and its log are taken."""
        hearing = asyncio.ensure_future(worker.channel.run())
        reading = asyncio.ensure_future(self._read(worker))
        try:
            code = await worker.process.wait()
            await asyncio.wait([reading], timeout=1.0)
            return code
        finally:
            hearing.cancel()
            reading.cancel()

    async def _read(self, worker: Worker) -> None:
        """What the worker writes, whole lines at a time, into the one log."""
        pipe = worker.process.stderr
        rest = b""
        while pipe is not None and (data := await pipe.read(_PIPE)):
            whole, end, rest = (rest + data).rpartition(b"\n")
            self._take(worker, whole + end)
            if len(rest) > _PIPE * 16:
                self._take(worker, rest + b"\n")
                rest = b""
        if rest:
            self._take(worker, rest + b"\n")

    def _take(self, worker: Worker, text: bytes) -> None:
        said = text.decode(errors="replace")
        if not said:
            return
        if worker.ready.is_set():
            self._write(said)
        else:
            worker.last_words = (worker.last_words + said)[-_PIPE:]

    # hearing

    async def _hear(self, number: int, what: str, body: Any) -> Any:
        worker = next(one for one in self._workers.values() if one.number == number)
        if what == "ready":
            self._write(worker.last_words)
            worker.ready.set()
            return None
        if what == "stop":
            self._stop(body)
            return None
        if what == "others":
            return await self._others(worker, **body)
        if what == "spent":
            self._ledger.book.take(*heard(body))
            self._ledger.changed()
        for other in self._running():
            if other is not worker:
                other.channel.tell(what, body)
        return None

    async def _others(self, worker: Worker, what: str, body: Any, patience: float) -> list[Any]:
        """The answers of all other workers; of one that ends meanwhile there is none."""
        channels = [one.channel for one in self._running() if one is not worker]
        answers = await asyncio.gather(
            *(channel.ask(what, body, patience) for channel in channels), return_exceptions=True
        )
        return [
            {"error": answer.message} if isinstance(answer, BridgeError) else {"body": answer}
            for answer in answers
            if not isinstance(answer, NotRunning)
        ]

    def _running(self) -> list[Worker]:
        workers = self._workers.values()
        return [one for one in workers if one.ready.is_set() and one.process.returncode is None]

    # ending

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: int) -> None:
        self.signals.append(number)
        if self._stopping.is_set():  # the second one: nobody is waited for
            self._finish = 0.0
            for worker in self._workers.values():
                self._tell_stop(worker)
        self._stop(None)

    def _stop(self, finish: float | None) -> None:
        if finish is not None:
            self._finish = finish
        self._stopping.set()

    def _tell_stop(self, worker: Worker) -> None:
        if worker.ready.is_set():
            worker.channel.tell("stop", self._finish)
        elif worker.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                worker.process.terminate()

    async def _end(self) -> None:
        """All of them at once: each finishes its answers, within the time there is."""
        for one in self._sockets:
            one.close()  # whoever comes now is refused, as by a daemon that has ended
        for worker in self._workers.values():
            self._tell_stop(worker)
        waiting = [asyncio.ensure_future(one.process.wait()) for one in self._workers.values()]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=self._finish + SPARE_SECONDS)
        if late:
            _log.warning("%d workers did not end and are killed", len(late))
        for worker in self._workers.values():
            if worker.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()
        await asyncio.gather(*waiting)

    @property
    def greeting(self) -> str:
        """What the log says once all are ready."""
        return (
            f"Ollama Bridge {__version__} listens on {self._note.address} with {self._count} "
            f"workers, settings {self._note.config}"
        )


def received(fd: int) -> tuple[socket.socket, dict[str, Any]]:
    """A worker's end of the channel, and the supervisor's first message."""
    sock = socket.socket(fileno=fd)
    parts: list[bytes] = []
    while not parts or not parts[-1].endswith(b"\n"):
        data = sock.recv(_PIPE)  # nothing else comes before the worker says that it is ready
        if not data:
            raise BridgeError("the supervisor ended before its worker began")
        parts.append(data)
    hello: dict[str, Any] = json.loads(b"".join(parts))
    return sock, hello
