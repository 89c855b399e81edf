"""A pystray menu as panels read it over D-Bus (com.canonical.dbusmenu).

Strategy: a click names an item by its number, and may arrive after the menu has changed. So a
number never means another item later: items keep theirs as long as they are there, and numbers of
items that are gone are answered by doing nothing.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from dbus_fast import DBusError, PropertyAccess, Variant
from dbus_fast.annotations import DBusBool, DBusInt32, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

PATH = "/MenuBar"

_ROOT = 0
_READ = PropertyAccess.READ

Properties = dict[str, Variant]
Node = list[Any]  # number, properties, children: the shape on the wire, (ia{sv}av)
Strings = Annotated[list[str], DBusSignature("as")]
Numbers = Annotated[list[int], DBusSignature("ai")]
Layout = Annotated[tuple[int, Node], DBusSignature("u(ia{sv}av)")]
Groups = Annotated[list[list[Any]], DBusSignature("a(ia{sv})")]
Events = Annotated[list[list[Any]], DBusSignature("a(isvu)")]
TwoLists = Annotated[tuple[list[int], list[int]], DBusSignature("aiai")]
Updated = Annotated[tuple[int, int], DBusSignature("ui")]


class Menu(ServiceInterface):
    """The menu of one icon."""

    def __init__(self, click: Callable[[Any], None]) -> None:
        super().__init__("com.canonical.dbusmenu")
        self._click = click
        self._numbers = itertools.count(1)
        self._known: dict[tuple[Any, ...], int] = {}
        self._items: dict[int, Any] = {}
        self._nodes: dict[int, Node] = {_ROOT: [_ROOT, _submenu(), []]}
        self._revision = 1

    def show(self, items: Iterable[Any], separator: Any) -> None:
        """Take these items of pystray; panels are told when anything changed."""
        known, self._items, nodes = self._known, {}, {}
        self._known = {}

        def number(key: tuple[Any, ...]) -> int:
            self._known[key] = known.get(key) or next(self._numbers)
            return self._known[key]

        def build(parent: int, properties: Properties, items: Iterable[Any]) -> Node:
            children, met = [], itertools.count()
            for item in items:
                there = _key(item, separator, next(met))
                one = number((parent, *there))
                self._items[one] = item
                children.append(build(one, _properties(item, separator), item.submenu or ()))
            nodes[parent] = [parent, properties, children]
            return nodes[parent]

        build(_ROOT, _submenu(), items)
        if nodes != self._nodes:
            self._nodes = nodes
            self._revision += 1
            self.layout_updated()

    @dbus_method("GetLayout")
    def layout(self, parent: DBusInt32, depth: DBusInt32, names: Strings) -> Layout:
        """The menu below one item."""
        return self._revision, _cut(self._node(parent), depth, set(names))

    @dbus_method("GetGroupProperties")
    def group_properties(self, numbers: Numbers, names: Strings) -> Groups:
        """What is known of these items; of all when none is named."""
        wanted = numbers or list(self._nodes)
        return [_cut(self._nodes[one], 0, set(names))[:2] for one in wanted if one in self._nodes]

    @dbus_method("GetProperty")
    def one_property(
        self, number: DBusInt32, name: DBusStr
    ) -> Annotated[Variant, DBusSignature("v")]:
        """One thing that is known of an item."""
        properties: Properties = self._node(number)[1]
        if name not in properties:
            raise DBusError(_BAD, f"item {number} has no property {name}")
        return properties[name]

    @dbus_method("Event")
    def event(
        self,
        number: DBusInt32,
        kind: DBusStr,
        _data: Annotated[Variant, DBusSignature("v")],
        _time: DBusUInt32,
    ) -> None:
        """Something happened to an item."""
        self._happened(number, kind)

    @dbus_method("EventGroup")
    def event_group(self, events: Events) -> Numbers:
        """Several of them; the numbers that mean nothing."""
        for number, kind, *_ in events:
            self._happened(number, kind)
        return [number for number, *_ in events if number not in self._nodes]

    @dbus_method("AboutToShow")
    def about_to_show(self, _number: DBusInt32) -> DBusBool:
        """Whether the menu must be read again first; it never must."""
        return False

    @dbus_method("AboutToShowGroup")
    def about_to_show_group(self, numbers: Numbers) -> TwoLists:
        """The same for several."""
        return [], [number for number in numbers if number not in self._nodes]

    @dbus_signal("LayoutUpdated")
    def layout_updated(self) -> Updated:
        """The menu is another one now."""
        return self._revision, _ROOT

    @dbus_property(_READ, "Version")
    def version(self) -> DBusUInt32:
        """Of the protocol."""
        return 3

    @dbus_property(_READ, "TextDirection")
    def text_direction(self) -> DBusStr:
        """From left to right."""
        return "ltr"

    @dbus_property(_READ, "Status")
    def status(self) -> DBusStr:
        """Nothing in the menu calls for attention by itself."""
        return "normal"

    @dbus_property(_READ, "IconThemePath")
    def icon_theme_path(self) -> Strings:
        """The menu has no pictures."""
        return []

    def _happened(self, number: int, kind: str) -> None:
        item = self._items.get(number)
        if kind == "clicked" and item is not None and item.enabled:
            self._click(item)

    def _node(self, number: int) -> Node:
        if number not in self._nodes:
            raise DBusError(_BAD, f"there is no item {number}")
        return self._nodes[number]


_BAD = "org.freedesktop.DBus.Error.InvalidArgs"


def _key(item: Any, separator: Any, place: int) -> tuple[Any, ...]:
    """What makes an item the same one as before.

    Its text does where a click matters; a line that only tells something may change its text.
    """
    if item is separator or not item.enabled:
        return ("line", place)
    return ("item", item.text)


def _properties(item: Any, separator: Any) -> Properties:
    if item is separator:
        return {"type": Variant("s", "separator")}
    found = {
        "label": Variant("s", item.text.replace("_", "__")),  # one underscore marks a shortcut
        "enabled": Variant("b", bool(item.enabled)),
    }
    if item.checked is not None:
        found["toggle-type"] = Variant("s", "radio" if item.radio else "checkmark")
        found["toggle-state"] = Variant("i", int(item.checked))
    if item.submenu is not None:
        found |= _submenu()
    return found


def _submenu() -> Properties:
    return {"children-display": Variant("s", "submenu")}


def _cut(node: Node, depth: int, names: set[str]) -> Node:
    """The node with that many levels below it (-1: all) and the named properties (none: all)."""
    number, properties, children = node
    kept = {name: value for name, value in properties.items() if not names or name in names}
    below = children if depth else []
    return [number, kept, [Variant("(ia{sv}av)", _cut(one, depth - 1, names)) for one in below]]
