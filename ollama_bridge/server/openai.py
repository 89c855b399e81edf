"""OpenAI's routes but for /v1/responses: names are looked up, all else goes through as it is."""

import asyncio
import re
from collections.abc import Awaitable

from ollama_bridge.catalog import Entry
from ollama_bridge.errors import (
    BadRequest,
    ModelNotFound,
    NotSupported,
    UpstreamBroke,
    UpstreamFailed,
)
from ollama_bridge.providers import quirks
from ollama_bridge.server import compressed, pump
from ollama_bridge.server.bridge import UNDATED, Bridge
from ollama_bridge.server.exchange import SSE, Exchange
from ollama_bridge.server.inference import find, full_name, note
from ollama_bridge.server.models import listed, with_tag
from ollama_bridge.server.pump import Opened
from ollama_bridge.server.routes import Routes
from ollama_bridge.server.sending import Errand
from ollama_bridge.translate import passage, passage_tools, passed
from ollama_bridge.translate.stats import Stopwatch, estimate

CHAT, COMPLETIONS, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"
SPEECH, IMAGES = "/audio/transcriptions", "/images/generations"

_CHAT_MODEL = re.compile(r"(?i)\bchat[ -]model|/chat/completions|does not support completions")
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
    passage_tools.mend(request)
    _check_abilities(entry, request, "chat")
    errand = Errand.of(bridge, exchange, entry, request.model, watch)
    await _answer(errand, request, CHAT)


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
    errand = Errand.of(bridge, exchange, entry, request.model, watch)
    return await _answer(errand, request, COMPLETIONS)


async def embeddings_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /v1/embeddings."""
    watch = _begin(bridge, exchange)
    request = passage.read(await compressed.body(exchange), passage.EMBEDDING)
    if not request.model.strip():
        raise ModelNotFound(f"model '{request.model}' not found")
    passage.check_input(request)
    try:
        entry = await find(bridge, request.model)
    except ModelNotFound as error:
        raise ModelNotFound(f'model "{request.model}" not found, try pulling it first') from error
    errand = Errand.of(bridge, exchange, entry, request.model, watch)

    async def attempt(errand: Errand) -> None:
        await _embed(errand, request)

    await exchange.while_connected(errand.deliver(attempt))


async def models_route(bridge: Bridge, exchange: Exchange) -> None:
    """GET /v1/models: the names of /api/tags, and of models that only these routes can use."""
    exchange.envelope = passage.envelope
    catalog = await listed(bridge)
    await exchange.answer(passage.models(catalog.entries, UNDATED))


async def model_route(bridge: Bridge, exchange: Exchange) -> None:
    """GET /v1/models/{name}; the name may hold slashes, as such or as %2F (trap 42)."""
    exchange.envelope = passage.envelope
    name = exchange.tail
    try:
        entry = await find(bridge, name)
    except ModelNotFound as error:
        raise ModelNotFound(f"model '{with_tag(name)}' not found") from error
    await exchange.answer(passage.model(entry, name, UNDATED))


async def transcriptions_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /v1/audio/transcriptions."""
    watch = _begin(bridge, exchange)
    kind = exchange.header(b"content-type")
    upload = passage.read_upload(await exchange.body(), kind)
    name = upload.text("model")
    entry = await find(bridge, name)

    async def attempt(errand: Errand) -> None:
        form = upload.with_model(errand.target.model)
        await _relay(errand, errand.open_form(SPEECH, kind, form), "speech recognition")

    errand = Errand.of(bridge, exchange, entry, name, watch)
    await exchange.while_connected(errand.deliver(attempt))


