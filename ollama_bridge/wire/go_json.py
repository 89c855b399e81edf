"""JSON read as Go's encoding/json reads it, down to the words it refuses something with.

Strategy: this is the slow road, for what a typed decode would not take. A scanner finds the first
value of a body; the table form of a Go struct, a Shape, says what it should be. A wrong type is
noted and reading goes on; what a Go type with its own UnmarshalJSON refuses is raised at once; the
first note is raised at the end. So the message is the one Ollama gives.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import msgspec

from ollama_bridge.errors import BadRequest

Json = Any

DEPTH = 10_000
"""Go reads no deeper."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_ESCAPE = re.compile(rb"\\u[0-9a-fA-F]{0,3}|\\?")
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]*)?")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_FRACTION = re.compile("[.eE]")
_LONE = re.compile("[\ud800-\udfff]")
_LITERALS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
_CLOSERS = {dict: b"}", list: b"]"}
_IN_STRING = {
    b"": "in string literal",
    b"\\": "in string escape code",
    b"\\u": r"in \u hexadecimal character escape",
}
_AFTER = {dict: "after object key:value pair", list: "after array element"}


class Number(msgspec.Struct, gc=False):
    """A number as it was written: messages quote it."""

    text: str


def parse(body: bytes) -> Json:
    """The first JSON value; whatever follows it is not looked at."""
    scanner = _Scanner(body)
    if scanner.ended():
        raise BadRequest("missing request body")
    return scanner.value()


def fold(key: str) -> str:
    """Keys that differ only in case are the same; U+017F is a form of `s`, for Go at least."""
    return key.replace("\u017f", "s").lower()


def quoted(text: str) -> str:
    """Text in double quotes as Go's %q writes it."""
    return '"' + "".join(map(_shown, text)) + '"'


_SHORT = dict(zip('\a\b\f\n\r\t\v\\"', (rf"\{letter}" for letter in 'abfnrtv\\"'), strict=True))


def _shown(char: str) -> str:
    if char in _SHORT or char.isprintable():
        return _SHORT.get(char, char)
    code = ord(char)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Scanner:
    """Walks over the bytes of one value without recursion, so that depth costs nothing."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def ended(self) -> bool:
        """Whether nothing but white space is left; stands on the next byte afterwards."""
        self._at = self._match(_SPACE, self._at).end()
        return self._at == len(self._body)

    def value(self) -> Json:
        """The value that begins here."""
        opened: list[dict[str, Json] | list[Json]] = []
        keys: list[str] = []
        while True:
            value = self._begin(len(opened))
            if isinstance(value, dict | list) and not self._took(_CLOSERS[type(value)]):
                opened.append(value)
                if isinstance(value, dict):
                    keys.append(self._key())
                continue
            while opened and not self._joined(value, opened[-1], keys):
                value = opened.pop()
            if not opened:
                return value

    def _joined(self, value: Json, holder: dict[str, Json] | list[Json], keys: list[str]) -> bool:
        """Put a value into its holder; False when the holder ends with it."""
        if isinstance(holder, dict):
            holder[keys.pop()] = value
        else:
            holder.append(value)
        byte = self._next()
        if byte != b"," and byte != _CLOSERS[type(holder)]:
            self._refuse(_AFTER[type(holder)])
        self._at += 1
        if byte == b"," and isinstance(holder, dict):
            keys.append(self._key())
        return byte == b","

    def _begin(self, depth: int) -> Json:
        """A whole scalar, or an empty container whose first byte has been read."""
        byte = self._next()
        if byte in b"{[":
            if depth >= DEPTH:
                self._refuse("exceeded max depth")
            self._at += 1
            return {} if byte == b"{" else []
        if byte == b'"':
            return self._string()
        if byte in _LITERALS:
            return self._literal(*_LITERALS[byte])
        if byte in b"-0123456789":
            return self._number()
        return self._refuse("looking for beginning of value")

    def _key(self) -> str:
        if self._next() != b'"':
            self._refuse("looking for beginning of object key string")
        key = self._string()
        if not self._took(b":"):
            self._refuse("after object key")
        return key

    def _string(self) -> str:
        match = self._match(_STRING, self._at + 1)
        self._at = match.end()
        if self._here() != b'"':
            self._refuse_string()
        self._at += 1
        return _text(match[0])

    def _refuse_string(self) -> NoReturn:
        escape = self._match(_ESCAPE, self._at)
        self._refuse(_IN_STRING[escape[0][:2]], escape.end())

    def _number(self) -> Number:
        match = self._match(_NUMBER, self._at)
        whole, fraction, exponent = match.groups()
        if whole is None:
            self._refuse("in numeric literal", self._at + 1)
        if fraction == b".":
            self._refuse("after decimal point in numeric literal", match.end(2))
        if exponent and not exponent[-1:].isdigit():
            self._refuse("in exponent of numeric literal", match.end(3))
        self._at = match.end()
        return Number(match[0].decode())

    def _literal(self, word: bytes, value: Json) -> Json:
        for place, expected in enumerate(word):
            if self._body[self._at + place : self._at + place + 1] != word[place : place + 1]:
                state = f"in literal {word.decode()} (expecting {_quoted_byte(expected)})"
                self._refuse(state, self._at + place)
        self._at += len(word)
        return value

    def _took(self, byte: bytes) -> bool:
        """Step over the next byte if it is this one."""
        found = self._next() == byte
        self._at += found
        return found

    def _next(self) -> bytes:
        byte = self._here()
        if byte in b" \t\r\n":  # true at the end, too, where there is no byte
            if self.ended():
                raise BadRequest("unexpected EOF")
            byte = self._here()
        return byte

    def _here(self) -> bytes:
        return self._body[self._at : self._at + 1]

    def _match(self, pattern: re.Pattern[bytes], at: int) -> re.Match[bytes]:
        match = pattern.match(self._body, at)
        assert match is not None  # noqa: S101 - every pattern used here also takes nothing at all
        return match

    def _refuse(self, state: str, at: int | None = None) -> NoReturn:
        at = self._at if at is None else at
        if at >= len(self._body):
            raise BadRequest("unexpected EOF")
        raise BadRequest(f"invalid character {_quoted_byte(self._body[at])} {state}")


def _quoted_byte(byte: int) -> str:
    """A byte in single quotes as Go shows it: as the character of that number."""
    char = chr(byte)
    return "'\\''" if char == "'" else "'\"'" if char == '"' else f"'{_shown(char)}'"


def _text(raw: bytes) -> str:
    """The content of a string; every byte or escape that is no character becomes U+FFFD."""
    text = raw.decode(errors="surrogateescape")
    if b"\\" in raw:
        text = json.loads(f'"{text}"')
    return text if text.isascii() else _LONE.sub("\ufffd", text)


_NAMES = {
    str: "string",
    bool: "bool",
    dict: "object",
    list: "array",
    Number: "number",
    int: "number",
    float: "number",
}
_INT64 = 2**63


class Place(NamedTuple):
    """Where a value stands, for messages, and what was found wrong so far."""

    struct: str  # the one that messages name: not always the innermost
    path: str
    notes: list[BadRequest]

    def inside(self, key: str, struct: str) -> "Place":
        """The place of a field; `struct` is empty where messages keep naming the outer one."""
        path = f"{self.path}.{key}" if self.path else key
        return Place(struct or self.struct, path, self.notes)

    def note(self, value: Json, wanted: str, *, digits: bool = False) -> None:
        """Remember a wrong type; messages show the digits of a number that is only out of range."""
        found = _NAMES[type(value)]
        if digits and isinstance(value, Number):
            found += f" {value.text}"
        into = f"Go struct field {self.struct}.{self.path}" if self.path else "Go value"
        text = f"json: cannot unmarshal {found} into {into} of type {wanted}"
        self.notes.append(BadRequest(text))


Read = Callable[[Json, Place], Any]
"""Fits a value that is not null to one Go type."""


class Shape(NamedTuple):
    """A Go struct as a table."""

    go: str
    fields: Mapping[str, tuple[str, Read]]  # name in JSON → name of ours, type
    build: Callable[..., Any]
    named: bool = True  # whether messages about its fields name it
    open: bool = False  # whether unknown fields are kept


def read(body: bytes, fits: Read) -> Any:
    """What a request body holds; raises BadRequest with Go's text."""
    try:
        return _fitted(msgspec.json.decode(body), fits)
    except (ValueError, OverflowError, RecursionError, BadRequest):
        pass  # the exact scanner takes more than msgspec does, and knows what to say
    try:
        return _fitted(parse(body), fits)
    except RecursionError:
        raise BadRequest("exceeded max depth") from None


