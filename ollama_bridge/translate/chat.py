"""/api/chat as an OpenAI request. What comes back is read by `reply` and written by `lines`."""

from collections.abc import Mapping
from typing import Any

from ollama_bridge.errors import NotSupported
from ollama_bridge.translate import messages, options, thinking, tools
from ollama_bridge.wire import ollama

Body = dict[str, Any]


def to_openai(
    request: ollama.ChatRequest,
    model: str,
    *,
    extra: Mapping[str, str],
    efforts: Mapping[str, str],
    thoughts: bool = False,
) -> tuple[Body, dict[str, str]]:
    """The request body, and the client's tool names by the names sent where they differ.

    `extra` and `efforts` are the provider's own tables of options and of thinking levels; with
    `thoughts` it gets those back that led to tool calls.
    """
    said = messages.to_openai(request.messages or [], thoughts=thoughts)
    body: Body = {"model": model, "messages": said}
    body |= sampling(request, extra, efforts)
    names: dict[str, str] = {}
    if request.tools:
        body["tools"], names = tools.to_openai(request.tools)
    return body, names


def sampling(
    request: ollama.ChatRequest | ollama.GenerateRequest,
    extra: Mapping[str, str],
    efforts: Mapping[str, str],
) -> Body:
    """Everything that shapes the answer but the conversation: the same for chat and generate."""
    if request.debug_render_only:
        raise NotSupported(
            "_debug_render_only is not supported: the provider renders the prompt, out of sight"
        )
    body: Body = {"stream": request.stream is not False}
    if body["stream"]:
        body["stream_options"] = {"include_usage": True}
    body |= options.to_openai(request.options or {}, extra)
    if form := options.response_format(request.format):
        body["response_format"] = form
    if effort := thinking.effort(request.think, efforts):
        body["reasoning_effort"] = effort
    if request.logprobs:
        body["logprobs"] = True
        if request.top_logprobs:
            body["top_logprobs"] = request.top_logprobs
    return body
