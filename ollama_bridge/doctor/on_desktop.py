"""Check of the desktop: whether the tray's icon has a place."""

import importlib.util
from collections.abc import Iterator

from ollama_bridge import panels
from ollama_bridge.doctor.finding import Finding, fault, hint, ok
from ollama_bridge.doctor.situation import Situation

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")
_ADD_ONE = (
    "on GNOME install the extension AppIndicator, elsewhere add a system tray to the panel; "
    "the bridge works without it"
)


def tray(here: Situation) -> Iterator[Finding]:
    """The icon would be shown."""
    if importlib.util.find_spec("pystray") is None:
        yield ok("not installed")
    elif not here.platform.startswith("linux"):
        yield ok("the system shows icons")
    elif _has_watcher() or panels.has_old_tray():
        yield ok("the panel shows icons")
    elif not any(here.environ.get(name) for name in _SCREENS):
        yield hint("there is no desktop session here: no tray icon", "the bridge works without it")
    else:
        yield fault("this desktop shows no tray icons", _ADD_ONE)


def _has_watcher() -> bool:
    """Whether a panel takes icons, asked with what the keyring's library brings along."""
    try:
        from jeepney import DBusAddress, new_method_call
        from jeepney.io.blocking import open_dbus_connection
    except ImportError:
        return False
    bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    name = ("org.kde.StatusNotifierWatcher",)
    try:
        with open_dbus_connection(bus="SESSION") as connection:
            asked = new_method_call(bus, "NameHasOwner", "s", name)
            return bool(connection.send_and_get_reply(asked, timeout=2).body[0])
    except Exception:  # noqa: BLE001 - a bus that does not answer shows no icons either
        return False
