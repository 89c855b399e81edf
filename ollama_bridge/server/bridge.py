"""The running state: settings, catalog and clients, replaced whole on a reload.

Strategy: model lists are fetched in the background and kept on disk, so that listings and names
are answered from memory in milliseconds, also while a provider is down.
"""

import asyncio
import functools
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ollama_bridge import editing
from ollama_bridge.catalog import Catalog, Entry, Known
from ollama_bridge.config import Config, public_facts, saved_list
from ollama_bridge.editing import Change
from ollama_bridge.errors import BridgeError, ModelNotFound
from ollama_bridge.providers import address
from ollama_bridge.providers.provider import Provider, Target
from ollama_bridge.server.front import VIA
from ollama_bridge.server.lane import Lane
from ollama_bridge.server.learning import LACKS, Memory
from ollama_bridge.server.recollection import Recollection
from ollama_bridge.server.siblings import NOBODY, Siblings
from ollama_bridge.server.trials import Result, Trials, trials_file
from ollama_bridge.spending import Daybook
from ollama_bridge.translate import model_list, models, thoughts, tools
from ollama_bridge.wire.stamp import stamper

STALE = 60.0
"""Seconds after which a listing is fetched again, in the background, when somebody asks."""

RETRY = 5.0
"""Seconds before a provider is asked again for a name it did not list."""

UNDATED = 1_767_225_600_000_000_000
"""Nanoseconds, the first of January 2026: dates models whose age nobody tells.

The same at every copy of the daemon and after every start: a listing must not tell them apart.
"""

FIRST_LIST = 5.0
"""Longest wait, in seconds, for the first list when a name cannot be told without it."""

_NO_LIST = (404, 405, 501)
"""Statuses of a service that has no list of models."""

_log = logging.getLogger("ollama_bridge")


class Keys(Protocol):
    """Where API keys come from: `keys.Keys`, or a test's fake. May block; raises BridgeError."""

    def get(self, provider: Provider) -> str: ...
    def source(self, provider: Provider) -> str: ...
    def named(self, name: str) -> str: ...


class Upstream(Protocol):
    """One provider's client: `upstream.Upstream`, or a test's fake."""

    async def open(self, path: str, body: dict[str, Any], *, model: str) -> Any: ...
    async def open_form(self, path: str, kind: str, content: bytes, *, model: str) -> Any: ...
    async def ask(
        self, method: str, path: str, content: bytes, *, model: str, sent: str = ""
    ) -> Any: ...
    async def models(self) -> bytes: ...
    async def retire(self) -> None: ...
    async def aclose(self) -> None: ...


Sleep = Callable[[float], Awaitable[None]]
Connect = Callable[[Provider, str], Upstream]
Edit = Callable[[Change], Config]
"""Changes the settings file and returns what it then says: `editing.edit`. May block."""


def connect(provider: Provider, key: str) -> Upstream:
    """A client through the SDK, which is imported only now: it costs a third of a second."""
    from ollama_bridge.server import upstream

    return upstream.Upstream(provider, key)


