"""pystray's Icon for Linux panels, in pure Python: a StatusNotifierItem on the session bus.

Strategy: pystray's own Linux icons need libraries of the system that a virtual environment cannot
have, or show an icon without a menu. The protocol behind modern panels is small: an object with
the icon, one with the menu, and a call that makes them known. `run` holds an event loop in the main
thread; whatever other threads set is handed to it. Clicks run in threads of their own.
"""

import asyncio
import html
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from dbus_fast import BusType, DBusError, Message, MessageType, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt32, DBusObjectPath, DBusSignature, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal
from PIL import Image
from pystray import _base

from . import dbusmenu

WATCHER = "org.kde.StatusNotifierWatcher"
PATH = "/StatusNotifierItem"

_BUS = "org.freedesktop.DBus"
_READ = PropertyAccess.READ

Pixmaps = Annotated[list[list[Any]], DBusSignature("a(iiay)")]
ToolTip = Annotated[list[Any], DBusSignature("(sa(iiay)ss)")]


async def is_there() -> bool:
    """Whether a panel that takes such icons runs on the session bus."""
    try:
        bus = await _connect()
    except Exception:  # noqa: BLE001 - no bus, a dead one, a stranger's: all mean no
        return False
    reply = await bus.call(_to_bus("NameHasOwner", "s", WATCHER))
    bus.disconnect()
    return reply is not None and reply.body == [True]


class Icon(_base.Icon):  # type: ignore[misc]  # pystray has no types
    """pystray's Icon; an image may bring itself in several sizes in `info["sizes"]`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._item = _Item(self.name, self._in_thread)
        self._entries = dbusmenu.Menu(self._in_thread)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._bus: MessageBus | None = None
        self._bus_name = f"org.kde.StatusNotifierItem-{os.getpid()}-1"
        self._calls: set[asyncio.Task[None]] = set()
        self._note = 0

    # what pystray asks of a backend

    def _run(self) -> None:
        asyncio.run(self._serve())

    def _stop(self) -> None:
        if self._over is not None:
            self._hop(self._over.set)

    def _show(self) -> None:
        self._hop(self._appear)

    def _hide(self) -> None:
        self._hop(self._item.put, "Status", "Passive")

    def _update_icon(self) -> None:
        self._icon_valid = True
        self._hop(self._item.put, "Icon", _pixmaps(self.icon))

    def _update_title(self) -> None:
        self._hop(self._item.put, "Title", self.title)

    def _update_menu(self) -> None:
        self._hop(self._show_menu)

    def _notify(self, message: str, title: str | None = None) -> None:
        body = html.escape(message, quote=False)  # servers take it as a kind of HTML
        self._hop(lambda: self._spawn(self._send_note(title or self.title, body)))

    def _remove_notification(self) -> None:
        note = Message(_NOTES, _NOTES_PATH, _NOTES, "CloseNotification", signature="u")
        note.body = [self._note]
        self._hop(lambda: self._spawn(self._call(note)))

    # in the event loop

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._bus = bus = await _connect()
        bus.export(PATH, self._item)
        bus.export(dbusmenu.PATH, self._entries)
        bus.add_message_handler(self._hear)
        await bus.call(_to_bus("AddMatch", "s", _WATCHER_MATCH))
        await bus.request_name(self._bus_name)
        self._item.put("Title", self.title)
        self._mark_ready()
        gone = asyncio.ensure_future(self._session(bus))
        over = asyncio.ensure_future(self._over.wait())
        await asyncio.wait((gone, over), return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            bus.disconnect()
        await asyncio.wait((gone,), timeout=1)
        over.cancel()
        if gone.done():
            gone.exception()  # a bus that broke off is one that ended
        self._loop = None

    async def _session(self, bus: MessageBus) -> None:
        """Until the session's bus is gone."""
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def _hear(self, message: Message) -> None:
        """A panel that was started, or started again, knows nothing of us yet."""
        heard = (message.message_type, message.interface, message.member)
        if heard == (MessageType.SIGNAL, _BUS, "NameOwnerChanged"):
            name, _old, new = message.body
            if name == WATCHER and new and self.visible:
                self._spawn(self._register())

    def _appear(self) -> None:
        self._item.put("Status", "Active")
        self._spawn(self._register())

    async def _register(self) -> None:
        message = Message(
            WATCHER,
            "/StatusNotifierWatcher",
            WATCHER,
            "RegisterStatusNotifierItem",
            signature="s",
            body=[self._bus_name],
        )
        await self._call(message)

    async def _send_note(self, title: str, body: str) -> None:
        note = Message(_NOTES, _NOTES_PATH, _NOTES, "Notify", signature="susssasa{sv}i")
        note.body = [title, self._note, "", title, body, [], {}, -1]
        reply = await self._call(note)
        if reply is not None and reply.message_type is MessageType.METHOD_RETURN:
            self._note = reply.body[0]

    async def _call(self, message: Message) -> Message | None:
        """The reply; nobody may be there to answer, which is no fault of ours."""
        if self._bus is None or not self._bus.connected:
            return None
        try:
            return await asyncio.wait_for(self._bus.call(message), _PATIENCE)
        except (DBusError, TimeoutError, EOFError, OSError):
            return None

    def _show_menu(self) -> None:
        self._entries.show(self.menu or (), _base.Menu.SEPARATOR)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    # between threads

    def _hop(self, call: Callable[..., Any], *arguments: Any) -> None:
        loop = self._loop
        if loop is None:
            return  # before `run` or after `stop` there is nobody to show it to
        try:
            loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # closed this very moment
            return

    def _in_thread(self, item: Any = None) -> None:
        """Run an item's action, or the icon's own; then the menu may be another one."""
        action = (lambda icon: icon()) if item is None else item
        threading.Thread(target=self._handler(action), name="click", daemon=True).start()


