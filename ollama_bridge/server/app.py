"""The daemon's ASGI application.

Strategy: one dictionary look-up finds the route; Ollama's routes stand on plain ASGI, because
their bodies follow Go's rules and their streams are counted in microseconds. `/_bridge/*` is a
FastAPI application, built when it is first asked for.
"""

import asyncio
import functools
import gc
import logging
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ollama_bridge import log
from ollama_bridge.config import Config
from ollama_bridge.errors import AsksItself, BridgeError, UpstreamBroke
from ollama_bridge.instance import page_token
from ollama_bridge.server import (
    access,
    account,
    anthropic,
    blobs,
    callers,
    embed,
    inference,
    manage,
    models,
    openai,
    responses,
    together,
)
from ollama_bridge.server import bridge as running
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import (
    TEXT,
    ClientGone,
    Envelope,
    Exchange,
    Receive,
    Scope,
    Send,
    native,
)
from ollama_bridge.server.front import IDENTITY, VIA
from ollama_bridge.server.guard import Guard, Verdict
from ollama_bridge.server.heap import Heap
from ollama_bridge.server.journal import Journal
from ollama_bridge.server.routes import Route
from ollama_bridge.server.siblings import NOBODY, Siblings
from ollama_bridge.spending import Daybook
from ollama_bridge.translate import passage
from ollama_bridge.wire import anthropic as anthropic_wire

if TYPE_CHECKING:
    from ollama_bridge.server.admin import Facts

Stop = Callable[[float | None], None]
"""Ends the daemon; answers have that many seconds, or the usual number."""

MODULES = (models, inference, embed, anthropic, responses, openai, manage, blobs, account)
"""Where routes are: each module has its own table `ROUTES`, path to method to handler."""

ROUTES: dict[str, dict[str, Route]] = {}
for module in MODULES:
    ROUTES |= module.ROUTES

TAILS = sorted((path[:-1] for path in ROUTES if path.endswith("/*")), key=len, reverse=True)
"""Paths whose end names something, such as a model; `Exchange.tail` is that end."""

ADMIN = "/_bridge/"

PAGE = "/_bridge/ui"
"""The page for people: it holds no facts itself, so it is given without the token."""

_log = logging.getLogger("ollama_bridge")
_SLASHES = re.compile(r"/{2,}")


def build(
    config: Config,
    *,
    keys: running.Keys,
    instance: str = "",
    token: str = "",
    reload: Callable[[], Config] | None = None,
    stop: Stop | None = None,
    state: Path | None = None,
    edit: running.Edit | None = None,
    connect: running.Connect = running.connect,
    clock: Callable[[], int] = time.time_ns,
    sleep: running.Sleep = asyncio.sleep,
    spending: Daybook | None = None,
    siblings: Siblings = NOBODY,
    reread: Callable[[], Config] | None = None,
) -> "App":
    """The application for these settings; every part of it can be given a fake."""
    bridge = Bridge(
        config,
        keys=keys,
        state=state,
        edit=edit,
        connect=connect,
        clock=clock,
        sleep=sleep,
        spending=spending,
        siblings=siblings,
        reread=reread,
    )
    return App(
        bridge,
        instance=instance or secrets.token_hex(8),
        token=token,
        reload=reload or (lambda: config),
        stop=stop or (lambda _finish: None),
    )


