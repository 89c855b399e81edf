"""The few fields of OpenAI replies that we read, all optional, and how to read them tolerantly.

Strategy: one typed decode for what nearly every server sends; whatever does not fit (a number as
text, null in an odd place) is read again without types and put right field by field.
"""

import json
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

Json = Any
"""Any decoded JSON value."""


class Function(Struct, gc=False):
    """The function part of a tool call or of a piece of one."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCall(Struct, gc=False):
    """A tool call, or a streamed piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Any = None  # Gemini's signature of the thoughts behind it


class Delta(Struct, gc=False):
    """New parts of a message; also a whole message, which has the same fields."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    extra_content: Any = None


class Choice(Struct, gc=False):
    """One answer; `text` is what text completions use instead of a message."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: Any = None  # vLLM's name for the stop string or token that was met
    matched_stop: Any = None  # SGLang's
    logprobs: dict[str, Any] | None = None
    error: Any = None


class Usage(Struct, gc=False):
    """Token counts."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Timings(Struct, gc=False):
    """llama.cpp's own measurements, in milliseconds."""

    prompt_ms: float | None = None
    predicted_ms: float | None = None


class Extra(Struct, gc=False):
    """Groq's own object; for some of its models only this one holds the counts."""

    usage: Usage | None = None


class Chunk(Struct, gc=False):
    """One event of a stream, or a whole completion."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    x_groq: Extra | None = None
    timings: Timings | None = None
    error: Any = None
    object: str | None = None
    type: str | None = None


PIECE = 4096
"""Most characters of a plain piece of text; a longer one needs a second look."""

_Nothing = Literal[""] | None
_NoneOfThem = Annotated[list[Any], Meta(max_length=0)] | None


class PlainDelta(Struct, gc=False):
    """A piece of text and nothing else."""

    content: Annotated[str, Meta(min_length=1, max_length=PIECE)]
    reasoning_content: _Nothing = None
    reasoning: _Nothing = None
    thinking: _Nothing = None
    reasoning_details: _NoneOfThem = None
    refusal: _Nothing = None
    tool_calls: _NoneOfThem = None
    function_call: None = None
    extra_content: None = None


class PlainChoice(Struct, gc=False):
    """An answer of which there is a piece of text and nothing else."""

    delta: PlainDelta
    index: Literal[0] = 0
    message: None = None
    text: _Nothing = None
    finish_reason: _Nothing = None
    stop_reason: None = None
    matched_stop: None = None
    logprobs: None = None
    error: None = None


class PlainChunk(Struct, gc=False):
    """An event that brings a piece of text, and has nothing in any other field that we read.

    Most events are this and nothing more; the decoder finds out at the price of reading them.
    """

    choices: tuple[PlainChoice]
    usage: None = None
    x_groq: None = None
    timings: None = None
    error: None = None
    object: Literal["chat.completion.chunk", "chat.completion", ""] | None = None
    type: None = None


_T = TypeVar("_T")

typed = msgspec.json.Decoder(Chunk).decode
"""What nearly every server sends; raises ValueError for anything else."""

plain = msgspec.json.Decoder(PlainChunk).decode
"""An event that is a piece of text and nothing else; raises ValueError for any other."""


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


_loose = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=lambda _: None)


def chunk(payload: bytes) -> Chunk:
    """One event or completion; raises ValueError when it is not a JSON object."""
    try:
        return typed(payload)
    except ValueError:
        return _chunk(loose(payload.decode(errors="replace")))


def loose(text: str) -> Json:
    """JSON as real servers write it, with half emoji, raw line ends and NaN; raises ValueError."""
    return _loose.decode(text)


def loose_from(text: str, at: int) -> tuple[Json, int]:
    """The same for the value that begins at `at`, and where it ends."""
    return _loose.raw_decode(text, at)


def _chunk(value: Json) -> Chunk:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error for every unreadable payload
    return Chunk(
        choices=_each(value.get("choices"), _choice),
        usage=_usage(value.get("usage")),
        x_groq=_extra(value.get("x_groq")),
        timings=_timings(value.get("timings")),
        error=value.get("error"),
        object=_text(value.get("object")),
        type=_text(value.get("type")),
    )


def _choice(value: Json) -> Choice:
    value = value if isinstance(value, dict) else {}
    logprobs = value.get("logprobs")
    return Choice(
        index=_integer(value.get("index")) or 0,
        delta=_delta(value.get("delta")),
        message=_delta(value.get("message")),
        text=_text(value.get("text")),
        finish_reason=_text(value.get("finish_reason")),
        stop_reason=value.get("stop_reason"),
        matched_stop=value.get("matched_stop"),
        logprobs=logprobs if isinstance(logprobs, dict) else None,
        error=value.get("error"),
    )


def _delta(value: Json) -> Delta | None:
    if not isinstance(value, dict):
        return None
    content, details = value.get("content"), value.get("reasoning_details")
    return Delta(
        content=content if isinstance(content, list) else _text(content),
        reasoning_content=_text(value.get("reasoning_content")),
        reasoning=_text(value.get("reasoning")),
        thinking=_text(value.get("thinking")),
        reasoning_details=details if isinstance(details, list) else None,
        refusal=_text(value.get("refusal")),
        tool_calls=_each(value.get("tool_calls"), _tool_call),
        function_call=_function(value.get("function_call")),
        extra_content=value.get("extra_content"),
    )


def _tool_call(value: Json) -> ToolCall:
    value = value if isinstance(value, dict) else {}
    return ToolCall(
        index=_integer(value.get("index")),
        id=_text(value.get("id")),
        function=_function(value.get("function")),
        extra_content=value.get("extra_content"),
    )


def _function(value: Json) -> Function | None:
    if not isinstance(value, dict):
        return None
    arguments = value.get("arguments")
    if not isinstance(arguments, str | dict | None):
        arguments = json.dumps(arguments)
    return Function(name=_text(value.get("name")), arguments=arguments)


def _usage(value: Json) -> Usage | None:
    if not isinstance(value, dict):
        return None
    return Usage(
        prompt_tokens=_integer(value.get("prompt_tokens")),
        completion_tokens=_integer(value.get("completion_tokens")),
    )


def _extra(value: Json) -> Extra | None:
    return Extra(_usage(value.get("usage"))) if isinstance(value, dict) else None


def _timings(value: Json) -> Timings | None:
    if not isinstance(value, dict):
        return None
    return Timings(_number(value.get("prompt_ms")), _number(value.get("predicted_ms")))


def _each(value: Json, read: Callable[[Json], _T]) -> list[_T] | None:
    return [read(item) for item in value] if isinstance(value, list) else None


def _text(value: Json) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: Json) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e300 else None
