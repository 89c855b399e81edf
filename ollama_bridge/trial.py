"""Try out what a model really does: one small request for each feature, through the daemon.

Strategy: a row of a table holds the request and the judge of its answer. Only what was seen
counts: an answer of the right kind is a yes, a refusal that names the feature a no. A model that
answered in another way proves nothing, and neither does a service that is down.
"""

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ollama_bridge.client import Client
from ollama_bridge.errors import BridgeError

YES, NO, UNCLEAR, FAILED = "yes", "no", "unclear", "failed"

SECONDS = 300.0
"""Longest wait for one answer: a local server may load the model first, and models think."""

_REFUSALS = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses with which a service refuses the kind of request."""

Json = dict[str, Any]
Lines = list[Json]


class Result(NamedTuple):
    """What became of one feature."""

    outcome: str
    detail: str = ""
    number: int | None = None
    """The length of the vectors, where there are any."""


class Feature(NamedTuple):
    """One thing to try."""

    path: str
    request: Json
    judge: Callable[[Lines], Result]
    refusal: str
    """A word in every refusal that is about this feature; empty when any refusal is."""


def attempt(client: Client, model: str, name: str, seconds: float = SECONDS) -> Result:
    """Try one feature of a model; raises nothing."""
    feature = FEATURES[name]
    try:
        lines = client.trial(feature.path, {"model": model, **feature.request}, seconds)
    except BridgeError as error:
        about = feature.refusal in error.message.lower()
        refused = error.status in _REFUSALS and about
        return Result(NO if refused else FAILED, error.message)
    return feature.judge(lines)


def _text(lines: Lines, field: str = "content") -> str:
    messages = [line.get("message") for line in lines]
    return "".join([str(it.get(field) or "") for it in messages if isinstance(it, dict)])


def _streamed(lines: Lines) -> Result:
    pieces = sum(1 for line in lines if _text([line]) or _text([line], "thinking"))
    if pieces > 1:
        return Result(YES)
    return Result(UNCLEAR, "all in one piece" if pieces else "an empty answer")


def _called(lines: Lines) -> Result:
    calls = [
        call["function"]
        for line in lines
        for call in (line.get("message") or {}).get("tool_calls") or ()
    ]
    if not calls:
        return Result(UNCLEAR, "it answered without the tool")
    name, arguments = calls[0].get("name"), calls[0].get("arguments")
    if name == "get_weather" and isinstance(arguments, dict) and "city" in arguments:
        return Result(YES)
    return Result(UNCLEAR, f"it called {name} with {json.dumps(arguments)}"[:100])


def _fits(lines: Lines) -> Result:
    text = _text(lines)
    try:
        value = json.loads(text)
    except ValueError:
        return Result(NO, "the answer is not JSON")
    fits = isinstance(value, dict) and value.keys() == {"capital", "letters"}
    if fits and isinstance(value["capital"], str) and isinstance(value["letters"], int):
        return Result(YES)
    return Result(NO, "the answer is JSON, but not of the form that was asked for")


def _saw(lines: Lines) -> Result:
    text = _text(lines).strip()
    return Result(YES) if "red" in text.lower() else Result(UNCLEAR, f'it saw "{text[:60]}"')


def _thought(lines: Lines) -> Result:
    return Result(YES) if _text(lines, "thinking") else Result(UNCLEAR, "it showed no thoughts")


def _embedded(lines: Lines) -> Result:
    vectors = [vector for line in lines for vector in line.get("embeddings", ())]
    if len(vectors) == 2 and vectors[0] and len(vectors[0]) == len(vectors[1]):
        return Result(YES, f"vectors of length {len(vectors[0])}", len(vectors[0]))
    return Result(NO, "no vectors came")


def _asked(text: str, **more: Any) -> Json:
    return {"messages": [{"role": "user", "content": text}], **more}


def _with_picture(text: str) -> Json:
    return {"messages": [{"role": "user", "content": text, "images": [_red_square()]}]}


def _red_square(side: int = 64) -> str:
    """A PNG, in base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    row = b"\0" + b"\xff\0\0" * side
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b"")
    return b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city's name"}},
            "required": ["city"],
        },
    },
}
_FORM = {
    "type": "object",
    "properties": {"capital": {"type": "string"}, "letters": {"type": "integer"}},
    "required": ["capital", "letters"],
    "additionalProperties": False,
}

FEATURES: Mapping[str, Feature] = {
    "stream": Feature(
        "/api/chat", _asked("Count from one to twenty, in words."), _streamed, "chat"
    ),
    "tools": Feature(
        "/api/chat",
        _asked("What is the weather in Paris? Use the tool.", tools=[_TOOL]),
        _called,
        "tool",
    ),
    "json schema": Feature(
        "/api/chat",
        _asked("The capital of France, and how many letters its name has, as JSON.", format=_FORM),
        _fits,
        "",
    ),
    "vision": Feature(
        "/api/chat",
        _with_picture("Which colour has this picture? Answer with one word."),
        _saw,
        "image",
    ),
    "thinking": Feature(
        "/api/chat", _asked("How much is 17 times 23? Think first.", think=True), _thought, "think"
    ),
    "embeddings": Feature("/api/embed", {"input": ["a cat", "a dog"]}, _embedded, ""),
}
"""By the name that is told to the user."""

OF_CHAT = frozenset({"tools", "json schema", "vision", "thinking"})
"""Not to be tried of a model that does not chat."""
