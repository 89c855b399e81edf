"""tray: the icon in the panel, as a program of its own that stays when the command ends."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from ollama_bridge import files, process
from ollama_bridge.errors import BridgeError

from . import render, session

LOG = "tray.log"
"""What the icon's program says after it is there."""


def tray(
    context: typer.Context,
    install_autostart: Annotated[
        bool, typer.Option("--install-autostart", help="Show the icon after each login too.")
    ] = False,
) -> None:
    """Show the tray icon."""
    user = session.of(context)
    config = ["--config", str(user.config_path)] if user.config_flag else []
    if install_autostart:
        render.result(_told(user.state, [*config, "--install-autostart"]))
    render.result(_told(user.state, config))


def _told(state: Path, flags: list[str]) -> str:
    """The first line of the icon's program; raises BridgeError with its last words instead."""
    log = files.folder(state) / LOG
    with files.emptied(log) as errors:
        child = subprocess.Popen(  # noqa: S603 - our own program
            [*process.program("ollama_bridge_tray"), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=Path.home(),
            env=dict(os.environ),
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    with child.stdout as lines:
        line = lines.readline().decode(errors="replace").strip()
    if line:
        return line
    child.wait()
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = words[-1] if words else f"the tray icon ended with status {child.returncode}"
    raise BridgeError(said.removeprefix("error: "))
