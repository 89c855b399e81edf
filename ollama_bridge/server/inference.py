"""/api/chat and /api/generate.

The checks come in Ollama's own order (ollama-api 4.5), because clients match on the first one.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ollama_bridge.catalog import Entry, invalid_name
from ollama_bridge.errors import BadRequest, ModelNotFound, NotSupported
from ollama_bridge.instance import ANYWAY
from ollama_bridge.providers.provider import Target
from ollama_bridge.server import native, pump
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import Exchange
from ollama_bridge.server.routes import Routes
from ollama_bridge.server.sending import Errand
from ollama_bridge.translate import chat, custom, generate, lines
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.stats import Stopwatch
from ollama_bridge.wire import ollama

Request = ollama.ChatRequest | ollama.GenerateRequest


class Question(NamedTuple):
    """What one target is asked, and how its answer is to be given."""

    path: str
    body: dict[str, Any]
    form: lines.Form
    characters: int
    """Length of the prompt, to estimate its tokens if nobody counts them."""
    names: Mapping[str, str] = MappingProxyType({})
    """The client's tool names by the names sent, where they differ."""


Ask = Callable[[Target, tuple[str, ...]], Question]
"""The question as this target has to be asked, given the names of the edits that will be made;
raises BridgeError for what cannot be asked."""


async def chat_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/chat."""
    watch = Stopwatch(bridge.monotonic)
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.ChatRequest)
    _check_range(request)
    if not request.model.strip():
        raise BadRequest("model is required")
    entry = await find(bridge, request.model)
    beside = native.judges(entry)
    nothing = not request.messages and not beside
    if nothing and request.keep_alive == 0:
        return await _idle(bridge, exchange, entry, request, lines.CHAT, "unload")
    if not beside:
        _check_abilities(exchange, entry, request, "chat", "tools" if request.tools else "")
    if entry.alias:
        request = custom.chat(request, entry.alias)
    characters = sum(len(message.content) for message in request.messages or ())

    def ask(target: Target, edits: tuple[str, ...] = ()) -> Question:
        provider = target.provider
        body, names = chat.to_openai(
            request,
            target.model,
            extra=provider.extra_options,
            efforts=provider.efforts,
            thoughts="thoughts_back" in edits,
        )
        return Question(generate.CHAT, body, lines.CHAT, characters, names)

    if nothing:
        ask(entry.target)  # what cannot be asked is refused here too
        return await _idle(bridge, exchange, entry, request, lines.CHAT, "load")
    errand = Errand.of(bridge, exchange, entry, request.model, watch)
    return await _answer(errand, request, ask, raw)


async def generate_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/generate."""
    watch = Stopwatch(bridge.monotonic)
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.GenerateRequest)
    _check_range(request)
    if not request.model.strip():
        raise ModelNotFound(f"model '{request.model}' not found")
    entry = await find(bridge, request.model)
    beside = native.judges(entry)
    nothing = not request.prompt and not beside
    if nothing and request.keep_alive == 0:
        return await _idle(bridge, exchange, entry, request, lines.GENERATE, "unload")
    generate.check(request)
    if not beside:
        _check_abilities(exchange, entry, request, "generate", "insert" if request.suffix else "")
    if entry.alias:
        request = custom.generate(request, entry.alias)
    before = custom.before(entry.alias) if entry.alias else ()
    characters = len(request.prompt) + len(request.system)

    def ask(target: Target, _edits: tuple[str, ...] = ()) -> Question:
        provider = target.provider
        body = generate.to_openai(
            request,
            target.model,
            extra=provider.extra_options,
            efforts=provider.efforts,
            before=before,
        )
        return Question(generate.path(request), body, lines.GENERATE, characters)

    if nothing:
        ask(entry.target)  # what cannot be asked is refused here too
        return await _idle(bridge, exchange, entry, request, lines.GENERATE, "load")
    errand = Errand.of(bridge, exchange, entry, request.model, watch)
    return await _answer(errand, request, ask, raw)


async def find(bridge: Bridge, name: str) -> Entry:
    """The model, or Ollama's own error for a name that is not one."""
    stripped = name.strip()
    if stripped.lower().endswith((":cloud:local", ":local:cloud")):
        raise BadRequest(f'use either :local or :cloud, not both: "{name}"')
    try:
        return await bridge.resolve(stripped)
    except ModelNotFound:
        if invalid_name(stripped):
            raise BadRequest("invalid model name") from None
        raise


