"""/v1/responses: passed on where the service has it, else answered through chat completions."""

from ollama_bridge.catalog import Entry
from ollama_bridge.errors import BadRequest, NotSupported, UpstreamFailed
from ollama_bridge.providers import quirks
from ollama_bridge.server import compressed, pump
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import SSE, Exchange
from ollama_bridge.server.inference import find, full_name, note
from ollama_bridge.server.routes import Routes
from ollama_bridge.server.sending import Errand
from ollama_bridge.translate import generate, responses
from ollama_bridge.translate.passage import envelope, length
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.responses_passage import Passage
from ollama_bridge.translate.responses_stream import Writer
from ollama_bridge.translate.stats import Ending, Stopwatch
from ollama_bridge.wire import responses as wire
from ollama_bridge.wire.stamp import NANOSECONDS

_STREAMING = [(b"cache-control", b"no-cache"), (b"connection", b"keep-alive")]

_NO_ROUTE = (404, 405, 501)
"""Statuses of a server that has no such route; one that lacks the model is another error."""


async def create_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /v1/responses."""
    watch = Stopwatch(bridge.monotonic)
    exchange.envelope, exchange.stream_kind = envelope, SSE
    body = await compressed.body(exchange)
    request = wire.decode(body)
    if not request.model.strip():
        raise BadRequest("model is required")
    entry = await find(bridge, request.model)
    _check_abilities(entry, request)
    if request.stream:
        exchange.add_headers(_STREAMING)
    errand = Errand.of(bridge, exchange, entry, request.model, watch)

    async def attempt(errand: Errand) -> None:
        await _answer(errand, request, body)

    await exchange.while_connected(errand.deliver(attempt))


def _check_abilities(entry: Entry, request: wire.Request) -> None:
    """Refuse what the model is known not to do, in Ollama's words."""
    if "completion" not in entry.capabilities and "embedding" in entry.capabilities:
        raise NotSupported(f'"{request.model}" does not support chat')
    if responses.think(request.reasoning) and "thinking" in entry.refuses:
        raise NotSupported(f'"{request.model}" does not support thinking')
    if request.tools and "tools" in entry.refuses:
        raise NotSupported(f"{full_name(request.model.strip())} does not support tools")


async def _answer(errand: Errand, request: wire.Request, body: bytes) -> None:
    if errand.provider.responses or quirks.RESPONSES_ONLY in errand.edits:
        opened = await _passed_on(errand, request, body)
        if opened is not None:
            passage = Passage(
                request.model,
                errand.watch,
                provider=errand.provider.name,
                streamed=bool(request.stream),
                prompt_characters=lambda: length(request.input),
            )
            await _deliver(errand, request, opened, passage)
            return
    await _translated(errand, request)


async def _passed_on(errand: Errand, request: wire.Request, body: bytes) -> pump.Opened | None:
    """The service's own response; None when there is no such route where it is said to be."""
    model, alias = errand.target.model, errand.entry.alias
    sent = responses.passed_on(wire.fields(body), request, model, alias)
    try:
        return await errand.open(responses.PATH, sent)
    except UpstreamFailed as error:
        if error.upstream_status not in _NO_ROUTE:
            raise
        return None


async def _translated(errand: Errand, request: wire.Request) -> None:
    responses.check(request)
    provider = errand.provider
    question = responses.to_openai(
        request,
        errand.target.model,
        own=errand.entry.alias,
        extra=provider.extra_options,
        efforts=provider.efforts,
    )
    seed = f"{errand.watch.begun}{request.model}"
    ending = Ending()
    clock = errand.bridge.clock
    writer = Writer(request, question.tools, ending, seed=seed, now=lambda: clock() // NANOSECONDS)
    reply = Reply(
        writer,
        errand.watch,
        provider=provider.name,
        prompt_characters=question.characters,
        show_thinking=responses.think(request.reasoning) is not False,
        seed=seed,
        ending=ending,
        keep=errand.keep if "tools" in question.body else None,
    )
    stops = tuple(question.body.get("stop") or ())
    opened = await errand.open(generate.CHAT, question.body)
    reply.stop_at([stop for stop in stops if stop not in (question.body.get("stop") or ())])
    await _deliver(errand, request, opened, reply)


async def _deliver(
    errand: Errand, request: wire.Request, opened: pump.Opened, reply: Reply | Passage
) -> None:
    exchange = errand.exchange
    errand.bridge.touch(errand.entry, None)
    try:
        if request.stream:
            await pump.stream(opened, reply, exchange)
        else:
            await exchange.answer(await pump.collect(opened, reply))
    finally:
        note(errand, reply)


ROUTES: Routes = {"/v1/responses": {"POST": create_route}}
