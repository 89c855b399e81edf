"""The icon at login: one entry per user, in the form each system reads."""

import os
import plistlib
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ollama_bridge import files
from ollama_bridge.service.windows import RUN, Registry

NAME = "ollama-bridge-tray"
LABEL = "ollama-bridge.tray"

_WAIT = "60"
"""Seconds the panel may take to appear after the login."""

_FLAGS = {"OLLAMA_BRIDGE_CONFIG": "--config", "OLLAMA_BRIDGE_STATE": "--state"}


class Entry(Protocol):
    """One system's way to start a program at login."""

    def install(self) -> None:
        """Make the entry, or make it anew."""

    def remove(self) -> None:
        """Take it away; it may be gone already."""

    def is_installed(self) -> bool:
        """Whether the program will start."""


def here() -> Entry:
    """The entry of this system and this user."""
    command = command_line()
    if sys.platform == "win32":
        from ollama_bridge.service import registry  # only Windows has one

        return RunKey(command, registry.CurrentUser())
    if sys.platform == "darwin":
        return LaunchAgent(command, Path.home() / "Library" / "LaunchAgents")
    return DesktopFile(command, _config_home() / "autostart")


def command_line(
    executable: str = sys.executable,
    environ: Mapping[str, str] = os.environ,
    *,
    frozen: bool = getattr(sys, "frozen", False),
) -> list[str]:
    """The program with absolute paths, its instance, and the daemon started with it."""
    command = [*_program(Path(executable), frozen=frozen), "--start", "--wait", _WAIT]
    for name, flag in _FLAGS.items():
        if named := environ.get(name):
            command += [flag, str(Path(named).expanduser().absolute())]
    return command


def _program(executable: Path, *, frozen: bool) -> list[str]:
    if frozen:
        return [str(executable)]
    script = executable.with_name(NAME + (".exe" if executable.suffix == ".exe" else ""))
    if script.is_file():
        return [str(script)]
    return [str(executable), "-P", "-m", "ollama_bridge_tray"]


class DesktopFile:
    """Linux and other systems that follow freedesktop.org."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.path = folder / f"{NAME}.desktop"
        self._command = command

    def install(self) -> None:
        """Write the file."""
        files.replace(self.path, self.text())

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)

    def is_installed(self) -> bool:
        """The desktop's own settings switch an entry off by a line in the file."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return False
        return not {"Hidden=true", "X-GNOME-Autostart-enabled=false"} & set(lines)

    def text(self) -> str:
        """What stands in the file."""
        lines = {
            "Type": "Application",
            "Name": "Ollama Bridge",
            "Comment": "Answers Ollama's API with models from anywhere",
            "Exec": " ".join(map(_quoted, self._command)),
            "Terminal": "false",
            "StartupNotify": "false",
        }
        return "[Desktop Entry]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())


def _quoted(part: str) -> str:
    """One argument of `Exec`: quoted for itself, then escaped like any value of the file."""
    part = part.replace("%", "%%")
    if shlex.quote(part) == part or part.replace("%", "").isalnum():
        return part
    for mark in '\\"`$':
        part = part.replace(mark, f"\\{mark}")
    return '"' + part.replace("\\", "\\\\") + '"'


class LaunchAgent:
    """macOS; read at the next login."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.path = folder / f"{LABEL}.plist"
        self._command = command

    def install(self) -> None:
        """Write the file."""
        files.replace(self.path, plistlib.dumps(self.document()).decode())

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)

    def is_installed(self) -> bool:
        """Whether the file is there."""
        return self.path.is_file()

    def document(self) -> dict[str, Any]:
        """What stands in the file."""
        return {
            "Label": LABEL,
            "ProgramArguments": self._command,
            "RunAtLoad": True,
            "ProcessType": "Interactive",
            "LimitLoadToSessionType": "Aqua",
        }


class RunKey:
    """Windows."""

    def __init__(self, command: list[str], registry: Registry) -> None:
        self._command = command
        self._registry = registry

    def install(self) -> None:
        """Write the value."""
        self._registry.set(RUN, NAME, subprocess.list2cmdline(self._command))

    def remove(self) -> None:
        """Delete the value."""
        if self.is_installed():
            self._registry.delete(RUN, NAME)

    def is_installed(self) -> bool:
        """Whether the value is there."""
        return self._registry.get(RUN, NAME) is not None


def _config_home() -> Path:
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(named) if named.startswith("/") else Path.home() / ".config"
