"""What the checks look at; each thing is looked up once, and only when a check asks for it."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ollama_bridge import client, config, instance, process
from ollama_bridge.client import Client
from ollama_bridge.config import Config
from ollama_bridge.errors import BridgeError, NotRunning, SettingsInvalid
from ollama_bridge.keys import Keys

_PATIENCE = 3.0


@dataclass
class Situation:
    """One user on one machine."""

    environ: Mapping[str, str]
    config_path: Path
    state: Path
    online: bool = False
    platform: str = sys.platform
    now: Callable[[], float] = field(default=time.time)

    @cached_property
    def settings(self) -> Config | SettingsInvalid:
        """The settings, or what is wrong with them."""
        try:
            return config.load(self.config_path, self.environ)
        except SettingsInvalid as error:
            return error

    @property
    def good_settings(self) -> Config | None:
        """The settings; None when they cannot be used, which one check tells for all."""
        return self.settings if isinstance(self.settings, Config) else None

    @cached_property
    def keys(self) -> Keys:
        """The user's keys."""
        return Keys(self.environ, _PATIENCE)

    @cached_property
    def note(self) -> instance.Instance | None:
        """daemon.json."""
        return instance.read(self.state)

    @cached_property
    def is_locked(self) -> bool:
        """Whether a daemon holds the lock, whatever else it does."""
        try:
            return not process.is_gone(self.state, 0)
        except (OSError, BridgeError):  # a folder that cannot be written has a check of its own
            return False

    @cached_property
    def running(self) -> Client | None:
        """The daemon, when it answers."""
        try:
            return client.connect(self.state, _PATIENCE)
        except (NotRunning, OSError):
            return None

    @cached_property
    def status(self) -> Mapping[str, Any]:
        """What the daemon says of itself; empty when it does not."""
        return self.running.status() if self.running else {}
