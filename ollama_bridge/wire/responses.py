"""Requests of OpenAI's Responses API: the fields that are read, and those that are only known.

Strategy: as in `ollama`, one typed decode for what clients send, and the slow road of `go_json`
for everything else, which finds keys in any case and words what is wrong as Ollama does.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ollama_bridge.errors import BadRequest
from ollama_bridge.wire import go_json, openai
from ollama_bridge.wire.go_json import Place, Read, Shape, exactly, integer, plain, struct, table

Json = Any
Object = dict[str, Json]

LEAST_TOKENS = 16
"""A lower limit of an answer's length is refused (upstream-quirks G17c)."""


class Request(Struct, forbid_unknown_fields=True, gc=False):
    """POST /v1/responses; the fields from `include` on change nothing here."""

    model: str = ""
    input: Json = None
    instructions: str | None = None
    tools: list[Object] | None = None
    tool_choice: Json = None
    parallel_tool_calls: bool | None = None
    reasoning: Object | None = None
    text: Object | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    truncation: str | None = None
    metadata: Object | None = None
    background: bool | None = None
    previous_response_id: Json = None
    conversation: Json = None
    prompt: Json = None
    include: Json = None
    store: Json = None
    stream_options: Json = None
    max_tool_calls: Json = None
    top_logprobs: Json = None
    user: Json = None
    service_tier: Json = None
    prompt_cache_key: Json = None
    prompt_cache_retention: Json = None
    prompt_cache_options: Json = None
    safety_identifier: Json = None
    client_metadata: Json = None


def decode(body: bytes) -> Request:
    """The request in a body; raises BadRequest with Ollama's text."""
    try:
        return _decoder.decode(body)
    except (ValueError, RecursionError):
        pass
    try:
        request: Request = go_json.read(body, _fits)
    except BadRequest as error:
        text = _WORDS.get(error.message, error.message)
        raise BadRequest(text.replace(" api.", " openai.")) from error
    return request


def fields(body: bytes) -> dict[str, Any]:
    """The same body as a table whose values are not looked at: to be passed on as they came."""
    try:
        return _raw.decode(body)
    except (ValueError, RecursionError):
        loose, _ = openai.loose_from(body.decode(errors="replace").lstrip(), 0)
        return dict(loose)


def word(item: Mapping[str, Json], key: str) -> str:
    """A field that is a text, or "" where it is none."""
    value = item.get(key)
    return value if isinstance(value, str) else ""


_decoder = msgspec.json.Decoder(Request)
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])

_WORDS = {"missing request body": "EOF"}
"""What the /v1 routes say otherwise (ollama-api 1.3)."""


def _number(value: Json, place: Place) -> float:
    found = plain(value, place)
    if isinstance(found, int | float) and not isinstance(found, bool):
        return float(found)
    place.note(value, "float64")
    return 0.0


def _tools(value: Json, place: Place) -> list[Object]:
    if not isinstance(value, list):
        place.note(value, "[]openai.ResponsesTool")
        return []
    return [_OBJECT(item, place) for item in value if item is not None]


_STRING = exactly(str, "string")
_BOOL = exactly(bool, "bool")
_OBJECT = table(plain, "map[string]interface {}", lambda: None)

_TYPES: Mapping[Any, Read] = {
    str: _STRING,
    str | None: _STRING,
    bool | None: _BOOL,
    int | None: integer,
    float | None: _number,
    Object | None: _OBJECT,
    list[Object] | None: _tools,
    Json: plain,
}
_FIELDS = {
    known.encode_name: (known.name, _TYPES[known.type]) for known in msgspec.structs.fields(Request)
}
_fits = struct(Shape("ResponsesRequest", _FIELDS, Request))
