"""/api/pull, push, create, copy, delete: models of the user's own, kept in the settings file.

A create or copy is a snapshot, as in Ollama: the new model stands for the provider's model itself
and has the settings of the one it was made from, whatever becomes of that one.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from ollama_bridge import editing
from ollama_bridge.catalog import CAPABILITIES, Entry, invalid_name, on_top
from ollama_bridge.errors import BadRequest, BridgeError, ModelNotFound, NotSupported
from ollama_bridge.providers.names import same_name
from ollama_bridge.providers.provider import Alias, Target
from ollama_bridge.server import native
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import ERROR_JSON, TEXT, Exchange
from ollama_bridge.server.inference import find
from ollama_bridge.server.routes import Routes
from ollama_bridge.translate import lines
from ollama_bridge.translate import manage as said
from ollama_bridge.translate import native as passage
from ollama_bridge.wire import ollama

Progress = AsyncIterator[bytes]
"""Lines of a progress stream; an error ends it."""

PAUSE = 0.01
"""Seconds between the lines of a pull: Page Assist takes each network read for one line."""

LONGEST_NAME = 350
"""Most characters of a name that is made here; ids of providers may be what they are."""


async def pull(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/pull: everything is there already; a model that was deleted comes back."""
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.PullRequest)
    name = (request.model or request.name).strip()
    if target := native.named(bridge, name):
        if hidden := bridge.catalog.find_hidden(name):
            await bridge.edit(editing.showing(hidden.origins[0]))
        content = passage.body(raw, model=target.model)
        return await native.manage(bridge, exchange, target, content, name=name)
    if invalid_name(name) and not _known(bridge, name):
        raise BadRequest("invalid model name")
    exchange.log["model"] = name
    return await _tell(exchange, _pull(bridge, name), streamed=request.stream is not False)


async def push(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/push: there is nothing that could be pushed."""
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.PushRequest)
    name = request.model or request.name
    if target := native.named(bridge, name.strip()):
        content = passage.body(raw, model=target.model)
        return await native.manage(bridge, exchange, target, content, name=name)
    if not name.strip():
        raise BadRequest("model is required")
    if invalid_name(name) and not _known(bridge, name):
        raise BadRequest("invalid model name")
    return await _tell(exchange, _push(bridge, name), streamed=request.stream is not False)


async def create(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/create: a model of the user's own, replacing the one of that name."""
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.CreateRequest)
    name = request.model or request.name
    if target := _place(bridge, name, request.from_):
        origin = request.from_ and await native.same_server(bridge, target, request.from_)
        content = passage.body(raw, model=target.model, **({"from": origin} if origin else {}))
        return await native.manage(bridge, exchange, target, content, name=name)
    if not _usable(name):
        raise BadRequest("invalid model name")
    said.check(request)
    own = said.own(request, CAPABILITIES)
    exchange.log["model"] = name
    progress = _create(bridge, name, request, own)
    return await _tell(exchange, progress, streamed=request.stream is not False)


