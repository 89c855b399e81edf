"""What the events of a response say, as the deltas of a chat completion.

Strategy: each part of the output has a place; what came in pieces is not said again when it comes
whole, and what never came in pieces is said then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ollama_bridge.translate.chat_as_responses import SEALED
from ollama_bridge.translate.stops import StopCutter
from ollama_bridge.wire.responses import word

Json = Any
Body = dict[str, Any]
Object = Mapping[str, Json]
Place = tuple[str, int, int]
"""What it is, where among the output's items, and where in the item."""

_BREAK = "\n\n"
"""Between two messages, or two pieces of thinking, which are one text in a chat."""

_TEXT, _THOUGHT, _REFUSAL = "content", "reasoning_content", "refusal"
_CALL, _SEALED = "call", "seal"


class Deltas:
    """One response; `stops` are the stop strings that the service was not told of."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self.calls: dict[int, int] = {}
        """The numbers of the calls, by their places in the output."""
        self.said: set[Place] = set()
        """The places of which something was said."""
        self.found = ""
        """The stop string that was met."""
        self._stops = StopCutter(stops) if stops else None
        self._spoken: dict[str, int] = {}
        self._thoughts: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._item = self._added = 0

    @property
    def stopped(self) -> bool:
        """A stop string was met: nothing more of the answer is wanted."""
        return self._stops is not None and self._stops.stopped

    def of_event(self, event: Object) -> Iterator[Body]:
        """What an event says."""
        told = _EVENTS.get(word(event, "type"))
        if told is not None:
            yield from told(self, event)

    def of_response(self, response: Object) -> Iterator[Body]:
        """What of a whole response has not been said yet, and text that was held back."""
        for at, item in enumerate(objects(response.get("output"))):
            yield from self.whole_item(at, item)
        if self._stops is not None and not self.stopped and (rest := self._stops.close()):
            yield {_TEXT: rest}

    # events of one part of the output each

    def text_delta(self, event: Object) -> Iterator[Body]:
        """A piece of the answer."""
        yield from self._say(_TEXT, self._place(_TEXT, event), event)

    def refusal_delta(self, event: Object) -> Iterator[Body]:
        """A piece of a refusal."""
        yield from self._say(_REFUSAL, self._place(_REFUSAL, event), event)

    def thought_delta(self, event: Object) -> Iterator[Body]:
        """An item's thoughts may come in full and as a summary: what came first is enough."""
        place = self._place(_THOUGHT, event)
        kind = word(event, "type").split(".")[1]
        if self._thoughts.setdefault(place[1], kind) == kind:
            yield from self._say(_THOUGHT, place, event)

    def call_delta(self, event: Object) -> Iterator[Body]:
        """A piece of what is given to a call."""
        place = self._place(_CALL, event)
        if place[1] in self.calls and (piece := word(event, "delta")):
            self.said.add(place)
            yield self._piece(place[1], piece, custom="custom" in word(event, "type"))

    def item_added(self, event: Object) -> Iterator[Body]:
        """An item begins."""
        item = event.get("item")
        self._item = number(event.get("output_index"), self._added)
        self._added += 1
        if isinstance(item, dict):
            self._ids[word(item, "id")] = self._item
            yield from self._opened_call(self._item, item)

    def item_done(self, event: Object) -> Iterator[Body]:
        """An item is complete."""
        item = event.get("item")
        if isinstance(item, dict):
            yield from self.whole_item(self._at(event, word(item, "id")), item)

    def _place(self, kind: str, event: Object) -> Place:
        inner = event.get("content_index", event.get("summary_index"))
        return kind, self._at(event, word(event, "item_id")), number(inner, 0)

    def _at(self, event: Object, item_id: str) -> int:
        """The item's place: some services tell only its id, others another id with each event."""
        return number(event.get("output_index"), self._ids.get(item_id, self._item))

    # items

    def whole_item(self, at: int, item: Object) -> Iterator[Body]:
        """What of this item has not been said yet."""
        told = _ITEMS.get(word(item, "type"))
        if told is not None and not self.stopped:
            yield from told(self, at, item)

    def message(self, at: int, item: Object) -> Iterator[Body]:
        """A whole message."""
        for inner, part in enumerate(objects(item.get("content"))):
            kind = _REFUSAL if word(part, "type") == "refusal" else _TEXT
            if (kind, at, inner) not in self.said:
                yield from self._say(kind, (kind, at, inner), part)

    def reasoning(self, at: int, item: Object) -> Iterator[Body]:
        """Whole thoughts, and what seals them."""
        if not any(kind == _THOUGHT and place == at for kind, place, _ in self.said):
            parts = objects(item.get("summary")) or objects(item.get("content"))
            for inner, part in enumerate(parts):
                yield from self._say(_THOUGHT, (_THOUGHT, at, inner), part)
        if (sealed := word(item, "encrypted_content")) and (_SEALED, at, 0) not in self.said:
            self.said.add((_SEALED, at, 0))
            part = {"type": "reasoning.encrypted", "data": sealed, "id": word(item, "id")}
            # each goes back to where it stood: what came of it has to follow
            place = {"after_text": _TEXT in self._spoken, "after_calls": len(self.calls)}
            yield {"reasoning_details": [part | {"format": SEALED, "index": at} | place]}

    def called(self, at: int, item: Object) -> Iterator[Body]:
        """A whole call."""
        yield from self._opened_call(at, item)
        custom = word(item, "type") == "custom_tool_call"
        whole = word(item, "input" if custom else "arguments")
        if (_CALL, at, 0) not in self.said and whole:
            self.said.add((_CALL, at, 0))
            yield self._piece(at, whole, custom=custom)

    def _opened_call(self, at: int, item: Object) -> Iterator[Body]:
        """The head of a call, if this item is one that is new."""
        shape = _SHAPES.get(word(item, "type"))
        if shape is None or at in self.calls:
            return
        kind, field = shape
        self.calls[at] = index = len(self.calls)
        head = {"index": index, "id": word(item, "call_id") or word(item, "id"), "type": kind}
        yield {"tool_calls": [head | {kind: {"name": word(item, "name"), field: ""}}]}

    def _piece(self, at: int, text: str, *, custom: bool) -> Body:
        kind, field = _SHAPES["custom_tool_call" if custom else "function_call"]
        return {"tool_calls": [{"index": self.calls[at], kind: {field: text}}]}

    def _say(self, kind: str, place: Place, part: Object) -> Iterator[Body]:
        """A piece of text; what belongs to another item begins a new paragraph."""
        text = word(part, "delta") or word(part, "text") or word(part, "refusal")
        if not text or self.stopped:
            return
        if place not in self.said:
            self.said.add(place)
            last = self._spoken.get(kind)
            if last is not None and (kind == _THOUGHT or last != place[1]):
                text = _BREAK + text
            self._spoken[kind] = place[1]
        if kind == _TEXT and self._stops is not None:
            text = self._stops.feed(text)
            self.found = self._stops.found
        found = part.get("logprobs")
        if text or found:
            yield {kind: text} | ({"logprobs": found} if found else {})


