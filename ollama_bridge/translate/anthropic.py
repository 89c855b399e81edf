"""/v1/messages as a chat completion. What comes back is written by `anthropic_stream`."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from ollama_bridge.errors import BadRequest
from ollama_bridge.translate import anthropic_blocks, anthropic_tools, options, thinking
from ollama_bridge.translate.custom import Customised
from ollama_bridge.translate.lines import encoded
from ollama_bridge.translate.stats import CHARACTERS_PER_TOKEN
from ollama_bridge.wire import ollama
from ollama_bridge.wire.anthropic import MessagesRequest

Body = dict[str, Any]

IMAGE_CHARACTERS = 1500 * CHARACTERS_PER_TOKEN
"""What a picture counts for in an estimate: most cost between a few hundred and 1600 tokens."""


def check(request: MessagesRequest, *, counting: bool = False) -> None:
    """Refuse what Ollama refuses, in its order; `counting` needs no limit."""
    if not request.model.strip():
        raise BadRequest("model is required")
    if request.max_tokens <= 0 and not counting:
        raise BadRequest("max_tokens is required and must be positive")
    if not request.messages:
        raise BadRequest("messages is required")


def to_openai(
    request: MessagesRequest,
    model: str,
    *,
    extra: Mapping[str, str],
    efforts: Mapping[str, str],
    own: Customised | None = None,
    thinks: bool = True,
) -> tuple[Body, dict[str, str]]:
    """The request body, and the client's tool names by the names sent where they differ.

    `own` is what a model of the user's own adds; `thinks` is False where a model is known not to.
    """
    body: Body = {
        "model": model,
        "messages": anthropic_blocks.to_openai(request, own),
        "stream": request.stream,
    }
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    given = {name: value for name, value in _options(request) if value is not None}
    body |= options.to_openai({**(own.parameters if own else {}), **given}, extra)
    if form := options.response_format(_format(request)):
        body["response_format"] = form
    if thinks and (effort := thinking.effort(think(request), efforts)):
        body["reasoning_effort"] = effort
    described, names = anthropic_tools.to_openai(request.tools or (), request.tool_choice or {})
    return body | described, names


def think(request: MessagesRequest) -> bool | str | None:
    """Ollama's `think`; a level says more than that there is to be thinking at all."""
    kind = (request.thinking or {}).get("type")
    if kind == "disabled":
        return False
    level = (request.output_config or {}).get("effort")
    if isinstance(level, str) and (level := _LEVELS.get(level, level)) in ollama.LEVELS:
        return level
    return True if kind == "enabled" else None


_LEVELS = {"xhigh": "high"}
"""Levels that Ollama does not know."""


def shows_thinking(request: MessagesRequest) -> bool:
    """Whether the client wants to read what the model thinks; as in Ollama, unless it says no."""
    return think(request) is not False and (request.thinking or {}).get("display") != "omitted"


def characters(body: Body) -> int:
    """Length of all a model has to read, to estimate its tokens."""
    read = sum(_length(message) for message in body["messages"])
    return read + (len(encoded(body["tools"])) if "tools" in body else 0)


def long_id(prefix: str, *parts: object) -> str:
    """An id in Anthropic's form that depends on nothing but `parts`."""
    return prefix + hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def _length(message: Mapping[str, Any]) -> int:
    calls = message.get("tool_calls") or ()
    called = sum(len(call["function"]["name"] + call["function"]["arguments"]) for call in calls)
    said = message["content"]
    if isinstance(said, str):
        return called + len(said)
    return called + sum(len(part["text"]) if "text" in part else IMAGE_CHARACTERS for part in said)


def _options(request: MessagesRequest) -> Iterable[tuple[str, Any]]:
    """What shapes the answer, by Ollama's names; a zero `max_tokens` comes from counting only."""
    return (
        ("temperature", request.temperature),
        ("top_p", request.top_p),
        ("top_k", request.top_k),
        ("num_predict", request.max_tokens or None),
        ("stop", request.stop_sequences),
    )


def _format(request: MessagesRequest) -> Any:
    form = (request.output_config or {}).get("format")
    return form.get("schema") if isinstance(form, dict) else None