class Bridge:
    """What every route works with. Lives in one event loop."""

    def __init__(
        self,
        config: Config,
        *,
        keys: Keys,
        state: Path | None = None,
        edit: Edit | None = None,
        connect: Connect = connect,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        spending: Daybook | None = None,
        siblings: Siblings = NOBODY,
        reread: Callable[[], Config] | None = None,
    ) -> None:
        self.config = config
        self.keys = keys
        self.instance = ""
        """Tells this daemon from all others; servers nearby are told it, see `_signed`."""
        self.stamp = stamper(clock)
        self.clock = clock
        self.monotonic = monotonic
        self.sleep = sleep
        self.chance = chance
        """From 0 to 1: spreads the pauses before a request is made again."""
        self.spending = spending or Daybook(clock)
        """What was sent to each provider today, and what it cost."""
        self.siblings = siblings
        """The other processes of this daemon."""
        self.loaded: dict[str, models.Loaded] = {}
        self.blobs: dict[str, int] = {}
        """Digests of files that were uploaded for a create, and when."""
        self.active = self.requests = self.errors = 0
        self.list_errors: dict[str, str] = {}
        self.memory = Memory()
        """What refusals have taught of each model."""
        self.recollection = Recollection(lambda: monotonic() / 1e9)
        self.settling = asyncio.Lock()
        """Held while settings are read or written, and until they are in effect."""
        self._reread = reread or (lambda: config)
        self._edit = edit or functools.partial(editing.edit, config.path)
        self._changes: list[tuple[Change, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._connect = connect
        self._state = state
        self._clients: dict[str, Upstream] = {}
        self._lanes: dict[str, Lane] = {}
        self._connecting: dict[str, asyncio.Lock] = {}
        self._fetched: dict[str, float] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._warm: asyncio.Future[None] | None = None
        self.facts = public_facts(state)
        self.trials = Trials(trials_file(state) if state else None)
        """What was tried out of each model."""
        self.catalog = self._catalog({})
        self._tags: tuple[Catalog | None, bytes] = (None, b"")

    # names

    async def resolve(self, name: str) -> Entry:
        """The model of that name; lists that may hold it are awaited or asked again first."""
        try:
            entry = self.catalog.resolve(name)
        except ModelNotFound:
            if not await self.ask_again():
                raise
        else:
            provider = entry.target.provider.name
            if provider in self._fetched or self._list_of(provider) is not None:
                return entry
            await asyncio.wait([self._fetch(provider)], timeout=FIRST_LIST)
        return self.catalog.resolve(name)

    def listing(self) -> Catalog:
        """What is known now; a refresh begins when it is old."""
        for name in self.config.providers:
            if self._age(name) > STALE:
                self._fetch(name)
        return self.catalog

    def tags(self) -> bytes:
        """The reply of /api/tags, made once for each catalog: thousands of models take 15 ms."""
        made_for, reply = self._tags
        if made_for is not self.catalog:
            # speech, moderation and the like: no route of Ollama's could use them (quirk J7)
            usable = [entry for entry in self.catalog.entries if entry.capabilities or entry.row]
            reply = models.tags(usable, UNDATED)
            self._tags = self.catalog, reply
        return reply

    async def first_lists(self, patience: float) -> None:
        """Wait until each provider that has no list at all has been asked once."""
        fetches = [task for name, task in self._fetching.items() if self._list_of(name) is None]
        if fetches:
            await asyncio.wait(fetches, timeout=patience)

    async def ask_again(self) -> bool:
        """Fetch every list that is not brand new; False when all are."""
        names = [name for name in self.config.providers if self._age(name) > RETRY]
        fetches = [self._fetch(name) for name in names] or list(self._fetching.values())
        if not fetches:
            return False
        await asyncio.wait(fetches, timeout=FIRST_LIST)
        return True

    # the user's own models

    async def edit(self, change: Change) -> None:
        """Change the settings file and go by its names; raises SettingsInvalid.

        Changes that arrive while one is written go into the file together, so that many at once
        do not wait for each other's disk.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes.append((change, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._write_changes())
        await done
        await self.siblings.ask("names")

    async def read_names(self) -> None:
        """Go by the names that the settings file has now: another process has changed it."""
        async with self.settling:
            self._take_names(await asyncio.to_thread(self._reread))

    async def _write_changes(self) -> None:
        while self._changes:
            batch, self._changes = self._changes, []
            async with self.settling:
                await self._write(batch)

    async def _write(self, batch: "list[tuple[Change, asyncio.Future[None]]]") -> None:
        """One edit for all; when that fails one for each, so that none spoils another's."""

        def all_of(document: Any) -> None:
            for change, _ in batch:
                change(document)

        writing = asyncio.ensure_future(asyncio.to_thread(self._edit, all_of))
        await asyncio.wait((writing,))
        error = writing.exception()
        if error and len(batch) > 1:
            for item in batch:
                await self._write([item])
            return
        if not error:
            self._take_names(writing.result())
        for _, done in batch:
            if done.done():  # its client is gone
                continue
            if error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _take_names(self, config: Config) -> None:
        """Only the names: whatever else was changed in the file waits for a reload."""
        self.config = replace(self.config, aliases=config.aliases, hidden=config.hidden)
        self.catalog = self.catalog.replace_names(config.aliases, config.hidden)

    # clients

    async def upstream(self, provider: Provider) -> Upstream:
        """The client of a provider, made on first use."""
        client = self._clients.get(provider.name)
        if client is not None:
            return client
        async with self._connecting.setdefault(provider.name, asyncio.Lock()):
            if provider.name not in self._clients:
                await self.warm()
                key = await asyncio.to_thread(self.keys.get, provider)
                self._clients[provider.name] = self._connect(self._signed(provider), key)
        return self._clients[provider.name]

    def lane(self, provider: Provider) -> Lane:
        """The provider's lane, made on first use; new settings for it make a new one."""
        lane = self._lanes.get(provider.name)
        if lane is None:
            share = max(1, provider.concurrency // self.siblings.place.workers)
            lane = Lane(share, lambda: self.monotonic() / 1e9)
            self._lanes[provider.name] = lane
        return lane

    def prices(self, target: Target) -> tuple[float | None, float | None]:
        """US dollars for a million tokens in and out of that model, where somebody tells."""
        name = f"{target.provider.name}/{target.model}"
        entry = self.catalog.find_hidden(name)
        if entry is None:
            try:
                entry = self.catalog.resolve(name)
            except ModelNotFound:
                return None, None
        return entry.price_in, entry.price_out

    def _signed(self, provider: Provider) -> Provider:
        """The provider with our name in its requests, where it could be ourselves."""
        if not self.instance or not address.is_near(urlsplit(provider.url).hostname or ""):
            return provider
        return replace(provider, headers={**provider.headers, VIA: self.instance})

    async def forget(self, provider: Provider) -> None:
        """Drop a client whose key was refused: the next request reads the key again."""
        client = self._clients.pop(provider.name, None)
        if client is not None:
            await client.retire()

    def lose(self, target: Target, capability: str) -> None:
        """Note that a model does not have a capability after all; it is no longer listed."""
        self.learn(target, f"{LACKS}{capability}")

    def learn(self, target: Target, name: str, *, tell: bool = True) -> None:
        """Remember what a refusal has taught of a model; the other processes are told."""
        if tell and name not in self.memory.of(target):
            self.siblings.tell("learned", [target.provider.name, target.model, name])
        self.memory.add(target, name)
        if name.startswith(LACKS) and not self.config.server.behind_balancer:
            origin = f"{target.provider.name}/{target.model}"
            self.catalog = self.catalog.without(origin, name.removeprefix(LACKS))

    def keep(self, provider: str, calls: Sequence[tools.Call], found: thoughts.Thoughts) -> None:
        """Keep the thoughts behind calls; their results may be sent to another process."""
        if self.recollection.keep(provider, calls, found):
            self.siblings.tell("thoughts", [provider, calls, found])

    async def tried(
        self, name: str, found: Mapping[str, Result], embedding_length: int | None
    ) -> None:
        """Note what a trial of a model found out; its capabilities follow."""
        target = (await self.resolve(name)).target
        await asyncio.to_thread(self.trials.add, target, self.stamp(), found, embedding_length)
        self.catalog = self.catalog.replace_known(self._known())
        await self.siblings.ask("tried")

    async def read_trials(self) -> None:
        """Go by the trials in the file: another process has added to them."""
        await asyncio.to_thread(self.trials.read)
        self.catalog = self.catalog.replace_known(self._known())

    # life

    def start(self) -> None:
        """Begin the first fetch of every list; needs a running loop."""
        for name in self.config.providers:
            self._fetch(name)

    def warm(self) -> "asyncio.Future[None]":
        """Import the SDK in a thread, once, so that no request stops the loop for it."""
        if self._warm is None:
            self._warm = asyncio.ensure_future(asyncio.to_thread(_import_sdk, self._connect))
        return asyncio.shield(self._warm)

    async def reload(self, config: Config) -> None:
        """Take new settings whole; running requests keep the clients they have."""
        old, self._clients = self._clients, {}
        for task in self._fetching.values():  # of settings that are old now
            task.cancel()
        self._fetching.clear()
        same = {
            name: self._list_of(name)
            for name, provider in config.providers.items()
            if _is_same(self.config.providers.get(name), provider)
        }
        self._lanes = {name: lane for name, lane in self._lanes.items() if name in same}
        self.config = config
        self.facts = await asyncio.to_thread(public_facts, self._state)
        self.memory.keep(same)
        self._fetched.clear()
        self.catalog = self._catalog(same)
        self.start()
        for client in old.values():
            await client.retire()

    async def aclose(self) -> None:
        """Stop fetching and close every client."""
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()

    def touch(self, entry: Entry, keep_alive: float | None) -> None:
        """Note that a model was used, for /api/ps; `keep_alive` in seconds, negative for ever."""
        seconds = self.config.server.keep_alive if keep_alive is None else keep_alive
        if seconds == 0:
            self.unload(entry.name)
        if seconds == 0 or self.config.server.behind_balancer:
            return
        self.loaded[entry.name] = models.Loaded(entry, models.expiry(self.clock(), seconds))

    def unload(self, name: str) -> None:
        """Count a model as loaded no longer, here and at the other processes."""
        self.loaded.pop(name, None)
        self.siblings.tell("unloaded", name)

    def running(self) -> list[models.Loaded]:
        """Models still counted as loaded."""
        now = self.clock()
        self.loaded = {name: item for name, item in self.loaded.items() if item.expires_ns > now}
        return list(self.loaded.values())

    # lists

    def _catalog(self, lists: dict[str, Any]) -> Catalog:
        known = {name: lists.get(name) or self._saved(name) for name in self.config.providers}
        config = self.config
        names = config.aliases, config.default_provider, config.hidden
        return Catalog(config.providers, known, *names, self._known())

    def _known(self) -> Known:
        urls = {name: row.url for name, row in self.config.providers.items()}
        if self.config.server.behind_balancer:  # what other copies cannot know does not count
            return Known({}, {}, self.facts)
        return Known(self.memory.lacking(), self.trials.shown(urls), self.facts)

    def _list_of(self, name: str) -> Any:
        return self.catalog.lists.get(name)

    def _age(self, name: str) -> float:
        fetched = self._fetched.get(name)
        return float("inf") if fetched is None else (self.monotonic() / 1e9) - fetched

    def _fetch(self, name: str) -> "asyncio.Task[None]":
        task = self._fetching.get(name)
        if task is None or task.done():
            task = asyncio.ensure_future(self._refresh(self.config.providers[name]))
            self._fetching[name] = task
            task.add_done_callback(functools.partial(self._fetched_now, name))
        return task

    def _fetched_now(self, name: str, task: "asyncio.Task[None]") -> None:
        if self._fetching.get(name) is task:
            del self._fetching[name]

    async def relist(self, provider: Provider) -> None:
        """Read a provider's list anew, after something was changed there."""
        if running := self._fetching.get(provider.name):
            await asyncio.wait([running])
        if provider.name in self.config.providers:
            await asyncio.wait([self._fetch(provider.name)], timeout=FIRST_LIST)

    async def _refresh(self, provider: Provider) -> None:
        try:
            client = await self.upstream(provider)
            body = await client.models()
            found = model_list.read_list(body)
        except BridgeError as error:
            listed = self._told_by_facts(provider, error)
            if not listed:
                self.list_errors[provider.name] = error.message
                _log.warning("no model list from %s: %s", provider.name, error.message)
                return
            body, found = b"", listed
        finally:
            self._fetched[provider.name] = self.monotonic() / 1e9
        self.list_errors.pop(provider.name, None)
        if self.config.providers.get(provider.name) is not provider:
            return  # the settings changed meanwhile
        if found != self._list_of(provider.name):
            self.catalog = self.catalog.replace_list(provider.name, found)
            if body:
                await asyncio.to_thread(self._save, provider, body)
                self.siblings.tell("listed", provider.name)

    def _told_by_facts(
        self, provider: Provider, error: BridgeError
    ) -> tuple[model_list.UpstreamModel, ...]:
        """What public facts say a service offers, where it has no list itself (quirk J14)."""
        known = self.facts.services.get(provider.facts)
        if known is None or getattr(error, "upstream_status", None) not in _NO_LIST:
            return ()
        _log.info("%s has no list of models; the public facts name some", provider.name)
        return tuple(model_list.UpstreamModel(model) for model in known.models)

    async def take_list(self, name: str) -> None:
        """Go by the list that another process has just fetched and saved."""
        if name in self.config.providers and (found := await asyncio.to_thread(self._saved, name)):
            self._fetched[name] = self.monotonic() / 1e9
            self.list_errors.pop(name, None)
            if found != self._list_of(name):
                self.catalog = self.catalog.replace_list(name, found)

    def _file(self, provider: Provider) -> Path | None:
        return saved_list(self._state, provider.url) if self._state else None

    def _save(self, provider: Provider, body: bytes) -> None:
        path = self._file(provider)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(body)
            part.replace(path)
        except OSError as error:
            _log.warning("the model list of %s could not be kept: %s", provider.name, error)

    def _saved(self, name: str) -> Any:
        path = self._file(self.config.providers[name])
        try:
            return model_list.read_list(path.read_bytes()) if path else None
        except (OSError, BridgeError):
            return None


def _is_same(old: Provider | None, new: Provider) -> bool:
    """Whether all that is known of a provider still holds; limits change nothing of it."""
    return old is not None and replace(old, limits=new.limits) == new


def _import_sdk(used: Connect) -> None:
    if used is connect:
        from ollama_bridge.server import upstream  # noqa: F401
