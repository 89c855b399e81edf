"""Tool definitions on the way up; tool calls, whole or in pieces, on the way down.

Strategy: pieces are gathered until the answer ends, because upstreams disagree on when a call is
complete (upstream-quirks C1 to C11), and Ollama never splits one. Ids are nine letters or digits:
the one form every upstream accepts (C12).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ollama_bridge.wire import openai

Arguments = dict[str, Any]

_ID = re.compile(r"[A-Za-z0-9]{9}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LIMIT = 16 * 1024 * 1024
"""Most characters the gathered calls of one answer may hold: arguments, names and ids."""

MOST_CALLS = 1024
"""Most calls of one answer; services take 128 tools (upstream-quirks A16)."""


class Call(NamedTuple):
    """One complete tool call."""

    id: str
    name: str
    arguments: Arguments


class Unusable(ValueError):
    """A call nobody could carry out; the message says which and why."""


def short_id(*parts: object) -> str:
    """Nine letters or digits that depend on nothing but `parts`."""
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:8], "big")
    return "".join(_ALPHABET[(number // 62**place) % 62] for place in range(9))


def suits_every_upstream(call_id: str) -> bool:
    """Whether an id can be sent as it is."""
    return _ID.fullmatch(call_id) is not None


def sent_name(name: str) -> str:
    """A function name every upstream accepts, with a hash where it had to change (C14)."""
    if _NAME.fullmatch(name):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[:54]}_{short_id(name)}"


def to_openai(tools: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Tool definitions as sent, and the client's names by the names sent where they differ."""
    sent, names = [], {}
    for tool in tools:
        function = _filled(tool.get("function") or {})
        name = str(function.get("name") or "")
        function["name"] = sent_name(name)
        if function["name"] != name:
            names[function["name"]] = name
        parameters = function.get("parameters")
        function["parameters"] = _object_schema(parameters if isinstance(parameters, dict) else {})
        sent.append({"type": "function", "function": function})
    return sent, names


def _object_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object schema needs its two keys (C16)."""
    return {"type": "object", "properties": {}} | _filled(schema)


def _filled(value: Mapping[str, Any]) -> dict[str, Any]:
    """Go clients send null, or an empty text, for what they left out."""
    return {key: item for key, item in value.items() if item is not None and item != ""}


class Gatherer:
    """Streamed pieces in, complete calls out."""

    def __init__(self) -> None:
        self._open: list[_Pieces] = []
        self._size = 0
        self.extras: list[Any] = []
        """What stood beside each call of the result, once it is there (D8)."""

    def feed(self, pieces: Iterable[openai.ToolCall]) -> None:
        """Add the pieces of one chunk."""
        for piece in pieces:
            function = piece.function or openai.Function()
            call = self._call(piece, function)
            call.id = call.id or piece.id or ""
            call.name = call.name or function.name or ""
            call.extra = call.extra or piece.extra_content
            self._size += call.add(function.arguments) + len(piece.id or "")
            self._size += len(function.name or "")
            if self._size > LIMIT:
                raise ValueError("the upstream sent tool arguments without end")

    def whole(self, calls: Iterable[openai.ToolCall]) -> None:
        """Add complete calls, which are never pieces of each other."""
        for call in calls:
            function = call.function or openai.Function()
            pieces = _Pieces(call.index)
            pieces.id, pieces.name = call.id or "", function.name or ""
            pieces.extra = call.extra_content
            pieces.add(function.arguments)
            self._begin(pieces)

    def close(self, names: Mapping[str, str], seed: str) -> list[Call]:
        """All calls in order, by the client's names; raises Unusable for one that is cut off."""
        if not self._open:
            return []
        calls: list[Call] = []
        used: set[str] = set()
        for pieces in self._open:
            if not pieces.means_something():
                continue
            name = names.get(pieces.name, pieces.name)
            for arguments in _objects(pieces):
                fresh = short_id(seed, len(calls), name)
                call_id = pieces.id if pieces.id and pieces.id not in used else fresh
                used.add(call_id)
                calls.append(Call(call_id, name, arguments))
                self.extras.append(pieces.extra)
        return calls

    def _call(self, piece: openai.ToolCall, function: openai.Function) -> "_Pieces":
        known = self._known(piece.id or "", piece.index, function.name or "")
        if known is None:
            known = _Pieces(piece.index)
            self._begin(known)
        return known

    def _begin(self, pieces: "_Pieces") -> None:
        if len(self._open) >= MOST_CALLS:
            raise ValueError(f"the upstream sent more than {MOST_CALLS} tool calls")
        self._open.append(pieces)

    def _known(self, call_id: str, index: int | None, name: str) -> "_Pieces | None":
        """The open call a piece belongs to: by its id, else by its index, else the last one."""
        same_id = [call for call in self._open if call_id and call.id == call_id]
        if same_id:
            return same_id[-1]
        found = [call for call in self._open if index is None or call.index == index]
        if not found:
            return None
        last = found[-1]
        if call_id and (last.id or index is None):
            return None  # C2: a new id is a new call, also under an index that is in use
        if name and last.name and (index is None or name != last.name):
            return None  # C1: a name opens a call; C5: but some repeat it with every piece
        return last


