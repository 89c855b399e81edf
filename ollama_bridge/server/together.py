"""What one process of the daemon does when another tells it something, or asks.

Strategy: one table. All of it is about what a client could notice: a name that was made, a model
that turned out to lack something, thoughts that a provider wants back.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ollama_bridge.errors import ModelNotFound
from ollama_bridge.providers.provider import Target
from ollama_bridge.spending import heard
from ollama_bridge.translate import models, tools
from ollama_bridge.translate.thoughts import Thoughts

if TYPE_CHECKING:
    from ollama_bridge.server.app import App
    from ollama_bridge.server.bridge import Bridge


async def hear(app: "App", what: str, body: Any) -> Any:
    """Do what is told, answer what is asked; a word that is not known is let pass."""
    action = _ACTIONS.get(what)
    return None if action is None else await action(app, body)


async def loaded(bridge: "Bridge") -> list[models.Loaded]:
    """The models in use at all processes, each as long as the last of them says."""
    found = {item.model.name: item for item in bridge.running()}
    for rows in await bridge.siblings.ask("loaded"):
        for name, expires_ns in rows:
            known = found.get(name)
            if known is None or known.expires_ns < expires_ns:
                try:
                    found[name] = models.Loaded(bridge.catalog.resolve(name), expires_ns)
                except ModelNotFound:  # its list does not hold it any more
                    continue
    return sorted(found.values(), key=lambda item: item.model.name)


async def _loaded(app: "App", _body: Any) -> Any:
    return [[item.model.name, item.expires_ns] for item in app.bridge.running()]


async def _status(app: "App", _body: Any) -> Any:
    return await (await app.facts()).status()


async def _requests(app: "App", _body: Any) -> Any:
    return (await app.facts()).requests()


async def _reload(app: "App", _body: Any) -> None:
    await app.reload_own()


async def _names(app: "App", _body: Any) -> None:
    await app.bridge.read_names()


async def _stop(app: "App", finish: Any) -> None:
    app.stop_own(finish)


async def _spent(app: "App", body: Any) -> None:
    app.bridge.spending.take(*heard(body))


async def _learned(app: "App", body: Any) -> None:
    provider, model, name = body
    row = app.bridge.config.providers.get(provider)
    if row is not None:
        app.bridge.learn(Target(row, model), name, tell=False)


async def _thoughts(app: "App", body: Any) -> None:
    provider, calls, (text, details, extra, extras) = body
    app.bridge.recollection.keep(
        provider,
        [tools.Call(*call) for call in calls],
        Thoughts(text, tuple(details), extra, tuple(extras)),
    )


async def _heard(_app: "App", _body: Any) -> None:
    """Nothing: who asks this waits until everything that was told before has been heard."""


async def _uploaded(app: "App", digest: Any) -> None:
    app.bridge.blobs[digest] = app.bridge.monotonic()


async def _unloaded(app: "App", name: Any) -> None:
    app.bridge.loaded.pop(name, None)


async def _listed(app: "App", provider: Any) -> None:
    await app.bridge.take_list(provider)


async def _tried(app: "App", _body: Any) -> None:
    await app.bridge.read_trials()


_ACTIONS: Mapping[str, Callable[["App", Any], Awaitable[Any]]] = {
    "heard": _heard,
    "learned": _learned,
    "listed": _listed,
    "loaded": _loaded,
    "names": _names,
    "reload": _reload,
    "requests": _requests,
    "spent": _spent,
    "status": _status,
    "stop": _stop,
    "thoughts": _thoughts,
    "tried": _tried,
    "unloaded": _unloaded,
    "uploaded": _uploaded,
}
