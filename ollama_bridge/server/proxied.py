"""The way through a proxy: aiohttp carries what the bridge's own client does not do.

Strategy: aiohttp knows proxies, their TLS and their credentials. It costs twice as much for a
chunk, so only providers behind a proxy take this way, and it is imported only for them.
"""

import asyncio
import ssl
from types import SimpleNamespace
from typing import NamedTuple

import aiohttp
import httpx2
from multidict import CIMultiDict
from yarl import URL

from ollama_bridge.server import flow
from ollama_bridge.server.http1 import HEAD_LIMIT, HELD, Broken
from ollama_bridge.server.pool import KEPT_SECONDS

LOOK = 1.0
"""Seconds of silence after which the connection is looked at."""


class Form(NamedTuple):
    """A request but for its body."""

    method: str
    url: URL
    headers: CIMultiDict[str]


class Proxied:
    """One pool of connections to one provider, through a proxy."""

    def __init__(self, proxy: str, limits: flow.Limits, *, tls: ssl.SSLContext | None) -> None:
        self._limits = limits
        self._proxy = proxy
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    def form(self, request: httpx2.Request, headers: list[tuple[str, str]]) -> Form:
        """What stays the same when only the body changes."""
        return Form(request.method, URL(str(request.url), encoded=True), CIMultiDict(headers))

    async def send(self, form: Form, content: bytes) -> flow.Received:
        """The reply, once its head is here; raises OSError and TimeoutError.

        A pooled connection may have been closed by the other side: then one fresh try is safe.
        """
        tries = SimpleNamespace(reused=False)
        try:
            try:
                return await self._request(form, content, tries)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError):
                if not tries.reused:
                    raise
                return await self._request(form, content, tries)
        except (aiohttp.ClientError, ValueError) as error:
            raise _ours(error) from error

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _request(self, form: Form, content: bytes, tries: SimpleNamespace) -> "_Received":
        session = self._session or self._open()
        due = asyncio.get_running_loop().time() + self._limits.first_byte
        try:
            async with asyncio.timeout_at(due) as waiting:
                response = await session.request(
                    form.method,
                    form.url,
                    headers=form.headers,
                    data=content or None,
                    allow_redirects=False,
                    proxy=self._proxy,
                    trace_request_ctx=tries,
                )
        except TimeoutError as error:
            if waiting.expired():
                raise _silent(self._limits.first_byte) from error
            raise TimeoutError(f"no connection in {self._limits.connect:g} s") from error
        return _Received(response, due, self._limits)

    def _open(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEPT_SECONDS, ssl=self._tls or True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect),
            trace_configs=[trace],
            read_bufsize=HELD,
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
        )
        return self._session


class _Received:
    """aiohttp's reply in our words."""

    def __init__(self, response: aiohttp.ClientResponse, due: float, limits: flow.Limits) -> None:
        self._response = response
        self._first_due: float | None = due
        self._limits = limits
        self.status = response.status
        self.headers = {key.lower(): value for key, value in response.headers.items()}

    @property
    def complete(self) -> bool:
        return self._response.content.at_eof()

    async def read(self) -> bytes:
        now = asyncio.get_running_loop().time
        first, limits = self._first_due, self._limits
        due = first or now() + limits.idle
        while (data := await self._next(min(due, now() + LOOK))) is None:
            if self._is_lost():
                raise Broken("what it sent is not HTTP/1.1")
            if now() >= due:
                self._response.close()
                raise _silent(limits.first_byte if first else limits.idle)
        self._first_due = None
        return data

    async def _next(self, due: float) -> bytes | None:
        """The next bytes; None when nothing has come until then."""
        within = asyncio.timeout_at(due)
        try:
            async with within:
                return await self._response.content.readany()
        except (aiohttp.ClientError, RuntimeError) as error:  # RuntimeError: it is closed already
            raise _ours(error) from error
        except TimeoutError:
            if not within.expired():  # somebody else's limit
                raise
            return None

    def _is_lost(self) -> bool:
        """Whether there is no connection any more, and aiohttp never told the body's reader.

        It closes a connection on which something else than HTTP came, but a body that had begun
        waits on.
        """
        connection = self._response.connection
        return connection is not None and connection.transport is None

    async def push(self, sink: flow.Sink, quiet: float) -> None:
        await flow.pull(self, sink, quiet)

    async def aclose(self, patience: float = 0.0) -> None:
        if patience and not self.complete:
            await flow.drain(self, patience)
        if self.complete:
            self._response.release()
        else:
            self._response.close()


def _silent(seconds: float) -> TimeoutError:
    return TimeoutError(f"not a byte of an answer in {seconds:g} s")


def _ours(error: Exception) -> OSError:
    """An error of aiohttp's as one of the kinds that the other way knows."""
    if isinstance(error, OSError):  # timeouts and refused connections
        return error
    return Broken(str(error) or type(error).__name__)


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.reused = True
