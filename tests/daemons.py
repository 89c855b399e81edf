"""Real processes of ours, each in a folder of its own that nothing else looks at."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from ollama_bridge_cli import main

_ROOT = Path(__file__).parent.parent
_PATHS = [str(_ROOT), str(_ROOT / "cli"), str(_ROOT / "tests")]
_KEPT = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "LANG")


class Home:
    """One user's files and environment."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
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
            **environ,
        }

    def run(
        self, *arguments: str, stdin: str = "", **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """The command line as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "ollama_bridge_cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=self.environ | environ,
            timeout=60,
            check=False,
        )

    def call(self, *arguments: str, **environ: str) -> Result:
        """The command line within this process: quicker, for what needs no process of its own."""
        cleared: dict[str, str | None] = dict.fromkeys(os.environ)
        result = CliRunner().invoke(
            main.build(), arguments, env=cleared | self.environ | environ, prog_name="ollama-bridge"
        )
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def json(self, *arguments: str, **environ: str) -> Any:
        """What a command prints with --json."""
        done = self.run(*arguments, "--json", **environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def daemon(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """The daemon in the foreground, with its errors in a pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "ollama_bridge", "--port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=self.environ | environ,
        )

    def write(self, text: str) -> None:
        """Replace the settings file."""
        self.config.write_text(text, encoding="utf-8")

    def note(self) -> dict[str, Any]:
        """daemon.json."""
        found: dict[str, Any] = json.loads((self.state / "daemon.json").read_text())
        return found


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
