"""/api/generate as an OpenAI request.

A prompt becomes a chat of one turn; `raw` and `suffix` (fill in the middle) become a text
completion, because no chat template may touch them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ollama_bridge.errors import BadRequest, NotSupported
from ollama_bridge.translate import chat, messages
from ollama_bridge.wire import ollama

Body = dict[str, Any]

CHAT, COMPLETIONS = "/chat/completions", "/completions"

_BARE_TEMPLATE = "{{.Prompt}}"
"""A template that adds nothing: Tabby asks for raw this way (clients.md 1.27)."""


def check(request: ollama.GenerateRequest) -> None:
    """Refuse what Ollama refuses before it looks at the model's abilities."""
    if request.raw and (request.template or request.system or request.context):
        raise BadRequest("raw mode does not support template, system, or context")


def path(request: ollama.GenerateRequest) -> str:
    """Which of the upstream's two routes can do this."""
    bare = "".join(request.template.split()) == _BARE_TEMPLATE and not request.system
    return COMPLETIONS if request.raw or request.suffix or bare else CHAT


def to_openai(
    request: ollama.GenerateRequest,
    model: str,
    *,
    extra: Mapping[str, str],
    efforts: Mapping[str, str],
    before: Sequence[ollama.Message] = (),
) -> Body:
    """The body to send to `path(request)`; see `chat.to_openai` for the tables.

    `before` are the turns of a model of the user's own.
    """
    fields = chat.sampling(request, extra, efforts)
    if path(request) == CHAT:
        system = [{"role": "system", "content": request.system}] if request.system else []
        turns = [
            *system,
            *messages.to_openai(before),
            messages.user(request.prompt, request.images),
        ]
        return {"model": model, "messages": turns} | fields
    if request.images:
        raise NotSupported("images cannot go with raw, suffix or a bare template")
    body: Body = {"model": model, "prompt": request.prompt}
    if request.suffix:
        body["suffix"] = request.suffix
    return body | _completion_fields(fields)


def _completion_fields(fields: Body) -> Body:
    """Text completions know no effort, and take `logprobs` as a number."""
    fields.pop("reasoning_effort", None)
    if fields.pop("logprobs", None):
        fields["logprobs"] = fields.pop("top_logprobs", 0)
    return fields
