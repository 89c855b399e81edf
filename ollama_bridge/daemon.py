"""The daemon's process: lock, sockets, note, log, server, clean end.

Strategy: nothing heavy is imported before the port listens, so that a client that comes early waits
in the socket's queue instead of being refused. The lock, not the note, tells whether one runs: the
operating system frees it however the process ends.
"""

import contextlib
import dataclasses
import errno
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ollama_bridge import __version__, config, editing, files, instance, listening, log
from ollama_bridge.config import Config
from ollama_bridge.errors import BridgeError, PortTaken
from ollama_bridge.service import plan

if TYPE_CHECKING:
    import uvicorn

    from ollama_bridge.keys import Keys
    from ollama_bridge.ledger import Ledger
    from ollama_bridge.server import serving
    from ollama_bridge.server.app import App
    from ollama_bridge.server.front import Front
    from ollama_bridge.server.siblings import Siblings
    from ollama_bridge.spending import Daybook

_log = logging.getLogger("ollama_bridge")

_LOCK_SECONDS = 0.5
"""A command that looks whether a daemon runs holds the lock for a moment."""

FINISH_SECONDS = 8.0
"""How long a stop waits for answers; containers are killed after ten seconds."""

_KEEP_ALIVE_SECONDS = 75
"""Ollama never closes idle connections; clients that reuse them must not lose a race with us."""

_INTERRUPTED = 130


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about one run of the daemon."""

    config_path: Path | None = None
    host: str | None = None
    port: int | None = None
    log_format: str = "text"
    verbose: bool = False
    finish: float = FINISH_SECONDS
    """Seconds that answers have to be complete when the daemon is stopped."""
    instance: str = ""
    """Set by `start`, which waits for this id; such a daemon has no terminal to log to."""
    workers: int = 1
    """Processes that answer; with more than one, another looks after them."""
    channel: int | None = None
    """Set for a worker: the open file over which the supervisor is reached."""


def serve(options: Options, environ: Mapping[str, str] = os.environ) -> int:
    """Run until told to stop; the exit code. Raises errors of ours when it cannot begin."""
    os.umask(0o077)  # logs and caches are nobody else's business
    _set_limits()
    if options.channel is not None:
        return _work(options, environ, options.channel)
    if options.workers > 1:
        from ollama_bridge import workers  # only then

        workers.refuse_here()
    settings = _settings(options, environ)
    state = files.folder(config.state_folder(environ))
    try:
        return _serve(options, environ, settings, state)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise files.unwritable(error, state) from error


def _set_limits() -> None:
    """As many files as we can have, for a stream needs two; and no core dump: keys are in it."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS promises more than it gives
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


_UNWRITABLE = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS)


def _serve(options: Options, environ: Mapping[str, str], settings: Config, state: Path) -> int:
    with _alone(state):
        sockets = listening.listen(settings.server.host, settings.server.port)
        note = _note(options, environ, settings, listening.port_of(sockets))
        instance.write(state, note)
        try:
            if options.workers > 1:
                return _supervise(options, environ, state, note, sockets)
            return _Daemon(options, environ, settings, state, note).run(sockets)
        finally:
            instance.remove(state)


def _supervise(
    options: Options,
    environ: Mapping[str, str],
    state: Path,
    note: instance.Instance,
    sockets: list[socket.socket],
) -> int:
    """Look after the workers, which answer, until told to stop."""
    import asyncio  # only then

    from ollama_bridge import workers

    supervisor = workers.Supervisor(
        _worker_command(options),
        options.workers,
        sockets,
        note,
        state=state,
        environ=environ,
        write=_log_here(options, state),
        finish=options.finish,
    )

    def ready() -> None:
        _log.info("%s", supervisor.greeting)
        notify(environ, "READY=1")

    asyncio.run(supervisor.run(ready))
    _log.info("stopped")
    return _INTERRUPTED if signal.SIGINT in supervisor.signals else 0


