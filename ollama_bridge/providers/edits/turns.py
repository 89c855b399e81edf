"""Edits of the conversation: roles, their order, and what a message may hold."""

import hashlib
import re
from typing import Any

from ollama_bridge.providers.edits import shape
from ollama_bridge.providers.edits.shape import SYSTEM, Body

BEGIN = "Go on."
"""What the user says where a conversation may not begin with the assistant."""

SEEN = "All right."
"""What the assistant says between a tool's result and the user, where it has to be its turn."""

_TEXTS = ("text", "input_text")
_MESSAGE = frozenset({"role", "content", "tool_calls", "tool_call_id", "prefix"})
_NINE = re.compile(r"[A-Za-z0-9]{9}")
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def system_role(body: Body) -> None:
    """`developer` is OpenAI's newer word for `system`, and unknown elsewhere."""
    for turn in shape.turns(body):
        if turn.get("role") == "developer":
            turn["role"] = "system"


def merge_system(body: Body) -> None:
    """The system message has to be the first, and the only one."""
    found = shape.whole(body)
    if found is None or not any(turn["role"] in SYSTEM for turn in found[1:]):
        return
    words: Any = ""
    for turn in found:
        if turn["role"] in SYSTEM:
            words = shape.joined(words, turn.get("content"))
    others = [turn for turn in found if turn["role"] not in SYSTEM]
    body["messages"] = [{"role": "system", "content": words}, *others]


def fold_system(body: Body) -> None:
    """There is no system role: its text begins the user's first message."""
    found = shape.whole(body)
    if found is None:
        return
    kept, waiting = [], None
    for turn in found:
        if turn["role"] in SYSTEM:
            waiting = shape.joined(waiting, turn.get("content"))
            continue
        if waiting and turn["role"] == "user":
            turn = turn | {"content": shape.joined(waiting, turn.get("content"))}  # noqa: PLW2901
            waiting = None
        kept.append(turn)
    if waiting:
        kept.append({"role": "user", "content": waiting})
    body["messages"] = kept


def alternate(body: Body) -> None:
    """User and assistant have to take turns: neighbours become one message."""
    found = shape.whole(body)
    if found is None:
        return
    kept: list[Body] = []
    for at, given in enumerate(found):
        late = at and given["role"] in SYSTEM and any(t["role"] not in SYSTEM for t in kept)
        turn = given | {"role": "user"} if late else given
        last = kept[-1] if kept else None
        if turn["role"] == "assistant" and (last is None or last["role"] in SYSTEM):
            kept.append({"role": "user", "content": BEGIN})
            last = None
        if last is not None and (last["role"], turn["role"]) == ("tool", "user"):
            kept.append({"role": "assistant", "content": SEEN})
        if last is None or not _same_speaker(last, turn):
            kept.append(dict(turn))
        else:
            last["content"] = shape.joined(last.get("content"), turn.get("content"))
            if calls := [*(last.get("tool_calls") or ()), *(turn.get("tool_calls") or ())]:
                last["tool_calls"] = calls
    body["messages"] = kept


def _same_speaker(last: Body, turn: Body) -> bool:
    """Whether two neighbours may become one; a tool's results stay apart, each has its call."""
    if "tool" in (last["role"], turn["role"]):
        return False
    return last["role"] == turn["role"] or {last["role"], turn["role"]} <= set(SYSTEM)


def prefix_last_assistant(body: Body) -> None:
    """An answer that has been begun has to be marked as such."""
    found = shape.turns(body)
    if found and found[-1].get("role") == "assistant" and not found[-1].get("tool_calls"):
        found[-1]["prefix"] = True


def content_null(body: Body) -> None:
    """Beside tool calls an empty text is refused, and null is not."""
    for turn in shape.turns(body):
        if turn.get("tool_calls") and turn.get("content") == "":
            turn["content"] = None


def content_empty(body: Body) -> None:
    """Every message needs a text, if only an empty one."""
    for turn in shape.turns(body):
        if "role" in turn and turn.get("content") is None:
            turn["content"] = ""


def no_empty_text(body: Body) -> None:
    """Empty texts are refused: they are left out, or become a space where something must stand."""
    found = shape.whole(body)
    if found is None:
        return
    kept = []
    for turn in found:
        content = turn.get("content")
        if isinstance(content, list):
            content = [part for part in content if not _is_empty(part)]
        if content not in ("", []):
            kept.append(turn | ({"content": content} if "content" in turn else {}))
        elif turn.get("tool_calls"):
            kept.append(turn | {"content": None})
        elif turn["role"] not in SYSTEM:
            kept.append(turn | {"content": " "})
    body["messages"] = kept


def _is_empty(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in _TEXTS and part.get("text") == ""


def plain_content(body: Body) -> None:
    """A list of texts is refused where one text says the same."""
    for turn in shape.turns(body):
        content = turn.get("content")
        if isinstance(content, list) and content and all(map(_is_text, content)):
            turn["content"] = shape.text(content)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in _TEXTS


def strict_messages(body: Body) -> None:
    """Any key of a message that the service does not know is refused, such as thoughts."""
    for turn in shape.turns(body):
        if "role" in turn:
            for key in turn.keys() - _MESSAGE:
                del turn[key]


def drop_in_messages(key: str, body: Body) -> None:
    """Leave one key out of every message."""
    for turn in shape.turns(body):
        turn.pop(key, None)


def thoughts_back(body: Body) -> None:
    """A turn with tool calls is refused without the thoughts that led there, if only empty ones."""
    for turn in shape.turns(body):
        if turn.get("tool_calls"):
            turn.setdefault("reasoning_content", "")


_SIGNED = re.compile(r"(?i)gemini-(?:[3-9]|\d\d)")
_LOST = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""What stands for a signature that was lost (D8)."""


def signed_calls(body: Body) -> None:
    """The first call of a turn is refused without the signature that came with it."""
    model = body.get("model")
    if not isinstance(model, str) or not _SIGNED.search(model):
        return
    for turn in shape.turns(body):
        calls = turn.get("tool_calls")
        if isinstance(calls, list) and calls and isinstance(calls[0], dict):
            calls[0].setdefault("extra_content", _LOST)


def nine_letter_ids(body: Body) -> None:
    """Ids of tool calls have to be nine letters or digits; others are replaced, each by its own."""
    for turn in shape.turns(body):
        if isinstance(known := turn.get("tool_call_id"), str):
            turn["tool_call_id"] = _short(known)
        calls = turn.get("tool_calls")
        if isinstance(calls, list):
            turn["tool_calls"] = [_renamed(call) for call in calls]


def _renamed(call: Any) -> Any:
    known = call.get("id") if isinstance(call, dict) else None
    return call | {"id": _short(known)} if isinstance(known, str) else call


def _short(known: str) -> str:
    if _NINE.fullmatch(known):
        return known
    number = int.from_bytes(hashlib.sha256(known.encode(errors="replace")).digest()[:8], "big")
    return "".join(_ALPHABET[number // 62**place % 62] for place in range(9))
