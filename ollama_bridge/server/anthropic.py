"""/v1/messages and /v1/messages/count_tokens."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ollama_bridge.catalog import Entry
from ollama_bridge.errors import (
    BridgeError,
    KeyMissing,
    ModelNotFound,
    NotSupported,
    UpstreamFailed,
)
from ollama_bridge.providers.provider import Target
from ollama_bridge.server import compressed, pump
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import SSE, Exchange
from ollama_bridge.server.inference import find, note
from ollama_bridge.server.routes import Routes
from ollama_bridge.server.sending import Errand
from ollama_bridge.translate import anthropic
from ollama_bridge.translate.anthropic_stream import Events, Head, Whole, with_own_ids
from ollama_bridge.translate.generate import CHAT
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.stats import Ending, Stopwatch, estimate
from ollama_bridge.translate.thoughts import Thoughts
from ollama_bridge.translate.tools import Call
from ollama_bridge.wire import anthropic as wire

PING_EVERY = 10.0
"""Seconds; some clients give up on a stream that is silent for half a minute."""


class Question(NamedTuple):
    """What one target is asked."""

    body: dict[str, Any]
    names: Mapping[str, str]
    characters: int


async def messages_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /v1/messages."""
    watch = Stopwatch(bridge.monotonic)
    request_id = _begin(exchange, watch)
    try:
        request, entry = await _request(bridge, exchange)
        errand = Errand.of(bridge, exchange, entry, request.model, watch)

        async def attempt(errand: Errand) -> None:
            await _ask(errand, request, request_id)

        await exchange.while_connected(errand.deliver(attempt))
    except BridgeError as error:
        if _is_final(error):
            exchange.add_headers([(b"x-should-retry", b"false")])
        raise


async def count_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /v1/messages/count_tokens: an estimate, no upstream is asked."""
    _begin(exchange, Stopwatch(bridge.monotonic))
    request, entry = await _request(bridge, exchange, counting=True)
    tokens = estimate(_question(request, entry, entry.target).characters)
    await exchange.answer(b'{"input_tokens":%d}' % tokens)


async def pings(
    exchange: Exchange,
    reply: Reply,
    events: Events,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Signs of life while a stream lasts: a model may think, or write a call, for minutes."""
    while True:
        await pause(PING_EVERY)
        if reply.over or exchange.complete:
            return
        await exchange.line(events.ping())


def _begin(exchange: Exchange, watch: Stopwatch) -> str:
    """The form of everything that is said; the request's id."""
    request_id = anthropic.long_id("req_", watch.begun, exchange.scope.get("client"))
    exchange.stream_kind = SSE
    exchange.envelope = lambda error: wire.error(error.status, error.message, request_id).encode()
    exchange.add_headers([(b"request-id", request_id.encode())])
    return request_id


async def _request(
    bridge: Bridge, exchange: Exchange, *, counting: bool = False
) -> tuple[wire.MessagesRequest, Entry]:
    request = wire.decode(await compressed.body(exchange))
    anthropic.check(request, counting=counting)
    entry = await _find(bridge, request.model)
    if "completion" not in entry.capabilities and "embedding" in entry.capabilities:
        raise NotSupported(f'"{request.model}" does not support chat')
    return request, entry


def _question(request: wire.MessagesRequest, entry: Entry, target: Target) -> Question:
    provider = target.provider
    body, names = anthropic.to_openai(
        request,
        target.model,
        extra=provider.extra_options,
        efforts=provider.efforts,
        own=entry.alias,
        thinks="thinking" not in entry.refuses,
    )
    if "tools" in body and "tools" in entry.refuses:
        raise NotSupported(f'"{request.model}" does not support tools')
    return Question(body, names, anthropic.characters(body))


async def _find(bridge: Bridge, name: str) -> Entry:
    """The model; a client that insists on a name of its own can be given it as an alias."""
    try:
        return await find(bridge, name)
    except ModelNotFound as error:
        raise ModelNotFound(
            f"{error.message}; use a name of `ollama-bridge models list`, "
            f"or make this one known: ollama-bridge models alias {name.strip()} PROVIDER/MODEL"
        ) from error


async def _ask(errand: Errand, request: wire.MessagesRequest, request_id: str) -> None:
    exchange, watch = errand.exchange, errand.watch
    question = _question(request, errand.entry, errand.target)
    body = question.body
    stops = tuple(request.stop_sequences or ())
    ending = Ending(stops)
    seed = f"{request_id}{request.model}"
    head = Head(request.model, seed, estimate(question.characters), request_id)
    writer = (Events if request.stream else Whole)(head, ending)

    def keep(calls: Sequence[Call], found: Thoughts) -> None:
        errand.keep(with_own_ids(calls, seed), found)

    reply = Reply(
        writer,
        watch,
        provider=errand.provider.name,
        prompt_characters=question.characters,
        show_thinking=anthropic.shows_thinking(request),
        names=question.names,
        seed=seed,
        ending=ending,
        drop_cut_calls=True,
        keep=keep if "tools" in body else None,
    )
    asked = tuple(body.get("stop") or ())
    opened = await errand.open(CHAT, body)
    reply.stop_at([stop for stop in asked if stop not in (body.get("stop") or ())])
    errand.bridge.touch(errand.entry, None)
    try:
        if isinstance(writer, Events):
            await _streamed(opened, reply, exchange, writer)
        else:
            await exchange.answer(await pump.collect(opened, reply))
    finally:
        note(errand, reply)


async def _streamed(opened: pump.Opened, reply: Reply, exchange: Exchange, events: Events) -> None:
    alive = asyncio.ensure_future(pings(exchange, reply, events))
    try:
        await pump.stream(opened, reply, exchange)
    finally:
        alive.cancel()


def _is_final(error: BridgeError) -> bool:
    """Whether asking again is useless although the status is one that clients ask again for."""
    if isinstance(error, UpstreamFailed):
        return error.status >= 500 and error.upstream_status in _HOPELESS
    return isinstance(error, KeyMissing)


_HOPELESS = (401, 405, 407)
"""Statuses of upstreams that a client sees as 502."""

ROUTES: Routes = {
    "/v1/messages": {"POST": messages_route},
    "/v1/messages/count_tokens": {"POST": count_route},
}