async def images_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /v1/images/generations."""
    watch = _begin(bridge, exchange)
    request = passage.read(await exchange.body(), passage.IMAGE)
    if not request.model.strip():
        raise BadRequest("model is required")
    entry = await find(bridge, request.model)

    async def attempt(errand: Errand) -> None:
        await _relay(errand, errand.open(IMAGES, _body(errand, request)), "image generation")

    errand = Errand.of(bridge, exchange, entry, request.model, watch)
    await exchange.while_connected(errand.deliver(attempt))


def _begin(bridge: Bridge, exchange: Exchange) -> Stopwatch:
    exchange.envelope = passage.envelope
    exchange.stream_kind = SSE
    return Stopwatch(bridge.monotonic)


def _check_abilities(entry: Entry, request: passage.Request, verb: str) -> None:
    """Refuse what the model is known not to do, in the words of the native routes."""
    able = entry.capabilities
    if "completion" not in able and "embedding" in able:
        raise NotSupported(f'"{request.model}" does not support {verb}')
    if "tools" in entry.refuses and request.given("tools"):
        raise NotSupported(f"{full_name(request.model.strip())} does not support tools")


def _body(errand: Errand, request: passage.Request) -> passage.Fields:
    """What the upstream gets: the bytes that came, unless the provider has edits to make."""
    return request.body(errand.target.model, decoded=bool(errand.provider.quirks))


async def _answer(errand: Errand, request: passage.Request, path: str) -> None:
    """Send it up, and what comes back down."""

    async def attempt(errand: Errand) -> None:
        await _ask(errand, request, path)

    await errand.exchange.while_connected(errand.deliver(attempt))


def _reply(errand: Errand, request: passage.Request) -> passed.Stream | passed.Whole:
    provider, characters = errand.provider.name, request.characters
    keep = errand.keep if "tools" in request.fields else None
    if not request.stream:
        return passed.Whole(
            errand.name, errand.watch, provider=provider, prompt_characters=characters, keep=keep
        )
    return passed.Stream(
        errand.name,
        errand.watch,
        provider=provider,
        wants_usage=request.wants_usage,
        prompt_characters=characters,
        keep=keep,
    )


def _with_own(errand: Errand, request: passage.Request) -> passage.Request:
    """With what a model of the user's own adds, in this provider's terms."""
    own, extra = errand.entry.alias, errand.provider.extra_options
    if own is None:
        return request
    return _ADD_OWN[request.kind](passage.copy(request), own, extra)


_ADD_OWN = {passage.CHAT: passage.add_to_chat, passage.COMPLETION: passage.add_to_completion}


_CHATS = frozenset({quirks.CHATS_ONLY, quirks.RESPONSES_ONLY})
"""Edits that leave no text completions."""


async def _ask(errand: Errand, request: passage.Request, path: str) -> None:
    """Ask for `path`; a text completion is asked for as a chat where there are only chats."""
    reply = _reply(errand, request)
    chat = passage.as_chat(request) if path == COMPLETIONS else None
    if chat is not None and not _CHATS.isdisjoint(errand.edits):
        request, path, reply.as_text, chat = chat, CHAT, True, None
    try:
        opened = await _opened(errand, request, path)
    except UpstreamFailed as error:
        if chat is None or not _only_chats(error):
            raise
        reply.as_text = True
        opened = await _opened(errand, chat, CHAT)
        errand.bridge.memory.add(errand.target, quirks.CHATS_ONLY)
    errand.bridge.touch(errand.entry, None)
    try:
        if isinstance(reply, passed.Stream):
            await pump.stream(opened, reply, errand.exchange)
        else:
            await errand.exchange.answer(await pump.collect(opened, reply))
    finally:
        note(errand, reply)


async def _opened(errand: Errand, request: passage.Request, path: str) -> Opened:
    """The reply to a chat or a completion; nothing that was asked for may have been dropped."""
    body = _body(errand, _with_own(errand, request))
    stops = request.value("stop")
    opened = await errand.open(path, body)
    if "stop" not in request.fields or passage.plain(body.get("stop")) == stops:
        return opened
    await opened.aclose()
    provider, taken = errand.provider.name, body.get("stop")
    if not taken:
        raise NotSupported(f"{provider} takes no stop strings for this model; leave out `stop`")
    raise NotSupported(f"{provider} takes at most {len(taken)} stop strings; send fewer")


def _only_chats(error: UpstreamFailed) -> bool:
    """Whether text completions are refused as such: most services have given them up."""
    return error.upstream_status in _NO_ROUTE or _CHAT_MODEL.search(error.detail) is not None


async def _loaded(bridge: Bridge, exchange: Exchange, request: passage.Request) -> None:
    """Nothing was asked: the model is loaded, which no upstream hears of (8.3)."""
    created = bridge.clock() // 1_000_000_000
    said = passage.loaded(request.model, created)
    if request.stream:
        await exchange.line(b"data: %b\n\ndata: [DONE]\n\n" % said, last=True)
    else:
        await exchange.answer(said)


async def _embed(errand: Errand, request: passage.Request) -> None:
    body = _body(errand, request)
    form = request.value("encoding_format") or passage.ENCODINGS[0]
    opened = await errand.open(EMBEDDINGS, body)
    errand.bridge.touch(errand.entry, None)
    provider = errand.provider.name
    asked = request.value("dimensions")
    cut = asked if isinstance(asked, int) and "dimensions" not in body else 0
    reply = await opened.whole()
    said, tokens = passed.embeddings(reply, errand.name, form, provider, dimensions=cut)
    estimated = not tokens
    tokens = tokens or estimate(request.characters())
    errand.spent((tokens, 0), estimated=estimated)
    await errand.exchange.answer(said)


async def _relay(errand: Errand, asking: Awaitable[Opened], what: str) -> None:
    """A reply that is not looked into, whole or in pieces, just as the upstream sends it."""
    try:
        opened = await asking
    except UpstreamFailed as error:
        if error.upstream_status not in _NO_ROUTE:
            raise
        provider = errand.provider.name
        raise _NoSuchService(
            f"{provider} offers no {what} ({error.detail}); name a model of a provider that does"
        ) from error
    errand.bridge.touch(errand.entry, None)
    errand.spent_unpriced()
    kind = opened.kind.encode("latin-1", "replace")
    if opened.kind.startswith("text/event-stream"):
        await _pieces(opened, errand.exchange)
    else:
        await errand.exchange.answer(await opened.whole(), kind=kind)


async def _pieces(opened: Opened, exchange: Exchange) -> None:
    try:
        while data := await opened.read():
            await exchange.line(data)
        await exchange.line(b"", last=True)
    except UpstreamBroke as error:
        if not exchange.started:
            raise
        await _broken(exchange, error)
    except asyncio.CancelledError:
        if exchange.cut_by is None or not exchange.started or exchange.complete:
            raise
        await _broken(exchange, exchange.cut_by)
    finally:
        await opened.aclose()


async def _broken(exchange: Exchange, error: UpstreamBroke) -> None:
    exchange.log["error"] = error.message
    await exchange.line(b"data: %b\n" % passage.envelope(error), last=True)


class _NoSuchService(NotSupported):
    """The provider of the model has no such route."""

    status = 501


ROUTES: Routes = {
    "/v1/chat/completions": {"POST": chat_route},
    "/v1/completions": {"POST": completions_route},
    "/v1/embeddings": {"POST": embeddings_route},
    "/v1/models": {"GET": models_route},
    "/v1/models/*": {"GET": model_route},
    "/v1/audio/transcriptions": {"POST": transcriptions_route},
    "/v1/images/generations": {"POST": images_route},
}
