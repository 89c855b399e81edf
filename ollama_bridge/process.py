"""A daemon seen from outside: start one that outlives us, stop it, make sure that it is gone."""

import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ollama_bridge import client, config, errors, files, instance, occupant
from ollama_bridge.client import Client
from ollama_bridge.errors import BridgeError, NotRunning, PortTaken, SettingsInvalid
from ollama_bridge.service import managers

BOOT_LOG = "boot.log"
"""What a daemon prints before it has a log."""

STOP_SECONDS = 20.0
_ASK_SECONDS = 5.0
_CUT_SECONDS = 2.0
"""What the daemon needs to end after answers were cut off."""
_KILL_SECONDS = 3.0


Waiting = Callable[[int], None]
"""Told how many answers a stop first waits for, when there are any."""


def _say_nothing(_answers: int) -> None:
    """For whoever shows no messages."""


_BUNDLED = {
    "ollama_bridge": "ollama-bridge-daemon",
    "ollama_bridge_cli": "ollama-bridge",
    "ollama_bridge_tray": "ollama-bridge-tray",
}
"""Programs that stand side by side in a bundle, where no interpreter runs modules."""


def program(
    package: str,
    executable: str = sys.executable,
    *,
    frozen: bool = getattr(sys, "frozen", False),
) -> list[str]:
    """The command that runs one of our packages as a process of its own."""
    if frozen:
        here = Path(executable)
        return [str(here.with_name(_BUNDLED[package] + here.suffix))]
    # -P: no module of the working folder may stand in for one of ours
    return [executable, "-P", "-m", package]


@dataclass(frozen=True, slots=True)
class Start:
    """How a daemon is to be started in the background."""

    config_path: Path | None = None
    host: str | None = None
    port: int | None = None
    verbose: bool = False
    service: bool = False
    """By the service manager, which started the last one."""
    workers: int = 1

    @property
    def is_plain(self) -> bool:
        """Nothing is asked for that an installed service would not do."""
        return self == Start(service=self.service)

    def command(self, instance_id: str) -> list[str]:
        """The command line of the daemon's process."""
        flags = {
            "--config": self.config_path,
            "--host": self.host,
            "--port": self.port,
            "--workers": self.workers if self.workers > 1 else None,
        }
        given = [
            part for flag, value in flags.items() if value is not None for part in (flag, value)
        ]
        command = [*program("ollama_bridge"), "--instance", instance_id]
        return [*command, *map(str, given), *(["--verbose"] if self.verbose else [])]


def like(
    last: instance.Instance | None, settings: Path | None = None, *, verbose: bool = False
) -> Start:
    """How to start a daemon as the last one was started; `settings` win over its own."""
    if last is None:
        return Start(settings, verbose=verbose)
    by_service = last.service and settings is None
    path = settings or Path(last.config)
    return Start(path, last.host_flag, last.port_flag, verbose, by_service, last.workers)


def ensure(
    how: Start, timeout: float, environ: Mapping[str, str] = os.environ
) -> tuple[Client, bool]:
    """The daemon that runs, or a new one, and whether it is new; raises what `start` raises.

    When two are started at once, one of them loses the lock; both are given the other's daemon.
    """
    state = config.state_folder(environ)
    with contextlib.suppress(NotRunning):
        return client.connect(state), False
    begun = time.monotonic()
    try:
        return start(how, timeout, environ), True
    except PortTaken:
        left = max(1.0, timeout - (time.monotonic() - begun))
        running = join(state, left)
        if running is None:
            raise
        return running, False


def start(how: Start, timeout: float, environ: Mapping[str, str] = os.environ) -> Client:
    """Start a daemon and return when it answers; raises the error it ended with.

    An installed service is started as one, unless flags ask for something else.
    """
    state = files.folder(config.state_folder(environ))
    if (how.service or how.is_plain) and (manager := managers.serving(state, environ)):
        return _by(manager, state, timeout, environ)
    instance_id = secrets.token_hex(8)
    boot_log = state / BOOT_LOG
    with files.emptied(boot_log) as output:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            how.command(instance_id),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=Path.home(),
            env=dict(environ),
            start_new_session=True,
            creationflags=_DETACHED,
        )
    # a parent that lives on, like the tray, must not keep a dead daemon as a zombie
    threading.Thread(target=child.wait, name="reaper", daemon=True).start()
    try:
        return client.wait_ready(state, instance_id, timeout, lambda: child.poll() is None)
    except NotRunning:
        if child.poll() is None:
            child.terminate()  # a start that failed leaves nothing behind
            raise
        said = boot_log.read_text(encoding="utf-8", errors="replace")
        raise last_words(child.returncode, said) from None


