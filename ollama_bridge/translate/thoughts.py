"""What a provider wants back with its tool calls: thoughts, signatures (upstream-quirks D6 to D8).

Clients of Ollama drop them, so they are kept by the ids of the calls and put back here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ollama_bridge.translate import tools
from ollama_bridge.wire import openai


class Thoughts(NamedTuple):
    """What came with a turn's calls."""

    text: str = ""
    details: tuple[Any, ...] = ()
    """A router's list of reasoning parts, which goes back as it came, pieces joined (D7)."""
    extra: Any = None
    """What stood beside the message's own fields (D8)."""
    extras: tuple[Any, ...] = ()
    """The same for each call."""

    def worth(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self.text or self.details or self.extra or any(self.extras))


Keep = Callable[[Sequence[tools.Call], Thoughts], None]
Find = Callable[[str, str, str], Thoughts | None]
"""By a call's id, name and arguments."""


class Listener:
    """Gathers the thoughts of one reply, for as long as somebody may want them."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._text: list[str] = []
        self._details: list[Any] = []
        self._extra: Any = None

    def hear(self, delta: openai.Delta | None) -> None:
        """A piece of the message, or the whole of it."""
        if delta is None:
            return
        if thought := delta.reasoning_content or delta.reasoning or delta.thinking:
            self._text.append(thought)
        if delta.extra_content:
            self._extra = delta.extra_content
        for part in delta.reasoning_details or ():
            if not (self._details and _joined(self._details[-1], part)):
                self._details.append(dict(part) if isinstance(part, dict) else part)

    def close(self, calls: Sequence[tools.Call], extras: Sequence[Any]) -> None:
        """The reply is complete; only what belongs to calls is asked for again."""
        found = Thoughts("".join(self._text), tuple(self._details), self._extra, tuple(extras))
        if calls and found.worth():
            self._keep(calls, found)


class Eavesdropper:
    """The same for a reply that passes through unread: of a stream only what holds marks is read.

    It hears, and never spoils: what cannot be read is somebody else's to complain about.
    """

    def __init__(self, keep: Keep) -> None:
        self._listener = Listener(keep)
        self._calls = tools.Gatherer()

    def hear(self, payload: bytes) -> None:
        """An event of a stream; the marks are only found in JSON itself, not inside a text."""
        if (
            b'"reasoning' in payload
            or b'"tool_calls"' in payload
            or b'"extra_content"' in payload
            or b'"thinking"' in payload
        ):
            self._read(payload, whole=False)

    def hear_all(self, body: bytes) -> None:
        """A whole reply."""
        self._read(body, whole=True)
        self.close()

    def close(self) -> None:
        """The reply is complete."""
        try:
            calls = self._calls.close({}, "")
        except tools.Unusable:
            return
        self._listener.close(calls, self._calls.extras)

    def _read(self, payload: bytes, *, whole: bool) -> None:
        try:
            choices = openai.chunk(payload).choices or ()
            for choice in choices:
                said = choice.delta or choice.message
                if said is None or choice.index:
                    continue
                self._listener.hear(said)
                if said.tool_calls:
                    (self._calls.whole if whole else self._calls.feed)(said.tool_calls)
        except (ValueError, RecursionError):
            return


def restore(body: Mapping[str, Any], find: Find, *, text: bool) -> None:
    """Put back what is known of each turn with calls; `text` with the thoughts themselves.

    What the client sent back itself stays.
    """
    turns = body.get("messages")
    for turn in turns if isinstance(turns, list) else ():
        calls = turn.get("tool_calls") if isinstance(turn, dict) else None
        if not isinstance(calls, list):
            continue
        for place, call in enumerate(calls):
            found = _found(call, find)
            if found is None:
                continue
            if place < len(found.extras) and found.extras[place] is not None:
                call.setdefault("extra_content", found.extras[place])
            if found.extra is not None:
                turn.setdefault("extra_content", found.extra)
            if found.details:
                turn.setdefault("reasoning_details", list(found.details))
            if text and found.text:
                turn.setdefault("reasoning_content", found.text)


def _found(call: Any, find: Find) -> Thoughts | None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return None
    fields = call.get("id"), function.get("name"), function.get("arguments")
    known, name, arguments = (field if isinstance(field, str) else "" for field in fields)
    return find(known, name, arguments)


_GROWING = ("text", "summary", "data")


def _joined(last: Any, part: Any) -> bool:
    """Whether the part was one more piece of the last one, and now belongs to it."""
    if not isinstance(last, dict) or not isinstance(part, dict):
        return False
    same = ("type", "index", "id", "format")
    if any(last.get(key) != part.get(key) for key in same if part.get(key) is not None):
        return False
    if "index" not in part or last.get("type") == "reasoning.encrypted":
        return False
    for key, value in part.items():
        grows = key in _GROWING and isinstance(value, str) and isinstance(last.get(key), str)
        last[key] = last[key] + value if grows else value
    return True