class _Item(ServiceInterface):
    """The icon as the panel sees it."""

    def __init__(self, name: str, activate: Callable[[], None]) -> None:
        super().__init__("org.kde.StatusNotifierItem")
        self._name = name
        self._activate = activate
        self._values: dict[str, Any] = {"Status": "Passive", "Title": name, "Icon": []}

    def put(self, what: str, value: Any) -> None:
        """Show another icon, title or status, and tell the panel."""
        if self._values[what] == value:
            return
        self._values[what] = value
        if what == "Status":
            self.new_status()
        elif what == "Icon":
            self.new_icon()
        else:
            self.new_title()
            self.new_tool_tip()

    @dbus_method("Activate")
    def activate(self, _x: DBusInt32, _y: DBusInt32) -> None:
        """A click on the icon, from panels that do not open the menu for it."""
        self._activate()

    @dbus_method("SecondaryActivate")
    def secondary_activate(self, _x: DBusInt32, _y: DBusInt32) -> None:
        """The middle button does nothing."""

    @dbus_method("ContextMenu")
    def context_menu(self, _x: DBusInt32, _y: DBusInt32) -> None:
        """The panel shows the menu itself."""

    @dbus_method("Scroll")
    def scroll(self, _delta: DBusInt32, _orientation: DBusStr) -> None:
        """The wheel does nothing."""

    @dbus_signal("NewIcon")
    def new_icon(self) -> None:
        """Another icon."""

    @dbus_signal("NewTitle")
    def new_title(self) -> None:
        """Another title."""

    @dbus_signal("NewToolTip")
    def new_tool_tip(self) -> None:
        """Another tooltip."""

    @dbus_signal("NewStatus")
    def new_status(self) -> DBusStr:
        """Shown or hidden."""
        return str(self._values["Status"])

    @dbus_property(_READ, "Category")
    def category(self) -> DBusStr:
        """What kind of icon it is."""
        return "ApplicationStatus"

    @dbus_property(_READ, "Id")
    def id(self) -> DBusStr:
        """The program's name."""
        return self._name

    @dbus_property(_READ, "Title")
    def title(self) -> DBusStr:
        """A line about it."""
        return str(self._values["Title"]).partition("\n")[0]

    @dbus_property(_READ, "Status")
    def status(self) -> DBusStr:
        """Active: to be shown; Passive: hidden."""
        return str(self._values["Status"])

    @dbus_property(_READ, "WindowId")
    def window_id(self) -> DBusInt32:
        """There is no window."""
        return 0

    @dbus_property(_READ, "IconName")
    def icon_name(self) -> DBusStr:
        """The icon is sent, not named."""
        return ""

    @dbus_property(_READ, "IconThemePath")
    def icon_theme_path(self) -> DBusStr:
        """The same."""
        return ""

    @dbus_property(_READ, "IconPixmap")
    def icon_pixmap(self) -> Pixmaps:
        """The icon in each size."""
        found: list[list[Any]] = self._values["Icon"]
        return found

    @dbus_property(_READ, "ToolTip")
    def tool_tip(self) -> ToolTip:
        """The title; what follows its first line is a kind of HTML."""
        first, _, more = str(self._values["Title"]).partition("\n")
        return ["", [], first, html.escape(more, quote=False)]

    @dbus_property(_READ, "ItemIsMenu")
    def item_is_menu(self) -> DBusBool:
        """A left click opens the menu too."""
        return True

    @dbus_property(_READ, "Menu")
    def menu(self) -> DBusObjectPath:
        """Where the menu is."""
        return dbusmenu.PATH


_PATIENCE = 5.0
_NOTES = "org.freedesktop.Notifications"
_NOTES_PATH = "/org/freedesktop/Notifications"
_WATCHER_MATCH = (
    f"type='signal',sender='{_BUS}',interface='{_BUS}',member='NameOwnerChanged',arg0='{WATCHER}'"
)


async def _connect() -> MessageBus:
    """The session bus; systemd has it at a fixed place where no variable names it."""
    return await MessageBus(bus_address=_address(), bus_type=BusType.SESSION).connect()


def _address() -> str | None:
    """Where the bus is, when the usual variable does not tell."""
    usual = Path(os.environ.get("XDG_RUNTIME_DIR", ""), "bus")
    if os.environ.get("DBUS_SESSION_BUS_ADDRESS") or not usual.exists():
        return None
    return f"unix:path={usual}"


def _to_bus(member: str, signature: str, *body: Any) -> Message:
    path = "/org/freedesktop/DBus"
    return Message(_BUS, path, _BUS, member, signature=signature, body=list(body))


def _pixmaps(image: Image.Image) -> list[list[Any]]:
    """The image in each of its sizes, as ARGB in network order."""
    sizes = image.info.get("sizes") or (image,)
    return [[one.width, one.height, _argb(one)] for one in sizes]


def _argb(image: Image.Image) -> bytes:
    red, green, blue, alpha = image.convert("RGBA").split()
    return Image.merge("RGBA", (alpha, red, green, blue)).tobytes()
