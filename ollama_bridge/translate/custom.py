"""What a model of the user's own adds to each request: its turns, system prompt and parameters."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from ollama_bridge.wire import ollama

Request = TypeVar("Request", ollama.ChatRequest, ollama.GenerateRequest)


class Customised(Protocol):
    """What a user's own model adds to the one it stands for."""

    @property
    def system(self) -> str: ...
    @property
    def template(self) -> str: ...
    @property
    def license(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def messages(self) -> tuple[Mapping[str, Any], ...]: ...


def chat(request: ollama.ChatRequest, own: Customised) -> ollama.ChatRequest:
    """Its turns come first; its system prompt before them, unless the client sent one."""
    if not request.messages:
        return _with_parameters(request, own)
    turns = [*before(own), *request.messages]
    if own.system and turns[0].role != "system":
        turns.insert(0, ollama.Message(role="system", content=own.system))
    request.messages = turns
    return _with_parameters(request, own)


def generate(request: ollama.GenerateRequest, own: Customised) -> ollama.GenerateRequest:
    """Its system prompt, unless the client sent one or wants the prompt left alone."""
    if not request.raw:
        request.system = request.system or own.system
    return _with_parameters(request, own)


def before(own: Customised) -> list[ollama.Message]:
    """The turns that come before the client's."""
    return [msgspec.convert(dict(turn), ollama.Message) for turn in own.messages]


def _with_parameters(request: Request, own: Customised) -> Request:
    """What the client asks for wins (ollama-api 2.10)."""
    if own.parameters:
        request.options = {**own.parameters, **(request.options or {})}
    return request
