"""What a service manager is to run: the right executable, its settings, its state folder."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ollama_bridge import config

NAME = "ollama-bridge"

MARK = "OLLAMA_BRIDGE_SERVICE"
"""Set in a service's environment: the daemon's note then tells that a manager looks after it."""

STATE = "OLLAMA_BRIDGE_STATE"

_CARRIED = (
    "OLLAMA_BRIDGE_CONFIG",
    "OLLAMA_BRIDGE_HOST",
    "OLLAMA_BRIDGE_PORT",
    "OLLAMA_HOST",
    "OLLAMA_ORIGINS",
    "OLLAMA_KEEP_ALIVE",
)
"""Settings of the shell that the service keeps. Keys are not among them: files are no place."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One daemon as a service."""

    executable: str
    """The interpreter that runs us, or the bundle."""
    frozen: bool
    state: Path
    environment: Mapping[str, str]

    @property
    def command(self) -> list[str]:
        """The daemon's command line."""
        return [*self.program, "serve"]

    @property
    def program(self) -> list[str]:
        """The command line's program: a bundle itself, else the script beside its interpreter.

        The interpreter's path is not resolved: in an environment of its own it is a link, and
        only beside that link stands the script. pipx keeps it in its place through upgrades.
        """
        if self.frozen:
            return [self.executable]
        script = Path(self.executable).with_name(NAME)
        if script.is_file():
            return [str(script)]
        return [self.executable, "-P", "-m", "ollama_bridge_cli"]


def plan(
    config_flag: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    executable: str = sys.executable,
    *,
    frozen: bool = getattr(sys, "frozen", False),
) -> Plan:
    """The daemon that `ollama-bridge start` would start here."""
    state = config.state_folder(environ)
    carried = {name: environ[name] for name in _CARRIED if environ.get(name)}
    if config_flag is not None or "OLLAMA_BRIDGE_CONFIG" in carried:
        path = config_flag or config.config_file(environ)
        carried["OLLAMA_BRIDGE_CONFIG"] = str(path.expanduser().absolute())
    return Plan(executable, frozen, state, {STATE: str(state), MARK: "1", **carried})
