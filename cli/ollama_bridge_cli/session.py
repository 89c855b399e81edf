"""What the global flags say, for every command."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from ollama_bridge import client, config
from ollama_bridge.client import Client
from ollama_bridge.config import Config
from ollama_bridge.errors import NotRunning, SettingsInvalid
from ollama_bridge.keys import PATIENCE_INTERACTIVE, Keys

from . import render


@dataclass(frozen=True, slots=True)
class Session:
    """One call of the command line."""

    config_flag: Path | None = None
    verbose: bool = False
    quiet: bool = False
    color: bool = True

    @property
    def config_path(self) -> Path:
        """The settings file these commands read and edit."""
        return (self.config_flag or config.config_file()).expanduser().absolute()

    @property
    def state(self) -> Path:
        """The folder of the daemon these commands talk to."""
        return config.state_folder()

    def load(self) -> Config:
        """The settings as the daemon would read them."""
        return config.load(self.config_path)

    def client(self) -> Client:
        """The running daemon; raises NotRunning."""
        return client.connect(self.state)

    def keys(self) -> Keys:
        """The user's keys, with the patience of somebody who is asked for a password."""
        return Keys(timeout=PATIENCE_INTERACTIVE)

    def say(self, text: str) -> None:
        """A message for the person: standard error, and nothing with -q."""
        if not self.quiet:
            render.message(text)

    def table(self, headers: list[str], rows: list[list[str]]) -> None:
        """Facts in columns on standard output."""
        render.table(headers, rows, color=self.color)

    def tell_daemon(self) -> None:
        """Have a running daemon take the edited settings or keys."""
        try:
            running = self.client()
        except NotRunning:
            return
        if Path(running.daemon.config) != self.config_path:
            self.say(f"The running daemon uses other settings: {running.daemon.config}")
            return
        try:
            running.reload()
        except SettingsInvalid as error:
            self.say(f"The running daemon keeps its old settings: {error.message}")
        else:
            self.say("The running daemon uses it now.")


def of(context: typer.Context) -> Session:
    """The session that the global flags made."""
    found: Any = context.find_object(Session)
    return found if isinstance(found, Session) else Session()


def colored(*, wanted: bool) -> bool:
    """Whether to colour: never in a pipe, never against NO_COLOR."""
    terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return wanted and terminal and not os.environ.get("NO_COLOR")
