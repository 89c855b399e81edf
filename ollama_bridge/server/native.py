"""A real Ollama beside us: its own API passed through to it, and what it has in our lists.

Strategy: which dialect an attempt speaks is looked up by the kind of the provider asked, so one
alias may have targets of both kinds. What the real server says, errors too, is what a client reads.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ollama_bridge.catalog import Entry
from ollama_bridge.errors import BadRequest, BridgeError, ModelNotFound
from ollama_bridge.providers.names import same_name
from ollama_bridge.providers.provider import OLLAMA, OPENAI, Provider, Target
from ollama_bridge.server import pump
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import JSON, TEXT, Exchange
from ollama_bridge.server.sending import Attempt, Errand
from ollama_bridge.translate import models, native
from ollama_bridge.translate.stats import Stopwatch

PATIENCE = 0.7
"""Seconds that a list of what is loaded waits for a server that does not answer."""


def judges(entry: Entry) -> bool:
    """Whether a real Ollama is asked first: it knows itself what its models can do."""
    return entry.target.provider.kind == OLLAMA


def by_kind(openai: Attempt, path: str, raw: bytes) -> Attempt:
    """An attempt in the dialect of whichever provider is asked."""
    table: dict[str, Attempt] = {OPENAI: openai, OLLAMA: functools.partial(pass_on, path, raw)}
    return lambda errand: table[errand.provider.kind](errand)


async def pass_on(path: str, raw: bytes, errand: Errand) -> None:
    """The request to the real server, its reply to the client."""
    exchange = errand.exchange
    content = native.asked(raw, path, errand.target.model, errand.entry.alias)
    opened = await errand.ask("POST", path, content)
    reply = native.Passage(errand.name, provider=errand.provider.name)
    try:
        await _relay(opened, reply, exchange)
    finally:
        errand.spent(reply.counts(), estimated=reply.estimated)
        exchange.log["first"] = errand.watch.until_first()
        if reply.failure:
            exchange.log["error"] = reply.failure.message


async def show(errand: Errand, raw: bytes) -> bytes | None:
    """The reply to /api/show; None when the user's own model has to be told of without it."""
    own, model = errand.entry.alias, errand.target.model
    try:
        opened = await errand.look_up("POST", native.SHOW, native.body(raw, model=model))
        said = await opened.whole()
    except BridgeError:
        if own is None:
            raise
        return None
    if own is None:
        return said
    reply = native.shown(said, own, models.parameters(own.parameters))
    return models.overruled(reply, errand.entry) if reply else None


async def running(bridge: Bridge) -> list[dict[str, Any]]:
    """What every real server has loaded, by our names for it."""
    providers = [row for row in bridge.config.providers.values() if row.kind == OLLAMA]
    found = await asyncio.gather(*(_running(bridge, provider) for provider in providers))
    return [row for rows in found for row in rows]


async def _running(bridge: Bridge, provider: Provider) -> Iterable[dict[str, Any]]:
    try:
        async with asyncio.timeout(PATIENCE):
            upstream = await bridge.upstream(provider)
            opened = await upstream.ask("GET", native.PS, b"", model="")
            rows = native.rows(await opened.whole())
    except (BridgeError, TimeoutError):
        return ()
    return [_renamed(bridge, provider, row) for row in rows]


def _renamed(bridge: Bridge, provider: Provider, row: dict[str, Any]) -> dict[str, Any]:
    full = f"{provider.name}/{row['model']}"
    try:
        name = bridge.catalog.resolve(full).name
    except ModelNotFound:  # hidden, yet loaded
        name = full
    return row | {"name": name, "model": name}


# management


def named(bridge: Bridge, name: str) -> Target | None:
    """The real server's model that a name means: it says so, or that server is the default."""
    if same_name(name, bridge.config.aliases):
        return None
    head, _, model = name.partition("/")
    known = same_name(head, bridge.config.providers)
    if known and model:
        provider = bridge.config.providers[known]
        return Target(provider, model) if provider.kind == OLLAMA else None
    default = bridge.config.providers[bridge.config.default_provider]
    if default.kind != OLLAMA or not name:
        return None
    try:
        entry = bridge.catalog.resolve(name)
    except ModelNotFound:
        return Target(default, name)
    return Target(default, name) if entry.target.provider is default else None


async def same_server(bridge: Bridge, target: Target, other: str) -> str:
    """What that server itself calls the other model; raises BadRequest when it is not there."""
    found = named(bridge, other)
    if found and found.provider is target.provider:
        return found.model
    if found is None and "/" not in other and await _is_there(bridge, target.provider, other):
        return other
    raise BadRequest(
        f'"{other}" is not at {target.provider.name}, where "{target.model}" is to be made; '
        f"name a model of that server, or leave {target.provider.name}/ out of the new name"
    )


async def _is_there(bridge: Bridge, provider: Provider, model: str) -> bool:
    try:
        entry = await bridge.resolve(f"{provider.name}/{model}")
    except ModelNotFound:
        return False
    return bridge.catalog.is_listed(entry)


async def manage(
    bridge: Bridge, exchange: Exchange, target: Target, content: bytes, *, name: str
) -> None:
    """Pull, push, create, copy or delete at the real server.

    Its list is read again before the client hears that it is done.
    """
    provider = target.provider
    exchange.log |= {"model": name, "provider": provider.name}
    exchange.answered_by = f"{provider.name}/{target.model}"

    async def work() -> None:
        upstream = await bridge.upstream(provider)
        opened = await upstream.ask(
            exchange.method, exchange.path, content, model=name, sent=target.model
        )
        reply = native.Passage("", provider=provider.name, raises=False)
        relist = functools.partial(bridge.relist, provider)
        try:
            await _relay(opened, reply, exchange, relist)
        finally:
            if said := reply.error or (reply.failure and reply.failure.message):
                exchange.log["error"] = said

    await exchange.while_connected(work())


async def _relay(
    opened: pump.Opened,
    reply: native.Passage,
    exchange: Exchange,
    at_end: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """What came, in the form in which it came; `at_end` is done before the end is told."""
    if opened.streamed and opened.kind:
        await pump.stream(opened, reply, exchange, at_end)
        return
    kind = opened.kind.encode("latin-1", "replace")
    said = reply.whole(await opened.whole())
    if at_end:
        await at_end()
    if reply.failure:
        raise reply.failure
    await exchange.answer(said, kind=kind or (JSON if said else TEXT))


def errand(bridge: Bridge, exchange: Exchange, entry: Entry, name: str) -> Errand:
    """An errand to the model, for routes that keep no time themselves."""
    return Errand.of(bridge, exchange, entry, name, Stopwatch(bridge.monotonic))
