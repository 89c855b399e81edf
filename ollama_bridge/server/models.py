"""/, /api/version, /api/tags, /api/ps, /api/show: answered from memory, never from an upstream."""

from ollama_bridge.catalog import Catalog
from ollama_bridge.errors import BadRequest, ModelNotFound
from ollama_bridge.server import native, together
from ollama_bridge.server.bridge import UNDATED, Bridge
from ollama_bridge.server.exchange import TEXT, Exchange
from ollama_bridge.server.front import ROOT, VERSION
from ollama_bridge.server.inference import find
from ollama_bridge.server.routes import Routes
from ollama_bridge.translate import models
from ollama_bridge.wire import ollama

PATIENCE = 0.7
"""Seconds a listing waits for a provider never heard from: some clients give up after one."""

PATIENCE_AT_START = 3.0
"""The same while there is nothing to list at all: an empty list would be believed."""


async def root(_bridge: Bridge, exchange: Exchange) -> None:
    """GET|HEAD /: the heartbeat."""
    await exchange.answer(ROOT, kind=TEXT)


async def version(_bridge: Bridge, exchange: Exchange) -> None:
    """GET|HEAD /api/version."""
    await exchange.answer(VERSION)


async def tags(bridge: Bridge, exchange: Exchange) -> None:
    """GET|HEAD /api/tags."""
    await listed(bridge)
    await exchange.answer(bridge.tags())


async def listed(bridge: Bridge) -> Catalog:
    """What there is to list, once every provider has had its moment to tell."""
    known = any(models is not None for models in bridge.listing().lists.values())
    await bridge.first_lists(PATIENCE if known else PATIENCE_AT_START)
    return bridge.catalog


async def ps(bridge: Bridge, exchange: Exchange) -> None:
    """GET /api/ps: models used lately, for as long as their `keep_alive` said.

    What real servers have loaded is told by them.
    """
    await exchange.answer(models.ps(await together.loaded(bridge), await native.running(bridge)))


async def show(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/show."""
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.ShowRequest)
    name = (request.model or request.name).strip()
    if not name:
        raise BadRequest("model is required")
    try:
        entry = await find(bridge, name)
    except ModelNotFound as error:
        raise ModelNotFound(f"model '{with_tag(name)}' not found") from error
    if native.judges(entry):
        said = await native.show(native.errand(bridge, exchange, entry, name), raw)
        if said is not None:
            await exchange.answer(said)
            return
    agent = exchange.header(b"user-agent")
    await exchange.answer(
        models.show(
            entry,
            requested=name,
            verbose=request.verbose,
            user_agent=agent,
            now=UNDATED,
        )
    )


def with_tag(name: str) -> str:
    """The name as Ollama's errors show it: with a tag."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


ROUTES: Routes = {
    "/": {"GET": root, "HEAD": root},
    "/api/version": {"GET": version, "HEAD": version},
    "/api/tags": {"GET": tags, "HEAD": tags},
    "/api/ps": {"GET": ps},
    "/api/show": {"POST": show},
}
