"""What the bridge keeps in its state folder, and how that is taken away for good."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ollama_bridge import files
from ollama_bridge.errors import BridgeError

OURS = (
    "*.lock",
    "boot.log",
    "crash.log",
    "daemon.json",
    "facts.json",
    "launchd.log",
    "models/*.json",
    "ollama-bridge.log",
    "ollama-bridge.log.[0-9]",
    "spending.json",
    "spending.unreadable",
    "tray.log",
    "trials.json",
    ".*.json.*",  # half written, by one that was killed
    "models/.*.json.*",
)
"""Every file that one of our programs makes there; anything else is the user's and stays."""

TRAY_LOCK = "tray.lock"
"""Held by the icon for as long as it is shown."""


def refuse_a_tray(state: Path) -> None:
    """Raise BridgeError while an icon is shown: it would make the folder again."""
    import filelock  # only here

    if not (state / TRAY_LOCK).is_file():
        return
    lock = filelock.FileLock(state / TRAY_LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise BridgeError("the tray icon is there; choose Quit tray in its menu first") from error
    except OSError as error:
        raise files.unwritable(error, state) from error
    lock.release()


def clear(state: Path) -> list[Path]:
    """Delete what is ours, and the folder when it is empty then; what of others is left there."""
    if not state.is_dir():
        return []
    try:
        for path in _ours(state):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise files.unwritable(error, state) from error
    for folder in (state / "models", state):
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()
    return sorted(state.iterdir()) if state.is_dir() else []


def _ours(state: Path) -> Iterator[Path]:
    for pattern in OURS:
        yield from [path for path in state.glob(pattern) if path.is_file()]
