"""The command line in a terminal of its own (POSIX only)."""

import os
import select
import signal
import sys
from collections.abc import Mapping

_PATIENCE = 60
_AGAIN = 1.0


class Terminal:
    """A command and the terminal that it thinks it runs in."""

    def __init__(self, environ: Mapping[str, str], *arguments: str) -> None:
        import pty

        self._child, self._terminal = pty.fork()
        if self._child == 0:
            command = [sys.executable, "-m", "ollama_bridge_cli", *arguments]
            os.execvpe(command[0], command, {**environ, "TERM": "xterm"})
        self._shown = ""
        self._ended = False

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def until(self, words: str, again: str = "") -> str:
        """What is shown before these words; both are taken off for the next call.

        `again` is typed at once and each second: a key that interrupts can come too early.
        """
        self.type(again)
        waited = 0.0
        while words not in self._shown:
            if select.select([self._terminal], [], [], _AGAIN)[0]:
                data = self._read()
                assert data, f"ended after {self._shown!r}"
                self._shown += data
                continue
            waited += _AGAIN
            assert waited < _PATIENCE, f"stuck at {self._shown!r}"
            self.type(again)
        before, _, self._shown = self._shown.partition(words)
        return before

    def end(self) -> tuple[int, str]:
        """The exit code, and what was shown to the end."""
        while data := self._read():
            self._shown += data
        self._ended = True
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1]), self._shown

    def close(self) -> None:
        """Hang up, which ends whatever still runs there."""
        if not self._ended:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
        os.close(self._terminal)

    def _read(self) -> str:
        try:
            return os.read(self._terminal, 1000).decode(errors="replace")
        except OSError:  # how Linux says that the other side has gone
            return ""
