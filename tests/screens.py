"""Programs on the screen of a terminal, driven by tmux: what a person would see and type."""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from buses import needed
from daemons import Home

_PATIENCE = 60.0
_AGAIN = 5.0
WIDTH, HEIGHT = 100, 30
OURS = (sys.executable, "-m", "ollama_bridge_cli")


class Screen:
    """One terminal and the command that runs in it: ours, or another `program`."""

    def __init__(
        self, home: Home, folder: Path, *arguments: str, program: Sequence[str] = OURS
    ) -> None:
        self._program = needed("tmux", "tmux")
        # a server of its own, found by its socket: nothing else is touched
        self._socket = str(folder / f"tmux-{id(self)}")
        self._code = folder / f"code-{id(self)}"
        command = [*program, *arguments]
        code = shlex.quote(str(self._code))
        # Ctrl-C reaches the shell too, which is to stay for the exit code
        line = f"trap : INT; {shlex.join(command)}; echo $? > {code}; read never"
        environ = {**home.environ, "LANG": "C.UTF-8", "TERM": "screen-256color", "SHELL": "/bin/sh"}
        self._environ = environ
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "/bin/sh", "-c", line)

    def type(self, text: str) -> None:
        """Type it as it is."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: Enter, Up, C-c, C-d."""
        self._tmux("send-keys", *keys)

    def enter(self, text: str) -> None:
        """A line and Enter."""
        self.type(text)
        self.press("Enter")

    @property
    def shown(self) -> str:
        """The whole screen and what has scrolled off."""
        return self._tmux("capture-pane", "-p", "-S", "-200")

    @property
    def attributes(self) -> str:
        """The same with its colours and styles as escape sequences."""
        return self._tmux("capture-pane", "-p", "-e", "-S", "-200")

    def until(self, seen: str | Callable[[str], bool], again: str = "") -> str:
        """Wait until the screen shows that; what it shows then.

        `again` names a key that is pressed every few seconds meanwhile.
        """
        is_there = seen if callable(seen) else lambda shown: seen in shown
        end = time.monotonic() + _PATIENCE
        repeat = time.monotonic() + _AGAIN
        while not is_there(shown := self.shown):
            assert time.monotonic() < end, f"waited for {seen!r} at:\n{shown}"
            if again and time.monotonic() > repeat:
                self.press(again)
                repeat = time.monotonic() + _AGAIN
        return shown

    def ended(self) -> int:
        """The command's exit code, once it has one."""
        end = time.monotonic() + _PATIENCE
        while not (self._code.exists() and (text := self._code.read_text().strip())):
            assert time.monotonic() < end, f"still running at:\n{self.shown}"
        return int(text)

    def close(self) -> None:
        """End the terminal and all that runs in it."""
        subprocess.run(
            [self._program, "-S", self._socket, "kill-server"], capture_output=True, check=False
        )

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            [self._program, "-S", self._socket, *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
            timeout=30,
        ).stdout


@pytest.fixture
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Screen]]:
    """Opens terminals: `screen(home, "run", "demo")`."""
    opened: list[Screen] = []
    folder = tmp_path_factory.mktemp("s")  # a socket's path has to be short

    def open_one(home: Home, *arguments: str, program: Sequence[str] = OURS) -> Screen:
        opened.append(Screen(home, folder, *arguments, program=program))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
