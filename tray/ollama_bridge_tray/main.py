"""The tray icon: shows what the daemon does, presses the command line's buttons, owns nothing."""

import argparse
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ollama_bridge import config, files, leftovers
from ollama_bridge.errors import BridgeError

if TYPE_CHECKING:
    from . import tray

_WAIT = 3.0

_PATIENCE = 5.0
"""Seconds an icon may take to go."""


def main(arguments: list[str] | None = None) -> int:
    """Show the icon until it is told to go; the exit code."""
    given = _parser().parse_args(arguments)
    for name in ("config", "state"):
        if value := getattr(given, name):
            os.environ[f"OLLAMA_BRIDGE_{name.upper()}"] = str(value.expanduser().absolute())
    try:
        return _run(given)
    except BridgeError as error:
        print(f"error: {error.message}", file=sys.stderr)  # noqa: T201 - it has no other face yet
        return error.exit_code


def _run(given: argparse.Namespace) -> int:
    if given.install_autostart:
        from . import autostart

        autostart.here().install()
        return _say("The icon will be there after each login.")
    if given.remove_autostart:
        from . import autostart

        autostart.here().remove()
        return _say("The icon will not be there after a login.")
    _needs_the_extra()
    import filelock

    from . import hosts, tray

    state = files.folder(config.state_folder())
    lock = filelock.FileLock(state / leftovers.TRAY_LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return _say("The icon is there already.")
    except OSError as error:
        raise files.unwritable(error, state) from error
    with lock:
        one = tray.Tray(state, hosts.icon_class(given.wait), ready=_ready)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: _leave(one))
        one.run(start=given.start)
    return 0


def _leave(one: "tray.Tray") -> None:
    """End the icon from a thread: the main one may hold the panel library's lock just now.

    A session that ends does not wait for a library that never lets go.
    """
    last = threading.Timer(_PATIENCE, os._exit, (0,))
    last.daemon = True
    last.start()
    threading.Thread(target=one.end, daemon=True).start()


def _needs_the_extra() -> None:
    from . import hosts

    try:
        import PIL  # noqa: F401

        hosts.import_pystray()
        if sys.platform == "linux":
            import dbus_fast  # noqa: F401
    except ImportError as error:
        raise BridgeError(f"the tray icon needs more packages; run `{_remedy()}`") from error


_INSTALLERS = {
    "pipx_metadata.json": "pipx install --force",
    "uv-receipt.toml": "uv tool install --force",
}
"""Who made this environment, by the file it left there."""


def _remedy() -> str:
    for receipt, command in _INSTALLERS.items():
        if Path(sys.prefix, receipt).is_file():
            return f"{command} 'ollama-bridge[tray]'"
    return f"{sys.executable} -m pip install 'ollama-bridge[tray]'"


def _ready() -> None:
    _say("The icon is in the panel.")


def _say(text: str) -> int:
    if sys.stdout is not None:  # a program without a console has none
        with contextlib.suppress(OSError):  # the command waits no longer
            print(text, flush=True)  # noqa: T201 - for the command that waits for it
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ollama-bridge-tray", description="Show Ollama Bridge's icon in the panel."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file")
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="state folder")
    parser.add_argument("--start", action="store_true", help="start the bridge too")
    parser.add_argument(
        "--wait", type=float, default=_WAIT, metavar="S", help="seconds to wait for a panel"
    )
    parser.add_argument(
        "--install-autostart", action="store_true", help="show the icon after each login"
    )
    parser.add_argument(
        "--remove-autostart", action="store_true", help="show it after a login no longer"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