class _Pieces:
    """One call while it is being gathered."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.parts: list[str] = []
        self.whole: Arguments | None = None
        self.extra: Any = None

    def add(self, arguments: str | Arguments | None) -> int:
        if isinstance(arguments, dict):
            self.whole = {**(self.whole or {}), **arguments}
            return 0
        if not arguments:
            return 0
        self.parts.append(arguments)
        return len(arguments)

    def means_something(self) -> bool:
        """Whether this is a call at all: some servers send an empty one with every message."""
        return bool(self.id or self.name or self.parts or self.whole)

    def cumulative(self) -> bool:
        """Whether each piece repeats all before it (C8)."""
        pairs = zip(self.parts, self.parts[1:], strict=False)
        return self.parts[0].startswith("{") and all(new.startswith(old) for old, new in pairs)


_EMPTY = frozenset({"", "null", "{}", "[]", '""'})
"""Ways to say "no arguments" (C9); PHP has the same word for an empty list and an empty object."""


def _objects(pieces: _Pieces) -> list[Arguments]:
    """The argument objects of a call: nearly always one (C7: some gateways join several)."""
    if not pieces.name:
        raise Unusable("a tool call has no name")
    if pieces.whole is not None and not pieces.parts:
        return [pieces.whole]
    text = "".join(pieces.parts).strip()
    if text in _EMPTY:
        return [{}]
    found = _split(text)
    if (found is None or len(found) > 1) and pieces.cumulative():
        found = _split(pieces.parts[-1]) or found
    if found is None:
        found = _split(_repaired(text))
    if found is None:
        raise Unusable(f"the arguments of its call of tool {pieces.name} are not complete JSON")
    return [arguments for arguments in found if arguments] or [{}]


def _split(text: str) -> list[Arguments] | None:
    """Every JSON object in a row of them; None when something else stands there."""
    found: list[Arguments] = []
    at = 0
    try:
        while at < len(text):
            value, at = openai.loose_from(text, at)
            if isinstance(value, str):  # the object was encoded twice
                value = openai.loose(value)
            if not isinstance(value, dict):
                return None
            found.append(value)
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
    except (ValueError, RecursionError):
        return None
    return found


# Each of these goes once over the text, whatever it holds: a text that ends within quotation marks
# is taken to its end, and nothing is tried again from the middle of what was looked at.
_FENCE = re.compile(r"^```(?:json)?\s*+|(?<!\s)\s*+```$")
_MISTAKE = re.compile(
    r'("(?:[^"\\]|\\.)*+(?:"|\\?\Z))|,\s*+(?=[}\]])|\b(None|True|False)\b', re.DOTALL
)
_WORDS = {"None": "null", "True": "true", "False": "false"}


def _repaired(text: str) -> str:
    """What weak models get wrong most (C10): fences, single quotes, last commas, Python's words."""
    text = _FENCE.sub("", text)
    if '"' not in text:
        text = text.replace("'", '"')
    return _MISTAKE.sub(lambda found: found[1] or _WORDS.get(found[2], ""), text)


def text_of(arguments: Arguments) -> str:
    """Arguments as the JSON text OpenAI wants."""
    try:
        return msgspec.json.encode(arguments).decode()
    except UnicodeEncodeError:  # half an emoji, which can only be written as an escape
        return json.dumps(arguments, separators=(",", ":"))