_Told = Callable[[Deltas, Object], Iterator[Body]]

_EVENTS: Mapping[str, _Told] = {
    "response.output_text.delta": Deltas.text_delta,
    "response.refusal.delta": Deltas.refusal_delta,
    "response.reasoning_summary_text.delta": Deltas.thought_delta,
    "response.reasoning_text.delta": Deltas.thought_delta,
    "response.function_call_arguments.delta": Deltas.call_delta,
    "response.custom_tool_call_input.delta": Deltas.call_delta,
    "response.output_item.added": Deltas.item_added,
    "response.output_item.done": Deltas.item_done,
}
"""Events that say something; those that only say it again, or that a part begins, are left out."""

_ITEMS: Mapping[str, Callable[[Deltas, int, Object], Iterator[Body]]] = {
    "message": Deltas.message,
    "reasoning": Deltas.reasoning,
    "function_call": Deltas.called,
    "custom_tool_call": Deltas.called,
}
"""Items of the output; what a service did with tools of its own is no part of a chat."""

_SHAPES: Mapping[str, tuple[str, str]] = {
    "function_call": ("function", "arguments"),
    "custom_tool_call": ("custom", "input"),
}
"""Calls, by the kind they have in a chat and the name of what is given to them."""


def objects(value: Json) -> list[Object]:
    """The objects of a list, if it is one."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def number(value: Json, otherwise: int) -> int:
    """A whole number, or what stands for one."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