def full_name(name: str) -> str:
    """A model's name with Ollama's defaults spelt out, as its capability errors show it."""
    namespaced = name if "/" in name else f"library/{name}"
    tagged = namespaced if ":" in namespaced.rsplit("/", 1)[-1] else f"{namespaced}:latest"
    return f"registry.ollama.ai/{tagged}"


def _check_range(request: Request) -> None:
    if not 0 <= request.top_logprobs <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20")


def _check_abilities(
    exchange: Exchange, entry: Entry, request: Request, verb: str, needed: str
) -> None:
    """Refuse what the model is known not to do; where nobody tells, the upstream decides.

    `insert` has to be known: servers that cannot do it ignore `suffix` without a word. Trials are
    let through: what is known may be wrong.
    """
    try:
        _refuse_unable(entry, request, verb, needed)
    except NotSupported:
        if not exchange.header(_ANYWAY):
            raise


_ANYWAY = ANYWAY.encode()


def _refuse_unable(entry: Entry, request: Request, verb: str, needed: str) -> None:
    able = entry.capabilities
    if request.think and "thinking" in entry.refuses:
        raise NotSupported(f'"{request.model}" does not support thinking')
    if "completion" not in able and "embedding" in able:
        raise NotSupported(f'"{request.model}" does not support {verb}')
    if needed in entry.refuses or (needed == "insert" and needed not in able):
        raise NotSupported(f"{full_name(request.model.strip())} does not support {needed}")


async def _idle(
    bridge: Bridge,
    exchange: Exchange,
    entry: Entry,
    request: Request,
    form: lines.Form,
    reason: str,
) -> None:
    """Nothing was asked: the model is loaded or unloaded, which no upstream hears of (4.4)."""
    bridge.touch(entry, request.keep_alive)
    await exchange.answer(lines.idle(form, request.model, bridge.stamp, reason))


async def _answer(errand: Errand, request: Request, ask: Ask, raw: bytes) -> None:
    """Send it up, and what comes back down."""

    def attempt(errand: Errand) -> Awaitable[None]:
        return _ask(errand, request, ask(errand.target, errand.edits))

    exchange = errand.exchange
    asking = native.by_kind(attempt, exchange.path, raw)
    await exchange.while_connected(errand.deliver(asking))


def _reply(errand: Errand, request: Request, question: Question) -> Reply:
    """What reads this target's reply and says it in Ollama's lines."""
    watch, stamp = errand.watch, errand.bridge.stamp
    streamed = request.stream is not False
    writer = (lines.Lines if streamed else lines.Whole)(question.form, request.model, stamp)
    return Reply(
        writer,
        watch,
        provider=errand.provider.name,
        prompt_characters=question.characters,
        show_thinking=request.think is not False,
        names=question.names,
        top_logprobs=request.top_logprobs,
        seed=f"{watch.begun}{request.model}",
        keep=errand.keep if "tools" in question.body else None,
    )


async def _ask(errand: Errand, request: Request, question: Question) -> None:
    exchange, body = errand.exchange, question.body
    stops = body.get("stop") or ()
    reply = _reply(errand, request, question)
    opened = await errand.open(question.path, body)
    unknown = [stop for stop in stops if stop not in (body.get("stop") or ())]
    if request.format or unknown:
        (reply.unfence if request.format else reply.stop_at)(unknown)
    errand.bridge.touch(errand.entry, request.keep_alive)
    try:
        if request.stream is not False:
            await pump.stream(opened, reply, exchange)
        else:
            await exchange.answer(await pump.collect(opened, reply))
    finally:
        note(errand, reply)


def note(errand: Errand, reply: pump.Reply) -> None:
    """What the log tells of a reply, and what it cost."""
    exchange = errand.exchange
    tokens = reply.counts()
    errand.spent(tokens, estimated=reply.estimated)
    exchange.log["first"] = errand.watch.until_first()
    if reply.failure:
        exchange.log["error"] = reply.failure.message


ROUTES: Routes = {
    "/api/chat": {"POST": chat_route},
    "/api/generate": {"POST": generate_route},
}
