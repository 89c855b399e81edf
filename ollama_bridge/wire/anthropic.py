"""Requests of Anthropic's messages API, and the shape of its errors.

Strategy: the outer object is read as Ollama reads it, with Go's words for a wrong type. Content
blocks stay plain objects: there are many kinds, most carry fields that mean nothing here, and
`translate/anthropic.py` says which it knows.
"""

from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from msgspec import Struct

from ollama_bridge.errors import BadRequest
from ollama_bridge.wire import go_json
from ollama_bridge.wire.go_json import (
    Place,
    Read,
    Shape,
    array,
    exactly,
    integer,
    plain,
    struct,
    table,
)

Json = Any
Block = dict[str, Json]


class Turn(Struct, gc=False):
    """One message; its content is text, or blocks."""

    role: str = ""
    content: str | list[Block] = ""


class MessagesRequest(Struct, gc=False):
    """POST /v1/messages and /v1/messages/count_tokens."""

    model: str = ""
    max_tokens: int = 0
    messages: list[Turn] | None = None
    system: str | list[Block] = ""
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Block] | None = None
    tool_choice: Block | None = None
    thinking: Block | None = None
    output_config: Block | None = None


def decode(body: bytes) -> MessagesRequest:
    """The request in a body; raises BadRequest."""
    if not body or body.isspace():
        raise BadRequest("EOF")
    request: MessagesRequest = go_json.read(body, _REQUEST)
    return request


TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
"""What clients call an error of a status; all others are `api_error`."""


def error(status: int, message: str, request_id: str) -> str:
    """The object of a failed request, and of an `error` event."""
    kind = TYPES.get(status, "api_error")
    return (
        f'{{"type":"error","error":{{"type":"{kind}","message":{quoted(message)}}},'
        f'"request_id":"{request_id}"}}'
    )


def _said(value: Json, place: Place) -> str | list[Block]:
    """Text or blocks; a null among the blocks is skipped with the unknown ones."""
    value = plain(value, place)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, dict | None) for item in value):
        return [item for item in value if item]
    raise BadRequest(f"{place.path} must be a string or a list of content blocks")


def _number(value: Json, place: Place) -> float:
    number = plain(value, place)
    if isinstance(number, int | float) and not isinstance(number, bool):
        return number
    place.note(value, "float64")
    return 0


_STRING = exactly(str, "string")
_BOOL = exactly(bool, "bool")
_OBJECT = table(plain, "map[string]interface {}", lambda: None)
_TURN = Shape("MessageParam", {"role": ("role", _STRING), "content": ("content", _said)}, Turn)
_FIELDS: Mapping[str, Read] = {
    "model": _STRING,
    "max_tokens": integer,
    "messages": array(struct(_TURN), "[]anthropic.MessageParam", Turn),
    "system": _said,
    "stream": _BOOL,
    "temperature": _number,
    "top_p": _number,
    "top_k": integer,
    "stop_sequences": array(_STRING, "[]string", str),
    "tools": array(_OBJECT, "[]anthropic.Tool", dict),
    "tool_choice": _OBJECT,
    "thinking": _OBJECT,
    "output_config": _OBJECT,
}
_REQUEST = struct(
    Shape(
        "MessagesRequest", {name: (name, fits) for name, fits in _FIELDS.items()}, MessagesRequest
    )
)
