"""macOS: a LaunchAgent, which launchd starts at login and again after a crash."""

import plistlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ollama_bridge import files
from ollama_bridge.errors import BridgeError
from ollama_bridge.service import plan as plans
from ollama_bridge.service.managers import Run, State, run
from ollama_bridge.service.plan import Plan

LABEL = plans.NAME

_NOT_LOADED = (3, 36, 113)
"""What launchctl answers of a service that it does not have."""


class Agent:
    """The file below `~/Library/LaunchAgents`, and `launchctl` for this user."""

    kind = "LaunchAgent"
    supervises = True
    hints: Sequence[str] = ()

    def __init__(self, plan: Plan, folder: Path, user_id: int, run: Run = run) -> None:
        self.path = folder / f"{LABEL}.plist"
        self._plan = plan
        self._domain = f"gui/{user_id}"
        self._service = f"{self._domain}/{LABEL}"
        self._run = run

    @property
    def place(self) -> str:
        """The property list."""
        return str(self.path)

    def text(self) -> str:
        """The property list's XML."""
        return plistlib.dumps(self.document(), sort_keys=False).decode()

    def document(self) -> dict[str, Any]:
        """What stands in it. A clean exit is what `ollama-bridge stop` asks for: it is final."""
        return {
            "Label": LABEL,
            "ProgramArguments": self._plan.command,
            "EnvironmentVariables": dict(self._plan.environment),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            "ExitTimeOut": 20,
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardOutPath": "/dev/null",
            "StandardErrorPath": str(self._plan.state / "launchd.log"),
        }

    def check(self) -> None:
        """Every user who is logged in has launchd."""

    def install(self) -> None:
        """Write and load it; loading starts it."""
        files.replace(self.path, self.text())
        files.folder(self._plan.state)
        self._unload()
        self._must("enable", self._service)
        self._must("bootstrap", self._domain, self.place)

    def uninstall(self) -> bool:
        """Unload and delete it."""
        there = self.path.exists()
        self._unload()
        self.path.unlink(missing_ok=True)
        (self._plan.state / "launchd.log").unlink(missing_ok=True)
        return there

    def state(self) -> State:
        """What the file and launchd say."""
        there = self.path.exists()
        code, said = self._ask("print", self._service)
        lines = [line.strip() for line in said.splitlines()] if code == 0 else []
        found = next((line for line in lines if line.startswith("state = ")), "")
        detail = found.removeprefix("state = ") if code == 0 else "not loaded"
        return State(there, there, detail == "running", detail if there else "")

    def serves(self, state: Path) -> bool:
        """By the state folder that the file names."""
        variables = self._written().get("EnvironmentVariables")
        return isinstance(variables, dict) and variables.get(plans.STATE) == str(state)

    def missing(self) -> str:
        """The program that the file names, when that is gone."""
        program = str((self._written().get("ProgramArguments") or [""])[0])
        return "" if Path(program).exists() else program

    def start(self) -> None:
        """Load it where it is not, and start it where it does not run."""
        if self._ask("print", self._service)[0]:
            self._must("bootstrap", self._domain, self.place)
        self._must("kickstart", self._service)

    def stop(self) -> None:
        """Ask it to end; after that clean exit launchd leaves it down."""
        if self.state().running:
            self._ask("kill", "SIGTERM", self._service)

    def _written(self) -> dict[str, Any]:
        try:
            document = plistlib.loads(self.path.read_bytes())
        except (OSError, plistlib.InvalidFileException, ValueError, TypeError):
            return {}
        return document if isinstance(document, dict) else {}

    def _unload(self) -> None:
        code, said = self._ask("bootout", self._service)
        if code and code not in _NOT_LOADED:
            raise BridgeError(f"launchctl bootout {self._service} failed: {said}")

    def _must(self, *words: str) -> None:
        code, said = self._ask(*words)
        if code:
            raise BridgeError(f"launchctl {' '.join(words)} failed ({code}): {said}")

    def _ask(self, *words: str) -> tuple[int, str]:
        return self._run(["launchctl", *words])