async def copy(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/copy: another name for the same model, with the same settings."""
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.CopyRequest)
    source, destination = request.source, request.destination
    if target := _place(bridge, destination, source):
        known = await native.same_server(bridge, target, source)
        content = passage.body(raw, source=known, destination=target.model)
        return await native.manage(bridge, exchange, target, content, name=destination)
    if not _usable(source) and not _known(bridge, source):
        raise BadRequest(f'source "{source}" is invalid')
    if not _usable(destination):
        raise BadRequest(f'destination "{destination}" is invalid')
    exchange.log["model"] = destination
    try:
        entry = await find(bridge, source)
    except ModelNotFound as error:
        raise ModelNotFound(f'model "{source}" not found') from error
    taken = _known(bridge, destination)
    if not taken or taken.name != entry.name:
        alias = replace(entry.alias or Alias(()), targets=entry.origins)
        await bridge.edit(editing.making(bridge.config.path, destination, alias))
    return await exchange.answer(b"", kind=TEXT)


async def delete(bridge: Bridge, exchange: Exchange) -> None:
    """DELETE /api/delete: forgets a model of the user's own, hides a provider's.

    A real Ollama's is deleted there.
    """
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.DeleteRequest)
    sent = request.model or request.name
    name = sent.strip()
    if not name:
        raise BadRequest("model is required")
    exchange.log["model"] = name
    if target := native.named(bridge, name):
        content = passage.body(raw, model=target.model)
        return await native.manage(bridge, exchange, target, content, name=sent)
    if alias := same_name(name, bridge.config.aliases):
        await bridge.edit(editing.forgetting(alias))
    else:
        await bridge.edit(editing.hiding((await _listed(bridge, name, sent)).origins[0]))
    gone = same_name(name, bridge.loaded)
    if gone:
        bridge.unload(gone)
    return await exchange.answer(b"", kind=TEXT)


# what the routes do, line by line


async def _pull(bridge: Bridge, name: str) -> Progress:
    yield said.status(said.PULLING)
    entry = await _available(bridge, name)
    for line in said.pulled(entry.digest, entry.size):
        await asyncio.sleep(PAUSE)
        yield line


async def _push(bridge: Bridge, name: str) -> Progress:
    yield said.status("retrieving manifest")
    try:
        await find(bridge, name)
    except ModelNotFound:
        yield said.status("couldn't retrieve manifest")
        raise BridgeError(f"model '{name}' not found") from None
    raise NotSupported(
        f"'{name}' cannot be pushed: it runs at its provider, and there is nothing here to push; "
        f"to share how it was made, send what `ollama show --modelfile {name}` prints"
    )


async def _create(
    bridge: Bridge, name: str, request: ollama.CreateRequest, own: said.Own
) -> Progress:
    base = await _base(bridge, request.from_)
    if base is None:  # Ollama would go and pull it
        yield said.status(said.PULLING)
        raise BridgeError(said.NO_MANIFEST)
    for line in said.layers(base.digest, own):
        yield line
    alias = Alias(base.origins, **own)
    alias = on_top(alias, base.alias) if base.alias else alias
    await bridge.edit(editing.making(bridge.config.path, name, alias))
    for line in said.remarks(request):
        yield line
    yield said.status(said.WRITING)
    yield said.status(said.SUCCESS)


async def _tell(exchange: Exchange, progress: Progress, *, streamed: bool) -> None:
    """Every line as it comes, or only the last one; an error before any has its own status."""
    last = b""
    try:
        async for last in progress:
            if streamed:
                await exchange.line(last)
    except BridgeError as error:
        if not exchange.started:
            raise
        exchange.log["error"] = error.message
        await exchange.line(lines.error(error.message), last=True)
        return
    if streamed:
        await exchange.line(b"", last=True)
    else:
        await exchange.answer(last[:-1], kind=ERROR_JSON)


# names


def _place(bridge: Bridge, name: str, origin: str) -> Target | None:
    """The real server at which a new model is to be made: both of its names must allow that."""
    target = native.named(bridge, name.strip())
    if target is None or name.partition("/")[0] == target.provider.name:
        return target
    return target if not origin or native.named(bridge, origin) else None


def _usable(name: str) -> bool:
    """Whether a model may be called that; names to be made are taken as sent (ollama-api 10.1)."""
    return not invalid_name(name) and name == name.strip() and len(name) <= LONGEST_NAME


def _known(bridge: Bridge, name: str) -> Entry | None:
    """What the name means at this moment."""
    try:
        return bridge.catalog.resolve(name)
    except ModelNotFound:
        return None


async def _available(bridge: Bridge, name: str) -> Entry:
    """A listed model; one that was hidden is shown again. Raises Ollama's error for the others."""
    try:
        return await _listed(bridge, name, name)
    except ModelNotFound:
        hidden = bridge.catalog.find_hidden(name)
    if hidden is None:
        raise BridgeError(said.NO_MANIFEST)
    await bridge.edit(editing.showing(hidden.origins[0]))
    return bridge.catalog.resolve(name)


async def _listed(bridge: Bridge, name: str, sent: str) -> Entry:
    """A model that /api/tags has; one that only might exist is asked for once more."""
    try:
        entry = await find(bridge, name)
        if not bridge.catalog.is_listed(entry) and await bridge.ask_again():
            entry = bridge.catalog.resolve(name)
    except ModelNotFound as error:
        raise ModelNotFound(f"model '{sent}' not found") from error
    except BadRequest as error:
        raise BadRequest(f'name "{sent}" is invalid') from error
    if not bridge.catalog.is_listed(entry):
        raise ModelNotFound(f"model '{sent}' not found")
    return entry


async def _base(bridge: Bridge, name: str) -> Entry | None:
    """The model that another one is made from; being hidden does not matter for that."""
    try:
        return await find(bridge, name)
    except ModelNotFound:
        return bridge.catalog.find_hidden(name)


ROUTES: Routes = {
    "/api/pull": {"POST": pull},
    "/api/push": {"POST": push},
    "/api/create": {"POST": create},
    "/api/copy": {"POST": copy},
    "/api/delete": {"DELETE": delete},
}
