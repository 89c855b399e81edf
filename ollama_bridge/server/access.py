"""`server.access_keys`: who may use a bridge that others can reach.

Strategy: a client sends a key as `Authorization: Bearer` (or `x-api-key`, as Anthropic's clients
do), or before the route for clients that send no headers of their own: `/KEY/api/chat`. Such a key
is cut off the path before anything else sees it, right or wrong, so that no log can hold it. `/`
and `/api/version` stay open: they tell nothing, cost nothing, and probes and every `ollama`
command begin with them. The settings hold names; the keys themselves are read from the keyring.
"""

import asyncio
import hmac
import logging
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from ollama_bridge.errors import BridgeError
from ollama_bridge.server.bridge import Keys
from ollama_bridge.server.exchange import Scope

OPEN = frozenset({"/", "/api/version"})

_AFTER_KEY = re.compile(r"/(?!(?:api|v1|_bridge)(?:/|$))(.+?)(/(?:api|v1)(?:/.*)?)?/?", re.DOTALL)
_log = logging.getLogger("ollama_bridge")


class Unauthorized(BridgeError):
    """The client sent none of the access keys."""

    status = 401


class AccessUnknown(BridgeError):
    """The access keys themselves cannot be read, so nobody can be let in."""

    status = 503


class Access:
    """The access keys of one set of settings, read when the first client asks."""

    def __init__(self, names: Sequence[str], keys: Keys, token: str) -> None:
        """`token` is the running daemon's own, for its command line and tray."""
        self._names = names
        self._keys = keys
        self._token = [token.encode()] if token else []
        self._known: list[bytes] = []
        self._reading: asyncio.Future[list[bytes]] | None = None

    async def admit(self, in_path: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Let the client in, or raise; False when what stood in the path was no key after all."""
        in_headers = _keys(headers)
        if not in_path and _is_among(in_headers, self._token):
            return True
        known = self._token + (self._known or await self._read())
        right = _is_among([in_path], known)
        if right or _is_among(in_headers, known):
            return right or not in_path
        if not self._known:
            raise AccessUnknown(
                "the access keys of this bridge cannot be read; its log tells why: "
                "ollama-bridge logs"
            )
        raise Unauthorized(
            "this bridge wants an access key: send it as `Authorization: Bearer KEY`, or put it "
            "before the path, as in http://HOST:PORT/KEY"
        )

    async def _read(self) -> list[bytes]:
        """One look at the keyring for all who wait; what fails is tried again by the next."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(asyncio.to_thread(self._read_all))
        self._known = await asyncio.shield(self._reading)
        return self._known

    def _read_all(self) -> list[bytes]:
        found = []
        for name in self._names:
            try:
                found.append(self._keys.named(name).encode())
            except BridgeError as error:
                _log.warning("access key %s cannot be read: %s", name, error.message)
        return found


def without_key(scope: Scope, path: str) -> tuple[Scope, str, bytes]:
    """The request as if its path held no key, that path, and the key; right or wrong."""
    match = _AFTER_KEY.fullmatch(path)
    if match is None:
        return scope, path, b""
    path = match[2] or "/"
    return {**scope, "path": path, "raw_path": quote(path).encode()}, path, match[1].encode()


def _keys(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Every key the client sent in a header."""
    found = []
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            found.append(value[7:].strip())
        elif name == b"x-api-key":
            found.append(value.strip())
    return found


def _is_among(given: Iterable[bytes], known: Sequence[bytes]) -> bool:
    """Every pair is compared, and in full, so that the time taken tells nothing."""
    return sum(hmac.compare_digest(one, other) for one in given for other in known) > 0