def _fitted(value: Json, fits: Read) -> Any:
    return alone(fits)({} if value is None else value, Place("", "", []))


def struct(shape: Shape) -> Read:
    """An object with known fields; null in one is the same as none."""
    folded = {fold(key): (key, *field) for key, field in shape.fields.items()}
    known = shape.go if shape.named else ""

    def fit(value: Json, place: Place) -> Any:
        if not isinstance(value, dict):
            place.note(value, f"api.{shape.go}")
            return shape.build()
        found = {}
        for written, item in value.items():
            key, name, fits = folded.get(fold(written), ("", written, plain))
            if item is not None and (key or shape.open):
                found[name] = fits(item, place.inside(key, known) if key else place)
        return shape.build(**found)

    return fit


def alone(fits: Read) -> Read:
    """A type with an UnmarshalJSON of its own: its first error ends the whole reading."""

    def fit(value: Json, place: Place) -> Any:
        apart = place._replace(notes=[])
        found = fits(value, apart)
        if apart.notes:
            raise apart.notes[0]
        return found

    return fit


def exactly(kind: type, go: str) -> Read:
    """A string or a truth value."""

    def fit(value: Json, place: Place) -> Any:
        if type(value) is not kind:
            place.note(value, go)
        return value

    return fit


def array(item: Read, go: str, zero: Callable[[], Any]) -> Read:
    """A list; null in it is the zero value of its elements."""

    def fit(value: Json, place: Place) -> list[Any]:
        if isinstance(value, list):
            return [zero() if element is None else item(element, place) for element in value]
        place.note(value, go)
        return []

    return fit


def table(item: Read, go: str, zero: Callable[[], Any]) -> Read:
    """An object with any keys; null in it is the zero value of its elements."""

    def fit(value: Json, place: Place) -> dict[str, Any]:
        if isinstance(value, dict):
            return {
                key: zero() if element is None else item(element, place)
                for key, element in value.items()
            }
        place.note(value, go)
        return {}

    return fit


def integer(value: Json, place: Place) -> int:
    """A whole number of 64 bits, written without point and exponent."""
    whole = isinstance(value, Number) and _INTEGER.fullmatch(value.text)
    number = int(value.text) if whole else value
    if type(number) is int and -_INT64 <= number < _INT64:
        return number
    place.note(value, "int", digits=True)
    return 0


def plain(value: Json, place: Place) -> Json:
    """Anything; only its numbers are looked at."""
    if isinstance(value, dict):
        return {key: plain(item, place) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, place) for item in value]
    return _counted(value, place) if isinstance(value, Number) else value


def _counted(number: Number, place: Place) -> int | float:
    value = float(number.text)
    if abs(value) == float("inf"):
        place.note(number, "float64", digits=True)
        return 0
    return value if _FRACTION.search(number.text) else int(number.text)
