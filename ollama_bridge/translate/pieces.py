"""A whole reply as the events of a stream, and the events of a stream as a whole reply.

Servers do not always send what was asked for (quirk F13).
"""

from collections.abc import Iterator
from typing import Any

from ollama_bridge.translate import lines
from ollama_bridge.wire import openai

Json = dict[str, Any]


class Gathered:
    """The pieces of a streamed chat or completion, put together again."""

    def __init__(self) -> None:
        self.any = False
        self._frame: Json = {}
        self._choices: dict[int, Json] = {}

    def add(self, chunk: Json) -> None:
        """One event; what comes later wins, and texts grow."""
        self.any = True
        self._frame |= {
            key: value for key, value in chunk.items() if key != "choices" and value is not None
        }
        for choice in _objects(chunk.get("choices")):
            index = choice.get("index")
            index = index if isinstance(index, int) else 0
            kept = self._choices.setdefault(index, {"index": index})
            message, delta = choice.pop("message", None), choice.pop("delta", None)
            if delta is None and "message" not in kept:
                delta = message  # F16: beside a delta it only repeats all that was said
            if isinstance(delta, dict):
                _join(kept.setdefault("message", {"role": "assistant", "content": None}), delta)
            _join(kept, choice)

    def reply(self) -> bytes:
        """The whole reply."""
        frame = self._frame
        if frame.get("object") == "chat.completion.chunk":
            frame["object"] = "chat.completion"
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            choice.setdefault("finish_reason", "stop")
            for call in choice.get("message", {}).get("tool_calls", ()):
                call.pop("index", None)
        return lines.encoded(frame | {"choices": choices}).encode()


def events(value: Json, *, wants_usage: bool) -> Iterator[bytes]:
    """A whole reply as the events of a stream: what was said, how it ended, what it took."""
    frame = {key: item for key, item in value.items() if key not in ("choices", "usage")}
    if frame.get("object") != "text_completion":
        frame["object"] = "chat.completion.chunk"
    ends = []
    for place, choice in enumerate(_objects(value["choices"])):
        index, finish = choice.get("index", place), choice.get("finish_reason") or "stop"
        said = {key: item for key, item in choice.items() if key not in ("message", "delta")}
        if "text" not in choice:
            said["delta"] = _delta(choice.get("message") or choice.get("delta"))
            ends.append({"index": index, "delta": {}, "finish_reason": finish})
            finish = None
        yield _encoded(frame, [said | {"index": index, "finish_reason": finish}])
    if ends:
        yield _encoded(frame, ends)
    if wants_usage:
        yield _encoded(frame | {"usage": value.get("usage")}, [])


def as_text(payload: bytes) -> bytes:
    """A chat's reply, or an event of one, as that of a text completion; thoughts are left out."""
    value: Json = openai.loose(payload.decode(errors="replace"))
    value["object"] = "text_completion"
    for choice in _objects(value.get("choices")):
        said = choice.pop("delta", None) or choice.pop("message", None)
        text = said.get("content") if isinstance(said, dict) else None
        choice |= {"text": text if isinstance(text, str) else "", "logprobs": None}
    return lines.encoded(value).encode()


_GROWS = frozenset({"content", "reasoning", "reasoning_content", "refusal", "text", "arguments"})


def _join(kept: Json, more: Json) -> None:
    """What a delta adds to what was there."""
    for key, value in more.items():
        before: Any = kept.get(key)
        if value is None or key == "index":
            continue
        if key == "tool_calls":
            _join_calls(kept.setdefault(key, []), _objects(value))
        elif value == "" and before is not None:
            continue  # C6, C11: a name or an id that is known stays
        elif key == "content" and before and isinstance(before, list) != isinstance(value, list):
            kept[key] = _parts(before) + _parts(value)  # D4
        elif (key in _GROWS or isinstance(value, list)) and type(before) is type(value):
            kept[key] = before + value
        elif isinstance(value, dict) and isinstance(before, dict):
            _join(before, value)
        else:
            kept[key] = value


def _join_calls(kept: list[Json], more: list[Json]) -> None:
    """Each piece goes to the call it is of, or opens one."""
    for piece in more:
        known = _call_of(piece, kept)
        if known is None:
            known = {"index": piece.get("index"), "type": "function"}
            kept.append(known)
        _join(known, piece)


def _call_of(piece: Json, kept: list[Json]) -> Json | None:
    """The call a piece continues: by its id, else by its index, else the last one (C1, C2)."""
    index, call_id, name = piece.get("index"), piece.get("id"), _name(piece)
    if same := [call for call in kept if call_id and call.get("id") == call_id]:
        return same[-1]
    found = [call for call in kept if index is None or call.get("index") == index]
    if not found:
        return None
    last = found[-1]
    if call_id and (last.get("id") or index is None):
        return None
    other = name and _name(last) and (index is None or name != _name(last))
    return None if other else last


def _name(call: Json) -> Any:
    function = call.get("function")
    return function.get("name") if isinstance(function, dict) else None


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _delta(message: Any) -> Json:
    """A whole message as one piece of itself: its calls want an index."""
    if not isinstance(message, dict):
        return {}
    calls = _objects(message.get("tool_calls"))
    if not calls:
        return message
    return message | {"tool_calls": [{"index": at} | call for at, call in enumerate(calls)]}


def _objects(items: Any) -> list[Json]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _encoded(frame: Json, choices: list[Json]) -> bytes:
    return lines.encoded(frame | {"choices": choices}).encode()
