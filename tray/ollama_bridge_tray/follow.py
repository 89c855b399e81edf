"""Looks at the daemon, whoever started it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ollama_bridge import instance
from ollama_bridge.client import Client, Json
from ollama_bridge.errors import BridgeError, NotRunning
from ollama_bridge.instance import Instance

from . import status
from .status import Phase, Status

_PATIENCE = 1.5
"""Seconds one look may take: what happens is to be seen within two."""

_MODELS_AGE = 60.0
"""Seconds after which the names of the models are asked for again."""

_NAMING = ("instance", "models", "default_provider", "default_model")
"""What is told each time, and differs when the models have other names."""

ENDED = "It ended unexpectedly; see its log, and start it again"
SILENT = "It is stopping, or it hangs; Stop ends it in any case"


class Follower:
    """Makes a Status of what is there; one thread looks at a time."""

    def __init__(self, state: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.last: Instance | None = None
        """The daemon that was last met; a start repeats how it was started."""
        self._state = state
        self._monotonic = monotonic
        self._models: list[str] = []
        self._models_of: tuple[Any, ...] = ()
        self._models_until = 0.0

    def look(self) -> Status:
        """The daemon now."""
        note = instance.read(self._state)
        if note is None:
            return Status()
        client = Client(note, _PATIENCE)
        try:
            told = client.status()
            if told.get("instance") != note.id:
                raise NotRunning("another daemon has its port now")
            models = self._names(client, told)
        except BridgeError:
            return self._mute(note)
        self.last = note
        return status.running(note.address, told, models)

    def _mute(self, note: Instance) -> Status:
        if _is_alive(note):
            return Status(Phase.SILENT, SILENT, address=note.address)
        met = self.last is not None and self.last.id == note.id
        return Status(Phase.STOPPED, ENDED if met else "")  # an old note is an old story

    def _names(self, client: Client, told: Json) -> list[str]:
        """Names of the models; asked for again only when they may have changed."""
        made_of = tuple(told.get(key) for key in _NAMING)
        now = self._monotonic()
        if made_of != self._models_of or now > self._models_until:
            rows = client.tags().get("models", [])
            self._models = [row["name"].removesuffix(":latest") for row in rows]
            self._models_of, self._models_until = made_of, now + _MODELS_AGE
        return self._models


def _is_alive(note: Instance) -> bool:
    """Whether the note's very process still runs."""
    import psutil  # only for a daemon that does not answer

    try:
        process = psutil.Process(note.pid)
        same = abs(process.create_time() - note.create_time) <= 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
