"""How bytes travel to a provider: the openai SDK's requests, carried by one of two clients.

Strategy: the SDK asks this transport as it would ask its own, so credentials, URLs and errors stay
the SDK's; the reply is handed out as it arrives, so nothing of the SDK stands on the path of a
chunk. Here, and nowhere else, is decided which client carries a provider's requests: our own
(`pool`), or aiohttp where there is a proxy (`proxied`).
"""

import re
import ssl
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx2

from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers import address
from ollama_bridge.server.flow import Limits, Received
from ollama_bridge.server.pool import Origin, Pool

ERROR_LIMIT = 1024 * 1024
"""Most bytes of an error reply that are read."""

FORM_TYPE = "X-Form-Type"
"""Where the SDK carries the content type of a form: under its own name it would make the SDK write
the body itself. It never leaves this process."""

Form = Any
"""A request as the SDK would send it, but for its body; what it is, is the carrier's business."""

_PORTS = {"http": 80, "https": 443}
_NOT_OURS = frozenset({b"content-length", b"transfer-encoding"})
_SPLITS_LINES = re.compile(r"[\r\n\0]")


class Carrier(Protocol):
    """Sends requests and brings replies. `send` raises OSError; so is TimeoutError."""

    def form(self, request: httpx2.Request, headers: list[tuple[str, str]]) -> Form: ...
    def send(self, form: Form, content: bytes) -> Awaitable[Received]: ...
    async def aclose(self) -> None: ...


class Transport(httpx2.AsyncBaseTransport):
    """The connections to one provider."""

    def __init__(self, base_url: str, limits: Limits) -> None:
        self._carrier = _carrier(base_url, limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; raises httpx2's errors, which the SDK understands."""
        try:
            received = await self._carrier.send(self.form(request), request.content)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(str(error) or "timed out", request=request) from error
        except (OSError, ValueError) as error:
            raise httpx2.ConnectError(
                str(error) or type(error).__name__, request=request
            ) from error
        return httpx2.Response(
            received.status,
            headers=_for_sdk(received.headers),
            stream=_Body(received),
            request=request,
            extensions={"reply": received},
        )

    def form(self, request: httpx2.Request) -> Form:
        """Everything of a request that stays the same when only the body changes."""
        headers = [
            (key.decode("latin-1"), value.decode("latin-1"))
            for key, value in request.headers.raw
            if key.lower() not in _NOT_OURS
        ]
        kind = request.headers.get(FORM_TYPE)
        if kind:
            ours = (FORM_TYPE.lower(), "content-type")
            headers = [pair for pair in headers if pair[0].lower() not in ours]
            headers.append(("Content-Type", kind))
        for key, value in headers:
            if _SPLITS_LINES.search(value):
                raise ValueError(f"the header {key} holds a line end")
        return self._carrier.form(request, headers)

    def post(self, form: Form, content: bytes) -> Awaitable[Received]:
        """Send one more request of a known form; raises OSError and TimeoutError."""
        return self._carrier.send(form, content)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._carrier.aclose()


class _Direct:
    """Straight to the provider, with the bridge's own client: a form is the head's bytes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def form(self, request: httpx2.Request, headers: list[tuple[str, str]]) -> bytes:
        lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1"]
        lines += [f"{key}: {value}" for key, value in headers]
        return "".join([f"{line}\r\n" for line in lines]).encode("latin-1")

    def send(self, form: bytes, content: bytes) -> Awaitable[Received]:
        return self._pool.request(form, content)

    async def aclose(self) -> None:
        await self._pool.aclose()


def _carrier(base_url: str, limits: Limits) -> Carrier:
    url = httpx2.URL(base_url)
    tls = _tls() if url.scheme == "https" else None
    if proxy := proxy_for(base_url):
        from ollama_bridge.server.proxied import Proxied

        return Proxied(proxy, limits, tls=tls)
    port = url.port or _PORTS.get(url.scheme, 80)
    origin = Origin(url.raw_host.decode(), port, tls)
    return _Direct(Pool(origin, limits))


async def error_body(received: Received) -> bytes:
    """What an error reply says, up to ERROR_LIMIT; the connection is given back."""
    try:
        return b"".join([part async for part in _Body(received)])
    except httpx2.ReadError:
        return b""
    finally:
        await received.aclose()


def _for_sdk(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (key.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for key, value in headers.items()
        if key not in _HOP
    ]


_HOP = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection"})
"""Headers about the bytes as they travelled; what they say has already been undone."""


class _Body(httpx2.AsyncByteStream):
    """The body for the SDK's own reading: error texts and model lists."""

    def __init__(self, received: Received) -> None:
        self._received = received

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = ERROR_LIMIT if self._received.status >= 400 else None
        try:
            while data := await self._received.read():
                yield data
                if left is not None and (left := left - len(data)) <= 0:
                    return
        except OSError as error:
            raise httpx2.ReadError(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        await self._received.aclose()


def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def proxy_for(url: str) -> str | None:
    """The environment's proxy for this URL; never one for this machine or its network (L1)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if address.is_near(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise SettingsInvalid(
            f"the proxy for {host} ({urlsplit(proxy).scheme}) is not supported: name an http:// "
            f"proxy in {parts.scheme.upper()}_PROXY, or add {host} to NO_PROXY"
        )
    return proxy
