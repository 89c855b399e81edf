"""What answers while everything else is still being imported: `/` and `/api/version`, at once.

Strategy: clients ask these two to see whether Ollama is there, often just after they started it. A
plain request for one is answered here; all others wait for the application, which a thread imports
meanwhile. Afterwards this is one look at an attribute.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from ollama_bridge import __version__

if TYPE_CHECKING:
    from ollama_bridge.server.app import App

OLLAMA_VERSION = "0.32.15"
"""The Ollama release this API follows. Plain digits: Codex, Copilot and Open WebUI compare it."""

IDENTITY = (b"x-ollama-bridge", __version__.encode())
"""The header that tells this is not Ollama itself."""

VIA = "x-ollama-bridge-via"
"""The header that tells servers nearby which daemon asks: one that reads its own name is a loop."""

ROOT = b"Ollama is running"
VERSION = f'{{"version":"{OLLAMA_VERSION}"}}'.encode()

_ANSWERS = {
    "/": (b"text/plain; charset=utf-8", ROOT),
    "/api/version": (b"application/json; charset=utf-8", VERSION),
}
_HERE = (b"127.0.0.1", b"localhost", b"[::1]")

Message = MutableMapping[str, Any]


class Front:
    """ASGI: the application, or what stands in for it; `failed` is called if it cannot be built."""

    def __init__(self, build: "Callable[[], App]", failed: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        """Why there is no application."""
        self._build = build
        self._failed = failed
        self._app: App | None = None
        self._loading: asyncio.Task[App] | None = None

    def __call__(self, scope: Message, receive: Any, send: Any) -> Awaitable[None]:
        if self._app is not None and scope["type"] != "lifespan":
            return self._app(scope, receive, send)
        return self._early(scope, receive, send)

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return len(self._app.journal.exchanges) if self._app else 0

    def cut(self) -> int:
        """End every answer that is being sent, each with an error; how many there were."""
        return self._app.cut() if self._app else 0

    async def _early(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif _is_plain(scope):
            await _answer(scope, send)
        elif self._loading is not None:
            app = await asyncio.shield(self._loading)
            await app(scope, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        self._loading = asyncio.ensure_future(self._load())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.gather(self._loading, return_exceptions=True)
        if self._app is not None:
            await self._app.end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _load(self) -> "App":
        try:
            app = await asyncio.to_thread(self._build)
        except BaseException as error:
            self.error = error
            self._failed()
            raise
        app.begin()
        self._app = app
        return app


def _is_plain(scope: Message) -> bool:
    """Whether nothing has to be judged: no page asks, and under no name but this machine's own."""
    if scope["path"] not in _ANSWERS or scope["method"] not in ("GET", "HEAD"):
        return False
    headers = dict(scope["headers"])
    host = headers.get(b"host", b"")
    return b"origin" not in headers and host.rpartition(b":")[0] in _HERE


async def _answer(scope: Message, send: Any) -> None:
    kind, body = _ANSWERS[scope["path"]]
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), IDENTITY]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    sent = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": sent})
