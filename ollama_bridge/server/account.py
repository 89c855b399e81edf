"""Ollama's account, cloud and experimental routes: there is no account and no cloud of its here.

A sign-in is never asked for: 401 would make the `ollama` command tell its user to sign in. Only a
sign-out answers so, because that is how Ollama says that nobody is signed in.
"""

from ollama_bridge.errors import BadRequest, BridgeError, Forbidden
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import Exchange
from ollama_bridge.server.routes import Route, Routes

_STATUS = b'{"cloud":{"disabled":true,"source":"config"}}'
"""Stops the `ollama` command from offering its vendor's cloud."""


class _NoAccount(BridgeError):
    """There is nobody whose account could be shown."""

    status = 503


class _NotSignedIn(BridgeError):
    """There is nobody to sign out."""

    status = 401


async def me(_bridge: Bridge, _exchange: Exchange) -> None:
    """POST /api/me."""
    raise _NoAccount("account unavailable")


async def sign_out(_bridge: Bridge, _exchange: Exchange) -> None:
    """POST /api/signout, and its old form DELETE /api/user/keys/:key."""
    raise _NotSignedIn("you are not currently signed in")


async def status(_bridge: Bridge, exchange: Exchange) -> None:
    """GET /api/status."""
    await exchange.answer(_STATUS)


async def recommendations(_bridge: Bridge, exchange: Exchange) -> None:
    """GET /api/experimental/model-recommendations: all there is stands in /api/tags."""
    await exchange.answer(b'{"recommendations":[]}')


def _cloud(what: str) -> Route:
    """A route that only Ollama's cloud has."""

    async def refuse(_bridge: Bridge, exchange: Exchange) -> None:
        if not (await exchange.body()).strip():
            raise BadRequest("missing request body")
        raise Forbidden(f"ollama cloud is disabled: {what} is unavailable")

    return refuse


ROUTES: Routes = {
    "/api/me": {"POST": me},
    "/api/signout": {"POST": sign_out},
    "/api/user/keys/*": {"DELETE": sign_out},
    "/api/status": {"GET": status},
    "/api/experimental/web_search": {"POST": _cloud("web search")},
    "/api/experimental/web_fetch": {"POST": _cloud("web fetch")},
    "/api/experimental/model-recommendations": {"GET": recommendations},
}
