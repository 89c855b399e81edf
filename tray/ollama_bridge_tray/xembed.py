"""pystray's plain X icon made dependable, for panels that know no newer kind.

Strategy: pystray lets every thread write to its connection, and python-xlib then loses a request
now and then: an icon that was told to go waited for ever. Here only the thread of `run` touches
the connection; other threads leave a call in a queue and wake it. The icon's window belongs to the
panel, and dies or falls out of it with the panel: then a new one waits for the next panel.
"""

import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import Xlib.error
from PIL import Image
from pystray import _xorg
from Xlib import X

from . import bubble

_EVENTS = (
    X.ExposureMask
    | X.StructureNotifyMask
    | X.ButtonPressMask  # pystray forgets it, so that no click arrives
    | X.EnterWindowMask
    | X.LeaveWindowMask
)
_LEFT = 1
_PANEL_PAUSE = 1.0
"""Seconds between two looks for a panel."""

_TIP_AFTER = 0.4
_NOTE_SECONDS = 8.0
_GROUND = "#2b2b2b"


class Icon(_xorg.Icon):  # type: ignore[misc]  # pystray has no types
    """Left click: the menu's default entry. What else there is to tell stands in a bubble."""

    HAS_NOTIFICATION = True

    _window: Any
    _systray_manager: Any
    _icon_data: Any
    _title: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)  # noqa: FBT003 - its only argument
        self._over = self._wanted = False
        self._later: tuple[float, Callable[[], None]] | None = None
        super().__init__(*args, **kwargs)
        self._bubble = bubble.Bubble(self._display)
        self._message_handlers = {
            X.Expose: self._on_expose,
            X.ConfigureNotify: self._on_expose,
            X.ButtonPress: self._clicked,
            X.EnterNotify: self._entered,
            X.LeaveNotify: self._left,
            X.DestroyNotify: self._destroyed,
            X.ReparentNotify: self._moved,
        }

    def __del__(self) -> None:
        """The connection ends with the program; pystray would wait for threads here."""

    # what pystray asks of a backend; in the thread of `run`, see _rewrite_implementation

    def _show(self) -> None:
        self._wanted = True
        self._dock()

    def _hide(self) -> None:
        self._wanted = False
        self._window.destroy()

    def _update_icon(self) -> None:
        self._icon_data, self._icon_valid = None, True
        self._draw()

    def _update_title(self) -> None:
        self._name_window()

    def _name_window(self) -> None:
        first = self.title.partition("\n")[0]
        self._window.set_wm_name(first.encode("latin-1", "replace").decode("latin-1"))

    def _stop(self) -> None:
        self._over = True

    def _notify(self, message: str, title: str | None = None) -> None:
        self._hand_over(lambda: self._tell(f"{title or self.title}\n{message}", _NOTE_SECONDS))

    def _remove_notification(self) -> None:
        self._hand_over(self._fall_silent)

    def _run(self) -> None:
        self._thread = threading.current_thread()
        self._mark_ready()
        self._mainloop()

    def _rewrite_implementation(self, *methods: Callable[[], None]) -> None:
        for method in methods:
            setattr(self, method.__name__, lambda method=method: self._hand_over(method))

    def _create_window(self) -> Any:
        whole, self._title = self._title, self.name  # pystray takes Latin letters only
        window = super()._create_window()
        self._title = whole
        self._hand_over(self._name_window)
        self._display.set_error_handler(lambda *_: None)  # of windows that a panel took with it
        window.change_attributes(event_mask=_EVENTS)
        return window

    def _assert_icon_data(self, width: int, height: int) -> None:
        if self._icon_data is None or self._icon_data.size != (width, height):
            self._icon_data = on_ground(self._icon, width, height)

    # between threads

    def _hand_over(self, call: Callable[[], None]) -> None:
        self._calls.put(call)
        try:
            self._waker.send(b".")
        except OSError:  # it has been woken often enough, or is gone
            return

    # in the thread of `run`

    def _mainloop(self) -> None:
        try:
            while not self._over:
                self._step()
            self._window.destroy()
            self._display.sync()
        except (Xlib.error.ConnectionClosedError, OSError):
            return  # the X server has ended, and the session with it

    def _step(self) -> None:
        while not self._calls.empty():
            self._calls.get()()
        self._display.sync()  # all is sent now: `flush` may keep a rest
        if self._display.pending_events():
            self._hear(self._display.next_event())
        else:
            self._wait()

    def _wait(self) -> None:
        now = time.monotonic()
        pauses = [self._later[0] - now] if self._later else []
        pauses += [_PANEL_PAUSE] if self._wanted and self._systray_manager is None else []
        pause = max(0.0, min(pauses)) if pauses else None
        ready, _, _ = select.select([self._display, self._woken], [], [], pause)
        if self._woken in ready:
            self._woken.recv(4096)
        if self._later and time.monotonic() >= self._later[0]:
            call, self._later = self._later[1], None
            call()
        if self._wanted and self._systray_manager is None:
            self._dock()

    def _hear(self, event: Any) -> None:
        if hear := self._message_handlers.get(event.type):
            hear(event)

    def _clicked(self, event: Any) -> None:
        self._fall_silent()
        if event.detail == _LEFT:
            self()

    def _entered(self, _event: Any) -> None:
        self._later = (time.monotonic() + _TIP_AFTER, lambda: self._tell(self._tip(), None))

    def _left(self, _event: Any) -> None:
        self._fall_silent()

    def _destroyed(self, event: Any) -> None:
        if event.window == self._window:
            self._begin_anew()
        elif self._systray_manager is not None and event.window == self._systray_manager:
            self._systray_manager = None

    def _moved(self, event: Any) -> None:
        """A panel that crashes leaves the icon behind, as a window in the middle of nowhere."""
        root = self._display.screen().root
        if event.window == self._window and event.parent == root:
            self._window.destroy()

    def _begin_anew(self) -> None:
        self._systray_manager = None
        self._fall_silent()
        self._display.sync()  # with errors about the old one; none of the new one may be missed
        self._window = self._create_window()
        self._gc = self._window.create_gc()
        if self._wanted:
            self._dock()

    def _dock(self) -> None:
        if self._systray_manager is None:
            self._dock_window()

    def _tip(self) -> str:
        """The state, and what a click does, which nothing else could tell."""
        click = next((item.text for item in self.menu or () if item.default), "")
        return f"{self.title}\nClick: {click}" if click else str(self.title)

    def _tell(self, text: str, seconds: float | None) -> None:
        now = time.monotonic()
        if not self._bubble.show(text, self._window):
            self._later = (now + _PANEL_PAUSE, lambda: self._tell(text, seconds))
        else:
            self._later = (now + seconds, self._fall_silent) if seconds else None

    def _fall_silent(self) -> None:
        self._later = None
        self._bubble.hide()


def on_ground(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image at the size that fits best, on a ground: old panels know no transparency."""
    sizes = image.info.get("sizes") or (image,)
    fitting = [one for one in sizes if one.width <= width and one.height <= height] or [sizes[0]]
    best = max(fitting, key=lambda one: one.width)
    ground = Image.new("RGB", (width, height), _GROUND)
    ground.paste(best, ((width - best.width) // 2, (height - best.height) // 2), best)
    return ground
