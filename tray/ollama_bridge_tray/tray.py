"""Brings together who looks, what is shown and what is clicked.

Strategy: pystray holds the main thread. One thread looks at the daemon each second and is the only
one that changes what is shown; each click runs in a thread of its own and then wakes it.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ollama_bridge.errors import BridgeError

from . import autostart, buttons, icon, menu
from .follow import Follower
from .menu import Button, Entry
from .status import News, Phase, Status

NAME = "ollama-bridge"

_PAUSE = 1.0
"""Seconds between two looks."""

_PHASES = {
    Button.START: Phase.STARTING,
    Button.STOP: Phase.STOPPING,
    Button.RESTART: Phase.STARTING,
    Button.QUIT_AND_STOP: Phase.STOPPING,
}
_STARTING = (Button.START, Button.RESTART)


class Tray:
    """One icon for one daemon."""

    def __init__(
        self, state: Path, icon_class: Callable[..., Any], ready: Callable[[], None]
    ) -> None:
        self._state = state
        self._follower = Follower(state)
        self._news = News()
        self._status = Status()
        self._shown: tuple[Any, ...] = ()
        self._doing: Phase | None = None
        self._problem = ""
        self._pressing = threading.Lock()
        self._wake = threading.Event()
        self._over = threading.Event()
        self._ready = ready
        self._icon = icon_class(
            NAME, icon.picture(self._status.look), menu.tooltip(self._status), self._menu()
        )

    def run(self, *, start: bool) -> None:
        """Show the icon until `end`; in the main thread."""

        def begin(shown: Any) -> None:
            shown.visible = True
            self._ready()
            if start:
                self._in_thread(Button.START)
            # not in pystray's own thread, which a panel that vanished could keep for ever
            threading.Thread(target=self._follow, name="follow", daemon=True).start()

        try:
            self._icon.run(begin)
        except Exception:
            if not self._over.is_set():
                raise  # GTK's icon fails on its way out where nobody shows notifications
        self.end()

    def end(self) -> None:
        """Take the icon away; from any thread or signal."""
        self._over.set()
        self._wake.set()

    def _follow(self) -> None:
        try:
            while not self._over.is_set():
                self._show(self._look())
                self._wake.wait(_PAUSE)
                self._wake.clear()
        finally:
            self._icon.stop()  # also after a mistake of ours: an icon that stands still would lie

    def _look(self) -> Status:
        before = self._doing
        found = self._follower.look()
        doing = self._doing or before  # what was seen while a button was at work is half of it
        if doing is not None:
            return replace(found, phase=doing, problem="")
        if found.phase is Phase.STOPPED and self._problem:
            return replace(found, problem=self._problem)
        return found

    def _show(self, status: Status) -> None:
        self._status = status
        at_login = autostart.here().is_installed()
        shown = (status, at_login)
        if shown == self._shown:
            return
        if not self._shown or self._shown[0].look is not status.look:
            self._icon.icon = icon.picture(status.look)
        self._shown = shown
        self._icon.title = menu.tooltip(status)
        self._icon.menu = self._menu(at_login=at_login)
        if self._doing is None:
            for text in self._news.read(status):
                self._tell(text)

    def _menu(self, *, at_login: bool = False) -> Any:
        import pystray

        return pystray.Menu(*self._items(menu.entries(self._status, at_login=at_login)))

    def _items(self, entries: Iterable[Entry]) -> list[Any]:
        import pystray

        return [
            pystray.Menu.SEPARATOR if entry is menu.SEPARATOR else self._item(entry)
            for entry in entries
        ]

    def _item(self, entry: Entry) -> Any:
        import pystray

        below = pystray.Menu(*self._items(entry.entries)) if entry.entries else None
        return pystray.MenuItem(
            entry.text,
            below or (lambda: self._in_thread(entry.button, entry.value)),
            checked=None if entry.checked is None else (lambda _: bool(entry.checked)),
            radio=entry.radio,
            default=entry.default,
            enabled=entry.button is not None or below is not None,
        )

    def _in_thread(self, button: Button | None, value: str = "") -> None:
        if button is not None:
            name = f"press {button.name.lower()}"
            work = threading.Thread(target=self._press, args=(button, value), name=name)
            work.daemon = True  # quitting waits for no start that takes its time
            work.start()

    def _press(self, button: Button, value: str) -> None:
        if button is Button.QUIT:
            self.end()
            return
        if not self._pressing.acquire(blocking=False):
            return  # one press at a time, and none is kept for later
        self._doing, self._problem = _PHASES.get(button), ""
        self._wake.set()
        try:
            said = buttons.press(button, value, self._state, self._follower.last)
            if button is Button.QUIT_AND_STOP:
                self._over.set()
        except (BridgeError, OSError) as error:
            said = str(error)
            if button in _STARTING:
                self._problem, said = said, ""  # told with the status, and kept in the menu
        finally:
            self._doing = None
            self._pressing.release()
            self._wake.set()
        if said:
            self._tell(said)

    def _tell(self, text: str) -> None:
        if self._icon.HAS_NOTIFICATION:
            self._icon.notify(text, "Ollama Bridge")
