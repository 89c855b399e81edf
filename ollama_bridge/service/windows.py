"""Windows: a value of the user's Run key, which starts the daemon at login."""

import subprocess
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Protocol

from ollama_bridge.service import plan as plans
from ollama_bridge.service.managers import State
from ollama_bridge.service.plan import Plan

RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"


class Registry(Protocol):
    """Text values under the user's key of the registry."""

    def get(self, key: str, name: str) -> str | None:
        """The value, or None when it is not there."""

    def set(self, key: str, name: str, value: str) -> None:
        """Make or replace the value."""

    def delete(self, key: str, name: str) -> None:
        """Delete the value, which must be there."""


class RunKey:
    """Starts the daemon without a console window; nothing looks after it then."""

    kind = "Run key"
    supervises = False
    hints: Sequence[str] = (
        "Windows starts it at login, and does not start it again when it ends.",
    )

    def __init__(self, plan: Plan, registry: Registry) -> None:
        self._plan = plan
        self._registry = registry

    @property
    def place(self) -> str:
        """The value's name in full."""
        return rf"HKEY_CURRENT_USER\{RUN}\{plans.NAME}"

    def text(self) -> str:
        """The command line. The environment of a login has no settings: they become flags."""
        return subprocess.list2cmdline([*self._program(), *self._flags()])

    def check(self) -> None:
        """Every user has a registry."""

    def install(self) -> None:
        """Write the value."""
        self._registry.set(RUN, plans.NAME, self.text())

    def uninstall(self) -> bool:
        """Delete the value."""
        there = self._registry.get(RUN, plans.NAME) is not None
        if there:
            self._registry.delete(RUN, plans.NAME)
        return there

    def state(self) -> State:
        """Whether the value is there; who runs is the daemon's own business."""
        there = self._registry.get(RUN, plans.NAME) is not None
        return State(there, there, running=False)

    def serves(self, state: Path) -> bool:
        """By the state folder that the value names."""
        found = self._registry.get(RUN, plans.NAME) or ""
        return subprocess.list2cmdline(["--state", str(state)]) in found

    def missing(self) -> str:
        """The program that the value names, when that is gone."""
        found = self._registry.get(RUN, plans.NAME) or ""
        program = found[1:].partition('"')[0] if found[:1] == '"' else found.partition(" ")[0]
        return "" if not program or Path(program).exists() else program

    def start(self) -> None:
        """Nothing: `ollama-bridge start` does it."""

    def stop(self) -> None:
        """Nothing: `ollama-bridge stop` does it."""

    def _program(self) -> list[str]:
        """A bundle has a windowless program of its own; python.exe would show a console."""
        windowless = "ollama-bridge-daemon.exe" if self._plan.frozen else "pythonw.exe"
        program = str(PureWindowsPath(self._plan.executable).with_name(windowless))
        return [program] if self._plan.frozen else [program, "-P", "-m", "ollama_bridge"]

    def _flags(self) -> list[str]:
        flags = {
            "--state": plans.STATE,
            "--config": "OLLAMA_BRIDGE_CONFIG",
            "--host": "OLLAMA_BRIDGE_HOST",
            "--port": "OLLAMA_BRIDGE_PORT",
        }
        given = self._plan.environment
        pairs = [(flag, given[name]) for flag, name in flags.items() if name in given]
        return [part for pair in pairs for part in pair]
