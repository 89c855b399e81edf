"""How bytes travel to a provider: the openai SDK's requests, carried by aiohttp.

Strategy: the SDK asks this transport as it would ask its own; the reply's body is handed out as
aiohttp's reader, read by read, so nothing of the SDK stands on the path of a chunk.
"""

import ssl
import urllib.request
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import httpx2
from multidict import CIMultiDict
from yarl import URL

from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers import address

ERROR_LIMIT = 1024 * 1024
"""Most bytes of an error reply that are read."""

FORM_TYPE = "X-Form-Type"
"""Where the SDK carries the content type of a form: under its own name it would make the SDK write
the body itself. It never leaves this process."""

_READ_BUFFER = 256 * 1024


class Prepared(NamedTuple):
    """A POST as the SDK would send it, but for its body."""

    url: URL
    headers: CIMultiDict[str]


class Transport(httpx2.AsyncBaseTransport):
    """One pool of connections to one provider. Timeouts in seconds."""

    def __init__(self, base_url: str, *, connect_timeout: float, idle_timeout: float) -> None:
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout, sock_read=idle_timeout
        )
        self._proxy = proxy_for(base_url)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; raises httpx2's errors, which the SDK understands."""
        try:
            response = await self._send(request.method, prepared(request), request.content)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(str(error) or "timed out", request=request) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise httpx2.ConnectError(
                str(error) or type(error).__name__, request=request
            ) from error
        return httpx2.Response(
            response.status,
            headers=[pair for pair in response.raw_headers if pair[0].lower() not in _HOP],
            stream=_Body(response),
            request=request,
            extensions={"reply": response},
        )

    async def post(self, form: Prepared, content: bytes) -> aiohttp.ClientResponse:
        """Send one more request of a known form; raises aiohttp's errors and TimeoutError."""
        return await self._send("POST", form, content)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, method: str, form: Prepared, content: bytes) -> aiohttp.ClientResponse:
        """A pooled connection may have been closed by the other side: then one fresh try is safe.

        llama.cpp promises keep-alive and closes all the same (real-upstreams.md, section 1).
        """
        tries = SimpleNamespace(reused=False)
        try:
            return await self._request(method, form, content, tries)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            if not tries.reused:
                raise
            return await self._request(method, form, content, tries)

    async def _request(
        self, method: str, form: Prepared, content: bytes, tries: SimpleNamespace
    ) -> aiohttp.ClientResponse:
        session = self._session or self._open()
        return await session.request(
            method,
            form.url,
            headers=form.headers,
            data=content or None,
            allow_redirects=False,
            proxy=self._proxy,
            trace_request_ctx=tries,
        )

    def _open(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=_tls()),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trace_configs=[trace],
            read_bufsize=_READ_BUFFER,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )
        return self._session


def prepared(request: httpx2.Request) -> Prepared:
    """The form of a request: everything that stays the same when only the body changes."""
    headers: CIMultiDict[str] = CIMultiDict()
    for key, value in request.headers.raw:
        if key.lower() not in (b"host", b"content-length"):
            headers.add(key.decode("latin-1"), value.decode("latin-1"))
    if kind := headers.pop(FORM_TYPE, ""):
        headers["Content-Type"] = kind
    return Prepared(URL(str(request.url), encoded=True), headers)


async def error_body(response: aiohttp.ClientResponse) -> bytes:
    """What an error reply says, up to ERROR_LIMIT; the connection is given back."""
    try:
        return b"".join([part async for part in _Body(response)])
    except httpx2.ReadError:
        return b""
    finally:
        response.release()


_HOP = frozenset({b"content-encoding", b"content-length", b"transfer-encoding", b"connection"})
"""Headers about the bytes as they travelled; aiohttp has already undone what they say."""


class _Body(httpx2.AsyncByteStream):
    """The body for the SDK's own reading: error texts and model lists."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = ERROR_LIMIT if self._response.status >= 400 else None
        try:
            async for data in self._response.content.iter_any():
                yield data
                if left is not None and (left := left - len(data)) <= 0:
                    return
        except (aiohttp.ClientError, TimeoutError) as error:
            raise httpx2.ReadError(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        self._response.release()


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.reused = True


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
