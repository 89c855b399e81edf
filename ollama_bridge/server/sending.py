"""One request on its way up to a provider: what every route that asks a model does the same way."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from ollama_bridge.catalog import Entry
from ollama_bridge.errors import UpstreamFailed
from ollama_bridge.server.bridge import Bridge, Upstream
from ollama_bridge.server.exchange import Exchange
from ollama_bridge.server.pump import Opened
from ollama_bridge.translate.stats import Stopwatch


class Errand(NamedTuple):
    """Who asks which model; what becomes of it is noted for the log."""

    bridge: Bridge
    exchange: Exchange
    entry: Entry
    name: str
    """What the client calls the model."""
    watch: Stopwatch

    async def open(self, path: str, body: dict[str, Any]) -> Opened:
        """The reply to a JSON body, once its status is known to be good."""
        return await self._sent(lambda upstream: upstream.open(path, body, model=self.name))

    async def open_form(self, path: str, kind: str, content: bytes) -> Opened:
        """The reply to a body of another content type."""
        return await self._sent(
            lambda upstream: upstream.open_form(path, kind, content, model=self.name)
        )

    async def _sent(self, ask: Callable[[Upstream], Awaitable[Opened]]) -> Opened:
        provider = self.entry.target.provider
        log = self.exchange.log
        log |= {"model": self.name, "provider": provider.name}
        upstream = await self.bridge.upstream(provider)
        self.watch.sent()
        try:
            opened = await ask(upstream)
        except UpstreamFailed as error:
            log["upstream"] = error.upstream_status
            if error.upstream_status == 401:  # the next request reads the key again
                await self.bridge.forget(provider)
            raise
        log["upstream"] = 200
        return opened
