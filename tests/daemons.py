"""Real processes of ours, each in a folder of its own that nothing else looks at."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import leaks
import planted
from typer.testing import CliRunner, Result

from ollama_bridge_cli import main

_ROOT = Path(__file__).parent.parent
_PATHS = [leaks.WATCHED, str(_ROOT), str(_ROOT / "cli"), str(_ROOT / "tests")]
_KEPT = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "LANG")


class Home:
    """One user's files and environment."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        leaks.look_in(folder)
        self.state = folder / "state"
        self.config = folder / "config.toml"
        self.environ = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
            "HOME": str(folder),
            "USERPROFILE": str(folder),
            "PYTHONPATH": os.pathsep.join(_PATHS),
            "PYTHONUTF8": "1",
            "OLLAMA_BRIDGE_CONFIG": str(self.config),
            "OLLAMA_BRIDGE_STATE": str(self.state),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "OLLAMA_BRIDGE_KEY_LAB": planted.KEY,
            **leaks.ENVIRON,
            **environ,
        }

    def run(
        self, *arguments: str, stdin: str = "", **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """The command line as a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "ollama_bridge_cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=self.environ | environ,
            timeout=60,
            check=False,
        )
        leaks.see(f"`{' '.join(arguments)}`", done.stdout + done.stderr)
        return done

    def call(self, *arguments: str, **environ: str) -> Result:
        """The command line within this process: quicker, for what needs no process of its own."""
        cleared: dict[str, str | None] = dict.fromkeys(os.environ)
        result = CliRunner().invoke(
            main.build(), arguments, env=cleared | self.environ | environ, prog_name="ollama-bridge"
        )
        assert result.exception is None or isinstance(result.exception, SystemExit)
        leaks.see(f"`{' '.join(arguments)}`", result.output)
        return result

    def json(self, *arguments: str, **environ: str) -> Any:
        """What a command prints with --json."""
        done = self.run(*arguments, "--json", **environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def daemon(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """The daemon in the foreground, with its errors in a pipe."""
        heard, errors = os.pipe()
        child = self.unheard(errors, *arguments, **environ)
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        threading.Thread(target=_pass_on, args=(heard, theirs), daemon=True).start()
        child.stderr = os.fdopen(ours, encoding="utf-8")
        return child

    def unheard(self, errors: int, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """The same with errors that go there, where nobody may be reading."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "daemon.stdout").open("w") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "ollama_bridge", "--port", "0", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                text=True,
                encoding="utf-8",
                env=self.environ | environ,
            )
        os.close(errors)
        return child

    def write(self, text: str) -> None:
        """Replace the settings file."""
        self.config.write_text(text, encoding="utf-8")

    def note(self) -> dict[str, Any]:
        """daemon.json."""
        found: dict[str, Any] = json.loads((self.state / "daemon.json").read_text())
        return found


def _pass_on(source: int, goal: int) -> None:
    """Everything a daemon says goes on to the test, and is looked through on its way.

    What a test does not read is let go when the pipe is full: else the daemon would wait for it.
    """
    said = b""
    while data := os.read(source, 65536):
        said = said[-len(planted.KEY) :] + data
        leaks.see("standard error of a daemon", said)
        with contextlib.suppress(OSError):  # nobody reads (any more)
            os.write(goal, data)
    os.close(source)
    os.close(goal)


def until_ready(process: "subprocess.Popen[str]") -> None:
    """Return when a foreground daemon says that it listens."""
    assert process.stderr is not None
    for line in process.stderr:
        if "listens on" in line:
            return
    raise AssertionError(f"the daemon ended with {process.wait()}")


def end(process: "subprocess.Popen[str]") -> None:
    """End a foreground daemon, however the test went."""
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def has_ipv6() -> bool:
    """Whether this machine has the other loopback address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def until(holds: Callable[[], bool]) -> None:
    """Wait for it, a minute at most."""
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")
