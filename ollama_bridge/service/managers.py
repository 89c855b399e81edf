"""The service manager of this system, and what all of them have in common."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ollama_bridge.errors import BridgeError
from ollama_bridge.service import plan as plans
from ollama_bridge.service.plan import Plan

_SECONDS = 90.0
"""How long a manager's own command may take; systemd gives up on a start after that."""


class State(NamedTuple):
    """What the manager tells of the service."""

    installed: bool
    enabled: bool
    """It starts by itself at login."""
    running: bool
    detail: str = ""
    """In the manager's own words."""


class Manager(Protocol):
    """One system's way to keep a program running for a user."""

    kind: str
    """What the user calls it."""
    supervises: bool
    """Whether it starts and stops the program itself; else it only starts it at login."""

    hints: Sequence[str]
    """What the user should know of it."""

    @property
    def place(self) -> str:
        """The file, or the registry's value."""

    def text(self) -> str:
        """What is written there."""

    def check(self) -> None:
        """Raises BridgeError where this user has no such manager."""

    def install(self) -> None:
        """Write it, or write it anew, and have it start at login."""

    def uninstall(self) -> bool:
        """Stop it and take everything away; False when there was nothing."""

    def state(self) -> State:
        """Whether it is there and runs."""

    def missing(self) -> str:
        """The program it would start, when that is not there."""

    def serves(self, state: Path) -> bool:
        """Whether it is installed and its daemon is the one of that state folder."""

    def start(self) -> None:
        """Start it; returns when it answers, where the manager can tell."""

    def stop(self) -> None:
        """Stop it, so that it stays down until it is started or the user logs in again."""


class Answer(NamedTuple):
    """What a manager's command came to."""

    code: int
    said: str


Run = Callable[[Sequence[str]], Answer]


def run(command: Sequence[str]) -> Answer:
    """Run a manager's command; one that is not there answers as the shell would, with 127."""
    try:
        done = subprocess.run(  # noqa: S603 - the system's own programs
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return Answer(127, f"{command[0]}: not found")
    except subprocess.TimeoutExpired:
        return Answer(124, f"{command[0]} did not end within {_SECONDS:g} s")
    return Answer(done.returncode, done.stdout.strip())


def serving(state: Path, environ: Mapping[str, str] = os.environ) -> Manager | None:
    """The installed service that keeps the daemon of that state folder, if there is one."""
    try:
        manager = here(plans.plan(environ=environ), environ=environ)
    except BridgeError:
        return None
    return manager if manager.supervises and manager.serves(state) else None


def here(plan: Plan, environ: Mapping[str, str] = os.environ) -> Manager:
    """The manager of this system; raises BridgeError where there is none we know."""
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "win32":
        from ollama_bridge.service import registry, windows  # only there

        return windows.RunKey(plan, registry.CurrentUser())
    if sys.platform == "darwin":
        from ollama_bridge.service import launchd

        return launchd.Agent(plan, home / "Library" / "LaunchAgents", os.getuid())
    if sys.platform.startswith("linux"):
        from ollama_bridge.service import systemd

        named = environ.get("XDG_CONFIG_HOME", "")
        settings = Path(named) if Path(named).is_absolute() else home / ".config"
        return systemd.Unit(plan, settings / "systemd" / "user")
    raise BridgeError(
        f"no service manager of {sys.platform} is known here; "
        "run `ollama-bridge serve` under your own"
    )