def _by(
    manager: managers.Manager, state: Path, timeout: float, environ: Mapping[str, str]
) -> Client:
    try:
        manager.start()
    except SettingsInvalid:
        config.load(environ=environ)  # says more than a manager does
        raise
    except PortTaken:
        server = config.load(environ=environ).server
        raise PortTaken(occupant.taken(server.host, server.port)) from None
    deadline = time.monotonic() + timeout
    while (running := join(state, max(0.0, deadline - time.monotonic()))) is None:
        if time.monotonic() > deadline:
            raise NotRunning(
                f"the {manager.kind} did not answer within {timeout:g} s; "
                "see `ollama-bridge service status` and `ollama-bridge logs`"
            )
        time.sleep(0.05)
    return running


_DETACHED = getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(
    subprocess, "CREATE_NEW_PROCESS_GROUP", 0
)
"""Flags of Windows; 0 elsewhere, where a new session does the same."""


def stop(
    state: Path,
    timeout: float = STOP_SECONDS,
    patience: float = _ASK_SECONDS,
    waiting: Waiting = _say_nothing,
) -> bool:
    """Stop the daemon of that state folder; False when none was running.

    A service stays installed, but down: its manager is told too, in case the daemon was killed.
    """
    try:
        return _stop(state, timeout, patience, waiting)
    finally:
        if manager := managers.serving(state):
            manager.stop()


def _stop(state: Path, timeout: float, patience: float, waiting: Waiting) -> bool:
    finish = max(0.0, timeout - _CUT_SECONDS) if timeout < STOP_SECONDS else None
    running = join(state, patience)  # it may be starting: the note is then still the last one's
    if running is None and is_gone(state, 0):
        instance.remove(state)  # left by a daemon that was killed
        return False
    note = instance.read(state)
    if running is not None:
        with contextlib.suppress(NotRunning):
            if answers := running.status()["active"]:
                waiting(answers)
            running.shutdown(finish)
    if not is_gone(state, timeout):
        _end(note)
        if not is_gone(state, _KILL_SECONDS):
            raise BridgeError(
                f"the daemon{f' (process {note.pid})' if note else ''} does not end; end it by hand"
            )
        instance.remove(state)
    return True


def restart(
    state: Path,
    timeout: float,
    last: instance.Instance | None = None,
    settings: Path | None = None,
    *,
    verbose: bool = False,
    waiting: Waiting = _say_nothing,
) -> Client:
    """Stop the daemon and start it again as it was; `last` is for one that left no note."""
    how = like(instance.read(state) or last, settings, verbose=verbose)
    config.load(how.config_path)  # settings with an error end no daemon that runs
    stop(state, waiting=waiting)
    return start(how, timeout)


def join(state: Path, timeout: float) -> Client | None:
    """The daemon that another `start` is just starting; None when there is none."""
    deadline = time.monotonic() + timeout
    while not is_gone(state, 0):
        with contextlib.suppress(NotRunning):
            return client.connect(state, max(0.1, deadline - time.monotonic()))
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return None


def is_gone(state: Path, timeout: float) -> bool:
    """Whether no daemon holds the lock, now or within that time."""
    import filelock  # only stopping needs it

    if not state.is_dir():
        return True
    lock = filelock.FileLock(state / instance.LOCK)
    try:
        lock.acquire(timeout=timeout)
    except filelock.Timeout:
        return False
    except OSError as error:
        raise files.unwritable(error, state) from error
    lock.release()
    return True


def _end(note: instance.Instance | None) -> None:
    """End the process of that note, and no other that has its number by now."""
    import psutil  # only for a daemon that does not listen

    if note is None:
        return
    try:
        process = psutil.Process(note.pid)
        if abs(process.create_time() - note.create_time) > 1:
            return
        process.terminate()
        process.wait(_KILL_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
    except psutil.Error:
        return


def last_words(code: int, text: str) -> BridgeError:
    """The error a daemon left with, as if it had happened here; `text` is what it printed."""
    text = text.strip()
    _, marked, said = f"\n{text}".rpartition("\nerror: ")  # what to do may follow, line by line
    if not marked:
        said = text.splitlines()[-1] if text else f"the daemon ended with status {code}"
    kinds = {kind.exit_code: kind for kind in _KINDS}
    return kinds.get(code, BridgeError)(said)


_KINDS = (errors.BridgeError, errors.SettingsInvalid, errors.KeyringUnusable, errors.PortTaken)
