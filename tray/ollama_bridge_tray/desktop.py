"""Files opened and text copied with what the desktop has for it."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from ollama_bridge.errors import BridgeError

_SECONDS = 5.0

_OPENERS = {
    "darwin": ["open", "-t"],  # -t: in the text editor, whatever the file's ending belongs to
    "win32": ["notepad.exe"],
}

_COPIERS = {
    "darwin": [["pbcopy"]],
    "win32": [["clip.exe"]],
    "linux": [
        ["wl-copy"],
        ["xclip", "-selection", "clipboard"],
        ["xsel", "--clipboard", "--input"],
    ],
}

Which = Callable[[str], str | None]


def open_file(path: Path, system: str = sys.platform, which: Which = shutil.which) -> None:
    """Show a text file in the user's program for it; raises BridgeError."""
    opener = _OPENERS.get(system, ["xdg-open"])
    program = which(opener[0])
    if not path.exists():
        raise BridgeError(f"There is no file {path} yet")
    if program is None:
        raise BridgeError(f"No program opens files here ({opener[0]} is missing); it is at {path}")
    child = subprocess.Popen(  # noqa: S603 - a program of the system, found on its own path
        [program, *opener[1:], str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    threading.Thread(target=child.wait, daemon=True).start()  # no zombie while we live on


def copier(
    system: str = sys.platform,
    environ: Mapping[str, str] = os.environ,
    which: Which = shutil.which,
) -> list[str] | None:
    """The command that takes text for the clipboard, or None when there is none."""
    for name, *flags in _COPIERS.get(system, _COPIERS["linux"]):
        if name == "wl-copy" and not environ.get("WAYLAND_DISPLAY"):
            continue
        if program := which(name):
            return [program, *flags]
    return None


def copy(text: str, system: str = sys.platform) -> None:
    """Put text on the clipboard; raises BridgeError, which tells the text."""
    command = copier(system)
    if command is None:
        raise BridgeError(f"Nothing here can copy; install wl-clipboard or xclip. It is: {text}")
    encoding = "utf-16" if system == "win32" else "utf-8"
    try:
        subprocess.run(  # noqa: S603 - a program of the system, found on its own path
            command,
            input=text.encode(encoding),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BridgeError(f"{command[0]} could not copy it. It is: {text}") from error