def _worker_command(options: Options) -> list[str]:
    from ollama_bridge import process  # only then

    flags = {
        "--config": options.config_path,
        "--host": options.host,
        "--port": options.port,
        "--log-format": options.log_format,
        "--finish": options.finish,
    }
    given = [
        part for flag, value in flags.items() if value is not None for part in (flag, str(value))
    ]
    verbose = ["--verbose"] if options.verbose else []
    return [*process.program("ollama_bridge"), *given, *verbose]


def _work(options: Options, environ: Mapping[str, str], channel: int) -> int:
    """Answer as one of several, on the supervisor's sockets."""
    from ollama_bridge import workers

    sock, hello = workers.received(channel)
    note = instance.Instance(**hello["note"])
    sockets = [socket.socket(fileno=number) for number in hello["sockets"]]
    state = config.state_folder(environ)
    settings = _settings(options, environ)
    return _Worker(options, environ, settings, state, note, sock, hello).run(sockets)


def _log_here(options: Options, state: Path) -> log.Write:
    return log.set_up(
        state,
        options.log_format,
        verbose=options.verbose,
        console=not options.instance and sys.stderr is not None,  # pythonw has none
    )


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    import filelock  # only this process and `stop` need it

    lock = filelock.FileLock(state / instance.LOCK)
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except filelock.Timeout as error:
        note = instance.read(state)
        where = f" at {note.address} (process {note.pid})" if note else ""
        raise PortTaken(
            f"Ollama Bridge is running already{where}; stop it with `ollama-bridge stop`, "
            "or give this one a folder of its own with OLLAMA_BRIDGE_STATE"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _settings(options: Options, environ: Mapping[str, str]) -> Config:
    loaded = config.load(options.config_path, environ)
    return config.listen_at(loaded, options.host, options.port)


def _note(
    options: Options, environ: Mapping[str, str], settings: Config, port: int
) -> instance.Instance:
    import psutil  # after the port listens

    return instance.Instance(
        id=options.instance or secrets.token_hex(8),
        pid=os.getpid(),
        create_time=psutil.Process().create_time(),
        host=settings.server.host,
        port=port,
        token=secrets.token_urlsafe(32),
        version=__version__,
        config=str(settings.path),
        host_flag=options.host,
        port_flag=options.port,
        service=bool(environ.get(plan.MARK)),
        workers=options.workers,
    )


class _Daemon:
    """One run of the server, from the first import to the last log line."""

    def __init__(
        self,
        options: Options,
        environ: Mapping[str, str],
        settings: Config,
        state: Path,
        note: instance.Instance,
    ) -> None:
        self._options = options
        self._environ = environ
        self._settings = settings
        self._state = state
        self._note = note
        self._server: serving.Server | None = None
        self._front: Front | None = None
        self._ledger: Ledger | None = None
        self._signals: list[int] = []

    def run(self, sockets: list[socket.socket]) -> int:
        """Serve until stopped."""
        self._catch_signals()
        self._log()
        self._server = self._build()
        try:
            if not self._signals:
                self._serve(self._server, sockets)
        finally:
            if self._ledger is not None:
                self._ledger.close()
        _log.info("stopped")
        return _INTERRUPTED if signal.SIGINT in self._signals else 0

    def _serve(self, server: "serving.Server", sockets: list[socket.socket]) -> None:
        try:
            server.run(sockets=sockets)
            if self._front is not None and self._front.error is not None:
                raise self._front.error
        except SystemExit as error:  # uvicorn's way to say that the application did not start
            raise BridgeError("the server could not start; see `ollama-bridge logs`") from error

    def _build(self) -> "serving.Server":
        from ollama_bridge.server import front, serving  # after the port listens

        self._front = front.Front(self._application, self._stop)
        settings = _server_settings(self._front, self._ready)
        return serving.Server(settings, self._front, self._options.finish)

    def _application(self) -> "App":
        """Import and build what answers; called in a thread, while the port answers already."""
        from ollama_bridge.keys import Keys
        from ollama_bridge.server import app

        keys = Keys(self._environ)
        return app.build(
            self._complete(self._settings),
            keys=keys,
            instance=self._note.id,
            token=self._note.token,
            reload=lambda: self._reload(keys),
            stop=self._stop,
            state=self._state,
            spending=self._spending(),
            siblings=self._siblings(),
            reread=lambda: _settings(self._options, self._environ),
            edit=lambda change: editing.edit(self._settings.path, change, self._environ),
        )

    def _log(self) -> None:
        _log_here(self._options, self._state)

    def _spending(self) -> "Daybook":
        from ollama_bridge.ledger import Ledger
        from ollama_bridge.spending import Daybook

        book = Daybook(time.time_ns)
        ledger = self._ledger = Ledger(self._state, book)
        book.tell = lambda *_: ledger.changed()
        return book

    def _siblings(self) -> "Siblings":
        from ollama_bridge.server.siblings import NOBODY

        return NOBODY

    def _reload(self, keys: "Keys") -> Config:
        """The settings anew; what the sockets are bound to stays until a restart."""
        fresh = _settings(self._options, self._environ)
        bound, wanted = self._settings.server, fresh.server
        if (wanted.host, wanted.port) != (bound.host, bound.port):
            _log.warning("the new address takes a restart: `ollama-bridge restart`")
        keys.forget()
        _log.info("settings read anew from %s", fresh.path)
        return self._complete(config.listen_at(fresh, bound.host, bound.port))

    def _complete(self, settings: Config) -> Config:
        """Fill in what only the running daemon knows."""
        settings = config.listen_at(settings, self._note.host, self._note.port)
        return _with_demo(settings)

    async def _ready(self) -> None:
        _no_pauses()
        _log.info(
            "Ollama Bridge %s listens on %s, settings %s",
            __version__,
            self._note.address,
            self._note.config,
        )
        notify(self._environ, "READY=1")

    def _stop(self, finish: float | None = None) -> None:
        if self._server is None:
            return
        if finish is not None:
            self._server.patience = finish
        self._server.should_exit = True

    def _catch_signals(self) -> None:
        """Let a signal end the server; uvicorn hands its own back to these when it is done."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        self._stop()


class _Worker(_Daemon):
    """One of several that share the sockets; the supervisor keeps the log and the counts."""

    def __init__(
        self,
        options: Options,
        environ: Mapping[str, str],
        settings: Config,
        state: Path,
        note: instance.Instance,
        sock: socket.socket,
        hello: Mapping[str, Any],
    ) -> None:
        super().__init__(options, environ, settings, state, note)
        from ollama_bridge.server.siblings import Place, Workers

        self._hello = hello
        place = Place(hello["number"], hello["workers"], note.pid)
        self._others = Workers(sock, place, self._stop)

    def _log(self) -> None:
        log.set_up_pipe(self._options.log_format, verbose=self._options.verbose)

    def _spending(self) -> "Daybook":
        from ollama_bridge.spending import Daybook, told

        book = Daybook(time.time_ns)
        book.restore(self._hello["spending"])
        book.tell = lambda *said: self._others.tell("spent", told(*said))
        return book

    def _siblings(self) -> "Siblings":
        return self._others

    async def _ready(self) -> None:
        _no_pauses()
        number = self._hello["number"]
        _log.info("worker %d is process %d", number, os.getpid())


def _no_pauses() -> None:
    gc.set_threshold(50_000, 20, 50)


def _with_demo(settings: Config) -> Config:
    """Give the demo provider the address its server got."""
    from ollama_bridge.server import demo  # after the port listens

    providers = {
        name: dataclasses.replace(row, url=demo.address()) if row.url == demo.MARK else row
        for name, row in settings.providers.items()
    }
    return dataclasses.replace(settings, providers=providers)


def _server_settings(application: Any, ready: Callable[[], Any]) -> "uvicorn.Config":
    import uvicorn  # after the port listens

    from ollama_bridge.server.connection import Connection

    return uvicorn.Config(
        application,
        interface="asgi3",
        loop="auto",  # uvloop where it is installed
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,  # Ollama sends none
        proxy_headers=False,  # nobody may name himself another client
        backlog=listening.BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        callback_notify=ready,  # called once the server has started …
        timeout_notify=1_000_000_000,  # … and again after thirty years
    )


def notify(environ: Mapping[str, str], state: str) -> None:
    """Tell systemd, when it waits for it."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        channel.sendto(state.encode(), address)
