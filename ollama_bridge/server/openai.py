"""OpenAI's routes but for /v1/responses: names are looked up, all else goes through as it is."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ollama_bridge.catalog import Entry
from ollama_bridge.errors import (
    BadRequest,
    ModelNotFound,
    NotSupported,
    UpstreamBroke,
    UpstreamFailed,
)
from ollama_bridge.server import compressed, pump
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import SSE, Exchange
from ollama_bridge.server.inference import find, full_name, note
from ollama_bridge.server.models import listed, tagged
from ollama_bridge.server.pump import Opened
from ollama_bridge.server.routes import Routes
from ollama_bridge.server.sending import Errand
from ollama_bridge.translate import embed, models, passage, passed
from ollama_bridge.translate.stats import Stopwatch

CHAT, COMPLETIONS, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"
SPEECH, IMAGES = "/audio/transcriptions", "/images/generations"

_NO_ROUTE = frozenset({404, 405, 501})
"""What servers say to a path they do not have."""


async def chat_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /v1/chat/completions."""
    watch = _begin(bridge, exchange)
    request = passage.read(await compressed.body(exchange), passage.CHAT)
    passage.check_messages(request)
    if not request.model.strip():
        raise BadRequest("model is required")
    entry = await find(bridge, request.model)
    _check_abilities(entry, request, "chat")
    if entry.alias:
        passage.add_to_chat(request, entry.alias, entry.target.provider.extra_options)
    await _answer(Errand(bridge, exchange, entry, request.model, watch), request, CHAT)


async def completions_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /v1/completions."""
    watch = _begin(bridge, exchange)
    request = passage.read(await compressed.body(exchange), passage.COMPLETION)
    if not request.model.strip():
        raise ModelNotFound(f"model '{request.model}' not found")
    entry = await find(bridge, request.model)
    if passage.says_nothing(request):
        bridge.touch(entry, None)
        return await _loaded(bridge, exchange, request)
    _check_abilities(entry, request, "generate")
    if entry.alias:
        passage.add_to_completion(request, entry.alias, entry.target.provider.extra_options)
    await _answer(Errand(bridge, exchange, entry, request.model, watch), request, COMPLETIONS)
