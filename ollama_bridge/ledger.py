"""The file that keeps today's spending over a restart.

Strategy: counts change with every request, a disk takes milliseconds. So they are written whole, in
a thread, some seconds after the first change; a daemon that is killed forgets no more than those.
"""

import asyncio
import json
import logging
import threading
from pathlib import Path

from ollama_bridge import files
from ollama_bridge.errors import BridgeError
from ollama_bridge.spending import Daybook

NAME = "spending.json"

SOON = 5.0
"""Seconds that counts may wait to be written."""

_log = logging.getLogger("ollama_bridge")


class Ledger:
    """Keeps the counts of a daybook in a state folder."""

    def __init__(self, state: Path, book: Daybook) -> None:
        self.book = book
        self._path = state / NAME
        self._waiting: asyncio.TimerHandle | None = None
        self._writing = threading.Lock()
        self._told = False
        self._read()

    def changed(self) -> None:
        """Counts have changed; they will be written. Needs a running loop."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().call_later(SOON, self._begin)

    def close(self) -> None:
        """Write what still waits, at once."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
            self._write(self._text())

    def _begin(self) -> None:
        self._waiting = None
        asyncio.get_running_loop().run_in_executor(None, self._write, self._text())

    def _text(self) -> str:
        return json.dumps(self.book.document()) + "\n"

    def _write(self, text: str) -> None:
        with self._writing:
            try:
                files.replace(self._path, text)
            except (OSError, BridgeError) as error:
                if not self._told:
                    _log.warning("today's spending cannot be kept over a restart: %s", error)
                self._told = True
            else:
                self._told = False

    def _read(self) -> None:
        try:
            self.book.restore(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            aside = self._path.with_suffix(".unreadable")
            _log.warning(
                "%s cannot be read, so today's spending is counted from zero; it is now %s (%s)",
                self._path,
                aside,
                error,
            )
            self._put_aside(aside)

    def _put_aside(self, aside: Path) -> None:
        try:
            self._path.replace(aside)
        except OSError as error:
            _log.warning("%s cannot be moved: %s", self._path, error)
