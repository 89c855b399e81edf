"""Linux: a unit of the user's own systemd, which is told when the daemon answers."""

import re
from collections.abc import Sequence
from pathlib import Path

from ollama_bridge import files
from ollama_bridge.errors import BridgeError, PortTaken, SettingsInvalid
from ollama_bridge.service import plan as plans
from ollama_bridge.service.managers import Run, State, run
from ollama_bridge.service.plan import Plan

UNIT = f"{plans.NAME}.service"

_HOPELESS = (2, SettingsInvalid.exit_code, PortTaken.exit_code)
"""Exit codes of a daemon that would fail again in the same way."""

_EXEC = re.compile(r"(?m)^ExecStart=.*$")

_KINDS = {kind.exit_code: kind for kind in (SettingsInvalid, PortTaken)}


class Unit:
    """The file below `~/.config/systemd/user`, and `systemctl --user`."""

    kind = "systemd user service"
    supervises = True
    hints: Sequence[str] = ("It runs while you are logged in; always: `loginctl enable-linger`.",)

    def __init__(self, plan: Plan, folder: Path, run: Run = run) -> None:
        self.path = folder / UNIT
        self._plan = plan
        self._run = run

    @property
    def place(self) -> str:
        """The unit file."""
        return str(self.path)

    def text(self) -> str:
        """The unit file's text. A clean exit is what `ollama-bridge stop` asks for: it is final."""
        sections: dict[str, list[tuple[str, str]]] = {
            "Unit": [("Description", "Ollama Bridge: Ollama's API, answered from anywhere")],
            "Service": [
                ("Type", "notify"),
                ("ExecStart", _command(self._plan.command)),
                ("ExecReload", _command([*self._plan.program, "reload"])),
                *(("Environment", _variable(*item)) for item in self._plan.environment.items()),
                ("Restart", "on-failure"),
                ("RestartSec", "2"),
                ("RestartPreventExitStatus", " ".join(map(str, _HOPELESS))),
                ("TimeoutStopSec", "20"),
                ("NoNewPrivileges", "yes"),
                ("UMask", "0077"),
            ],
            "Install": [("WantedBy", "default.target")],
        }
        return "\n".join(
            "".join([f"[{name}]\n", *(f"{key}={value}\n" for key, value in lines)])
            for name, lines in sections.items()
        )

    def check(self) -> None:
        """Whether systemd looks after this user's programs."""
        code, said = self._ask("show-environment")
        if code:
            raise BridgeError(
                f"this user has no systemd session here ({said.partition(chr(10))[0] or code}); "
                "use `ollama-bridge start`, or run `ollama-bridge serve` under another manager; "
                "`ollama-bridge service print` shows the unit"
            )

    def install(self) -> None:
        """Write and enable it; without a session of systemd nothing is written."""
        self.check()
        files.replace(self.path, self.text())
        self._must("daemon-reload")
        self._must("enable", UNIT)
        self._ask("reset-failed", UNIT)

    def uninstall(self) -> bool:
        """Stop, disable and delete; without a session the link is deleted by hand."""
        there = self.path.exists()
        if there and self._has_session():
            self._must("disable", "--now", UNIT)
        for link in self.path.parent.glob(f"*.wants/{UNIT}"):
            link.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        if there and self._has_session():
            self._must("daemon-reload")
            self._ask("reset-failed", UNIT)
        return there

    def state(self) -> State:
        """What the unit file and systemd say."""
        if not self.path.exists():
            return State(installed=False, enabled=False, running=False)
        if not self._has_session():
            linked = any(self.path.parent.glob(f"*.wants/{UNIT}"))
            return State(
                installed=True, enabled=linked, running=False, detail="no systemd user session"
            )
        _, active = self._ask("is-active", UNIT)
        enabled = self._ask("is-enabled", UNIT)[0] == 0
        return State(installed=True, enabled=enabled, running=active == "active", detail=active)

    def serves(self, state: Path) -> bool:
        """By the state folder that the file names."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return False
        return f"Environment={_variable(plans.STATE, str(state))}" in lines

    def missing(self) -> str:
        """The program that the file names, when that is gone."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""
        line = _EXEC.search(text)
        words = re.findall(r'"((?:[^"\\]|\\.)*)"', line[0] if line else "")
        plain = [re.sub(r"\\(.)", r"\1", word).replace("%%", "%") for word in words]
        return next((word for word in plain[:2] if word[:1] == "/" and not Path(word).exists()), "")

    def start(self) -> None:
        """Returns when the daemon has said that it is ready; raises why it did not."""
        self.check()
        code, said = self._ask("start", UNIT)
        if code:
            status = self._ask("show", "--value", "--property", "ExecMainStatus", UNIT)[1]
            ended = f" (status {status})" if status.isdigit() else ""
            kind = _KINDS.get(int(status), BridgeError) if status.isdigit() else BridgeError
            reason = said.splitlines()[0] if said else "systemctl gave no reason"
            raise kind(
                f"the service did not start{ended}: {reason}; see "
                f"`journalctl --user -u {plans.NAME} -e`, or run `ollama-bridge serve` to see why"
            )

    def stop(self) -> None:
        """Also ends the wait for a restart after a crash."""
        if self._has_session():
            self._must("stop", UNIT)

    def _has_session(self) -> bool:
        return self._ask("show-environment")[0] == 0

    def _must(self, *words: str) -> None:
        code, said = self._ask(*words)
        if code:
            raise BridgeError(f"systemctl --user {' '.join(words)} failed: {said}")

    def _ask(self, *words: str) -> tuple[int, str]:
        return self._run(["systemctl", "--user", *words])


def _command(words: list[str]) -> str:
    """A command line as systemd reads it: no variables, no specifiers."""
    if set(words[0]) & set("\"'\\"):  # which systemd refuses in a program's path
        words = ["/usr/bin/env", *words]
    first, *rest = (_quoted(word) for word in words)
    return " ".join([first, *(word.replace("$", "$$") for word in rest)])


def _variable(name: str, value: str) -> str:
    return _quoted(f"{name}={value}")


def _quoted(text: str) -> str:
    marks = {"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(marks.get(letter, letter) for letter in text) + '"'
