"""A panel without a picture: it takes icons, reads their menus and clicks."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Self

from dbus_fast import Message, MessageType, PropertyAccess, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt32, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

WATCHER = "org.kde.StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
PATIENCE = 20.0

Item = dict[str, Any]
"""Number, properties and items below: what a panel knows of one entry."""


class _Watcher(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(WATCHER)
        self.taken: asyncio.Queue[str] = asyncio.Queue()

    @dbus_method("RegisterStatusNotifierItem")
    def register(self, name: DBusStr) -> None:
        self.taken.put_nowait(name)

    @dbus_property(PropertyAccess.READ, "RegisteredStatusNotifierItems")
    def items(self) -> Annotated[list[str], DBusSignature("as")]:
        return []

    @dbus_property(PropertyAccess.READ, "IsStatusNotifierHostRegistered")
    def has_host(self) -> DBusBool:
        return True

    @dbus_property(PropertyAccess.READ, "ProtocolVersion")
    def version(self) -> DBusInt32:
        return 0


class _Notes(ServiceInterface):
    """What would pop up in a corner of the screen."""

    def __init__(self) -> None:
        super().__init__("org.freedesktop.Notifications")
        self.shown: asyncio.Queue[str] = asyncio.Queue()

    @dbus_method("Notify")
    def notify(
        self,
        _app: DBusStr,
        _replaces: DBusUInt32,
        _icon: DBusStr,
        _title: DBusStr,
        body: DBusStr,
        _actions: Annotated[list[str], DBusSignature("as")],
        _hints: Annotated[dict[str, Any], DBusSignature("a{sv}")],
        _seconds: DBusInt32,
    ) -> DBusUInt32:
        self.shown.put_nowait(body)
        return 1


class Panel:
    """Shows one icon at a time."""

    def __init__(self, bus: MessageBus) -> None:
        self.item = ""
        """The bus name of the icon."""
        self._bus = bus
        self._watcher = _Watcher()
        self.notes = _Notes()
        self._changed = asyncio.Event()

    @classmethod
    async def started(cls, address: str) -> Self:
        panel = cls(await MessageBus(bus_address=address).connect())
        panel._bus.export("/StatusNotifierWatcher", panel._watcher)
        panel._bus.export("/org/freedesktop/Notifications", panel.notes)
        panel._bus.add_message_handler(panel._hear)
        await panel._call("org.freedesktop.DBus", "AddMatch", "s", "type='signal'", path="/")
        await panel._bus.request_name("org.freedesktop.Notifications")
        await panel._bus.request_name(WATCHER)
        return panel

    def end(self) -> None:
        self._bus.disconnect()

    async def take(self) -> str:
        """Wait for an icon that makes itself known."""
        self.item = await asyncio.wait_for(self._watcher.taken.get(), PATIENCE)
        return self.item

    async def noted(self) -> str:
        """The next notification."""
        return await asyncio.wait_for(self.notes.shown.get(), PATIENCE)

    def told(self) -> list[str]:
        """Notifications that nobody has taken yet."""
        return [self.notes.shown.get_nowait() for _ in range(self.notes.shown.qsize())]

    async def see(self, name: str) -> Any:
        """A property of the icon."""
        body = await self._ask("org.freedesktop.DBus.Properties", "Get", "ss", ITEM, name)
        return body[0].value

    async def pixels(self, size: int) -> bytes:
        """The icon at that size."""
        return next(data for wide, _, data in await self.see("IconPixmap") if wide == size)

    async def menu(self) -> Item:
        """The whole menu."""
        _, root = await self._ask(MENU, "GetLayout", "iias", 0, -1, [], path="/MenuBar")
        return _item(root)

    async def until(self, when: Callable[[Item], bool]) -> Item:
        """The menu, as soon as it is as described."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._changed.clear()
                if when(menu := await self.menu()):
                    return menu
                await self._changed.wait()

    async def until_shown(self, *labels: str) -> Item:
        """The menu, as soon as it has entries that begin like these."""
        return await self.until(lambda menu: all(find(menu, label) for label in labels))

    async def click(self, *labels: str) -> None:
        """Click the entry that begins so; several lead through the menus below."""
        item: Item | None = await self.until_shown(labels[0])
        for label in labels:
            item = find(item, label)
        assert item is not None
        await self.click_number(item["number"])

    async def click_number(self, number: int) -> None:
        await self._ask(
            MENU, "Event", "isvu", number, "clicked", Variant("i", 0), 0, path="/MenuBar"
        )

    async def _ask(
        self,
        interface: str,
        member: str,
        signature: str,
        *body: Any,
        path: str = "/StatusNotifierItem",
    ) -> list[Any]:
        return await self._call(interface, member, signature, *body, path=path, to=self.item)

    async def _call(
        self, interface: str, member: str, signature: str, *body: Any, path: str, to: str = ""
    ) -> list[Any]:
        message = Message(
            to or interface, path, interface, member, signature=signature, body=list(body)
        )
        reply = await asyncio.wait_for(self._bus.call(message), PATIENCE)
        assert reply is not None
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
        return reply.body

    def _hear(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL:
            self._changed.set()


def find(menu: Item | None, label: str) -> Item | None:
    """The entry of a menu that begins so."""
    below = menu["below"] if menu else []
    return next((item for item in below if item["label"].startswith(label)), None)


def _item(node: list[Any]) -> Item:
    number, properties, below = node
    plain = {name: value.value for name, value in properties.items()}
    return (
        {"number": number, "label": "", "enabled": True}
        | plain
        | {"below": [_item(child.value) for child in below]}
    )
