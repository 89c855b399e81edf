"""Which of pystray's icons this desktop can show."""

import asyncio
import importlib
import os
import sys
import time
from typing import Any

from ollama_bridge import panels
from ollama_bridge.errors import BridgeError

_OLD_PANELS_SECONDS = 5.0
"""How long a modern panel may take before an old one on the same desktop is good enough."""

_PAUSE = 0.2
DUMMY = "dummy"
_NAMES = {"darwin": "darwin", "win32": "win32"}
_NONE = (
    "this desktop shows no tray icons; on GNOME install the extension AppIndicator, elsewhere add "
    "a system tray to the panel; Ollama Bridge itself works without one: `ollama-bridge start`"
)


def icon_class(patience: float, system: str = sys.platform) -> Any:
    """The class to make the icon of; raises BridgeError when none can be shown in that time."""
    named = os.environ.pop("PYSTRAY_BACKEND", "") or _NAMES.get(system, "")
    if named and named != DUMMY:
        return _plain() if named == "xorg" else _pystray(named)
    begun = time.monotonic()
    while True:
        if asyncio.run(_takes_items()):
            from . import sni

            return sni.Icon
        waited = time.monotonic() - begun
        if waited >= min(patience, _OLD_PANELS_SECONDS) and (found := _old_panel()):
            return found
        if waited >= patience:
            raise BridgeError(_NONE)
        time.sleep(_PAUSE)


def import_pystray() -> None:
    """Import it without a look for a display, which its own choice of a backend begins with."""
    chosen = os.environ.get("PYSTRAY_BACKEND")
    os.environ["PYSTRAY_BACKEND"] = DUMMY
    try:
        importlib.import_module("pystray")
    finally:
        if chosen is None:
            del os.environ["PYSTRAY_BACKEND"]
        else:
            os.environ["PYSTRAY_BACKEND"] = chosen


async def _takes_items() -> bool:
    from . import sni

    return await sni.is_there()


def _pystray(name: str) -> Any:
    return importlib.import_module(f"pystray._{name}").Icon


def _old_panel() -> Any:
    """An icon of pystray's own for a panel that embeds windows; None when there is none."""
    if not panels.has_old_tray():
        return None
    for name in ("appindicator", "gtk"):
        try:
            return _pystray(name)
        except (ImportError, ValueError):  # libraries that only the system's Python has
            continue
    return _plain()


def _plain() -> Any:
    from . import xembed  # needs a display to be imported

    return xembed.Icon