class App:
    """ASGI: guard, then access keys or users, then the route, then one line in the log."""

    def __init__(
        self,
        bridge: Bridge,
        *,
        instance: str,
        token: str,
        reload: Callable[[], Config],
        stop: Stop,
    ) -> None:
        self.bridge = bridge
        self.instance = bridge.instance = instance
        self._sign = (VIA.encode(), instance.encode("latin-1"))
        """Our own name, in a request that we have sent ourselves."""
        self.token = token
        self.stop_own = stop
        self.settings_error: str | None = None
        self.started_at = bridge.stamp()
        self.siblings = bridge.siblings
        number = self.siblings.place.number
        self.journal = Journal(instance, bridge.stamp, bridge.monotonic, number)
        self._reload = reload
        self._guard = _guard(bridge.config)
        self._users = callers.Users(bridge.config.server.users)
        self._access = self._access_of(bridge.config)
        self._admin: Any = None
        self._facts: Facts | None = None
        self._warm: asyncio.Future[None] | None = None
        self._heap = Heap()
        self._page_token = page_token(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def stop(self, finish: float | None) -> None:
        """End the daemon, all of its processes."""
        if not self.siblings.stop(finish):
            self.stop_own(finish)

    async def reload(self) -> None:
        """Take the settings anew, whole; raises SettingsInvalid and keeps the old ones."""
        await self.reload_own()
        await self.siblings.ask("reload")

    async def reload_own(self) -> None:
        """The same for this process alone."""
        async with self.bridge.settling:
            try:
                config = await asyncio.to_thread(self._reload)
                guard, users = _guard(config), callers.Users(config.server.users)
            except BridgeError as error:
                self.settings_error = error.message
                raise
            self.settings_error = None
            self._guard, self._users = guard, users
            self._access = self._access_of(config)
            await self.bridge.reload(config)

    def cut(self) -> int:
        """End every answer that is being sent, each with an error; how many there were."""
        for exchange in self.journal.exchanges:
            exchange.cut(_STOPPED)
        return len(self.journal.exchanges)

    def _access_of(self, config: Config) -> access.Access | None:
        names = config.server.access_keys
        return access.Access(names, self.bridge.keys, self.token) if names else None

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, key = _path(scope["path"]), b""
        if self._access is not None:
            scope, path, key = access.without_key(scope, path)
        verdict = self._guard.check(scope["method"], path, scope["headers"])
        exchange = Exchange(scope, receive, send, [IDENTITY, *verdict.headers])
        if verdict.status:
            await _turn_away(exchange, verdict)
            return
        if path.startswith(ADMIN):
            await self._to_admin(exchange, scope, receive, send)
            return
        if not await self._is_let_in(exchange, path, key):
            return
        methods = ROUTES.get(path) or _tail_route(exchange, path)
        route = methods.get(exchange.method) if methods else None
        if route is None:
            await _no_route(exchange, methods or ())
            return
        await self._run(route, exchange)

    async def _is_let_in(self, exchange: Exchange, path: str, key: bytes) -> bool:
        """Whether the request goes on; else it is answered.

        The access keys decide, if there are any: whoever was given one may come. Else the users do.
        """
        if not key and path in access.OPEN:
            return True
        try:
            if self._access is None:
                self._users.check(exchange.scope.get("state"))
                return True
            if await self._access.admit(key, exchange.scope["headers"]):
                return True
        except BridgeError as error:
            if self._access is not None:
                exchange.add_headers([(b"www-authenticate", b"Bearer")])
            _log.warning("%s %s refused: %s", exchange.method, exchange.path, error.message)
            exchange.envelope = _envelope(path)
            await exchange.refuse(error)
        else:
            await _no_route(exchange, ())
        return False

    async def _run(self, route: Route, exchange: Exchange) -> None:
        bridge = self.bridge
        bridge.active += 1
        self.journal.begin(exchange)
        try:
            _refuse_loop(exchange, self._sign)
            await route(bridge, exchange)
        except ClientGone:
            exchange.log["gone"] = True
        except BridgeError as error:
            exchange.log["error"] = error.message
            if not exchange.started:
                await exchange.refuse(error)
        except Exception:  # noqa: BLE001 - the one place that must let nothing through
            _log.exception("request %s %s failed", exchange.method, exchange.path)
            exchange.log["error"] = "internal error"
            if not exchange.started:
                await exchange.refuse(_INTERNAL)
        finally:
            bridge.active -= 1
            bridge.requests += 1
            fields = self.journal.end(exchange)
            bridge.errors = self.journal.errors
            self._heap.worked()
            if fields is not None:
                log.request(fields)

    async def _to_admin(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if exchange.path == PAGE:
            verdict = self._guard.page(scope["headers"])
        else:
            tokens = [self.token, *([self._page_token] if exchange.method == "GET" else [])]
            verdict = self._guard.admin(scope["headers"], *tokens)
        if verdict.status:
            await _turn_away(exchange, verdict)
            return
        if self._admin is None:
            facts = await self.facts()
            from ollama_bridge.server import admin

            self._admin = await asyncio.to_thread(admin.build, self, facts)
        await self._admin(scope, receive, send)

    async def facts(self) -> "Facts":
        """What this process tells of itself; made when it is first asked for."""
        if self._facts is None:
            self._facts = await asyncio.to_thread(_facts_of, self)
        return self._facts

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.end()
        await send({"type": "lifespan.shutdown.complete"})

    def begin(self) -> None:
        """Start what runs beside the requests; needs a running loop."""
        self._heap.keep()
        self._warm = asyncio.ensure_future(self._warm_up())
        self.siblings.begin(functools.partial(together.hear, self))

    async def end(self) -> None:
        """Stop it, and close every client."""
        if self._warm is not None:
            self._warm.cancel()
        self.siblings.end()
        await self.bridge.aclose()

    async def _warm_up(self) -> None:
        """What makes the first request as quick as the second, done after the port answers."""
        self.bridge.start()
        await self.bridge.warm()
        await self.bridge.first_lists(running.FIRST_LIST)
        gc.collect()
        gc.freeze()  # a full collection of what was imported would stop the loop for 50 ms


def _facts_of(app: App) -> "Facts":
    from ollama_bridge.server.admin import Facts

    return Facts(app)


def _refuse_loop(exchange: Exchange, sign: tuple[bytes, bytes]) -> None:
    if sign in exchange.scope["headers"]:
        raise AsksItself(_LOOP)


_STOPPED = UpstreamBroke(
    "Ollama Bridge was stopped before this answer was complete; ask again", status=503
)
_LOOP = (
    "this provider's address leads back to Ollama Bridge itself; in the settings give it the "
    "address of the server that is meant, such as http://127.0.0.1:11435 for a real Ollama"
)
_INTERNAL = BridgeError("internal error in Ollama Bridge; its log tells more: ollama-bridge logs")


def _envelope(path: str) -> Envelope:
    """How errors are written under that path, for those that come before the route."""
    return next((form for head, form in _ENVELOPES if path.startswith(head)), native)


_ENVELOPES: tuple[tuple[str, Envelope], ...] = (
    ("/v1/messages", lambda error: anthropic_wire.error(error.status, error.message, "").encode()),
    ("/v1/", passage.envelope),
)


def _path(path: str) -> str:
    """The path as routed: a trailing or double slash means nothing (ollama-api 1.2).

    Within a name both slashes count: models of llama.cpp may be called by the path of a file.
    """
    if path.endswith("/") and path != "/":
        path = path.rstrip("/") or "/"
    if "//" not in path or any(map(path.startswith, TAILS)):
        return path
    return _SLASHES.sub("/", path)


def _tail_route(exchange: Exchange, path: str) -> dict[str, Route] | None:
    for head in TAILS:
        if path.startswith(head):
            exchange.tail = path[len(head) :]
            return ROUTES[head + "*"]
    return None


async def _turn_away(exchange: Exchange, verdict: Verdict) -> None:
    """The guard's own answer: empty for the caller, as Ollama's; the reason is for the log."""
    if verdict.reason:
        _log.warning("%s %s refused: %s", exchange.method, exchange.path, verdict.reason)
    await exchange.answer(b"", kind=TEXT, status=verdict.status)


async def _no_route(exchange: Exchange, methods: Iterable[str]) -> None:
    if not methods:
        await exchange.answer(b"404 page not found", kind=TEXT, status=404)
        return
    exchange.add_headers([(b"allow", ", ".join(methods).encode())])
    await exchange.answer(b"405 method not allowed", kind=TEXT, status=405)


def _guard(config: Config) -> Guard:
    return Guard(config.server.origins, config.server.host, socket.gethostname(), _addresses)


def _addresses() -> list[str]:
    """The addresses of this machine's interfaces."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    cards = psutil.net_if_addrs().values()
    return [
        item.address.partition("%")[0] for card in cards for item in card if item.family in families
    ]
